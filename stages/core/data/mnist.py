"""The digits: MNIST's IDX files, and the arrays that are made of them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

HEIGHT = WIDTH = 28
CLASSES = 10
UNSIGNED_BYTE = 0x08
"""The only type of number in MNIST's files: http://yann.lecun.com/exdb/mnist/, "The IDX file format"."""


class InvalidData(ValueError):
    """A file of digits cannot be used; one line: the file, what was found, what is accepted."""


class Split(NamedTuple):
    """Images (n, 28, 28) uint8, 0 is the background and 255 full ink; labels (n,) uint8, 0 to 9."""

    images: np.ndarray
    labels: np.ndarray


class Digits(NamedTuple):
    """The images to learn from, those to choose by, and those that are only ever reported."""

    train: Split
    validation: Split
    test: Split


def read_idx(path: Path | str, dimensions: int) -> np.ndarray:
    """An IDX file of unsigned bytes with so many dimensions, as a read-only array of uint8.

    Raises InvalidData unless the magic number is that of such a file and its length is what the
    sizes in its header say.
    """
    content = _bytes(path)
    header = 4 + 4 * dimensions  # the magic number, then a big-endian size for each dimension
    if len(content) < header:
        found = f"{len(content)} bytes" if content else "empty"
        raise InvalidData(
            f"{path}: is {found}; accepted: an IDX file, which begins with {header} bytes of header"
        )
    expected = bytes([0, 0, UNSIGNED_BYTE, dimensions])
    if content[:4] != expected:
        raise InvalidData(
            f"{path}: the magic number is 0x{content[:4].hex()}; accepted: 0x{expected.hex()} "
            f"(unsigned bytes, {dimensions} dimension{'s' * (dimensions > 1)})"
        )
    shape = tuple(np.frombuffer(content, ">u4", dimensions, 4).tolist())
    promised = header + int(np.prod(shape, dtype=object))
    if len(content) != promised:
        sizes = " x ".join(map(str, shape))
        raise InvalidData(f"{path}: is {len(content)} bytes long; its header, {sizes}, says {promised}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def read_split(images_path: Path | str, labels_path: Path | str) -> Split:
    """A pair of IDX files. Raises InvalidData unless they hold as many 28 x 28 images as labels 0 to 9."""
    split = Split(read_idx(images_path, 3), read_idx(labels_path, 1))
    return _checked(split, images_path, labels_path)


def load_arrays(folder: Path | str = "data/arrays") -> Digits:
    """The arrays as `preprocess` wrote them. Raises InvalidData where one is missing or damaged."""
    return Digits(*(_load_split(Path(folder), name) for name in Digits._fields))


def _load_split(folder: Path, name: str) -> Split:
    paths = folder / f"{name}_images.npy", folder / f"{name}_labels.npy"
    try:
        return _checked(Split(*map(_load_array, paths)), *paths)
    except InvalidData as error:
        raise InvalidData(f"{error}; `dvc repro preprocess` makes it again") from None


def _load_array(path: Path) -> np.ndarray:
    try:
        with open(path, "rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise InvalidData(f"{path}: cannot be read: {error.strerror or error}") from None
    except (
        ValueError,
        EOFError,
    ):  # what numpy says of a truncated or foreign file names neither it nor a way out
        raise InvalidData(f"{path}: is no whole .npy file") from None


def _checked(split: Split, images_path: Path | str, labels_path: Path | str) -> Split:
    _expect_bytes(split.images, images_path, (HEIGHT, WIDTH))
    _expect_bytes(split.labels, labels_path, ())
    images, labels = len(split.images), len(split.labels)
    if images != labels:
        raise InvalidData(f"{labels_path}: has {labels} labels for {images} images in {images_path}")
    if not images:
        raise InvalidData(f"{images_path}: holds no image")
    if split.labels.max() >= CLASSES:
        where = int(np.argmax(split.labels >= CLASSES))
        raise InvalidData(
            f"{labels_path}: label {split.labels[where]} at position {where}; accepted: 0 to {CLASSES - 1}"
        )
    return split


def _expect_bytes(array: np.ndarray, path: Path | str, element: tuple[int, ...]) -> None:
    if array.dtype != np.uint8 or array.ndim != 1 + len(element) or array.shape[1:] != element:
        accepted = " x ".join(["n", *map(str, element)])
        found = " x ".join(map(str, array.shape)) or "a single number"
        raise InvalidData(f"{path}: is {array.dtype}, {found}; accepted: uint8, {accepted}")


def _bytes(path: Path | str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidData(f"{path}: cannot be read: {error.strerror}") from None
