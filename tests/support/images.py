"""A small synthetic dataset: ten classes of noisy bars, quick to learn, the same on every machine."""

from pathlib import Path

import numpy as np

from descent.data import Dataset, Split
from descent.files import write_array, write_json

TRAINING, VALIDATION, TEST = 600, 200, 200


def draw_split(count: int, seed: int) -> Split:
    """Draw images (count, 28, 28) and labels (count,), both uint8; class k is a bright row and column k."""
    random = np.random.default_rng(seed)
    labels = (np.arange(count) % 10).astype(np.uint8)
    images = random.integers(0, 90, (count, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 + 2 * label : 6 + 2 * label, 4:24] = 220
        image[4:24, 4 + 2 * label : 6 + 2 * label] = 255
    order = random.permutation(count)
    return Split(images[order], labels[order])


def small_dataset() -> Dataset:
    """Return 600 training, 200 validation and 200 test images."""
    splits = (draw_split(count, seed) for count, seed in ((TRAINING, 1), (VALIDATION, 2), (TEST, 3)))
    return Dataset(*splits, class_names=tuple("0123456789"), title="Bars")


def idx_bytes(array: np.ndarray) -> bytes:
    """Encode an array of uint8 as an IDX file: magic number with type 8, dimensions, sizes, data."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def write_idx_files(folder: Path, dataset: Dataset) -> None:
    """Write the four IDX files, with training and validation images together, as MNIST has them."""
    training = Split(
        *(np.concatenate(parts) for parts in zip(dataset.train, dataset.validation, strict=True))
    )
    for stem, split in (("train", training), ("t10k", dataset.test)):
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(idx_bytes(split.images))
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx_bytes(split.labels))


def write_arrays(folder: Path, dataset: Dataset) -> None:
    """Write the arrays that stages read from data/arrays/, and dataset.json beside the folder."""
    write_json(folder.with_name("dataset.json"), {"title": dataset.title, "class_names": dataset.class_names})
    for name, split in dataset.splits.items():
        write_array(folder / f"{name}_images.npy", split.images)
        write_array(folder / f"{name}_labels.npy", split.labels)
