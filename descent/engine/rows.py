"""Rows of images: their order in an epoch, and those that stand for all."""

import numpy as np


def image_order(seed: int, epoch: int, images: int) -> np.ndarray:
    """Shuffle the training images for one epoch.

    Returns:
        The rows (images,) int32 in the order of use.
    """
    return np.random.default_rng([seed, epoch]).permutation(images).astype(np.int32)


def evenly_spaced(images: int, count: int) -> np.ndarray:
    """Choose at most `count` rows spread evenly over `images` rows.

    MNIST's files are not in random order (some stretches are by tidier writers), so the first rows
    would not be representative.
    """
    return np.linspace(0, images, min(count, images), endpoint=False).astype(int)
