"""Small synthetic digits: ten classes of noisy bars, quick to learn, the same on every machine."""

import signal

import numpy as np
import pytest

from stages.core.data.mnist import Digits, Split

TRAINING, VALIDATION, TEST = 600, 200, 200

# Where the tests run as a shell's background job, Ctrl-C is ignored, and what they start would ignore it too.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Begin with the files that take long, so that no processor waits for the last of them."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def draw_digits(count: int, seed: int) -> Split:
    """`count` images (count, 28, 28) uint8, labels (count,) uint8; class k is a bright row and column k."""
    random = np.random.default_rng(seed)
    labels = (np.arange(count) % 10).astype(np.uint8)
    images = random.integers(0, 90, (count, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 + 2 * label : 6 + 2 * label, 4:24] = 220
        image[4:24, 4 + 2 * label : 6 + 2 * label] = 255
    order = random.permutation(count)
    return Split(images[order], labels[order])


@pytest.fixture(scope="session")
def digits() -> Digits:
    """600 images to learn from, 200 to choose by, 200 to report on."""
    train = draw_digits(TRAINING, seed=1)
    return Digits(train, draw_digits(VALIDATION, seed=2), draw_digits(TEST, seed=3))


def idx_bytes(array: np.ndarray) -> bytes:
    """An array of uint8 as an IDX file: magic number with type 8, the dimensions, their sizes, the data."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture(scope="session")
def idx_folder(digits, tmp_path_factory):
    """The synthetic digits as four IDX files, training and validation images together as MNIST has them."""
    folder = tmp_path_factory.mktemp("idx")
    training = Split(*(np.concatenate(parts) for parts in zip(digits.train, digits.validation, strict=True)))
    for stem, split in (("train", training), ("t10k", digits.test)):
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(idx_bytes(split.images))
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx_bytes(split.labels))
    return folder
