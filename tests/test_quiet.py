"""TensorFlow's start-up notes are kept off the terminal, everything else gets there."""

import os
import subprocess
import sys

import pytest

from stages.core.engine.quiet import NOTES, without_notes


def test_starting_tensorflow_prints_nothing():
    program = "from stages.core.engine.backend import tf; print(int(tf.constant(1) + 1))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_a_note_is_dropped_and_another_line_passes(capfd):
    with without_notes():
        os.write(2, b"W0000 " + NOTES[0] + b"\na warning that matters\n")
    assert capfd.readouterr().err == "a warning that matters\n"


def test_what_was_written_before_an_exception_is_not_lost(capfd):
    with pytest.raises(ImportError), without_notes():
        os.write(2, b"the reason\n")
        raise ImportError
    assert capfd.readouterr().err == "the reason\n"
