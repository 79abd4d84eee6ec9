"""Make MLflow agree with what DVC holds: dvc.lock, models/, data/sweep and reports/ -> runs in MLflow.

python -m stages.sync              log what is missing, mend what is wrong
python -m stages.sync --check      only tell; exit code 1 if there is anything to tell
python -m stages.sync --rev REV    the same for another commit, branch, tag or DVC experiment
"""

import argparse
import contextlib
import sys
from collections.abc import Sequence

from stages.core import process
from stages.core.mirror import agreement, repair, snapshot
from stages.core.mirror.background import in_a_line
from stages.core.mirror.disagreements import Disagreement
from stages.core.mirror.snapshot import Snapshot, Unusable
from stages.core.mirror.store import EXPERIMENT, existing_store, open_store, repository, tracking_uri
from stages.core.redaction import redacted

LOCK = ".dvc/tmp/mlflow-sync.lock"


def main() -> None:
    """`python -m stages.sync [--check] [--rev REV]`."""
    arguments = _arguments()
    try:
        with process.interruptible(), process.only_one(repository() / LOCK, wait=True):
            sys.exit(sync(arguments.rev, arguments.check))
    except Unusable as error:
        sys.exit(str(error))
    except Exception as error:  # MLflow, its database and the network raise without limit
        place = redacted(tracking_uri())
        sys.exit(f"MLflow at {place}: {in_a_line(error)}; once it answers, this command logs what it lacks")


def sync(rev: str | None, only_check: bool) -> int:
    """Mirror the working tree, or the commit `rev`; the exit code."""
    with _snapshot(rev) as held:
        if only_check:
            return _tell(_disagreements(held, working=rev is None))
        store = open_store()
        done, undone = repair.repair(store, held, _working_tree() if rev else held)
    print("\n".join(done or ["MLflow agrees with DVC already" if not undone else "nothing was done"]))
    if undone:
        print("\n".join(undone), file=sys.stderr)
    return int(bool(undone))


def _disagreements(held: Snapshot, working: bool) -> Sequence[Disagreement]:
    if store := existing_store():
        return agreement.check(store, held, working)
    return [Disagreement(f"experiment {EXPERIMENT}", f"{len(held.trained())} models", "is not there")]


def _tell(found: Sequence[Disagreement]) -> int:
    if not found:
        print("MLflow agrees with DVC")
        return 0
    rows = [Disagreement("what", "DVC has", "MLflow has"), *found]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for subject, files, mlflow in rows:
        print(f"{subject:{widths[0]}}  {files:{widths[1]}}  {mlflow}".rstrip())
    return 1


def _snapshot(rev: str | None) -> contextlib.AbstractContextManager[Snapshot]:
    return snapshot.revision(rev) if rev else contextlib.nullcontext(snapshot.working_tree())


def _working_tree() -> Snapshot | None:
    try:
        return snapshot.working_tree()
    except Unusable:
        return None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m stages.sync", description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 on any disagreement")
    parser.add_argument("--rev", help="mirror this commit, branch, tag or DVC experiment")
    return parser.parse_args()


if __name__ == "__main__":
    main()
