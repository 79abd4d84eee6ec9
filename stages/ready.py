"""Before dvc is asked: tell what is wrong with params.yaml, and with files that a kill of dvc cut short.

A command, not a stage; a line for each fault, and exit code 2 for params.yaml, 1 for dvc.lock. DVC's
own lock of files is removed where it was cut short.
"""

import sys

from stages.core.mirror.store import repository
from stages.core.params import read_params_or_exit
from stages.core.torn_writes import CUT, RWLOCK, torn_lockfile, torn_rwlock


def main() -> None:
    """`python -m stages.ready`."""
    read_params_or_exit()
    root = repository()
    if torn_rwlock(root, remove=True):
        print(f"{RWLOCK}: was {CUT}; removed", file=sys.stderr)
    if damage := torn_lockfile(root):
        sys.exit(str(damage))


if __name__ == "__main__":
    main()
