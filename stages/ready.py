"""Before dvc is asked: tell the faults of params.yaml, and of files that a kill of dvc cut short.

A command, not a stage; exit code 2 or 1, with a line for each fault. Of a lock that was cut short
nothing can be used, and it is removed.
"""

import sys

from stages.core.mirror.store import repository
from stages.core.params import read_params_or_exit
from stages.core.torn_writes import RWLOCK, torn


def main() -> None:
    """`python -m stages.ready`."""
    read_params_or_exit()
    root = repository()
    left = []
    for damage in torn(root):
        if damage.path == RWLOCK:
            (root / RWLOCK).unlink()
            print(f"{RWLOCK}: was {damage.fault}; removed", file=sys.stderr)
        else:
            left.append(damage)
    if left:
        sys.exit("\n".join(map(str, left)))


if __name__ == "__main__":
    main()
