"""Time is told apart from results: seconds add up, and reach the picture of the pace alone."""

import pytest

from stages.core.report import pace

TIMING = {"processor": "A 1", "seeds": [{"seed": 3, "compile_seconds": 9.0, "epoch_seconds": [0.5, 0.25]}]}


def test_seconds_are_counted_from_the_first_step_compilation_left_out():
    table = pace.seconds_table({"a": TIMING})
    assert table.seconds.tolist() == pytest.approx([0, 0.5, 0.75])
    assert table.epoch.tolist() == [0, 1, 2] and set(table.seed) == {3} and set(table.model) == {"a"}
