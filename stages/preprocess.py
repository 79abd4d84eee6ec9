"""Read the IDX files in data/raw/, split them, and write arrays and a summary of them to data/arrays/."""

import math
import sys
from pathlib import Path

import numpy as np

from stages.core.data.mnist import CLASSES, Digits, InvalidData, Split, read_split
from stages.core.files import error_line, write_array, write_json
from stages.core.params import read_params_or_exit

RAW = Path("data/raw")
ARRAYS = Path("data/arrays")


class TooFewImages(ValueError):
    """params.yaml asks for more images than there are."""


def shares(counts: np.ndarray, total: int) -> np.ndarray:
    """Divide `total` among the classes in proportion to their counts, none above its own.

    By largest remainders, ties to the lower class. Both arrays are (classes,) of integers.
    """
    floors, remainders = np.divmod(counts * total, counts.sum())
    largest = np.argsort(-remainders, kind="stable")[: total - floors.sum()]
    floors[largest] += 1
    return floors


def split_rows(
    labels: np.ndarray, training: int, validation: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are learned from and which are chosen by: two sorted, disjoint arrays of int32.

    Both have the classes in the proportions of `labels` (n,), as nearly as whole images allow.
    Raises TooFewImages if `labels` has fewer rows than both together.
    """
    if training + validation > len(labels):
        raise TooFewImages(
            f"preprocess.training_images + preprocess.validation_images: {training + validation} is not "
            f"accepted; accepted: at most {len(labels)}, as many as the training file has"
        )
    used = shares(np.bincount(labels, minlength=CLASSES), training + validation)
    validated = shares(used, validation)
    random = np.random.RandomState(seed)  # its numbers are frozen, a Generator's may change: NumPy's NEP 19
    parts = [], []
    for digit in range(CLASSES):
        rows = random.permutation(np.flatnonzero(labels == digit))
        parts[0].append(rows[validated[digit] : used[digit]])
        parts[1].append(rows[: validated[digit]])
    return tuple(np.sort(np.concatenate(part)).astype(np.int32) for part in parts)


def described(split: Split) -> dict:
    """How many images, how many of each class, and the mean and standard deviation of the pixels in [0, 1].

    The sums are of whole numbers, so that the result depends on no order of summation.
    """
    histogram = sum(np.bincount(image.ravel(), minlength=256) for image in split.images)
    pixels, values = int(histogram.sum()), np.arange(256)
    total, squares = int(histogram @ values), int(histogram @ values**2)
    return {
        "images": len(split.images),
        "images_per_class": np.bincount(split.labels, minlength=CLASSES).tolist(),
        "pixel_mean": total / pixels / 255,
        "pixel_std": math.sqrt(pixels * squares - total**2) / pixels / 255,
    }


def summary(digits: Digits, unused: int) -> dict:
    """What summary.json says: the images' size, how many of the training file are in no split, each split."""
    height, width = digits.train.images.shape[1:]
    splits = {name: described(split) for name, split in digits._asdict().items()}
    return {"height": height, "width": width, "classes": CLASSES, "unused_images": unused, **splits}


def write_arrays(digits: Digits, validation_rows: np.ndarray, folder: Path) -> None:
    """Write each split's images and labels, and the training file's rows that are the validation split."""
    for name, split in digits._asdict().items():
        write_array(folder / f"{name}_images.npy", split.images)
        write_array(folder / f"{name}_labels.npy", split.labels)
    write_array(folder / "validation_rows.npy", validation_rows)


def preprocess(raw: Path, arrays: Path, training: int, validation: int, seed: int) -> dict:
    """From IDX files to arrays; returns the summary. Raises InvalidData, TooFewImages, OSError."""
    whole = read_split(raw / "train-images-idx3-ubyte", raw / "train-labels-idx1-ubyte")
    test = read_split(raw / "t10k-images-idx3-ubyte", raw / "t10k-labels-idx1-ubyte")
    rows = split_rows(whole.labels, training, validation, seed)
    train, chosen_by = (Split(whole.images[part], whole.labels[part]) for part in rows)
    digits = Digits(train, chosen_by, test)
    write_arrays(digits, rows[1], arrays)
    facts = summary(digits, unused=len(whole.labels) - training - validation)
    write_json(arrays / "summary.json", facts)
    return facts


def main() -> None:
    wanted = read_params_or_exit().preprocess
    try:
        facts = preprocess(RAW, ARRAYS, wanted.training_images, wanted.validation_images, wanted.seed)
    except TooFewImages as error:
        print(f"params.yaml: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except InvalidData as error:
        print(
            f"{error}; `dvc repro download` replaces what has another checksum than params.yaml",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
    except OSError as error:
        print(error_line(error), file=sys.stderr)
        raise SystemExit(1) from None
    counts = ", ".join(f"{facts[name]['images']:,} {name}" for name in Digits._fields)
    print(f"{ARRAYS}: {counts} images; {facts['unused_images']:,} unused")


if __name__ == "__main__":
    main()
