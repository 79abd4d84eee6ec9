"""A sample is spread over the whole of what it is taken from."""

import numpy as np

from stages.core.data.mnist import Split
from stages.core.engine.sampling import evenly


def test_a_sample_is_spread_over_the_whole_split():
    split = Split(np.arange(100).reshape(100, 1, 1).astype(np.uint8), np.arange(100).astype(np.uint8))
    sample = evenly(split, 20)
    assert sample.labels.tolist() == list(range(0, 100, 5))
    assert (sample.images.ravel() == sample.labels).all()
    assert (evenly(split, 1000).labels == split.labels).all()
