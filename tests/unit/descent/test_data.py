"""The IDX format, the split, the arrays on disk: what is read, and what is rejected in one line."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from descent.data import (
    Dataset,
    InvalidData,
    RawDataset,
    class_counts,
    load_dataset,
    preprocess,
    read_idx,
    read_raw,
    split_rows,
)
from descent.errors import UsageError
from tests.support.images import TRAINING, VALIDATION, write_arrays
from tests.support.small_params import checksums

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
BARS = RawDataset("bars", "Bars", "idx", class_names=tuple("0123456789"))


def read_all(folder) -> tuple:
    """Read labels and images of four IDX files."""
    return read_raw(BARS, folder)[:2]


# The IDX format


def idx(*sizes, magic=None, data=None) -> bytes:
    """Encode an IDX file by hand: magic number, sizes, data."""
    magic = bytes([0, 0, 8, len(sizes)]) if magic is None else magic
    data = bytes(int(np.prod(sizes))) if data is None else data
    return magic + b"".join(size.to_bytes(4, "big") for size in sizes) + data


def test_idx_files_give_the_images_and_labels_that_were_written(idx_folder, dataset):
    split = read_all(idx_folder)[1]
    np.testing.assert_array_equal(split.images, dataset.test.images)
    np.testing.assert_array_equal(split.labels, dataset.test.labels)
    assert split.images.dtype == split.labels.dtype == np.uint8


def test_read_idx_varies_the_last_index_fastest(tmp_path):
    (tmp_path / "a").write_bytes(idx(2, 3, data=bytes([0, 1, 2, 10, 11, 12])))
    assert read_idx(tmp_path / "a", 2).tolist() == [[0, 1, 2], [10, 11, 12]]


FAULTS = {
    "empty file": (IMAGES, b"", "is 0 bytes that begin with 0x; accepted: an IDX file"),
    "truncated header": (IMAGES, idx(2)[:7], "is 7 bytes that begin with 0x00000801; accepted: an IDX file"),
    "wrong magic": (
        IMAGES,
        idx(2, 28, 28, magic=b"<htm"),
        "begin with 0x3c68746d; accepted: an IDX file with 3 dimensions, which begins with 0x00000803",
    ),
    "labels in place of images": (IMAGES, idx(100), "begin with 0x00000801; accepted: "),
    "images in place of labels": (LABELS, idx(2, 28, 28), "begin with 0x00000803; accepted: an IDX file with 1 dimension, which"),
    "numbers of another type": (IMAGES, idx(2, 28, 28, magic=bytes([0, 0, 0x0D, 3])), "begin with 0x00000d03"),
    "another size": ("t10k-images-idx3-ubyte", idx(2, 27, 28), "is uint8, 2 x 27 x 28; accepted: uint8, n x 28 x 28"),
    "too large": (IMAGES, idx(2, 1, 513), "accepted: uint8, n x height x width, at most 512 pixels"),
    "truncated array": (IMAGES, idx(2, 28, 28)[:-1], "is 1583 bytes long; accepted: 1584, as its header says: 2 x 28 x 28"),
    "a byte too many": (LABELS, idx(2) + b"\0", "is 11 bytes long; accepted: 10, as its header says: 2"),
    "sizes beyond any file": (IMAGES, idx(*[2**32 - 1] * 3, data=b""), "is 16 bytes long; accepted: "),
    "no image": (IMAGES, idx(0, 28, 28), "has 2 labels; accepted: 0, the images in"),
    "no label": (LABELS, idx(0), "is uint8, 0; accepted: whole numbers"),
    "different counts": (LABELS, idx(3), "has 3 labels; accepted: 2, the images in"),
    "label 10": (LABELS, idx(2, data=b"\3\12"), "label 10 at position 1; accepted: 0 to 9"),
}  # fmt: skip


@pytest.fixture
def pair(tmp_path):
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(2, 28, 28))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(2, data=b"\0\11"))
    return tmp_path


@pytest.mark.parametrize("name, content, words", FAULTS.values(), ids=FAULTS)
def test_a_damaged_idx_file_is_named_in_one_line(pair, name, content, words):
    read_all(pair)  # accepted before
    (pair / name).write_bytes(content)
    with pytest.raises(InvalidData) as caught:
        read_all(pair)
    assert words in str(caught.value) and str(pair / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_idx_file_is_named(pair):
    (pair / LABELS).unlink()
    with pytest.raises(InvalidData, match=f"{LABELS}: cannot be read: No such file"):
        read_all(pair)


@given(content=st.binary(max_size=40) | st.binary(max_size=40).map(lambda end: bytes([0, 0, 8, 1]) + end))
def test_any_bytes_are_an_array_or_rejected(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    try:
        array = read_idx(path, 1)
    except InvalidData:
        return
    assert idx(len(array), data=array.tobytes()) == content


# The arrays on disk


def test_load_dataset_gives_the_arrays_that_were_written(dataset, tmp_path):
    write_arrays(tmp_path / "arrays", dataset)
    loaded = load_dataset(tmp_path / "arrays")
    assert isinstance(loaded, Dataset) and loaded.classes == 10
    assert (loaded.title, loaded.class_names) == (dataset.title, dataset.class_names)
    for name, written in dataset.splits.items():
        read = loaded.splits[name]
        np.testing.assert_array_equal(read.images, written.images)
        np.testing.assert_array_equal(read.labels, written.labels)


ARRAY_FAULTS = {
    "missing": ("test_labels", lambda path: path.unlink(), "cannot be read: No such file"),
    "empty": ("test_labels", lambda path: path.write_bytes(b""), "is truncated or not a .npy file"),
    "truncated": ("train_images", lambda path: path.write_bytes(path.read_bytes()[:-1]), "is truncated or not"),
    "an archive of arrays": ("train_images", lambda path: path.write_bytes(b"PK\3\4 and so on"), "is truncated or not a .npy file"),
    "a pickle": ("train_images", lambda path: np.save(path, np.array([{}])), "is truncated or not a .npy file"),
    "other numbers": (
        "validation_images",
        lambda path: np.save(path, np.load(path).astype(np.float32)),
        "is float32, 200 x 28 x 28; accepted: uint8, n x 28 x 28",
    ),
    "flat": ("test_images", lambda path: np.save(path, np.load(path).reshape(-1, 784)), "uint8, 200 x 784"),
    "fewer": ("test_labels", lambda path: np.save(path, np.load(path)[1:]), "has 199 labels; accepted: 200"),
    "label 10": ("test_labels", lambda path: np.save(path, np.load(path) + np.uint8(1)), "accepted: 0 to 9"),
}  # fmt: skip


@pytest.mark.parametrize("name, damage, words", ARRAY_FAULTS.values(), ids=ARRAY_FAULTS)
def test_a_damaged_array_is_named_with_the_command_that_repairs_it(dataset, tmp_path, name, damage, words):
    folder = tmp_path / "arrays"
    write_arrays(folder, dataset)
    damage(folder / f"{name}.npy")
    with pytest.raises(InvalidData) as caught:
        load_dataset(folder)
    assert str(folder / f"{name}.npy") in str(caught.value) and words in str(caught.value)
    assert str(caught.value).endswith("; `dvc repro preprocess` makes it again")
    assert "\n" not in str(caught.value)


# The split

any_labels = st.lists(st.integers(0, 9), min_size=2, max_size=300).map(np.uint8)


@given(labels=any_labels, seed=st.integers(0, 2**32 - 1), data=st.data())
def test_split_rows_are_disjoint_sorted_and_as_many_as_requested(labels, seed, data):
    training = data.draw(st.integers(1, len(labels) - 1))
    validation = data.draw(st.integers(1, len(labels) - training))
    rows = split_rows(labels, training, validation, seed)
    assert [len(part) for part in rows] == [training, validation]
    assert all(part.dtype == np.int32 and (np.diff(part) > 0).all() for part in rows)
    both = np.concatenate(rows)
    assert len(np.unique(both)) == training + validation and 0 <= both.min() and both.max() < len(labels)


@given(labels=any_labels, data=st.data())
def test_split_rows_keep_the_share_of_each_class_to_within_two_images(labels, data):
    training = data.draw(st.integers(1, len(labels) - 1))
    validation = data.draw(st.integers(1, len(labels) - training))
    shares = np.bincount(labels, minlength=10) / len(labels)
    for part, size in zip(split_rows(labels, training, validation, 0), (training, validation), strict=True):
        assert np.abs(np.bincount(labels[part], minlength=10) - shares * size).max() < 2


def test_split_rows_keep_shares_exactly_where_they_are_whole_numbers():
    labels = np.repeat(np.arange(10, dtype=np.uint8), [10, 20, 30, 40, 50, 60, 70, 80, 90, 100])
    for part, tenths in zip(split_rows(labels, 385, 110, seed=3), (7, 2), strict=True):
        assert np.bincount(labels[part]).tolist() == [tenths * share for share in range(1, 11)]


def test_class_counts_give_a_tie_to_the_lower_class():
    assert class_counts(np.array([3, 3, 3, 3]), 6).tolist() == [2, 2, 1, 1]


def test_split_rows_depend_on_the_seed_alone():
    labels = np.arange(1000, dtype=np.uint8) % 10
    np.random.seed(99)
    first = split_rows(labels, 700, 200, seed=1)
    np.random.seed(7)
    again = split_rows(labels, 700, 200, seed=1)
    other = split_rows(labels, 700, 200, seed=2)
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, different)


def test_split_rows_of_a_seed_are_those_of_earlier_results():
    """Recorded with NumPy 2.4: a change here changes every result."""
    labels = np.arange(40, dtype=np.uint8) % 10
    assert split_rows(labels, 20, 10, seed=0)[1].tolist() == [1, 5, 7, 13, 14, 16, 20, 28, 29, 32]


def test_split_rows_reject_more_images_than_there_are():
    with pytest.raises(UsageError, match="11 is not accepted; accepted: at most 10"):
        split_rows(np.arange(10, dtype=np.uint8), 9, 2, seed=0)


# preprocess


@pytest.fixture(scope="module")
def arrays(idx_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("arrays")
    preprocess(BARS, idx_folder, folder / "arrays", TRAINING, VALIDATION, seed=0)
    return folder / "arrays"


def test_preprocess_writes_the_rows_that_validation_rows_names(arrays, idx_folder):
    whole = read_all(idx_folder)[0]
    loaded = load_dataset(arrays)
    rows = np.load(arrays / "validation_rows.npy")
    assert rows.dtype == np.int32 and (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(loaded.validation.images, whole.images[rows])
    np.testing.assert_array_equal(loaded.validation.labels, whole.labels[rows])
    np.testing.assert_array_equal(loaded.train.images, np.delete(whole.images, rows, axis=0))
    np.testing.assert_array_equal(loaded.train.labels, np.delete(whole.labels, rows))


def test_preprocess_leaves_the_test_images_in_order(arrays, dataset):
    np.testing.assert_array_equal(load_dataset(arrays).test.images, dataset.test.images)
    np.testing.assert_array_equal(load_dataset(arrays).test.labels, dataset.test.labels)


def test_the_summary_has_the_sizes_of_the_arrays(arrays):
    summary = json.loads((arrays / "summary.json").read_text())
    sizes = summary["height"], summary["width"], summary["classes"], summary["unused_images"]
    assert sizes == (28, 28, 10, 0)
    for name, split in load_dataset(arrays).splits.items():
        assert summary[name] == {"images": len(split.images)}


def test_preprocess_counts_unused_images(idx_folder, tmp_path):
    folder = tmp_path / "arrays"
    assert preprocess(BARS, idx_folder, folder, 500, 100, seed=0)["unused_images"] == 200
    assert [len(split.labels) for split in load_dataset(folder).splits.values()] == [500, 100, 200]


def test_preprocess_again_writes_the_same_bytes(arrays, idx_folder, tmp_path):
    folder = tmp_path / "arrays"
    preprocess(BARS, idx_folder, folder, TRAINING, VALIDATION, seed=0)
    assert checksums(folder) == checksums(arrays) and len(checksums(arrays)) == 8
