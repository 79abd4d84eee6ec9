"""The IDX format and the arrays on disk: what is read, and what is refused in one line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.data.mnist import Digits, InvalidData, Split, load_arrays, read_idx, read_split
from stages.core.files import write_array

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def idx(*sizes, magic=None, data=None) -> bytes:
    """An IDX file by hand: magic number, sizes, data."""
    magic = bytes([0, 0, 8, len(sizes)]) if magic is None else magic
    data = bytes(int(np.prod(sizes))) if data is None else data
    return magic + b"".join(size.to_bytes(4, "big") for size in sizes) + data


def test_images_and_labels_are_what_was_written(idx_folder, digits):
    split = read_split(idx_folder / "t10k-images-idx3-ubyte", idx_folder / "t10k-labels-idx1-ubyte")
    np.testing.assert_array_equal(split.images, digits.test.images)
    np.testing.assert_array_equal(split.labels, digits.test.labels)
    assert split.images.dtype == split.labels.dtype == np.uint8


def test_the_last_size_varies_fastest(tmp_path):
    (tmp_path / "a").write_bytes(idx(2, 3, data=bytes([0, 1, 2, 10, 11, 12])))
    assert read_idx(tmp_path / "a", 2).tolist() == [[0, 1, 2], [10, 11, 12]]


FAULTS = {
    "empty file": (IMAGES, b"", "is empty; accepted: an IDX file, which begins with 16 bytes of header"),
    "truncated header": (IMAGES, idx(2)[:7], "is 7 bytes; accepted: an IDX file"),
    "wrong magic": (
        IMAGES,
        idx(2, 28, 28, magic=b"<htm"),
        "the magic number is 0x3c68746d; accepted: 0x00000803 (unsigned bytes, 3 dimensions)",
    ),
    "labels in place of images": (IMAGES, idx(100), "is 0x00000801; accepted: 0x00000803"),
    "images in place of labels": (
        LABELS,
        idx(2, 28, 28),
        "is 0x00000803; accepted: 0x00000801 (unsigned bytes, 1 dimension)",
    ),
    "numbers of another type": (IMAGES, idx(2, 28, 28, magic=bytes([0, 0, 0x0D, 3])), "is 0x00000d03"),
    "wrong dimensions": (IMAGES, idx(2, 27, 28), "is uint8, 2 x 27 x 28; accepted: uint8, n x 28 x 28"),
    "truncated array": (
        IMAGES,
        idx(2, 28, 28)[:-1],
        "is 1583 bytes long; its header, 2 x 28 x 28, says 1584",
    ),
    "a byte too many": (LABELS, idx(2) + b"\0", "is 11 bytes long; its header, 2, says 10"),
    "sizes beyond any file": (
        IMAGES,
        idx(*[2**32 - 1] * 3, data=b""),
        "is 16 bytes long; its header, 4294967295",
    ),
    "no image": (IMAGES, idx(0, 28, 28), "has 2 labels for 0 images"),
    "different counts": (LABELS, idx(3), "has 3 labels for 2 images in"),
    "label 10": (LABELS, idx(2, data=b"\3\12"), "label 10 at position 1; accepted: 0 to 9"),
}


@pytest.fixture
def pair(tmp_path):
    (tmp_path / IMAGES).write_bytes(idx(2, 28, 28))
    (tmp_path / LABELS).write_bytes(idx(2, data=b"\0\11"))
    return tmp_path


@pytest.mark.parametrize("name, content, words", FAULTS.values(), ids=FAULTS)
def test_a_fault_in_a_file_is_one_line_that_names_the_file(pair, name, content, words):
    read_split(pair / IMAGES, pair / LABELS)  # right before
    (pair / name).write_bytes(content)
    with pytest.raises(InvalidData) as caught:
        read_split(pair / IMAGES, pair / LABELS)
    assert words in str(caught.value) and str(pair / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_files_without_an_image_are_refused(pair):
    (pair / IMAGES).write_bytes(idx(0, 28, 28))
    (pair / LABELS).write_bytes(idx(0))
    with pytest.raises(InvalidData, match="holds no image"):
        read_split(pair / IMAGES, pair / LABELS)


def test_a_missing_file_is_named(pair):
    (pair / LABELS).unlink()
    with pytest.raises(InvalidData, match=f"{LABELS}: cannot be read: No such file"):
        read_split(pair / IMAGES, pair / LABELS)


@settings(deadline=None)
@given(content=st.binary(max_size=40) | st.binary(max_size=40).map(lambda end: bytes([0, 0, 8, 1]) + end))
def test_any_bytes_are_an_array_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    try:
        array = read_idx(path, 1)
    except InvalidData:
        return
    assert idx(len(array), data=array.tobytes()) == content


def write(digits, folder):
    for name, split in digits._asdict().items():
        write_array(folder / f"{name}_images.npy", split.images)
        write_array(folder / f"{name}_labels.npy", split.labels)


def test_arrays_come_back_as_they_were_written(digits, tmp_path):
    write(digits, tmp_path)
    found = load_arrays(tmp_path)
    assert isinstance(found, Digits) and all(isinstance(split, Split) for split in found)
    for was, came in zip(digits, found, strict=True):
        np.testing.assert_array_equal(came.images, was.images)
        np.testing.assert_array_equal(came.labels, was.labels)


ARRAY_FAULTS = {
    "missing": ("test_labels", lambda path: path.unlink(), "cannot be read: No such file"),
    "empty": ("test_labels", lambda path: path.write_bytes(b""), "is no whole .npy file"),
    "truncated": ("train_images", lambda path: path.write_bytes(path.read_bytes()[:-1]), "is no whole .npy"),
    "an archive of arrays": (
        "train_images",
        lambda path: path.write_bytes(b"PK\3\4 and so on"),
        "is no whole .npy file",
    ),
    "a pickle": ("train_images", lambda path: np.save(path, np.array([{}])), "is no whole .npy file"),
    "other numbers": (
        "validation_images",
        lambda path: np.save(path, np.load(path).astype(np.float32)),
        "is float32, 200 x 28 x 28; accepted: uint8, n x 28 x 28",
    ),
    "flat": ("test_images", lambda path: np.save(path, np.load(path).reshape(-1, 784)), "uint8, 200 x 784"),
    "fewer": ("test_labels", lambda path: np.save(path, np.load(path)[1:]), "has 199 labels for 200 images"),
    "label 10": ("test_labels", lambda path: np.save(path, np.load(path) + np.uint8(1)), "accepted: 0 to 9"),
}


@pytest.mark.parametrize("name, harm, words", ARRAY_FAULTS.values(), ids=ARRAY_FAULTS)
def test_a_damaged_array_is_named_with_the_command_that_repairs_it(digits, tmp_path, name, harm, words):
    write(digits, tmp_path)
    harm(tmp_path / f"{name}.npy")
    with pytest.raises(InvalidData) as caught:
        load_arrays(tmp_path)
    assert str(tmp_path / f"{name}.npy") in str(caught.value) and words in str(caught.value)
    assert str(caught.value).endswith("; `dvc repro preprocess` makes it again")
    assert "\n" not in str(caught.value)
