"""The images: their raw formats, the split into training, validation and test images, the arrays on disk."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from descent import paths
from descent.files import write_array, write_json
from descent.images import MAX_SIZE, InvalidData, decode, open_images

IDX_UNSIGNED_BYTE = 0x08
"""The only type of number in MNIST's files: http://yann.lecun.com/exdb/mnist/, "The IDX file format"."""

MAX_CLASSES = 1000


class InvalidSplit(ValueError):
    """The images cannot be split as params.yaml asks; one line: the key, its value, what is accepted."""


class Split(NamedTuple):
    """Images (n, height, width) uint8, from 0 to 255, and labels (n,) uint8, uint16 from 257 classes on."""

    images: np.ndarray
    labels: np.ndarray


class Dataset(NamedTuple):
    """The images to train on, to select by, and to report on.

    Attributes:
        train: The images to train on.
        validation: The images to select by.
        test: The images to report on.
        class_names: One per label, from 0 up; empty if the labels are all that is known.
        title: The dataset's name for readers.
    """

    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...] = ()
    title: str = ""

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.class_names) or 1 + max(int(split.labels.max()) for split in self.splits.values())

    @property
    def numbered(self) -> bool:
        """Whether the names of the classes are just their labels, as those of digits."""
        return self.class_names == tuple(map(str, range(self.classes)))

    @property
    def splits(self) -> dict[str, Split]:
        """Training, validation and test images by their names."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


class RawDataset(NamedTuple):
    """The description of what is in data/raw/, where it is the file dataset.json.

    Attributes:
        name: What `data` in params.yaml says.
        title: The dataset's name for readers.
        format: `idx` for four IDX files, `npz` for images.npz, `images` for images.zip.
        class_names: One per label, from 0 up; None if the files decide.
        test_images: How many test images are drawn; None if the files have their own.
        transposed: Whether the IDX files have rows and columns exchanged.
        first_label: The label of the first class in the IDX files.
        licence: Of a known dataset.
        citation: Of a known dataset.
        published: The checksum, or checksums, by which the files were verified.
        files: The SHA-256 of each file.
    """

    name: str
    title: str
    format: str
    class_names: tuple[str, ...] | None = None
    test_images: int | None = None
    transposed: bool = False
    first_label: int = 0
    licence: str | None = None
    citation: str | None = None
    published: Any = None
    files: dict[str, str] | None = None


def write_description(description: RawDataset, folder: Path = paths.RAW) -> None:
    """Write dataset.json."""
    write_json(folder / "dataset.json", description._asdict())


def read_description(folder: Path = paths.RAW) -> RawDataset:
    """Read dataset.json.

    Raises:
        InvalidData: It is missing or damaged.
    """
    path = folder / "dataset.json"
    try:
        found = RawDataset(**json.loads(path.read_text(encoding="utf-8")))
        return found._replace(class_names=found.class_names and tuple(found.class_names))
    except OSError as error:
        raise InvalidData(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError):
        raise InvalidData(f"{path}: is damaged") from None


class RawData(NamedTuple):
    """What the files in data/raw/ hold; labels start at 0.

    Attributes:
        labels: (n,) of the images to be split.
        test_labels: (n,) of the test images; None if there are no test images of their own.
        class_names: One per label.
        read_images: A function that returns images (n, height, width) uint8, and test images or None.
    """

    labels: np.ndarray
    test_labels: np.ndarray | None
    class_names: tuple[str, ...]
    read_images: Callable[[], tuple[np.ndarray, np.ndarray | None]]


def open_raw(description: RawDataset, folder: Path = paths.RAW) -> RawData:
    """Read and validate the labels in data/raw/; images are read later.

    Raises:
        InvalidData: A file is missing or damaged, or its content cannot be used.
    """
    return {"idx": _open_idx, "npz": _open_npz, "images": _open_zip}[description.format](description, folder)


def _open_idx(description: RawDataset, folder: Path) -> RawData:
    images, labels = (
        [folder / f"{part}-{kind}-ubyte" for part in ("train", "t10k")]
        for kind in ("images-idx3", "labels-idx1")
    )
    read = [read_idx(path, 1) for path in labels]
    names = _class_names(read, labels, description.class_names, description.first_label)

    def read_images() -> tuple[np.ndarray, np.ndarray]:
        arrays = [read_idx(path, 3) for path in images]
        if description.transposed:
            arrays = [np.ascontiguousarray(array.transpose(0, 2, 1)) for array in arrays]
        _expect_images(arrays, images, read, labels)
        return arrays[0], arrays[1]

    train, test = (_shifted(array, description.first_label, len(names)) for array in read)
    return RawData(train, test, names, read_images)


NPZ_ARRAYS = ("images", "labels", "test_images", "test_labels")


def _open_npz(description: RawDataset, folder: Path) -> RawData:
    path = folder / "images.npz"
    try:
        archive = np.load(path, allow_pickle=False)
        keys = [key for key in NPZ_ARRAYS if key in archive.files]
    except OSError as error:
        raise InvalidData(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, AttributeError, EOFError):  # a single array, or no archive
        raise InvalidData(f"{path}: is damaged or no .npz file") from None
    if keys not in (list(NPZ_ARRAYS), list(NPZ_ARRAYS[:2])):
        found = ", ".join(archive.files) or "nothing"
        raise InvalidData(
            f"{path}: has the arrays {found}; accepted: images and labels, with or without "
            "test_images and test_labels"
        )

    def array(key: str) -> np.ndarray:
        try:
            return archive[key]
        except Exception:  # zipfile, zlib and NumPy raise what they like
            raise InvalidData(
                f"{path}: the array {key} is damaged or of Python objects; accepted: whole numbers"
            ) from None

    label_keys, image_keys = (keys[start::2] for start in (1, 0))
    labels = [array(key) for key in label_keys]
    places = [f"{path}: {key}" for key in label_keys]
    names = _class_names(labels, places, description.class_names)

    def read_images() -> tuple[np.ndarray, np.ndarray | None]:
        images = [array(key) for key in image_keys]
        _expect_images(images, [f"{path}: {key}" for key in image_keys], labels, places)
        return images[0], images[1] if len(images) > 1 else None

    train, *test = (_shifted(found, 0, len(names)) for found in labels)
    return RawData(train, test[0] if test else None, names, read_images)


def _open_zip(description: RawDataset, folder: Path) -> RawData:
    path = folder / "images.zip"
    try:
        images = open_images(path)
    except OSError as error:
        raise InvalidData(f"{path}: cannot be read: {error.strerror}") from None
    parts = [images.part("train"), *([images.part("test")] if images.has_test else [])]
    folders = parts[0].classes()
    names = description.class_names or tuple(folders)
    for part in parts:
        if set(part.classes()) - set(names) or (part is parts[0] and set(names) - set(part.classes())):
            raise InvalidData(
                f"{part.place}: has the subfolders {', '.join(part.classes())}; accepted: {', '.join(names)}"
            )
    if not 2 <= len(names) <= MAX_CLASSES:
        raise InvalidData(
            f"{path}: has {len(names)} subfolders; accepted: 2 to {MAX_CLASSES}, one for each class"
        )
    train, *test = (
        _shifted(np.array([names.index(name.partition("/")[0]) for name in part.read]), 0, len(names))
        for part in parts
    )

    def read_images() -> tuple[np.ndarray, np.ndarray | None]:
        arrays = [decode(part) for part in parts]
        if len(arrays) > 1 and arrays[0].shape[1:] != arrays[1].shape[1:]:
            sizes = [" x ".join(map(str, array.shape[:0:-1])) for array in arrays]
            raise InvalidData(
                f"{parts[1].place}: images of {sizes[1]} pixels; accepted: {sizes[0]}, as in train"
            )
        return arrays[0], arrays[1] if len(arrays) > 1 else None

    return RawData(train, test[0] if test else None, names, read_images)


def _class_names(
    labels: Sequence[np.ndarray],
    places: Sequence[Path | str],
    names: tuple[str, ...] | None,
    first: int = 0,
) -> tuple[str, ...]:
    """Validate the labels; return the names of the classes, numbers if there are none."""
    for array, place in zip(labels, places, strict=True):
        if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
            sizes = " x ".join(map(str, array.shape)) or "a single number"
            raise InvalidData(f"{place}: is {array.dtype}, {sizes}; accepted: whole numbers, n")
        if not len(array):
            raise InvalidData(f"{place}: has no label; accepted: one for each image")
    count = len(names) if names else int(max(array.max() for array in labels)) + 1 - first
    highest = first + min(count, MAX_CLASSES) - 1
    for array, place in zip(labels, places, strict=True):
        if (wrong := (array < first) | (array > highest)).any():
            where = int(np.argmax(wrong))
            raise InvalidData(
                f"{place}: label {array[where]} at position {where}; accepted: {first} to {highest}"
            )
    if names:
        return names
    missing = np.flatnonzero(np.bincount(labels[0] - first, minlength=count) == 0)
    if count < 2 or len(missing):
        unused = f"no image has label {missing[0]}" if len(missing) else "all labels are equal"
        raise InvalidData(
            f"{places[0]}: {unused}; accepted: labels from 0 up, each used, at least two; or name all classes"
        )
    return tuple(map(str, range(count)))


def _shifted(labels: np.ndarray, first: int, classes: int) -> np.ndarray:
    return (labels - first).astype(np.uint8 if classes <= 256 else np.uint16)


def _expect_images(
    images: Sequence[np.ndarray],
    places: Sequence[Path | str],
    labels: Sequence[np.ndarray],
    label_places: Sequence[Path | str],
) -> None:
    size = None
    for array, place, labeled, label_place in zip(images, places, labels, label_places, strict=True):
        _expect_bytes(array, place, size)
        size = array.shape[1:]
        if len(array) != len(labeled):
            raise InvalidData(
                f"{label_place}: has {len(labeled)} labels; accepted: {len(array)}, the images in {place}"
            )


def _expect_bytes(array: np.ndarray, place: Path | str, size: tuple[int, ...] | None) -> None:
    """Raise InvalidData unless `array` is (n, height, width) uint8, of this size if one is given."""
    right = array.dtype == np.uint8 and array.ndim == 3 and size in (None, array.shape[1:])
    if not (right and 1 <= min(array.shape[1:]) and max(array.shape[1:]) <= MAX_SIZE):
        found = " x ".join(map(str, array.shape)) or "a single number"
        wanted = (
            " x ".join(map(str, ("n", *size))) if size else f"n x height x width, at most {MAX_SIZE} pixels"
        )
        raise InvalidData(f"{place}: is {array.dtype}, {found}; accepted: uint8, {wanted}")


def read_idx(path: Path | str, dimensions: int) -> np.ndarray:
    """Read an IDX file of unsigned bytes.

    Returns:
        A read-only array of uint8 with so many dimensions.

    Raises:
        InvalidData: The magic number is another one, or the length does not match the header.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InvalidData(f"{path}: cannot be read: {error.strerror}") from None
    header = 4 + 4 * dimensions  # the magic number, then a big-endian size for each dimension
    if len(content) < header:
        found = f"{len(content)} bytes long" if content else "empty"
        raise InvalidData(f"{path}: is {found}; accepted: an IDX file, which has a header of {header} bytes")
    expected = bytes([0, 0, IDX_UNSIGNED_BYTE, dimensions])
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


def class_counts(counts: np.ndarray, total: int) -> np.ndarray:
    """Divide `total` among the classes in proportion to their counts.

    By largest remainders; a tie goes to the lower class.

    Args:
        counts: (classes,) integers.
        total: At most the sum of the counts.

    Returns:
        (classes,) integers with the sum `total`, none above its class's count.
    """
    floors, remainders = np.divmod(counts * total, counts.sum())
    largest = np.argsort(-remainders, kind="stable")[: total - floors.sum()]
    floors[largest] += 1
    return floors


def split_rows(
    labels: np.ndarray, training: int, validation: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the rows of the training and the validation split, class by class.

    Args:
        labels: (n,) whole numbers from 0 up.
        training: The number of training images.
        validation: The number of validation images; at most n with `training`.
        seed: Decides which rows are drawn.

    Returns:
        Two sorted, disjoint arrays of int32, each with the classes in the proportions of `labels` as
        nearly as whole images allow.

    Raises:
        InvalidSplit: There are fewer labels than both splits together need.
    """
    if training + validation > len(labels):
        raise InvalidSplit(
            f"preprocess.training_images + preprocess.validation_images: {training + validation} is not "
            f"accepted; accepted: at most {len(labels)}, the images that are no test images"
        )
    used = class_counts(np.bincount(labels), training + validation)
    validated = class_counts(used, validation)
    random = np.random.RandomState(seed)  # its numbers are frozen, a Generator's may change: NumPy's NEP 19
    parts: tuple[list, list] = [], []
    for label in range(len(used)):
        rows = random.permutation(np.flatnonzero(labels == label))
        parts[0].append(rows[validated[label] : used[label]])
        parts[1].append(rows[: validated[label]])
    train, chosen = (np.sort(np.concatenate(part)).astype(np.int32) for part in parts)
    return train, chosen


def draw_rows(
    raw: RawData, description: RawDataset, training: int, validation: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Draw the rows of training and validation images, and of test images if there are none of their own.

    Raises:
        InvalidSplit: There are not enough images, or there should or should not be `test_images`.
    """
    key, labels, images = f"datasets.{description.name}.test_images", raw.labels, description.test_images
    if raw.test_labels is not None:
        if images:
            raise InvalidSplit(
                f"{key}: {images} is not accepted; accepted: nothing, as the source has test images"
            )
        return *split_rows(labels, training, validation, seed), None
    if not images:
        raise InvalidSplit(f"{key}: is missing; accepted: a whole number, as the source has no test images")
    if images >= len(labels):
        raise InvalidSplit(f"{key}: {images} is not accepted; accepted: fewer than all {len(labels)} images")
    others, test = split_rows(labels, len(labels) - images, images, seed)
    train, chosen = split_rows(labels[others], training, validation, seed)
    return others[train], others[chosen], test


def preprocess(
    description: RawDataset, raw: Path, arrays: Path, training: int, validation: int, seed: int
) -> dict:
    """Split the images in `raw`, and write arrays and summary.json to `arrays`.

    Beside `arrays`, dataset.json gets what only readers need: title, class names, licence and citation. They
    change no number, so that an edited name trains nothing again.

    Returns:
        The summary: the size of the images, the number of classes and of unused images, and for each
        split the number of images, the number per class, the mean and the deviation of the pixels.

    Raises:
        InvalidData: A file in `raw` cannot be used.
        InvalidSplit: There are not enough images.
        OSError: A file cannot be written.
    """
    found = open_raw(description, raw)
    images, test_images = found.read_images()
    training_rows, validation_rows, test_rows = draw_rows(found, description, training, validation, seed)
    train, chosen = (Split(images[rows], found.labels[rows]) for rows in (training_rows, validation_rows))
    if test_rows is None:
        assert test_images is not None and found.test_labels is not None  # else `draw_rows` draws some
        test, drawn = Split(test_images, found.test_labels), 0
    else:
        test, drawn = Split(images[test_rows], found.labels[test_rows]), len(test_rows)
    dataset = Dataset(train, chosen, test, found.class_names, description.title)
    for name, split in dataset.splits.items():
        write_array(arrays / f"{name}_images.npy", split.images)
        write_array(arrays / f"{name}_labels.npy", split.labels)
    write_array(arrays / "validation_rows.npy", validation_rows)
    summary = _summary(dataset, unused=len(found.labels) - training - validation - drawn)
    write_json(arrays / "summary.json", summary)
    write_json(
        arrays.with_name(paths.DATASET.name),
        {
            "name": description.name,
            "title": description.title,
            "class_names": found.class_names,
            "licence": description.licence,
            "citation": description.citation,
        },
    )
    return summary


def _summary(dataset: Dataset, unused: int) -> dict:
    height, width = dataset.train.images.shape[1:]
    splits = {name: _split_summary(split, dataset.classes) for name, split in dataset.splits.items()}
    return {"height": height, "width": width, "classes": dataset.classes, "unused_images": unused, **splits}


def _split_summary(split: Split, classes: int) -> dict:
    """Summarize a split; the sums are of integers, so the result depends on no order of summation."""
    counts = (np.bincount(image.ravel(), minlength=256) for image in split.images)
    histogram = sum(counts, start=np.zeros(256, dtype=np.intp))
    pixels, values = int(histogram.sum()), np.arange(256)
    total, squares = int(histogram @ values), int(histogram @ values**2)
    return {
        "images": len(split.images),
        "images_per_class": np.bincount(split.labels, minlength=classes).tolist(),
        "pixel_mean": total / pixels / 255,
        "pixel_std": math.sqrt(pixels * squares - total**2) / pixels / 255,
    }


def load_dataset(folder: Path | str = paths.ARRAYS) -> Dataset:
    """Load what `preprocess` wrote: the arrays, and dataset.json beside them.

    Raises:
        InvalidData: A file is missing or damaged.
    """
    folder = Path(folder)
    try:
        title, names = _read_names(folder.with_name(paths.DATASET.name))
        train, validation, test = (
            _load_split(folder, name, len(names)) for name in ("train", "validation", "test")
        )
        for name, split in (("validation", validation), ("test", test)):
            _expect_bytes(split.images, folder / f"{name}_images.npy", train.images.shape[1:])
    except InvalidData as error:
        raise InvalidData(f"{error}; `dvc repro preprocess` makes it again") from None
    return Dataset(train, validation, test, names, title)


def _read_names(path: Path) -> tuple[str, tuple[str, ...]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content["title"], tuple(content["class_names"])
    except OSError as error:
        raise InvalidData(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise InvalidData(f"{path}: is damaged") from None


def _load_split(folder: Path, name: str, classes: int) -> Split:
    files = folder / f"{name}_images.npy", folder / f"{name}_labels.npy"
    split = Split(*map(_load_array, files))
    _expect_bytes(split.images, files[0], None)
    _class_names([split.labels], [files[1]], tuple(map(str, range(classes))))
    _expect_images([split.images], files[:1], [split.labels], files[1:])
    return split


def _load_array(path: Path) -> np.ndarray:
    try:
        with open(path, "rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise InvalidData(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError):  # numpy's own message names neither the file nor a remedy
        raise InvalidData(f"{path}: is truncated or not a .npy file") from None
