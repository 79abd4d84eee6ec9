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


def test_the_stage_prints_what_it_wrote(project, capsys):
    main()
    assert capsys.readouterr().out == "data/arrays: 600 train, 200 validation, 200 test images; 0 unused\n"
    splits = [
        f"{split}_{part}.npy" for split in ("test", "train", "validation") for part in ("images", "labels")
    ]
    assert sorted(os.listdir("data/arrays")) == ["summary.json", *splits, "validation_rows.npy"]


def test_too_many_images_in_params_yaml_exit_with_2(project, idx_folder, capsys):
    write_params(project, idx_folder, preprocess={"training_images": 601})
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2 and not (project / "data/arrays").exists()
    assert capsys.readouterr().err == (
        "params.yaml: preprocess.training_images + preprocess.validation_images: 801 is not accepted; "
        "accepted: at most 800, the images that are not test images\n"
    )


FAULTS = {  # each kind of damage is in tests/unit/descent/test_data.py
    "empty file": ("train-images-idx3-ubyte", lambda path: os.truncate(path, 0), "is 0 bytes"),
    "missing file": ("train-images-idx3-ubyte", lambda path: path.unlink(), "cannot be read: No such file"),
}


@pytest.mark.parametrize("name, damage, words", FAULTS.values(), ids=FAULTS)
def test_a_damaged_file_is_one_line_and_nothing_is_written(project, capsys, name, damage, words):
    damage(project / "data/raw" / name)
    line = exit_code(capsys)
    assert line.startswith(f"data/raw/{name}: ") and words in line and "\n" not in line
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
