"""Read dvc.lock and every file that it names, in its place and in DVC's cache, and tell which is damaged.

A command, not a stage; exit code 1 if there is damage, with the line that mends each.
"""

import sys

from dvc.repo import Repo

from stages.core.integrity import damages, has_remote, held
from stages.core.mirror.store import repository
from stages.core.torn_writes import torn


def main() -> None:
    """`python -m stages.check`."""
    root = repository()
    if unreadable := torn(root):  # and with it all that it names
        sys.exit("\n".join(map(str, unreadable)))
    if not (root / "dvc.lock").exists():
        sys.exit(f"{root / 'dvc.lock'}: is not there; `dvc repro` makes it")
    repo = Repo(str(root))
    everything = list(held(repo))
    if found := list(damages(root, everything, has_remote(repo))):
        sys.exit("\n".join(map(str, found)))
    print(f"all {len(everything)} files and folders that dvc.lock names are whole, here and in DVC's cache")


if __name__ == "__main__":
    main()
