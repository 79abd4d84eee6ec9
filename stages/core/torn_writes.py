"""Files of DVC's own that a killed dvc left half-written: it writes them in place.

Every later dvc command then ends with an error that names no way out.
"""

import json
from pathlib import Path

from dvc.lock import make_lock

from stages.core.integrity import Damage
from stages.core.mirror import lockfile

RWLOCK = Path(".dvc/tmp/rwlock")
"""Which processes read or write which files; DVC itself takes out of it those that have ended."""

CUT = "cut short, as by a kill of the dvc that wrote it"


def torn(root: Path) -> list[Damage]:
    """Which of these files under `root` DVC cannot read, each with the command that mends it."""
    found = []
    if _torn_rwlock(root):
        found.append(Damage(RWLOCK, CUT, f"rm {RWLOCK}"))
    try:
        lockfile.read(root)
    except FileNotFoundError:
        pass  # nothing was made yet
    except lockfile.Torn:
        found.append(Damage(Path("dvc.lock"), CUT, "git checkout dvc.lock || rm dvc.lock; dvc repro"))
    return found


def _torn_rwlock(root: Path) -> bool:
    """Whether no dvc can read it. One that is writing it is waited for, as by another dvc."""
    path = root / RWLOCK
    if not path.exists():
        return False
    with make_lock(f"{path}.lock", tmp_dir=str(path.parent)):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        except ValueError:
            return True
    return False
