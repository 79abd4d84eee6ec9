"""Mirror a DVC repository into MLflow: `dvc-mlflow sync | check | trace | ui | server`."""

import argparse
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from dvc_mlflow import provenance

COMMANDS = {
    "sync": "Log what DVC has and MLflow lacks.",
    "check": "List what differs between DVC and MLflow; exit code 1 if anything does.",
    "trace": "Show which run made a file, or which files a run made.",
    "ui": "Serve MLflow's pages, and print the address of each saved view.",
    "server": "Serve MLflow over PostgreSQL to several people.",
}
OTHER_PYTHON = ("PYTHONINSPECT", "PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONDEVMODE")
"""Python reads them when it starts, and MLflow fails or prints warnings with them: it starts without them."""


def main(arguments: list[str] | None = None) -> None:
    """Run `dvc-mlflow`. Nothing heavy is imported before the arguments are understood."""
    if arguments is None and any([os.environ.pop(name, None) for name in OTHER_PYTHON]):
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    given = _parser().parse_args(arguments)
    from dvc_mlflow.process import Stopped, Unanswered, open_standard_streams, stoppable
    from dvc_mlflow.store import described, prepare_environment, tracking_uri

    open_standard_streams()
    uri: str | None = ""
    code = 1
    try:
        with stoppable():
            place = provenance.find(Path(given.repo))
            uri = tracking_uri(place.root, given.tracking_uri)
            prepare_environment()
            code = _run(given, place, uri)
            uri = None  # a full disk behind stdout is no fault of MLflow
            sys.stdout.flush()
    except Stopped as stop:
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(int(stop.code or 0))  # without waiting for threads that a server keeps waiting
    except BrokenPipeError:  # its reader has read enough, as `head` does
        os._exit(128 + signal.SIGPIPE)
    except (Exception, Unanswered) as error:  # DVC, MLflow, databases and the network raise without limit
        print(described(error, uri or ""), file=sys.stderr)
        if uri is None or isinstance(error, Unanswered):
            os._exit(1)
    sys.exit(code)


def _run(given: argparse.Namespace, place: provenance.Place, uri: str) -> int:
    """Run a command and return its exit code."""
    if given.command == "sync":
        from dvc_mlflow.sync import sync

        revisions: list[str | None] = given.rev or [None]
        if given.all_experiments:
            revisions += provenance.experiments(place.root)
        done, undone = sync(place, revisions, uri, given.move_alias)
        for line in done or ([] if undone else ["MLflow agrees with DVC already"]):
            print(line)
        for line in undone:
            print(line, file=sys.stderr)
        return int(bool(undone))
    if given.command == "check":
        from dvc_mlflow.sync import check

        found = check(place, given.rev, uri)
        width = max((len(what) for what, _ in found), default=0)
        for what, difference in found:
            print(f"{what:{width}}  {difference}")
        if not found:
            print("MLflow agrees with DVC")
        return int(bool(found))
    if given.command == "trace":
        from dvc_mlflow.trace import trace

        print(trace(place, given.what, uri))
        return 0
    from dvc_mlflow import server

    if given.command == "ui":
        return server.ui(place.root, uri, given.port)
    return server.server(place.root, given.port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("dvc-mlflow", description="Mirror a DVC repository into MLflow.")
    parser.set_defaults(tracking_uri=None)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    made = {name: commands.add_parser(name, help=text, description=text) for name, text in COMMANDS.items()}
    for name, command in made.items():
        folder = "the DVC repository (default: around here)"
        command.add_argument("--repo", default=".", metavar="FOLDER", help=folder)
        if name != "server":  # which has a store of its own
            instead = "instead of MLFLOW_TRACKING_URI or mlflow.db"
            command.add_argument("--tracking-uri", metavar="URI", help=instead)
        if name in ("ui", "server"):
            default = os.environ.get("MLFLOW_PORT") or "5000"
            command.add_argument("--port", default=default, metavar="N", help="default: MLFLOW_PORT or 5000")
    one = "a commit, branch, tag or DVC experiment"
    which = made["sync"].add_mutually_exclusive_group()
    which.add_argument("--rev", action="append", metavar="REV", help=one)
    every = "the working tree and every DVC experiment"
    which.add_argument("--all-experiments", action="store_true", help=every)
    other = "also to a model with other data or another signature"
    made["sync"].add_argument("--move-alias", action="store_true", help=other)
    made["check"].add_argument("--rev", metavar="REV", help=one)
    what = "a file, wherever it is now, or the beginning of a run's id"
    made["trace"].add_argument("what", metavar="FILE|RUN", help=what)
    return parser


if __name__ == "__main__":
    main()
