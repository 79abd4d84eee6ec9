"""Get the files of the dataset that params.yaml names into data/raw/ and verify them.

DVC runs this stage after every edit of params.yaml: what cannot work is rejected here, before any output
of a later stage is removed.
"""

import os
import sys

from descent import data, fetch, paths
from descent.config import read_params_or_exit
from descent.files import error_line


def main() -> None:
    """Run the stage."""
    params = read_params_or_exit()
    split = params.preprocess
    try:
        description = fetch.obtain(params.data, params.dataset, paths.RAW, os.environ)
        raw = data.open_raw(description)
        data.draw_rows(raw, description, split.training_images, split.validation_images, split.seed)
    except fetch.InvalidSource as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    except data.InvalidSplit as error:
        print(f"{paths.PARAMS}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except (fetch.DownloadFailed, data.InvalidData) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(error_line(error))


if __name__ == "__main__":
    main()
