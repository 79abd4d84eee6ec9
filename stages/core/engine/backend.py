"""TensorFlow and Keras, set up as every run here needs them: quiet, on the processor, one thread per run.

Import `tf` and `keras` from here, so that this happens before the first operation wherever that is.
"""

import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager

from stages.core.collection import uncollected
from stages.core.engine.quiet import without_notes
from stages.core.process import processors

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # a graphics card would give other last bits
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # it chooses its sums by the kind of processor, and says so
os.environ["TF_OVERRIDE_GLOBAL_THREADPOOL"] = "1"  # each device has its own threads, not all the same
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # warnings and errors stay

with without_notes(), uncollected():
    import keras
    import tensorflow as tf

_free: queue.LifoQueue = queue.LifoQueue()  # the last used first: what it needs is compiled already


@contextmanager
def own_device() -> Iterator[None]:
    """What the block computes, it computes on a device that no other run uses; with none free, it waits.

    There are as many as this process may use processors. XLA hands a program over to the threads of
    its device; on one device, runs side by side would wait for each other's only thread.
    """
    name = _free.get()
    try:
        with tf.device(name):
            yield
    finally:
        _free.put(name)


def _one_thread_per_device() -> None:
    """XLA splits a matrix product over the intra-op threads, and its last bits change with their number.

    With one thread a run's bits do not depend on the machine's cores or on what runs beside it.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"keras runs on {keras.backend.backend()!r}, loaded earlier; accepted: 'tensorflow'"
        )
    processor = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.set_logical_device_configuration(
            processor, [tf.config.LogicalDeviceConfiguration() for _ in range(processors())]
        )
    except RuntimeError:
        threads = tf.config.threading.get_intra_op_parallelism_threads()
        raise RuntimeError(
            f"TensorFlow was started with {threads or 'all'} intra-op threads; accepted: 1, "
            "so import stages.core.engine.backend before the first operation"
        ) from None
    for device in reversed(tf.config.list_logical_devices("CPU")):  # the first operation, in effect
        _free.put(device.name)


with without_notes():  # what TensorFlow has to say as it starts is said now
    _one_thread_per_device()
