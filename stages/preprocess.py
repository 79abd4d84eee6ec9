"""Split the raw images into training, validation and test images: data/raw -> data/arrays."""

import sys

from descent import paths
from descent.config import read_params_or_exit
from descent.data import InvalidData, InvalidSplit, preprocess, read_description
from descent.files import error_line


def main() -> None:
    """Run the stage."""
    params = read_params_or_exit().preprocess
    try:
        summary = preprocess(
            read_description(),
            paths.RAW,
            paths.ARRAYS,
            params.training_images,
            params.validation_images,
            params.seed,
        )
    except InvalidSplit as error:
        print(f"{paths.PARAMS}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except InvalidData as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(error_line(error))
    counts = ", ".join(f"{summary[name]['images']:,} {name}" for name in ("train", "validation", "test"))
    print(f"{paths.ARRAYS}: {counts} images; {summary['unused_images']:,} unused")


if __name__ == "__main__":
    main()
