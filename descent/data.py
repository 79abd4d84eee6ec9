"""The images: the raw files, the split into training, validation and test images, the arrays on disk.

A folder of images has a subfolder for each class: `<class>/<image>`, or `train/<class>/<image>` and
`test/<class>/<image>`. A zip or tar archive of such a folder is the same dataset.
"""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

import numpy as np

from descent import paths
from descent.errors import UsageError, UserError
from descent.files import write_array, write_json

NPZ = "images.npz"
"""The file in data/raw/ of a dataset that is not IDX files."""

NPZ_ARRAYS = ["images", "labels", "test_images", "test_labels"]

IDX_UNSIGNED_BYTE = 0x08
"""The only type of number in MNIST's files: http://yann.lecun.com/exdb/mnist/, "The IDX file format"."""

MAX_CLASSES = 1000

MAX_SIZE = 512
"""Height and width in pixels: a network on more would have a hundred million weights."""

MAX_BYTES = 4 * 2**30
"""Of all images of a folder or archive together, unpacked."""

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


def _rejected(place: Path | str, found: str, accepted: str) -> InvalidData:
    return InvalidData(f"{place}: {found}; accepted: {accepted}")


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


class Split(NamedTuple):
    """Images (n, height, width) uint8, from 0 to 255, and labels (n,) uint8, uint16 from 257 classes on."""

    images: np.ndarray
    labels: np.ndarray


class Dataset(NamedTuple):
    """The images to train on, to select by, and to report on."""

    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]  # of each label from 0 up
    title: str = ""  # the name for readers
    source: str = ""  # citation and licence

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

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

    What has no comment here has one in `datasets.KnownDataset`.
    """

    name: str  # what `data` in params.yaml says
    title: str
    format: str  # `idx` for four IDX files, `npz` for images.npz
    class_names: tuple[str, ...] | None = None  # None if the files decide
    test_images: int | None = None  # how many are drawn; None if the files have their own
    transposed: bool = False
    first_label: int = 0
    licence: str | None = None
    citation: str | None = None
    published: Any = None  # the checksum, or checksums, by which the files were verified
    files: dict[str, str] | None = None  # the SHA-256 of each file


def write_description(description: RawDataset, folder: Path = paths.RAW) -> None:
    """Write dataset.json."""
    write_json(folder / "dataset.json", description._asdict())


def read_description(folder: Path = paths.RAW) -> RawDataset:
    """Read dataset.json."""
    path = folder / "dataset.json"
    with _reading(path):
        found = RawDataset(**json.loads(path.read_text(encoding="utf-8")))
        return found._replace(class_names=found.class_names and tuple(found.class_names))


class RawData(NamedTuple):
    """The content of the files in data/raw/; labels start at 0."""

    train: Split
    test: Split | None  # None where test images are to be drawn from the others
    class_names: tuple[str, ...]


class _Part(NamedTuple):
    """Images and their labels as they are in files, and where both stand."""

    images: np.ndarray
    labels: np.ndarray
    image_place: Path | str
    label_place: Path | str


def read_raw(description: RawDataset, folder: Path = paths.RAW) -> RawData:
    """Read and validate what is in data/raw/."""
    parts = _npz_parts(folder / NPZ) if description.format == "npz" else _idx_parts(folder)
    names, first = description.class_names, description.first_label
    if parts[0].labels.dtype.kind == "U":
        names, parts = _numbered(parts, names)
    names = _class_names(parts, names, first)
    _validate_images(parts)
    kind = np.uint8 if len(names) <= 256 else np.uint16
    splits = []
    for images, labels, *_ in parts:
        if description.transposed:
            images = np.ascontiguousarray(images.transpose(0, 2, 1))
        splits.append(Split(images, (labels - first).astype(kind)))
    return RawData(splits[0], splits[1] if len(splits) > 1 else None, names)


def _idx_parts(folder: Path) -> list[_Part]:
    parts = []
    for part in ("train", "t10k"):
        images, labels = folder / f"{part}-images-idx3-ubyte", folder / f"{part}-labels-idx1-ubyte"
        parts.append(_Part(read_idx(images, 3), read_idx(labels, 1), images, labels))
    return parts


def _limit_size(size: int, place: Path | str) -> None:
    if size > MAX_BYTES:
        raise InvalidData(f"{place}: has {size:,} bytes of images, unpacked; accepted: at most {MAX_BYTES:,}")


def _npz_parts(path: Path) -> list[_Part]:
    with _reading(path, "is damaged; accepted: a .npz file with arrays of whole numbers"):
        with np.load(path, allow_pickle=False) as archive:
            _limit_size(sum(member.file_size for member in archive.zip.infolist()), path)
            keys = archive.files
            arrays = {key: archive[key] for key in NPZ_ARRAYS if key in keys}
    if list(arrays) not in (NPZ_ARRAYS, NPZ_ARRAYS[:2]):
        found = f"has the arrays {', '.join(keys) or 'nothing'}"
        raise _rejected(path, found, "images and labels, with or without test_images and test_labels")
    return [
        _Part(arrays[images], arrays[labels], f"{path}: {images}", f"{path}: {labels}")
        for images, labels in zip(list(arrays)[::2], list(arrays)[1::2], strict=True)
    ]


def _numbered(parts: Sequence[_Part], names: tuple[str, ...] | None) -> tuple[tuple[str, ...], list[_Part]]:
    """Replace labels that are names of classes by numbers, in the order of `names`, or else sorted."""
    for part in parts:
        if part.labels.dtype.kind != "U" or part.labels.ndim != 1:
            found = f"is {part.labels.dtype}, {_size(part.labels.shape)}"
            raise _rejected(part.label_place, found, "a name of a class for each image")
    names = names or tuple(np.unique(parts[0].labels).tolist())
    numbers = {name: number for number, name in enumerate(names)}
    if not 2 <= len(names) <= MAX_CLASSES or not all(map(str.isprintable, names)):
        accepted = f"2 to {MAX_CLASSES} printable names"
        raise _rejected(parts[0].label_place, f"has {len(names)} classes", accepted)
    for part in parts:
        present: set[str] = set(part.labels.tolist())
        if not present <= numbers.keys() or (part is parts[0] and present < numbers.keys()):
            classes = ", ".join(sorted(present))
            raise _rejected(part.label_place, f"has the classes {classes}", ", ".join(names))
    return names, [
        part._replace(labels=np.array([numbers[name] for name in part.labels.tolist()])) for part in parts
    ]


def read_folder(source: Path | IO[bytes], place: str) -> dict[str, bytes]:
    """Read the images of a folder, or of a zip or tar archive of one; messages call it `place`.

    Returns:
        The content of each file by its name, such as `cat/1.png` or `train/cat/1.png`, sorted by name.
    """
    found: dict[tuple[str, ...], bytes] = {}
    strangers, size = [], 0
    with _reading(place, f"is damaged or no dataset; accepted: {DATASET_FORMATS}"):
        for name, length, read in members(source):
            parts = PurePosixPath(name).parts
            if any(part.startswith(".") or part in IGNORED for part in parts):
                continue
            if not name.lower().endswith(SUFFIXES) or not name.isprintable():
                strangers.append(name)
                continue
            size += length
            _limit_size(size, place)
            found[parts] = read()
    if strangers:
        some = ", ".join(map(repr, sorted(strangers)[:5])) + ", ..." * (len(strangers) > 5)
        are = "is not an image" if len(strangers) == 1 else f"are {len(strangers)} files that are not images"
        raise _rejected(place, f"{some} {are}", "PNG and JPEG files in subfolders")
    if not found:
        raise _rejected(place, "has no image", "a subfolder of PNG or JPEG files for each class")
    if len({parts[0] for parts in found}) == 1 and all(len(parts) > 2 for parts in found):
        found = {parts[1:]: content for parts, content in found.items()}  # one folder around all
    depth = 3 if {parts[0] for parts in found} == {"train", "test"} else 2
    for parts in found:
        if len(parts) != depth:
            layouts = "<class>/<image>, or train/<class>/<image> and test/<class>/<image> and no other folder"
            raise _rejected(place, f"{'/'.join(parts)!r} is not in the subfolder of a class", layouts)
    named = {"/".join(parts): content for parts, content in found.items()}
    return dict(sorted(named.items(), key=lambda item: item[0].encode()))


def npz_content(files: Mapping[str, bytes], place: str) -> bytes:
    """Return an .npz file with the images of `read_folder`, in gray; the labels are class names."""
    arrays: dict[str, Any] = {}
    first = None
    for name, content in files.items():
        image = _gray(content, f"{place}: {name}")
        first = image if first is None else first
        if image.shape != first.shape:
            found, wanted = _size(image.shape[::-1]), _size(first.shape[::-1])
            accepted = f"{wanted}, as {next(iter(files))} is"
            raise _rejected(f"{place}: {name}", f"is {found} pixels", accepted)
        *part, class_name, _ = name.split("/")
        prefix = "test_" if part == ["test"] else ""
        arrays.setdefault(f"{prefix}images", []).append(image)
        arrays.setdefault(f"{prefix}labels", []).append(class_name)
    archive = io.BytesIO()
    np.savez(archive, **arrays)
    return archive.getvalue()


def _gray(content: bytes, place: str) -> np.ndarray:
    from PIL import Image, ImageOps

    with _reading(place, "is damaged or of another kind; accepted: PNG and JPEG files"):
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            if max(image.size) > MAX_SIZE:
                raise _rejected(place, f"is {_size(image.size)} pixels", f"at most {MAX_SIZE} x {MAX_SIZE}")
            if image.mode not in MODES:
                raise _rejected(place, f"has pixels of kind {image.mode}", "8 bits per channel")
            return np.asarray(ImageOps.exif_transpose(image).convert("L"))


def members(source: Path | IO[bytes]) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """Yield the name, the size and a reader of each file of a folder, or of a zip or tar archive."""
    if isinstance(source, Path):
        for file in source.rglob("*"):
            name = file.relative_to(source).as_posix()
            if file.is_file():
                yield name, file.stat().st_size, file.read_bytes
            elif file.is_symlink():  # to a folder, or to nothing
                raise _rejected(source, f"{name!r} is a link to no file", "folders, files, links to files")
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
    for _, labels, _, place in parts:
        if labels.ndim != 1 or not len(labels) or not np.issubdtype(labels.dtype, np.integer):
            found = f"is {labels.dtype}, {_size(labels.shape)}"
            raise _rejected(place, found, "whole numbers, one for each image")
    count = len(names) if names else int(max(part.labels.max() for part in parts)) + 1 - first
    highest = first + min(count, MAX_CLASSES) - 1
    for _, labels, _, place in parts:
        if (wrong := (labels < first) | (labels > highest)).any():
            where = int(np.argmax(wrong))
            raise _rejected(place, f"label {labels[where]} at position {where}", f"{first} to {highest}")
    if names:
        return names
    missing = np.flatnonzero(np.bincount(parts[0].labels - first, minlength=count) == 0)
    if count < 2 or len(missing):
        unused = f"no image has label {missing[0]}" if len(missing) else "all labels are equal"
        accepted = "labels from 0 up, each used, at least two; or name all classes"
        raise _rejected(parts[0].label_place, unused, accepted)
    return tuple(map(str, range(count)))


def _validate_images(parts: Sequence[_Part]) -> None:
    """Validate the images of each part: (n, height, width) uint8, all of one size, one for each label."""
    first = parts[0].images
    for images, labels, place, label_place in parts:
        size = first.shape[1:]
        right = images.dtype == np.uint8 and images.ndim == 3 and images.shape[1:] == size
        if not (right and 1 <= min(size) and max(size) <= MAX_SIZE):
            wanted = f"height x width, at most {MAX_SIZE} pixels" if images is first else _size(size)
            raise _rejected(place, f"is {images.dtype}, {_size(images.shape)}", f"uint8, n x {wanted}")
        if len(images) != len(labels):
            raise _rejected(label_place, f"has {len(labels)} labels", f"{len(images)}, the images in {place}")


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def read_idx(path: Path | str, dimensions: int) -> np.ndarray:
    """Read an IDX file of unsigned bytes: a read-only array of uint8."""
    with _reading(path):
        content = Path(path).read_bytes()
    header = 4 + 4 * dimensions  # the magic number, then a big-endian size for each dimension
    expected = bytes([0, 0, IDX_UNSIGNED_BYTE, dimensions])
    if len(content) < header or content[:4] != expected:
        found = f"is {len(content)} bytes that begin with 0x{content[:4].hex()}"
        kind = f"an IDX file with {dimensions} dimension{'s' * (dimensions > 1)}"
        raise _rejected(path, found, f"{kind}, which begins with 0x{expected.hex()}")
    shape = tuple(np.frombuffer(content, ">u4", dimensions, 4).tolist())
    promised = header + int(np.prod(shape, dtype=object))
    if len(content) != promised:
        raise _rejected(
            path, f"is {len(content)} bytes long", f"{promised}, as its header says: {_size(shape)}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def class_counts(counts: np.ndarray, total: int) -> np.ndarray:
    """Divide `total` among the classes in proportion to their counts, by largest remainders.

    A tie goes to the lower class.
    """
    floors, remainders = np.divmod(counts * total, counts.sum())
    largest = np.argsort(-remainders, kind="stable")[: total - floors.sum()]
    floors[largest] += 1
    return floors


def split_rows(
    labels: np.ndarray, training: int, validation: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the rows of the training and the validation split, class by class.

    Returns:
        Two sorted, disjoint arrays of int32, each with the classes in the proportions of `labels` as
        nearly as whole images allow.
    """
    if training + validation > len(labels):
        raise UsageError(
            f"{paths.PARAMS}: preprocess.training_images + preprocess.validation_images: "
            f"{training + validation} is not accepted; accepted: at most {len(labels)}, the images that are "
            "not test images"
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
    raw: RawData, description: RawDataset, training_images: int, validation_images: int, seed: int
) -> list[np.ndarray]:
    """Draw the rows of training and validation images, and of test images if there are none of their own."""
    key, labels = f"{paths.PARAMS}: datasets.{description.name}.test_images", raw.train.labels
    images = description.test_images
    if raw.test:
        if images:
            raise UsageError(f"{key}: {images} is not accepted; accepted: nothing, as the source has some")
        return [*split_rows(labels, training_images, validation_images, seed)]
    if not images:
        raise UsageError(f"{key}: is missing; accepted: a whole number, as the source has no test images")
    if images >= len(labels):
        raise UsageError(f"{key}: {images} is not accepted; accepted: fewer than all {len(labels)} images")
    others, test = split_rows(labels, len(labels) - images, images, seed)
    train, chosen = split_rows(labels[others], training_images, validation_images, seed)
    return [others[train], others[chosen], test]


def preprocess(
    description: RawDataset, raw: Path, arrays: Path, training_images: int, validation_images: int, seed: int
) -> dict:
    """Split the images in `raw`, and write arrays and summary.json to `arrays`.

    Beside `arrays`, dataset.json gets what only readers need: title, class names, licence and citation. They
    change no number, so that an edited name trains nothing again.
    """
    found = read_raw(description, raw)
    drawn = draw_rows(found, description, training_images, validation_images, seed)
    train, chosen, *test = (Split(found.train.images[rows], found.train.labels[rows]) for rows in drawn)
    dataset = Dataset(train, chosen, found.test or test[0], found.class_names, description.title)
    for name, split in dataset.splits.items():
        write_array(arrays / f"{name}_images.npy", split.images)
        write_array(arrays / f"{name}_labels.npy", split.labels)
    write_array(arrays / "validation_rows.npy", drawn[1])
    height, width = found.train.images.shape[1:]
    summary = {
        "height": height,
        "width": width,
        "classes": dataset.classes,
        "unused_images": len(found.train.labels) - sum(map(len, drawn)),
        **{name: {"images": len(split.labels)} for name, split in dataset.splits.items()},
    }
    write_json(arrays / "summary.json", summary)
    names = description._replace(class_names=found.class_names)._asdict()
    read = ("name", "title", "class_names", "licence", "citation")
    write_json(arrays.with_name(paths.DATASET.name), {key: names[key] for key in read})
    return summary


def load_dataset(folder: Path | str = paths.ARRAYS) -> Dataset:
    """Load what `preprocess` wrote: the arrays, and dataset.json beside them."""
    folder = Path(folder)
    try:
        with _reading(description := folder.with_name(paths.DATASET.name)):
            content = json.loads(description.read_text(encoding="utf-8"))
            title, names = content["title"], tuple(content["class_names"])
            source = "; ".join(filter(None, map(content.get, ("citation", "licence"))))
        parts = []
        for name in ("train", "validation", "test"):
            images, labels = folder / f"{name}_images.npy", folder / f"{name}_labels.npy"
            parts.append(_Part(_load_array(images), _load_array(labels), images, labels))
        _class_names(parts, names)
        _validate_images(parts)
    except InvalidData as error:
        raise InvalidData(f"{error}; `dvc repro preprocess` makes it again") from None
    train, validation, test = (Split(part.images, part.labels) for part in parts)
    return Dataset(train, validation, test, names, title, source)


def _load_array(path: Path) -> np.ndarray:
    with _reading(path, "is truncated or not a .npy file"), open(path, "rb") as file:
        return np.lib.format.read_array(file, allow_pickle=False)
