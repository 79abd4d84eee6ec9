"""Files are whole or not there."""

import json
import os
import threading
import time

import numpy as np
import pytest

from stages.core.files import error_line, replacing, sha256, write_array, write_json


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "made" / "too" / "table.csv"
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent and temporary.suffix == ".csv"
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["table.csv"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_after_an_error_the_old_file_stands_and_nothing_lies_beside_it(tmp_path, fault):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(fault), replacing(path) as temporary:
        temporary.write_text("new")
        raise fault
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_what_a_killed_process_left_is_overwritten(tmp_path):
    path = tmp_path / "table.csv"
    with replacing(path) as temporary:
        left = temporary
    left.write_text("a longer text, left by a killed process")
    with replacing(path) as temporary:
        assert temporary == left and temporary.read_bytes() == b""
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_writers_of_the_same_file_take_turns(tmp_path):
    path, inside, most = tmp_path / "shared", [], []

    def write(number):
        with replacing(path) as temporary:
            inside.append(number)
            most.append(len(inside))
            temporary.write_text(str(number) * 1000)
            time.sleep(0.01)
            inside.remove(number)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert most == [1] * 8
    assert path.read_text() in {str(number) * 1000 for number in range(8)}
    assert os.listdir(tmp_path) == ["shared"]


def test_a_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    with replacing(tmp_path / "new"):
        pass
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_json_is_strict_indented_and_keeps_its_order(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, None], "a": "ä"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == (
        '{\n  "b": [\n    1,\n    null\n  ],\n  "a": "ä"\n}\n'
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_json_refuses_what_is_no_number_and_leaves_the_old_file(tmp_path, number):
    write_json(tmp_path / "a.json", {"loss": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": number})
    assert json.loads((tmp_path / "a.json").read_text()) == {"loss": 1}


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.uint8).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(12, dtype=np.int32)[::2],
        np.zeros((0, 28, 28), np.uint8),
        np.float32(3),
    ],
    ids=["plain", "Fortran order", "every second", "empty", "a single number"],
)
def test_an_array_is_read_back_by_numpy_as_it_was(tmp_path, array):
    write_array(tmp_path / "a.npy", array)
    found = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert found.dtype == array.dtype and found.shape == array.shape
    np.testing.assert_array_equal(found, array)


def test_an_array_is_written_as_numpy_itself_writes_it(tmp_path):
    array = np.random.default_rng(0).random((7, 5)).astype(np.float32)
    write_array(tmp_path / "ours.npy", array)
    np.save(tmp_path / "numpys.npy", array)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpys.npy").read_bytes()


def test_an_array_that_needs_pickle_is_refused(tmp_path):
    with pytest.raises(ValueError, match="needs pickle"):
        write_array(tmp_path / "a.npy", np.array([{}]))
    assert os.listdir(tmp_path) == []


def test_sha256_is_that_of_the_standard_example(tmp_path):
    (tmp_path / "abc").write_text("abc")  # FIPS 180-2, appendix B.1
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_error_of_the_file_system_is_told_in_one_line_with_the_file(tmp_path):
    with pytest.raises(OSError) as caught, replacing(tmp_path / "file"):
        raise OSError(28, "No space left on device")
    assert error_line(caught.value) == f"{tmp_path / 'file'}: No space left on device"
    assert error_line(OSError("no number, no file")) == "no number, no file"
