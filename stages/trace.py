"""Which run made this file; which files, commit and experiment belong to this run: MLflow and git -> text.

python -m stages.trace models/baseline/model.keras
python -m stages.trace 4c1f…                 a run's id, or as much of it as tells it from the others
"""

import argparse
import sys
from pathlib import Path

from stages.core.mirror import lineage
from stages.core.mirror.background import in_a_line
from stages.core.mirror.store import EXPERIMENT, existing_store, tracking_uri
from stages.core.redaction import redacted


def main() -> None:
    """`python -m stages.trace FILE_OR_RUN`."""
    parser = argparse.ArgumentParser("python -m stages.trace", description=__doc__.partition("\n")[0])
    parser.add_argument("what", help="a file that training wrote, wherever it lies now, or a run's id")
    what = parser.parse_args().what
    try:
        store = existing_store()
        if store is None:
            raise lineage.Unknown(f"MLflow has no experiment {EXPERIMENT}; `python -m stages.sync` makes it")
        found = lineage.of_file(store, Path(what)) if Path(what).is_file() else lineage.of_run(store, what)
    except lineage.Unknown as error:
        sys.exit(str(error))
    except Exception as error:  # MLflow, its database and the network raise without limit
        sys.exit(f"MLflow at {redacted(tracking_uri())}: {in_a_line(error)}")
    print("\n\n".join(lineage.as_text(origin) for origin in found))


if __name__ == "__main__":
    main()
