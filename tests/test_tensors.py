"""The digits as tensors: what of them a run is given, and what of them travels."""

import pickle

import numpy as np
import pytest

from stages.core.engine.tensors import Tensors


@pytest.fixture(scope="module")
def tensors(digits):
    return Tensors(digits)


def test_a_training_image_is_there_with_the_pixels_that_count_alone(tensors, digits):
    images = digits.train.images.reshape(600, 784)
    assert (tensors.train.images.numpy() == images[:, tensors.pixels.numpy()]).all()
    assert (tensors.train.labels.numpy() == digits.train.labels).all()


def test_unpickled_they_are_made_anew_from_the_digits_which_alone_travel(tensors, digits):
    sent = pickle.dumps(tensors)
    assert len(sent) < 1.01 * len(pickle.dumps(digits))
    received = pickle.loads(sent)
    for name in ("train", "sample", "probe", "validation", "test"):
        for ours, theirs in zip(getattr(tensors, name), getattr(received, name), strict=True):
            assert np.array_equal(ours.numpy(), theirs.numpy()), name
    assert (tensors.pixels.numpy() == received.pixels.numpy()).all()
