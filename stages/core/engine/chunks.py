"""Long arrays a piece at a time, inside a compiled program, so that what is computed stays in the cache."""

from collections.abc import Callable

from stages.core.engine.backend import tf

CHUNK = 1_000
"""Rows at a time: 1,000 images are 3 MB as float32, where 50,000 would be 157 MB."""


def total(of: Callable, *arrays: tf.Tensor):
    """The sum of `of(*chunks)`, a tensor or a list of them, over chunks of the arrays' first axis.

    What is left over after whole chunks comes first; all sizes are known when the program is traced.
    """
    count = arrays[0].shape[0]
    first = count % CHUNK or min(count, CHUNK)
    start = of(*(array[:first] for array in arrays))
    if first == count:
        return start

    def add(row, so_far):
        chunks = [_rows(array, row, CHUNK) for array in arrays]
        return row + CHUNK, tf.nest.map_structure(tf.add, so_far, of(*chunks))

    return tf.while_loop(lambda row, _: row < count, add, (tf.constant(first), start))[1]


def _rows(array: tf.Tensor, first: tf.Tensor, count: int) -> tf.Tensor:
    return tf.slice(array, [first] + [0] * (array.shape.rank - 1), [count, *array.shape[1:]])
