"""The images: the raw files, the split into training, validation and test images, the arrays on disk.

A folder of images has a subfolder for each class: `<class>/<image>`, or `train/<class>/<image>` and
`test/<class>/<image>`. A zip or tar archive of such a folder is the same dataset.
"""

import json
import math
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

import numpy as np

from descent import paths
from descent.errors import UsageError, UserError
from descent.files import write_array, write_json

NPZ, ZIP = "images.npz", "images.zip"
"""The file in data/raw/ of a dataset that is no IDX files."""

NPZ_ARRAYS = ("images", "labels", "test_images", "test_labels")

IDX_UNSIGNED_BYTE = 0x08
"""The only type of number in MNIST's files: http://yann.lecun.com/exdb/mnist/, "The IDX file format"."""

MAX_CLASSES = 1000

MAX_SIZE = 512
"""Height and width in pixels: a network on more would have a hundred million weights."""

MAX_BYTES = 4 * 2**30
"""Of all images of a folder or archive together."""

DATASET_FORMATS = (
    "four IDX files, an .npz file, or a folder, zip or tar archive with a subfolder of images for each class"
)

SUFFIXES = (".png", ".jpg", ".jpeg")

IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")
"""Besides hidden files: what desktops leave in folders and archives."""

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes that become 8-bit gray without loss of range; those with 16 bits would be cut off."""


class InvalidData(UserError):
    """A data file cannot be used; one line: the file, what was found, what is accepted."""


@contextmanager
def _reading(place: Path | str, fault: str = "is damaged") -> Iterator[None]:
    """Raise InvalidData for whatever a library raises when it reads a missing or damaged file."""
    try:
        yield
    except (InvalidData, MemoryError):
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None)
        raise InvalidData(f"{place}: {f'cannot be read: {reason}' if reason else fault}") from None


class InvalidSplit(UsageError):
    """The images cannot be split as params.yaml asks; one line: the key, its value, what is accepted."""

    def __init__(self, key: str, found: str, accepted: str):
        """Take the key, what is wrong with its value, and what is accepted."""
        super().__init__(f"{paths.PARAMS}: {key}: {found}; accepted: {accepted}")


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
        """True if the names of the classes are just their labels, as those of digits."""
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
    with _reading(path):
        found = RawDataset(**json.loads(path.read_text(encoding="utf-8")))
        return found._replace(class_names=found.class_names and tuple(found.class_names))


class RawData(NamedTuple):
    """The content of the files in data/raw/; labels start at 0.

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


class _Part(NamedTuple):
    """Images and their labels as they are in files, and where both stand."""

    labels: np.ndarray
    label_place: Path | str
    read_images: Callable[[], np.ndarray]
    image_place: Path | str


def open_raw(description: RawDataset, folder: Path = paths.RAW) -> RawData:
    """Read and validate the labels in data/raw/; images are read later.

    Raises:
        InvalidData: A file is missing or damaged, or its content cannot be used.
    """
    names, first = description.class_names, description.first_label
    if description.format == "images":
        names, parts = _zip_parts(folder / ZIP, names or ())
    else:
        parts = _npz_parts(folder / NPZ) if description.format == "npz" else _idx_parts(folder)
    names = _class_names(parts, names, first)

    def read_images() -> tuple[np.ndarray, np.ndarray | None]:
        arrays = _read_images(parts)
        if description.transposed:
            arrays = [np.ascontiguousarray(array.transpose(0, 2, 1)) for array in arrays]
        return arrays[0], arrays[1] if len(arrays) > 1 else None

    kind = np.uint8 if len(names) <= 256 else np.uint16
    train, *test = ((part.labels - first).astype(kind) for part in parts)
    return RawData(train, test[0] if test else None, names, read_images)


def _idx_parts(folder: Path) -> list[_Part]:
    parts = []
    for part in ("train", "t10k"):
        images, labels = folder / f"{part}-images-idx3-ubyte", folder / f"{part}-labels-idx1-ubyte"
        parts.append(_Part(read_idx(labels, 1), labels, partial(read_idx, images, 3), images))
    return parts


def _npz_parts(path: Path) -> list[_Part]:
    with _reading(path, "is damaged; accepted: a .npz file with arrays of whole numbers"):
        with np.load(path, allow_pickle=False) as archive:
            keys = archive.files
            arrays = {key: archive[key] for key in NPZ_ARRAYS if key in keys}
    if list(arrays) not in (list(NPZ_ARRAYS), list(NPZ_ARRAYS[:2])):
        raise InvalidData(
            f"{path}: has the arrays {', '.join(keys) or 'nothing'}; accepted: images and labels, with or "
            "without test_images and test_labels"
        )
    return [
        _Part(arrays[labels], f"{path}: {labels}", partial(arrays.__getitem__, images), f"{path}: {images}")
        for images, labels in zip(list(arrays)[::2], list(arrays)[1::2], strict=True)
    ]


def _zip_parts(path: Path, names: Sequence[str]) -> tuple[tuple[str, ...], list[_Part]]:
    """Return the names of the classes, those of the subfolders if none are given, and the parts."""
    parts: list[_Part] = []
    with _reading(path), zipfile.ZipFile(path) as archive:
        files = {file: file.split("/")[-2] for file in archive.namelist()}
        has_test = next(iter(files)).count("/") == 2
    for part in ("train/", "test/") if has_test else ("",):
        place = f"{path}: {part[:-1]}" if part else str(path)
        members = [file for file in files if file.startswith(part)]
        folders = [files[member] for member in members]
        names = names or sorted(set(folders))
        if not set(folders) <= set(names) or (not parts and set(folders) != set(names)):
            found = ", ".join(sorted(set(folders)))
            raise InvalidData(f"{place}: has the subfolders {found}; accepted: {', '.join(names)}")
        labels = np.array([names.index(name) for name in folders])
        parts.append(_Part(labels, place, partial(_decode, path, members), place))
    if not 2 <= len(names) <= MAX_CLASSES:
        raise InvalidData(
            f"{path}: has {len(names)} subfolders; accepted: 2 to {MAX_CLASSES}, one for each class"
        )
    return tuple(names), parts


def _decode(path: Path, members: Sequence[str]) -> np.ndarray:
    """Decode images of images.zip to gray values (n, height, width) uint8, all of the size of the first."""
    images: list[np.ndarray] = []
    with _reading(path), zipfile.ZipFile(path) as archive:
        for member in members:
            image = _gray(archive, member)
            if images and image.shape != images[0].shape:
                found, wanted = _size(image.shape[::-1]), _size(images[0].shape[::-1])
                raise InvalidData(
                    f"{path}: {member}: is {found} pixels; accepted: {wanted}, as {members[0]} is"
                )
            images.append(image)
    return np.stack(images)


def _gray(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    from PIL import Image, ImageOps

    place = f"{archive.filename}: {member}"
    with _reading(place, "is damaged or of another kind; accepted: PNG and JPEG files"):
        with archive.open(member) as file, Image.open(file, formats=("PNG", "JPEG")) as image:
            if max(image.size) > MAX_SIZE:
                raise InvalidData(
                    f"{place}: is {_size(image.size)} pixels; accepted: at most {MAX_SIZE} x {MAX_SIZE}"
                )
            if image.mode not in MODES:
                raise InvalidData(f"{place}: has pixels of kind {image.mode}; accepted: 8 bits per channel")
            return np.asarray(ImageOps.exif_transpose(image).convert("L"))


def read_folder(source: Path | IO[bytes], place: str) -> dict[str, bytes]:
    """Read the images of a folder, or of a zip or tar archive of one.

    Args:
        source: The folder, or the open archive.
        place: Its name in messages.

    Returns:
        The content of each file by its name, such as `cat/1.png` or `train/cat/1.png`, sorted by name.

    Raises:
        InvalidData: It cannot be read, is something else, or has another layout.
    """
    found: dict[tuple[str, ...], bytes] = {}
    strangers, size = [], 0
    with _reading(place, f"is damaged or no dataset; accepted: {DATASET_FORMATS}"):
        for name, length, read in _members(source):
            parts = PurePosixPath(name).parts
            if any(part.startswith(".") or part in IGNORED for part in parts):
                continue
            if not name.lower().endswith(SUFFIXES) or not name.isprintable():
                strangers.append(name)
                continue
            size += length
            if size > MAX_BYTES:
                raise InvalidData(f"{place}: has more than {MAX_BYTES:,} bytes of images")
            found[parts] = read()
    if strangers:
        some = ", ".join(map(repr, sorted(strangers)[:5])) + ", ..." * (len(strangers) > 5)
        are = "is no image" if len(strangers) == 1 else f"are {len(strangers)} files that are no images"
        raise InvalidData(f"{place}: {some} {are}; accepted: PNG and JPEG files in subfolders")
    if not found:
        raise InvalidData(f"{place}: has no image; accepted: a subfolder of PNG or JPEG files for each class")
    if len({parts[0] for parts in found}) == 1 and all(len(parts) > 2 for parts in found):
        found = {parts[1:]: content for parts, content in found.items()}  # one folder around all
    depth = 3 if {parts[0] for parts in found} == {"train", "test"} else 2
    for parts in found:
        if len(parts) != depth:
            raise InvalidData(
                f"{place}: {'/'.join(parts)!r} is not in the subfolder of a class; accepted: "
                "<class>/<image>, or train/<class>/<image> and test/<class>/<image> and no other folder"
            )
    named = {"/".join(parts): content for parts, content in found.items()}
    return dict(sorted(named.items(), key=lambda item: item[0].encode()))


def _members(source: Path | IO[bytes]) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """Yield the name, the size and a reader of each file."""
    if isinstance(source, Path):
        for file in source.rglob("*"):
            name = file.relative_to(source).as_posix()
            if file.is_file():
                yield name, file.stat().st_size, file.read_bytes
            elif file.is_symlink():  # to a folder, or to nothing
                raise InvalidData(
                    f"{source}: {name!r} is a link to no file; accepted: folders, files, links to files"
                )
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as zip:
            for info in zip.infolist():
                if not info.is_dir():
                    yield info.filename, info.file_size, partial(zip.read, info)
    else:
        source.seek(0)
        with tarfile.open(fileobj=source) as tar:
            for member in tar:
                if member.isreg():
                    content = tar.extractfile(member)
                    assert content is not None  # as of every regular file
                    yield member.name, member.size, content.read


def _class_names(parts: Sequence[_Part], names: tuple[str, ...] | None, first: int = 0) -> tuple[str, ...]:
    """Validate the labels; return the names of the classes, numbers if there are none."""
    for labels, place, *_ in parts:
        if labels.ndim != 1 or not len(labels) or not np.issubdtype(labels.dtype, np.integer):
            found = f"{labels.dtype}, {_size(labels.shape)}"
            raise InvalidData(f"{place}: is {found}; accepted: whole numbers, one for each image")
    count = len(names) if names else int(max(part.labels.max() for part in parts)) + 1 - first
    highest = first + min(count, MAX_CLASSES) - 1
    for labels, place, *_ in parts:
        if (wrong := (labels < first) | (labels > highest)).any():
            where = int(np.argmax(wrong))
            raise InvalidData(
                f"{place}: label {labels[where]} at position {where}; accepted: {first} to {highest}"
            )
    if names:
        return names
    missing = np.flatnonzero(np.bincount(parts[0].labels - first, minlength=count) == 0)
    if count < 2 or len(missing):
        unused = f"no image has label {missing[0]}" if len(missing) else "all labels are equal"
        raise InvalidData(
            f"{parts[0].label_place}: {unused}; accepted: labels from 0 up, each used, at least two; or name "
            "all classes"
        )
    return tuple(map(str, range(count)))


def _read_images(parts: Sequence[_Part]) -> list[np.ndarray]:
    """Read the images of each part, (n, height, width) uint8, all of one size."""
    arrays: list[np.ndarray] = []
    for part in parts:
        images, place = part.read_images(), part.image_place
        size = arrays[0].shape[1:] if arrays else images.shape[1:]
        right = images.dtype == np.uint8 and images.ndim == 3 and images.shape[1:] == size
        if not (right and 1 <= min(size) and max(size) <= MAX_SIZE):
            wanted = _size(size) if arrays else f"height x width, at most {MAX_SIZE} pixels"
            found = f"{images.dtype}, {_size(images.shape)}"
            raise InvalidData(f"{place}: is {found}; accepted: uint8, n x {wanted}")
        if len(images) != len(part.labels):
            raise InvalidData(
                f"{part.label_place}: has {len(part.labels)} labels; accepted: {len(images)}, the images in "
                f"{place}"
            )
        arrays.append(images)
    return arrays


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def read_idx(path: Path | str, dimensions: int) -> np.ndarray:
    """Read an IDX file of unsigned bytes.

    Returns:
        A read-only array of uint8 with so many dimensions.

    Raises:
        InvalidData: The magic number is another one, or the length does not match the header.
    """
    with _reading(path):
        content = Path(path).read_bytes()
    header = 4 + 4 * dimensions  # the magic number, then a big-endian size for each dimension
    expected = bytes([0, 0, IDX_UNSIGNED_BYTE, dimensions])
    if len(content) < header or content[:4] != expected:
        raise InvalidData(
            f"{path}: is {len(content)} bytes that begin with 0x{content[:4].hex()}; accepted: an IDX file "
            f"with {dimensions} dimension{'s' * (dimensions > 1)}, which begins with 0x{expected.hex()}"
        )
    shape = tuple(np.frombuffer(content, ">u4", dimensions, 4).tolist())
    promised = header + int(np.prod(shape, dtype=object))
    if len(content) != promised:
        raise InvalidData(
            f"{path}: is {len(content)} bytes long; its header, {_size(shape)}, says {promised}"
        )
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
        key = "preprocess.training_images + preprocess.validation_images"
        most = f"at most {len(labels)}, the images that are no test images"
        raise InvalidSplit(key, f"{training + validation} is not accepted", most)
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
            raise InvalidSplit(key, f"{images} is not accepted", "nothing, as the source has test images")
        return *split_rows(labels, training, validation, seed), None
    if not images:
        raise InvalidSplit(key, "is missing", "a whole number, as the source has no test images")
    if images >= len(labels):
        raise InvalidSplit(key, f"{images} is not accepted", f"fewer than all {len(labels)} images")
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
    height, width = images.shape[1:]
    summary = {
        "height": height,
        "width": width,
        "classes": dataset.classes,
        "unused_images": len(found.labels) - training - validation - drawn,
        **{name: _summary(split, dataset.classes) for name, split in dataset.splits.items()},
    }
    write_json(arrays / "summary.json", summary)
    names = description._replace(class_names=found.class_names)._asdict()
    read = ("name", "title", "class_names", "licence", "citation")
    write_json(arrays.with_name(paths.DATASET.name), {key: names[key] for key in read})
    return summary


def _summary(split: Split, classes: int) -> dict:
    """Summarize a split; the sums are of integers, so the result depends on no order of summation."""
    pixels, total = split.images.size, int(split.images.sum(dtype=np.int64))
    squares = int(np.square(split.images, dtype=np.uint16).sum(dtype=np.int64))
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
        with _reading(description := folder.with_name(paths.DATASET.name)):
            content = json.loads(description.read_text(encoding="utf-8"))
            title, names = content["title"], tuple(content["class_names"])
        parts = []
        for name in ("train", "validation", "test"):
            images, labels = folder / f"{name}_images.npy", folder / f"{name}_labels.npy"
            parts.append(_Part(_load_array(labels), labels, partial(_load_array, images), images))
        _class_names(parts, names)
        splits = [
            Split(*pair) for pair in zip(_read_images(parts), (part.labels for part in parts), strict=True)
        ]
    except InvalidData as error:
        raise InvalidData(f"{error}; `dvc repro preprocess` makes it again") from None
    train, validation, test = splits
    return Dataset(train, validation, test, names, title)


def _load_array(path: Path) -> np.ndarray:
    with _reading(path, "is truncated or not a .npy file"), open(path, "rb") as file:
        return np.lib.format.read_array(file, allow_pickle=False)
