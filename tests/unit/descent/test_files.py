"""Files are complete or absent."""

import json
import math
import os
import threading
import time

import numpy as np
import pandas as pd
import pytest

from descent.errors import in_one_line
from descent.files import finite, replacing, sha256, write_array, write_json, write_table


def test_replacing_creates_the_file_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "folder" / "table.csv"
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent and temporary.suffix == ".csv"
        temporary.write_text("complete")
    assert path.read_text() == "complete"
    assert os.listdir(path.parent) == ["table.csv"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_replacing_after_an_error_keeps_the_old_file_alone(tmp_path, error):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("new")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_replacing_overwrites_what_a_killed_process_left(tmp_path):
    path = tmp_path / "table.csv"
    with replacing(path) as temporary:
        left = temporary
    left.write_text("a longer text of a killed process")
    with replacing(path) as temporary:
        assert temporary == left and temporary.read_bytes() == b""
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_replacing_the_same_file_from_many_threads_lets_one_write_at_a_time(tmp_path):
    path, writing, most = tmp_path / "shared", [], []

    def write(number):
        with replacing(path) as temporary:
            writing.append(number)
            most.append(len(writing))
            temporary.write_text(str(number) * 1000)
            time.sleep(0.01)
            writing.remove(number)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert most == [1] * 8
    assert path.read_text() in {str(number) * 1000 for number in range(8)}
    assert os.listdir(tmp_path) == ["shared"]


def test_replacing_gives_a_new_file_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    with replacing(tmp_path / "new"):
        pass
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_write_json_is_indented_and_keeps_the_order(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, None], "a": "ä"})
    expected = '{\n  "b": [\n    1,\n    null\n  ],\n  "a": "ä"\n}\n'
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_write_json_rejects_a_number_that_is_not_finite_and_keeps_the_old_file(tmp_path, number):
    write_json(tmp_path / "a.json", {"loss": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": number})
    assert json.loads((tmp_path / "a.json").read_text()) == {"loss": 1}


def test_write_table_keeps_every_float32_and_leaves_non_finite_numbers_empty(tmp_path):
    numbers = np.float32([1 / 3, 0.1, 1e-30, math.nan, math.inf])
    write_table(tmp_path / "a.csv", pd.DataFrame({"seed": range(5), "loss": numbers.astype(float)}))
    assert (tmp_path / "a.csv").read_text().splitlines()[0] == "seed,loss"
    assert (tmp_path / "a.csv").read_text().endswith("\n3,\n4,\n")
    np.testing.assert_array_equal(pd.read_csv(tmp_path / "a.csv").loss.astype(np.float32)[:3], numbers[:3])


def test_finite_keeps_every_float32_and_gives_none_for_others():
    drawn = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    assert all(np.float32(finite(float(number))) == number for number in drawn)
    assert [finite(number) for number in (3, math.nan, math.inf)] == [3, None, None]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.uint8).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(12, dtype=np.int32)[::2],
        np.zeros((0, 28, 28), np.uint8),
        np.float32(3),
    ],
    ids=["C order", "Fortran order", "every second", "empty", "a single number"],
)
def test_write_array_writes_the_bytes_of_numpy_save(tmp_path, array):
    write_array(tmp_path / "ours.npy", array)
    np.save(tmp_path / "numpy.npy", np.asarray(array, order="C"))
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


def test_sha256_of_the_standard_example(tmp_path):
    (tmp_path / "abc").write_text("abc")  # FIPS 180-2, appendix B.1
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_error_of_the_file_system_is_one_line_with_the_file_and_not_the_temporary_one(tmp_path):
    with pytest.raises(SystemExit) as caught, in_one_line(), replacing(tmp_path / "file"):
        raise OSError(28, "No space left on device")
    assert caught.value.code == f"{tmp_path / 'file'}: No space left on device"
    with pytest.raises(SystemExit, match="neither number nor file"), in_one_line():
        raise OSError("neither number nor file")
