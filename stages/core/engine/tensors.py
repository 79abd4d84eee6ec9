"""The digits as compiled programs take them."""

from typing import NamedTuple

from stages.core.data.mnist import Digits, Split
from stages.core.engine import epoch, evaluation
from stages.core.engine.backend import tf
from stages.core.engine.sampling import evenly


class Pair(NamedTuple):
    """Images uint8 and labels (n,) uint8, as tensors."""

    images: tf.Tensor
    labels: tf.Tensor


class Tensors:
    """Tensors of the digits, made once for all runs of a process.

    `train` has its images (n, len(pixels)) as `epoch.program` takes them, `pixels` alone; `sample`
    and `probe` are what an Epoch's numbers are taken on. Pickled, it is the digits: whoever unpickles it
    makes tensors of its own.
    """

    def __init__(self, digits: Digits):
        images, labels = digits.train
        pixels = epoch.pixels_that_count(images)
        self._digits = digits
        self.pixels = tf.constant(pixels)
        self.train = _pair(Split(images.reshape(len(labels), -1)[:, pixels], labels))
        self.sample = _pair(evenly(digits.train, evaluation.SAMPLE))
        self.probe = _pair(evenly(digits.train, evaluation.PROBE))
        self.validation, self.test = _pair(digits.validation), _pair(digits.test)

    def __reduce__(self):
        return Tensors, (self._digits,)


def _pair(split: Split) -> Pair:
    return Pair(tf.constant(split.images), tf.constant(split.labels))
