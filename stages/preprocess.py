"""Split the raw images into training, validation and test images: data/raw -> data/arrays."""

from descent import paths
from descent.config import read_params
from descent.data import preprocess, read_description
from descent.errors import in_one_line


@in_one_line()
def main() -> None:
    """Run the stage."""
    split = read_params().preprocess
    summary = preprocess(read_description(), paths.RAW, paths.ARRAYS, **dict(split))
    counts = ", ".join(f"{summary[name]['images']:,} {name}" for name in ("train", "validation", "test"))
    print(f"{paths.ARRAYS}: {counts} images; {summary['unused_images']:,} unused")


if __name__ == "__main__":
    main()
