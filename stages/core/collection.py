"""Python's search for cyclic garbage, kept from large imports."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage while the block imports, nor later among what it left.

    An import makes no garbage, yet some hundred thousand objects, and each search goes through all of
    them: half a second for TensorFlow, a third for MLflow, and again while a training logs.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
