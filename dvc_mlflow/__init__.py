"""Mirror the stages of any DVC repository into MLflow: live while they run, and from dvc.lock at any time."""

import signal
import sys

_as_module = sys.argv[:1] == ["-m"] and "dvc_mlflow" in sys.orig_argv
if (_as_module or sys.argv[0].endswith("/dvc-mlflow")) and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback of whatever the command is importing

from dvc_mlflow.live import LiveRun, live  # noqa: E402

__all__ = ["LiveRun", "live"]
