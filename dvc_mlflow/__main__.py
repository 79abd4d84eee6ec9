"""Mirror a DVC repository into MLflow: `dvc-mlflow sync | check | trace | ui | server`."""

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn


def main(arguments: list[str] | None = None) -> None:
    """Run `dvc-mlflow`. Nothing heavy is imported before the arguments are understood."""
    given = _parser().parse_args(arguments)
    from dvc_mlflow.process import Stopped, Unanswered, interruptible
    from dvc_mlflow.redaction import in_a_line

    uri = ""
    code = 1
    try:
        with interruptible():
            from dvc_mlflow import provenance
            from dvc_mlflow.store import described, prepare_environment, tracking_uri

            workspace = provenance.workspace(Path(given.repo))
            root = provenance.repository(workspace)
            uri = tracking_uri(root, given.tracking_uri)
            prepare_environment()
            code = _COMMANDS[given.command](given, root, workspace)
    except Stopped as stop:
        _leave(int(stop.code or 0))
    except Unanswered as error:
        print(described(error, uri), file=sys.stderr)
        _leave(1)
    except Exception as error:  # DVC, MLflow, databases and the network raise without limit
        ours = type(error).__module__.startswith("dvc_mlflow")
        print(str(error) if ours else described(error, uri) if uri else in_a_line(error), file=sys.stderr)
    if code:
        sys.exit(code)


def _leave(code: int) -> NoReturn:
    """Exit at once, without waiting for threads that a server keeps waiting."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("dvc-mlflow", description="Mirror a DVC repository into MLflow.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--repo", default=".", metavar="FOLDER", help="the DVC repository (default: around here)"
    )
    common.add_argument("--tracking-uri", metavar="URI", help="instead of MLFLOW_TRACKING_URI or mlflow.db")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    sync = commands.add_parser("sync", parents=[common], help="log what MLflow does not show")
    which = sync.add_mutually_exclusive_group()
    which.add_argument(
        "--rev", action="append", metavar="REV", help="a commit, branch, tag or DVC experiment"
    )
    which.add_argument(
        "--all-experiments", action="store_true", help="the working tree and every DVC experiment"
    )
    sync.add_argument(
        "--move-alias", action="store_true", help="also to a model with other data or another signature"
    )
    check = commands.add_parser(
        "check", parents=[common], help="list differences; exit code 1 if there is any"
    )
    check.add_argument("--rev", metavar="REV", help="a commit, branch, tag or DVC experiment")
    trace = commands.add_parser(
        "trace", parents=[common], help="which run made a file; which files a run made"
    )
    trace.add_argument(
        "what", metavar="FILE|RUN", help="a file, wherever it is now, or the beginning of a run's id"
    )
    ui = commands.add_parser("ui", parents=[common], help="open MLflow's pages on a saved view")
    server = commands.add_parser(
        "server", parents=[common], help="serve MLflow over PostgreSQL to several people"
    )
    for one in (ui, server):
        one.add_argument("--port", type=int, metavar="N", help="default: MLFLOW_PORT or 5000")
    return parser


def _sync(given: argparse.Namespace, root: Path, workspace: Path) -> int:
    from dvc_mlflow.provenance import experiments
    from dvc_mlflow.sync import sync

    revisions: list[str | None] = [*given.rev] if given.rev else [None]
    if given.all_experiments:
        revisions += experiments(root)
    done, undone = sync(root, workspace, revisions, given.tracking_uri, given.move_alias)
    print("\n".join(done or ["MLflow agrees with DVC already" if not undone else "nothing was logged"]))
    if undone:
        print("\n".join(undone), file=sys.stderr)
    return int(bool(undone))


def _check(given: argparse.Namespace, root: Path, workspace: Path) -> int:
    from dvc_mlflow.sync import Difference, check

    found = check(root, workspace, given.rev, given.tracking_uri)
    if not found:
        print("MLflow agrees with DVC")
        return 0
    rows = [Difference("what", "DVC has", "MLflow has"), *found]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for what, dvc, mlflow in rows:
        print(f"{what:{widths[0]}}  {dvc:{widths[1]}}  {mlflow}".rstrip())
    return 1


def _trace(given: argparse.Namespace, root: Path, workspace: Path) -> int:
    from dvc_mlflow.trace import trace

    print(trace(root, workspace, given.what, given.tracking_uri))
    return 0


def _ui(given: argparse.Namespace, root: Path, workspace: Path) -> int:
    from dvc_mlflow.server import ui

    return ui(root, workspace, given.tracking_uri, given.port)


def _server(given: argparse.Namespace, root: Path, workspace: Path) -> int:
    from dvc_mlflow.server import server

    return server(root, given.port)


_COMMANDS = {"sync": _sync, "check": _check, "trace": _trace, "ui": _ui, "server": _server}

if __name__ == "__main__":
    main()
