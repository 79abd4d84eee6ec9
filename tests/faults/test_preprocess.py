"""The stage `preprocess`: each fault of a file is one line, and nothing incomplete is written."""

import os
import shutil

import pytest

from descent.data import RawDataset, preprocess, write_description
from stages.preprocess import main
from tests.support.small_disk import enlarge, small_disk
from tests.support.small_params import checksums, write_params

BARS = RawDataset("bars", "Bars", "idx", class_names=tuple("0123456789"))


@pytest.fixture
def project(tmp_path, idx_folder, monkeypatch):
    """A working directory with a params.yaml for the small dataset, and its files in data/raw/."""
    write_params(tmp_path, idx_folder)
    shutil.copytree(idx_folder, tmp_path / "data/raw")
    write_description(BARS, tmp_path / "data/raw")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def exit_code(capsys):
    """Return what the stage gives to sys.exit."""
    with pytest.raises(SystemExit) as caught:
        main()
    assert capsys.readouterr().out == ""
    return caught.value.code


def test_a_damaged_file_is_one_line_and_nothing_is_written(project, capsys):
    """Each kind of damage is in tests/unit/descent/test_data.py."""
    os.truncate("data/raw/train-images-idx3-ubyte", 0)
    line = exit_code(capsys)
    assert line.startswith("data/raw/train-images-idx3-ubyte: is 0 bytes") and "\n" not in line
    assert not (project / "data/arrays").exists()


def test_a_full_disk_is_reported_and_leaves_complete_files_only(project, idx_folder, tmp_path, capsys):
    preprocess(BARS, idx_folder, tmp_path / "expected", 600, 200, seed=0)
    expected = checksums(tmp_path / "expected")
    with small_disk(project / "data/arrays", kilobytes=300) as full:  # the training images are 470,528 bytes
        assert exit_code(capsys) == "data/arrays/train_images.npy: No space left on device"
        assert checksums(full).items() <= expected.items()
        enlarge(full)
        main()
        assert checksums(full) == expected
