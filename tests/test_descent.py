"""A run as a whole: the same bits whatever goes on around it, and what its record says."""

import hashlib
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from stages.core.data.mnist import Digits, Split
from stages.core.engine import epoch, network
from stages.core.engine.descent import descend
from stages.core.engine.tensors import Tensors
from stages.core.process import processors
from stages.core.settings import Model

BATCH_SIZES = [8, 128, "full"]


def settings(batch_size=8, **others) -> Model:
    return Model(**({"batch_size": batch_size, "learning_rate": 0.05} | others))


def bits(run) -> tuple:
    """All of a run but its clock."""
    arrays = [*run.weights, run.path, run.test_probabilities]
    return run.history, run.test_loss, run.test_accuracy, [array.tobytes() for array in arrays]


@pytest.fixture(scope="module")
def tensors(digits):
    return Tensors(digits)


@pytest.fixture(scope="module", params=BATCH_SIZES)
def run(request, tensors):
    return request.param, descend(settings(request.param), 2, 1, tensors)


def test_the_same_seed_gives_the_same_bits(run, tensors):
    batch_size, first = run
    assert bits(descend(settings(batch_size), 2, 1, tensors)) == bits(first)


def test_another_seed_gives_other_bits(run, tensors):
    batch_size, first = run
    assert descend(settings(batch_size), 2, 2, tensors).path[0].tobytes() != first.path[0].tobytes()


def test_bits_do_not_depend_on_what_runs_beside(run, tensors):
    """Four runs at once in one process: two alike, another seed, another rate."""
    batch_size, alone = run
    others = [(0.05, 1), (0.05, 7), (0.3, 1), (0.05, 1)]
    with ThreadPoolExecutor(4) as pool:
        beside = list(
            pool.map(
                lambda other: descend(settings(batch_size, learning_rate=other[0]), 2, other[1], tensors),
                others,
            )
        )
    assert bits(beside[0]) == bits(beside[3]) == bits(alone)
    assert len({found.path.tobytes() for found in beside}) == 3


IN_A_NEW_PROCESS = """
import hashlib
from stages.core.engine.descent import descend
from stages.core.engine.tensors import Tensors
from stages.core.data.mnist import Digits
from tests.conftest import draw_digits
from tests.test_descent import BATCH_SIZES, settings

tensors = Tensors(Digits(draw_digits(600, 1), draw_digits(200, 2), draw_digits(200, 3)))
for batch_size in BATCH_SIZES:
    print(batch_size, hashlib.sha256(descend(settings(batch_size), 2, 1, tensors).path.tobytes()).hexdigest())
"""


def test_a_new_process_gives_the_same_bits(tensors):
    printed = subprocess.run(
        [sys.executable, "-c", IN_A_NEW_PROCESS], capture_output=True, text=True, check=True
    ).stdout
    expected = dict(line.split() for line in printed.splitlines())
    for batch_size in BATCH_SIZES:
        path = descend(settings(batch_size), 2, 1, tensors).path
        assert expected[str(batch_size)] == hashlib.sha256(path.tobytes()).hexdigest()


def test_one_compilation_serves_all_seeds_and_rates(tensors):
    """On each of the devices, of which a run has one to itself; also where the first runs start at once."""
    model = settings(60, activation="tanh")
    program = epoch.program(60, "sgd", (), "tanh")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda seed: descend(model, 1, seed, tensors), range(4)))
    descend(settings(60, activation="tanh", learning_rate=0.7), 1, 0, tensors)
    assert program.experimental_get_tracing_count() <= processors()


def test_the_record_begins_before_the_first_step(run, digits):
    batch_size, found = run
    steps = settings(batch_size).updates_per_epoch(600)
    start = network.build(settings(batch_size), 1)
    assert [(e.epoch, e.updates) for e in found.history] == [(0, 0), (1, steps), (2, 2 * steps)]
    assert found.path.shape == (3, 109_386) and found.path.dtype == np.float32
    assert (found.path[0] == np.concatenate([w.ravel() for w in start.get_weights()])).all()
    assert (found.path[-1] == np.concatenate([w.ravel() for w in found.weights])).all()
    assert len(found.epoch_seconds) == 2
    for record, weights in zip(found.history, found.path, strict=True):
        assert record.distance == pytest.approx(np.linalg.norm(weights - found.path[0]), rel=1e-5)


def test_the_last_numbers_are_those_of_the_keras_model(run, digits):
    batch_size, found = run
    model = network.build(settings(batch_size), 1)
    model.set_weights(found.weights)
    probabilities = model.predict(digits.test.images, verbose=0)
    np.testing.assert_allclose(found.test_probabilities, probabilities, rtol=1e-4, atol=1e-6)
    likelihoods = probabilities[np.arange(200), digits.test.labels]
    assert found.test_loss == pytest.approx(-np.log(likelihoods).mean(), rel=1e-4, abs=1e-6)
    assert found.test_accuracy == pytest.approx((probabilities.argmax(1) == digits.test.labels).mean())


def test_each_epoch_is_told_as_it_ends(tensors):
    told = []
    assert descend(settings(), 2, 1, tensors, told.append).history == told


def test_the_digits_are_learned(tensors):
    found = descend(settings(), 5, 0, tensors)
    assert found.test_accuracy > 0.95


def test_a_loss_beyond_all_numbers_is_no_fault(tensors):
    """At this rate the weights overflow within an epoch."""
    found = descend(settings(learning_rate=1e30), 2, 0, tensors)
    last = found.history[-1]
    assert not math.isfinite(last.train_loss) and not math.isfinite(found.test_loss)
    assert not math.isfinite(last.gradient_norm) and not math.isfinite(last.distance)
    assert math.isfinite(found.history[0].train_loss)


@pytest.mark.parametrize("layers", [(), (5,), (7, 6, 5)])
def test_any_number_of_hidden_layers_descends(layers, digits):
    few = Digits(*(Split(part.images[:50], part.labels[:50]) for part in digits))
    found = descend(settings(hidden_layers=layers), 3, 0, Tensors(few))
    assert len(found.weights) == 2 * len(layers) + 2
    assert found.history[-1].train_loss < found.history[0].train_loss
