"""The first thing that every command and stage does: decide what is inherited from the environment.

Nothing large is imported here, so that the first moments of a process are covered as well.
"""

import codecs
import getpass
import io
import os
import signal
import sys
from contextlib import suppress
from typing import Any, BinaryIO, TextIO, cast

SIMILAR = str.maketrans({"±": "+-", "×": "x", "·": ".", "–": "-", "−": "-", "→": "->", "…": "...", "✕": "x"})
SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")

OTHER_PYTHON = ("PYTHONSAFEPATH", "PYTHONINSPECT", "PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONDEVMODE")
"""Python reads them when it starts: a stage starts again without them.

The first keeps it from importing what is in its working directory: in the temporary folder of a DVC
experiment, or in a second clone, that is the code whose results are recorded. With the second it waits for
input after an error; libraries fail with the others.
"""
OTHER_REPOSITORY = tuple(
    f"GIT_{name}" for name in "DIR WORK_TREE INDEX_FILE COMMON_DIR OBJECT_DIRECTORY NAMESPACE".split()
)
"""Set in git's hooks: they would have git read another repository than that of the working directory."""
OTHER_BITS = (
    "TF_",
    "XLA_",
    "KERAS_",
    "DNNL_",  # oneDNN multiplies XLA's matrices
    "ONEDNN_",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "OPENBLAS_CORETYPE",
)
"""Beginnings of the names of variables with which TensorFlow and NumPy compute otherwise or not at all.

descent/engine/backend.py removes those of TensorFlow as well, for the workers of a cluster.
"""

OTHER_KERNELS = (
    "IPYTHONDIR",
    *(f"JUPYTER_{one}" for one in ("PATH", "DATA_DIR", "CONFIG_DIR", "CONFIG_PATH")),
)
"""The notebook runs in the stage's own Python, whatever is installed elsewhere."""


def prepare(stage: bool = False) -> None:
    """Prepare this process.

    - Variables that lead to another repository, other bits or another kernel are removed.
    - Ctrl-C ends it in one line, also while libraries are still being imported; a SIGINT that was
      ignored, as in a shell's background job, stays ignored.
    - Text that a terminal or log cannot show, such as ± in ASCII, is written in similar characters.
    - A standard stream that is closed becomes the null device; one that cannot be written ends the process.
    - A stage ends with the dvc that started it.
    """
    if sys.argv[:1] == ["-m"] and any([os.environ.pop(name, None) for name in OTHER_PYTHON]):
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    for name in list(os.environ):
        if name in OTHER_REPOSITORY + OTHER_KERNELS or (
            name.startswith(OTHER_BITS) and not name.startswith("TF_CPP_")  # how much it logs
        ):
            del os.environ[name]
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    try:
        getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in containers: DVC fails for want of it
        os.environ["LOGNAME"] = str(os.getuid())
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupted)
    codecs.register_error("similar", _similar)
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:  # else a data file would get what is printed
        os.set_inheritable(opened, True)
    os.close(opened)
    for number, name in enumerate(("stdout", "stderr"), start=1):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__"):  # else it was replaced, by a test say
            setattr(sys, name, _standard_stream(number, stream))
    if stage:
        from descent.process import end_with_parent

        end_with_parent()


class _Output(io.FileIO):
    """Standard output or error, which ends the process where it cannot be written.

    Programs in C end so when the reader has gone, as `head` does. An exception would be printed as a
    traceback, or taken for one of the file that is being written.
    """

    def write(self, data: Any) -> int:
        """Write, or end the process: in silence without a reader, else in a line on stderr."""
        try:
            return super().write(data)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                os._exit(128 + signal.SIGPIPE)
            with suppress(OSError):
                os.write(2, f"standard output: {error.strerror}\n".encode())
            os._exit(1)


def _standard_stream(number: int, before: TextIO | None) -> TextIO:
    """Return the text stream of a descriptor, with the settings of the one that Python opened."""
    raw = _Output(number, "w", closefd=False)
    unbuffered = not isinstance(before, io.TextIOWrapper) or before.write_through  # None: it was closed
    return io.TextIOWrapper(
        cast(BinaryIO, raw) if unbuffered else io.BufferedWriter(raw),
        before.encoding if before else "utf-8",
        "similar",
        line_buffering=bool(before and before.line_buffering),
        write_through=unbuffered,
    )


def _interrupted(number: int, frame) -> None:
    """End at once: an exception would surface as a traceback of whatever is being imported."""
    os.write(2, b"interrupted\n")
    os._exit(128 + number)


def _similar(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding lacks: ± by +-, 10⁻⁷ by 10^-7, é by e, all else by a question mark."""
    import unicodedata

    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    digits = text.translate(SUPERSCRIPTS)
    text = f"^{digits}" if digits.isascii() else text.translate(SIMILAR)
    plain = unicodedata.normalize("NFKD", text).encode(error.encoding, "ignore").decode(error.encoding)
    return plain or "?", error.end
