"""TensorFlow and Keras, configured for reproducible runs: on the processor, one thread per run.

Import `tf` and `keras` from here, so that the configuration precedes the first operation.
"""

import functools
import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dask.system import CPU_COUNT

ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "CUDA_VISIBLE_DEVICES": "-1",  # a graphics card gives other last bits
    "TF_ENABLE_ONEDNN_OPTS": "0",  # oneDNN picks its order of summation by the kind of processor
    "TF_OVERRIDE_GLOBAL_THREADPOOL": "1",  # each device gets threads of its own
}
for _name in list(os.environ):
    # Any of these may change last bits, and TensorFlow aborts without a word on a flag that it does not know.
    if _name.startswith(("TF_", "XLA_", "KERAS_", "DNNL_", "ONEDNN_")) and not _name.startswith("TF_CPP_"):
        del os.environ[_name]
os.environ |= ENVIRONMENT
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # warnings and errors are still shown

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

_free_devices: queue.LifoQueue = queue.LifoQueue()  # last in, first out: it has compiled programs already
_thread = threading.local()


@contextmanager
def exclusive_device() -> Iterator[None]:
    """Compute the block on a device that no other run uses; wait until one is free.

    There is one device per processor. XLA hands a program to the threads of its device, so that runs
    side by side on one device would wait for each other.
    """
    name = _free_devices.get()
    try:
        with tf.device(name):
            _thread.device = name
            yield
    finally:
        del _thread.device
        _free_devices.put(name)


def compiled(function: Callable) -> Callable:
    """Compile a function with XLA, for each device by itself.

    TensorFlow counts another device as another kind of argument, and would warn of frequent retracing on
    a machine with many processors.
    """
    programs: dict[str, Callable] = {}

    @functools.wraps(function)
    def call(*arguments):
        device = getattr(_thread, "device", "")
        if device not in programs:
            own = functools.partial(function)  # TensorFlow counts the traces of one Python function together
            programs[device] = tf.function(own, jit_compile=True, autograph=False)
        return programs[device](*arguments)

    vars(call)["programs"] = programs
    return call


def _configure() -> None:
    """Set one thread per device.

    XLA splits a matrix product over the intra-op threads, and the last bits of the result change with
    their number. With one thread they depend neither on the number of cores nor on other runs.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(f"keras uses the backend {keras.backend.backend()!r}; accepted: 'tensorflow'")
    keras.config.set_floatx("float32")  # ~/.keras/keras.json may say otherwise
    keras.config.set_image_data_format("channels_last")
    processor = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration() for _ in range(CPU_COUNT)]
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.set_logical_device_configuration(processor, devices)
    except RuntimeError:
        threads = tf.config.threading.get_intra_op_parallelism_threads()
        raise RuntimeError(
            f"TensorFlow has started with {threads or 'all'} intra-op threads; accepted: 1, "
            "so import descent.engine.backend before the first operation"
        ) from None
    for device in reversed(tf.config.list_logical_devices("CPU")):
        _free_devices.put(device.name)


_configure()
