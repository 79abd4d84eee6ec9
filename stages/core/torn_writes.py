"""Files of DVC's own that it writes in place: a dvc that is killed meanwhile leaves them cut short."""

import json
from pathlib import Path

from dvc.lock import LockError, make_lock

from stages.core.integrity import Damage
from stages.core.mirror import lockfile

RWLOCK = Path(".dvc/tmp/rwlock")
"""Which processes read or write which files; DVC itself takes out of it those that have ended."""

CUT = "cut short, as by a kill of the dvc that wrote it"


def torn(root: Path) -> list[Damage]:
    """Which of these files under `root` DVC cannot read, each with the command that mends it."""
    found = [Damage(RWLOCK, CUT, f"rm {RWLOCK}")] if torn_rwlock(root) else []
    damage = torn_lockfile(root)
    return [*found, damage] if damage else found


def torn_rwlock(root: Path, remove: bool = False) -> bool:
    """Whether it is there and is no JSON; then nothing in it can be used, and it may be removed."""
    path = root / RWLOCK
    if not path.exists():
        return False
    try:
        with make_lock(f"{path}.lock", tmp_dir=str(path.parent)):  # no dvc writes it meanwhile
            try:
                json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                if remove:
                    path.unlink()
                return True
            except FileNotFoundError:
                pass
    except LockError:
        pass  # a dvc has held it for seconds: the next one says so
    return False


def torn_lockfile(root: Path) -> Damage | None:
    """What is wrong with dvc.lock if it is there and DVC did not write all of it."""
    path = Path("dvc.lock")
    try:
        lockfile.read(root)
    except FileNotFoundError:
        return None  # nothing was made yet
    except lockfile.Torn:
        if b"<<<<<<< " in (root / path).read_bytes():
            return Damage(path, "in conflict, as after a merge", f"git checkout --ours {path} && dvc repro")
        return Damage(path, CUT, f"git checkout {path} || rm {path}; dvc repro")
    return None
