"""From the IDX files to arrays: the split, the summary, and the faults of the files."""

import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_disk import enlarge, small_disk
from small_params import checksums, write_params

from stages.core.data.mnist import load_arrays, read_split
from stages.preprocess import TooFewImages, main, preprocess, split_rows

TRAINING, VALIDATION = 600, 200


@pytest.fixture(scope="module")
def arrays(idx_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("arrays")
    preprocess(idx_folder, folder, TRAINING, VALIDATION, seed=0)
    return folder


@pytest.fixture
def project(tmp_path, idx_folder, monkeypatch):
    """A working directory with a params.yaml for the digits, and these in data/raw/."""
    write_params(tmp_path, idx_folder, TRAINING, VALIDATION)
    shutil.copytree(idx_folder, tmp_path / "data/raw")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# The split

labels_of_any_kind = st.lists(st.integers(0, 9), min_size=2, max_size=300).map(np.uint8)


@settings(deadline=None)
@given(labels=labels_of_any_kind, seed=st.integers(0, 2**32 - 1), data=st.data())
def test_a_split_is_disjoint_sorted_and_of_the_asked_sizes(labels, seed, data):
    training = data.draw(st.integers(1, len(labels) - 1))
    validation = data.draw(st.integers(1, len(labels) - training))
    rows = split_rows(labels, training, validation, seed)
    assert [len(part) for part in rows] == [training, validation]
    assert all(part.dtype == np.int32 and (np.diff(part) > 0).all() for part in rows)
    both = np.concatenate(rows)
    assert len(np.unique(both)) == training + validation and 0 <= both.min() and both.max() < len(labels)


@settings(deadline=None)
@given(labels=labels_of_any_kind, data=st.data())
def test_each_class_has_its_share_to_within_two_images(labels, data):
    training = data.draw(st.integers(1, len(labels) - 1))
    validation = data.draw(st.integers(1, len(labels) - training))
    whole = np.bincount(labels, minlength=10) / len(labels)
    for part, size in zip(split_rows(labels, training, validation, 0), (training, validation), strict=True):
        assert np.abs(np.bincount(labels[part], minlength=10) - whole * size).max() < 2


def test_where_the_shares_are_whole_they_are_met_exactly():
    labels = np.repeat(np.arange(10, dtype=np.uint8), [10, 20, 30, 40, 50, 60, 70, 80, 90, 100])
    for part, tenths in zip(split_rows(labels, 385, 110, seed=3), (7, 2), strict=True):
        assert np.bincount(labels[part]).tolist() == [tenths * digit for digit in range(1, 11)]


def test_the_seed_decides_the_split_and_nothing_else_does():
    labels = np.arange(1000, dtype=np.uint8) % 10
    np.random.seed(99)
    first = split_rows(labels, 700, 200, seed=1)
    np.random.seed(7)
    again = split_rows(labels, 700, 200, seed=1)
    other = split_rows(labels, 700, 200, seed=2)
    for one, same, differs in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, differs)


def test_the_split_of_a_seed_stays_what_it_was():
    """Written down in November 2026, with NumPy 2.4: a change here changes every result."""
    labels = np.arange(40, dtype=np.uint8) % 10
    assert split_rows(labels, 20, 10, seed=0)[1].tolist() == [1, 5, 7, 13, 14, 16, 20, 28, 29, 32]


def test_more_images_than_there_are_is_refused():
    with pytest.raises(TooFewImages, match="11 is not accepted; accepted: at most 10"):
        split_rows(np.arange(10, dtype=np.uint8), 9, 2, seed=0)


# What is written


def test_the_arrays_are_rows_of_the_files_told_by_validation_rows(arrays, idx_folder):
    whole = read_split(idx_folder / "train-images-idx3-ubyte", idx_folder / "train-labels-idx1-ubyte")
    found = load_arrays(arrays)
    rows = np.load(arrays / "validation_rows.npy")
    assert rows.dtype == np.int32 and (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(found.validation.images, whole.images[rows])
    np.testing.assert_array_equal(found.validation.labels, whole.labels[rows])
    np.testing.assert_array_equal(found.train.images, np.delete(whole.images, rows, axis=0))
    np.testing.assert_array_equal(found.train.labels, np.delete(whole.labels, rows))


def test_the_test_split_is_the_test_file_as_it_stands(arrays, digits):
    np.testing.assert_array_equal(load_arrays(arrays).test.images, digits.test.images)
    np.testing.assert_array_equal(load_arrays(arrays).test.labels, digits.test.labels)


def test_the_summary_agrees_with_numpy(arrays):
    summary = json.loads((arrays / "summary.json").read_text())
    assert (summary["height"], summary["width"], summary["classes"], summary["unused_images"]) == (
        28,
        28,
        10,
        0,
    )
    for name, split in load_arrays(arrays)._asdict().items():
        pixels = split.images.astype(np.float64) / 255
        assert summary[name]["images"] == len(split.images)
        assert summary[name]["images_per_class"] == [
            int((split.labels == digit).sum()) for digit in range(10)
        ]
        assert summary[name]["pixel_mean"] == pytest.approx(pixels.mean(), rel=1e-12)
        assert summary[name]["pixel_std"] == pytest.approx(pixels.std(), rel=1e-12)


def test_images_in_no_split_are_counted(idx_folder, tmp_path):
    assert preprocess(idx_folder, tmp_path, 500, 100, seed=0)["unused_images"] == 200
    assert [len(split.labels) for split in load_arrays(tmp_path)] == [500, 100, 200]


def test_a_second_run_writes_the_same_bytes(arrays, idx_folder, tmp_path):
    preprocess(idx_folder, tmp_path, TRAINING, VALIDATION, seed=0)
    assert checksums(tmp_path) == checksums(arrays) and len(checksums(arrays)) == 8


# The command as a whole


def test_the_command_says_what_it_made(project, capsys):
    main()
    assert capsys.readouterr().out == "data/arrays: 600 train, 200 validation, 200 test images; 0 unused\n"
    assert sorted(os.listdir("data/arrays")) == [
        "summary.json",
        "test_images.npy",
        "test_labels.npy",
        "train_images.npy",
        "train_labels.npy",
        "validation_images.npy",
        "validation_labels.npy",
        "validation_rows.npy",
    ]


def fails(capsys):
    with pytest.raises(SystemExit) as caught:
        main()
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    return caught.value.code, said.err


def test_a_params_yaml_that_asks_for_too_many_images_is_bad_input(project, idx_folder, capsys):
    write_params(project, idx_folder, training=601, validation=200)
    code, line = fails(capsys)
    assert code == 2 and not (project / "data/arrays").exists()
    assert line == (
        "params.yaml: preprocess.training_images + preprocess.validation_images: 801 is not accepted; "
        "accepted: at most 800, as many as the training file has\n"
    )


def harm(path, offset, value):
    content = bytearray(path.read_bytes())
    content[offset] = value
    path.write_bytes(content)


FAULTS = {
    "wrong magic": (
        "t10k-images-idx3-ubyte",
        lambda path: harm(path, 2, 9),
        "the magic number is 0x00000903",
    ),
    "wrong dimensions": (
        "t10k-images-idx3-ubyte",
        lambda path: path.write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 14, 0, 0, 0, 56]) + bytes(784)),
        "is uint8, 1 x 14 x 56; accepted: uint8, n x 28 x 28",
    ),
    "label 10": ("train-labels-idx1-ubyte", lambda path: harm(path, 8, 10), "label 10 at position 0"),
    "different counts": (
        "train-labels-idx1-ubyte",
        lambda path: shutil.copy(path.with_name("t10k-labels-idx1-ubyte"), path),
        "has 200 labels for 800 images",
    ),
    "truncated array": (
        "train-images-idx3-ubyte",
        lambda path: os.truncate(path, 1000),
        "is 1000 bytes long; its",
    ),
    "empty file": ("train-images-idx3-ubyte", lambda path: os.truncate(path, 0), "is empty"),
    "missing file": ("train-images-idx3-ubyte", lambda path: path.unlink(), "cannot be read: No such file"),
}


@pytest.mark.parametrize("name, damage, words", FAULTS.values(), ids=FAULTS)
def test_a_fault_in_a_file_is_one_line_and_nothing_is_written(project, capsys, name, damage, words):
    damage(project / "data/raw" / name)
    code, line = fails(capsys)
    assert code == 1 and line.startswith(f"data/raw/{name}: ") and words in line
    assert line.endswith("; `dvc repro download` replaces what has another checksum than params.yaml\n")
    assert not (project / "data/arrays").exists()


def test_a_full_disk_is_told_and_leaves_whole_files_only(project, arrays, capsys):
    with small_disk(project / "data/arrays", kilobytes=300) as full:  # the training images are 470,528 bytes
        code, line = fails(capsys)
        assert (code, line) == (1, "data/arrays/train_images.npy: No space left on device\n")
        assert checksums(full).items() <= checksums(arrays).items()
        enlarge(full)
        main()
        assert checksums(full) == checksums(arrays)
