"""TensorFlow's start-up notes kept off the terminal, and nothing else."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

NOTES = (
    b"All log messages before absl::InitializeLog()",
    b"cudart_stub.cc",  # no graphics card is looked for
    b"cuda_platform.cc",
)
"""What TensorFlow 2.21 writes when it starts on a processor, whatever TF_CPP_MIN_LOG_LEVEL says."""


@contextmanager
def without_notes() -> Iterator[None]:
    """Hold back what the block writes to stderr, from C++ too, and pass on all lines but NOTES.

    An exception in the block comes after what was written before it.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            lines = [line for line in held if not any(note in line for note in NOTES)]
            os.write(2, b"".join(lines))
