"""Mirror the stages of any DVC repository into MLflow: live while they run, and from dvc.lock at any time."""

from dvc_mlflow.live import LiveRun, live

__all__ = ["LiveRun", "live"]
