"""Folders of images, a subfolder for each class: their layout, their checksum, one archive of them.

The layout is `<class>/<image>`, or `train/<class>/<image>` and `test/<class>/<image>`. A zip or tar archive
of such a folder is the same dataset, with the same checksum.
"""

import hashlib
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

SUFFIXES = (".png", ".jpg", ".jpeg")
IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")
"""Besides hidden files: what desktops leave in folders and archives."""

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes that become 8-bit gray without loss of range; those with 16 bits would be cut off."""

MAX_SIZE = 512
"""Height and width in pixels: a network on more would have a hundred million weights."""

MAX_BYTES = 4 * 2**30
"""Of all files in an archive together, uncompressed."""

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


class InvalidData(ValueError):
    """A data file cannot be used; one line: the file, what was found, what is accepted."""


class Images(NamedTuple):
    """The images of a folder or archive.

    Attributes:
        place: The folder or archive.
        read: By name, such as `cat/1.png` or `train/cat/1.png`, a function that returns the file's bytes;
            sorted by name.
    """

    place: str
    read: Mapping[str, Callable[[], bytes]]

    def part(self, name: str) -> "Images":
        """Return the images below `train` or `test`, or all of them if there are no such parts."""
        if not self.has_test:
            return self if name == "train" else Images(self.place, {})
        start = f"{name}/"
        return Images(
            f"{self.place}: {name}",
            {path.removeprefix(start): read for path, read in self.read.items() if path.startswith(start)},
        )

    @property
    def has_test(self) -> bool:
        """Whether there are test images of their own."""
        return all(path.count("/") == 2 for path in self.read)

    def classes(self) -> list[str]:
        """Return the names of the subfolders, sorted."""
        return sorted({path.partition("/")[0] for path in self.read})


def listing_checksum(digests: Iterable[tuple[str, str]]) -> str:
    """Return the SHA-256 of the lines that `sha256sum` prints for files with these names and digests."""
    lines = (f"{digest}  {name}\n" for name, digest in sorted(digests, key=lambda pair: pair[0].encode()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def open_images(path: Path) -> Images:
    """Open a folder, or a zip or tar archive of one; the images are read later.

    Raises:
        InvalidData: It is something else, or has another layout.
        OSError: It cannot be read.
    """
    if path.is_dir():
        found = {
            file.relative_to(path).as_posix(): file.read_bytes for file in path.rglob("*") if file.is_file()
        }
    elif zipfile.is_zipfile(path):
        found = _zip_members(path)
    else:
        found = _tar_members(path)
    return Images(str(path), _arranged(found, str(path)))


def _zip_members(path: Path) -> dict[str, Callable[[], bytes]]:
    archive = zipfile.ZipFile(path)
    members = [member for member in archive.infolist() if not member.is_dir()]
    if sum(member.file_size for member in members) > MAX_BYTES:
        raise InvalidData(f"{path}: has more than {MAX_BYTES:,} bytes of files")

    def reader(member: zipfile.ZipInfo) -> Callable[[], bytes]:
        def read() -> bytes:
            try:
                return archive.read(member)
            except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
                raise InvalidData(f"{path}: {member.filename} cannot be unpacked: {error}") from None

        return read

    return {member.filename: reader(member) for member in members}


def _tar_members(path: Path) -> dict[str, Callable[[], bytes]]:
    found: dict[str, Callable[[], bytes]] = {}
    size = 0
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if not member.isreg():
                    continue
                size += member.size
                if size > MAX_BYTES:
                    raise InvalidData(f"{path}: has more than {MAX_BYTES:,} bytes of files")
                file = archive.extractfile(member)
                assert file is not None  # a regular file has content
                content = file.read()
                found[member.name] = io.BytesIO(content).getvalue
    except (tarfile.TarError, EOFError, zlib.error):
        raise InvalidData(
            f"{path}: is damaged or no dataset; accepted: four IDX files, an .npz file, or a folder, zip "
            "or tar archive with a subfolder of images for each class"
        ) from None
    return found


def _arranged(found: Mapping[str, Callable[[], bytes]], place: str) -> dict[str, Callable[[], bytes]]:
    """Drop what desktops add and a folder around all, and check the layout."""
    paths = {}
    for name, read in found.items():
        parts = PurePosixPath(name).parts
        if any(part.startswith(".") or part in IGNORED for part in parts):
            continue
        if not name.lower().endswith(SUFFIXES):
            raise InvalidData(f"{place}: {name!r} is no image; accepted: PNG and JPEG files in subfolders")
        if not name.isprintable():
            raise InvalidData(f"{place}: {name!r} has characters that cannot be shown")
        paths[parts] = read
    if not paths:
        raise InvalidData(f"{place}: has no image; accepted: a subfolder of PNG or JPEG files for each class")
    if len({parts[0] for parts in paths}) == 1 and all(len(parts) > 2 for parts in paths):
        paths = {parts[1:]: read for parts, read in paths.items()}  # one folder around all
    depth = 3 if {parts[0] for parts in paths} == {"train", "test"} else 2
    for parts in paths:
        if len(parts) != depth:
            raise InvalidData(
                f"{place}: {'/'.join(parts)!r} is not in the subfolder of a class; accepted: "
                "<class>/<image>, or train/<class>/<image> and test/<class>/<image>"
            )
    named = {"/".join(parts): read for parts, read in paths.items()}
    return dict(sorted(named.items(), key=lambda pair: pair[0].encode()))


def write_zip(images: Images, path: Path) -> str:
    """Write the images to a zip archive whose bytes depend on them alone; return their checksum."""
    digests = []
    with zipfile.ZipFile(path, "w") as archive:
        for name, read in images.read.items():
            content = read()
            digests.append((name, hashlib.sha256(content).hexdigest()))
            entry = zipfile.ZipInfo(name, ZIP_EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return listing_checksum(digests)


def decode(images: Images) -> np.ndarray:
    """Decode the images to gray values.

    Returns:
        (n, height, width) uint8.

    Raises:
        InvalidData: A file is damaged, too large, or of another size than the first one.
    """
    decoded: list[np.ndarray] = []
    first = ""
    for name, read in images.read.items():
        pixels = _gray(read(), f"{images.place}: {name}")
        if decoded and pixels.shape != decoded[0].shape:
            sizes = [" x ".join(map(str, array.shape[::-1])) for array in (pixels, decoded[0])]
            raise InvalidData(
                f"{images.place}: {name}: is {sizes[0]} pixels; accepted: {sizes[1]}, as {first} is"
            )
        first = first or name
        decoded.append(pixels)
    return np.stack(decoded)


def _gray(content: bytes, place: str) -> np.ndarray:
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            if max(image.size) > MAX_SIZE:
                size = " x ".join(map(str, image.size))
                raise InvalidData(f"{place}: is {size} pixels; accepted: at most {MAX_SIZE} x {MAX_SIZE}")
            if image.mode not in MODES:
                raise InvalidData(f"{place}: has pixels of kind {image.mode}; accepted: 8 bits per channel")
            return np.asarray(ImageOps.exif_transpose(image).convert("L"))
    except InvalidData:
        raise
    except Exception:  # Pillow raises whatever its decoders raise
        raise InvalidData(f"{place}: is damaged or of another kind; accepted: PNG and JPEG files") from None
