import numpy as np
import pytest

from stages.core.engine import chunks
from stages.core.engine.backend import tf


@pytest.mark.parametrize("count", [1, 999, 1000, 1001, 2000, 2500])
def test_every_row_counts_once(count):
    values = np.random.default_rng(0).integers(0, 100, (count, 3)).astype(np.int32)
    factors = np.arange(count, dtype=np.int32)

    @tf.function(jit_compile=True, autograph=False)
    def compiled(values, factors):
        return chunks.total(
            lambda part, factor: [tf.reduce_sum(part), tf.reduce_sum(part * factor[:, None], axis=0)],
            values,
            factors,
        )

    plain, weighted = compiled(values, factors)
    assert plain.numpy() == values.sum()
    assert (weighted.numpy() == (values * factors[:, None]).sum(axis=0)).all()
