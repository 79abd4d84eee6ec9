"""Training runs: the same bits whatever runs beside them, and what is measured after each epoch."""

import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from dask.system import CPU_COUNT

from descent.data import Split
from descent.engine import epoch, network
from descent.engine.backend import tf
from descent.engine.rows import evenly_spaced
from descent.engine.training import TensorData, gradient_norm, loss_and_accuracy, probabilities, train_run
from descent.metrics import EPOCH_METRICS
from tests.support.images import draw_split
from tests.support.reference import backpropagated
from tests.support.settings import run_settings


def bits(run) -> tuple:
    """Return all of a run but its times."""
    arrays = [*run.weights, run.trajectory, run.test_probabilities]
    return run.history, run.test_loss, run.test_accuracy, [array.tobytes() for array in arrays]


@pytest.fixture(scope="module")
def data(dataset):
    return TensorData(dataset)


SLOW = pytest.mark.slow  # seconds of compilation for one batch size more


@pytest.fixture(scope="module", params=[8, 128, pytest.param("full", marks=SLOW)])
def trained(request, data):
    """Return settings and the run that they give."""
    settings = run_settings(request.param, epochs=2, seed=1)
    return settings, train_run(settings, data)


# A run


@pytest.mark.slow  # twelve runs, compiled for each device
def test_the_bits_do_not_depend_on_runs_beside_it(trained, data):
    """Four runs at once in one process: two alike, another seed, another learning rate."""
    settings, alone = trained
    others = [settings, settings._replace(seed=7), settings._replace(learning_rate=0.3), settings]
    with ThreadPoolExecutor(4) as pool:
        beside = list(pool.map(lambda other: train_run(other, data), others))
    assert bits(beside[0]) == bits(beside[3]) == bits(alone)
    assert len({run.trajectory.tobytes() for run in beside}) == 3


def test_the_history_starts_before_the_first_update(trained):
    settings, run = trained
    updates = settings.updates_per_epoch(600)
    initial = network.build(settings, (28, 28), 10).get_weights()
    keys = {"epoch", "updates", *(metric.key for metric in EPOCH_METRICS)}
    assert all(set(state) == keys for state in run.history)
    assert [(state["epoch"], state["updates"]) for state in run.history] == [
        (0, 0),
        (1, updates),
        (2, 2 * updates),
    ]
    assert run.trajectory.shape == (3, 109_386) and run.trajectory.dtype == np.float32
    assert (run.trajectory[0] == np.concatenate([weight.ravel() for weight in initial])).all()
    assert (run.trajectory[-1] == np.concatenate([weight.ravel() for weight in run.weights])).all()
    assert len(run.epoch_seconds) == 2


def test_the_distance_is_that_of_the_trajectory_from_its_start(trained):
    _, run = trained
    distances = np.linalg.norm(run.trajectory - run.trajectory[0], axis=1)
    np.testing.assert_allclose([state["distance"] for state in run.history], distances, rtol=1e-5)


def test_the_weight_norm_is_that_of_the_trajectory(trained):
    _, run = trained
    norms = np.linalg.norm(run.trajectory, axis=1)
    np.testing.assert_allclose([state["weight_norm"] for state in run.history], norms, rtol=1e-5)


def test_the_final_metrics_are_those_of_the_keras_model(trained, dataset):
    settings, run = trained
    model = network.build(settings, (28, 28), 10)
    model.set_weights(run.weights)
    for split, found_loss, found_accuracy in (
        (dataset.validation, run.history[-1]["validation_loss"], run.history[-1]["validation_accuracy"]),
        (dataset.test, run.test_loss, run.test_accuracy),
    ):
        predicted = model(split.images).numpy()
        likelihoods = predicted[np.arange(200), split.labels]
        assert found_loss == pytest.approx(-np.log(likelihoods).mean(), rel=1e-4, abs=1e-6)
        assert found_accuracy == pytest.approx((predicted.argmax(1) == split.labels).mean())
    np.testing.assert_allclose(run.test_probabilities, predicted, rtol=1e-4, atol=1e-6)


def test_on_epoch_is_called_with_each_state_of_the_history(data):
    states = []
    assert train_run(run_settings(8), data, states.append).history == states


def test_the_dataset_is_learned(data):
    assert train_run(run_settings(8, epochs=5), data).test_accuracy > 0.95


def test_a_loss_that_overflows_is_a_result(data):
    """At this learning rate the weights overflow within an epoch."""
    run = train_run(run_settings(8, epochs=2, learning_rate=1e30), data)
    last = run.history[-1]
    assert not math.isfinite(last["train_loss"]) and not math.isfinite(run.test_loss)
    assert not math.isfinite(last["gradient_norm"]) and not math.isfinite(last["distance"])
    assert math.isfinite(run.history[0]["train_loss"])


@pytest.mark.slow  # compiled for each network
@pytest.mark.parametrize("layers", [(), (7, 6, 5)])
def test_any_number_of_hidden_layers_is_trained(layers, dataset):
    few = dataset._replace(
        **{name: Split(split.images[:50], split.labels[:50]) for name, split in dataset.splits.items()}
    )
    run = train_run(run_settings(50, hidden_layers=layers, epochs=3, learning_rate=0.1), TensorData(few))
    assert len(run.weights) == 2 * len(layers) + 2
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"]


@pytest.mark.slow  # compiled for each device
def test_one_compilation_serves_all_seeds_and_learning_rates(data):
    """On each device, of which a run has one to itself; also where the first runs start at once."""
    settings = run_settings(60, activation="tanh")
    program = epoch.compiled_epoch(60, "sgd", (), "tanh")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda seed: train_run(settings._replace(seed=seed), data), range(4)))
    train_run(settings._replace(learning_rate=0.7), data)
    counts = [each.experimental_get_tracing_count() for each in program.programs.values()]
    assert len(counts) <= CPU_COUNT and set(counts) == {1}


def test_a_network_that_does_not_fit_into_memory_is_a_memory_error(data, monkeypatch):
    def exhausted(settings, data, on_epoch):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr("descent.engine.training._train_run", exhausted)
    with pytest.raises(MemoryError, match="does not fit into memory; use narrower hidden_layers"):
        train_run(run_settings(8), data)


# What is measured


@pytest.fixture(scope="module")
def model():
    return network.build(run_settings(), (28, 28), 10)


def test_loss_accuracy_and_probabilities_are_those_of_keras(model):
    """Of more images than a chunk has, and of no multiple of it."""
    count = 2300
    images, labels = draw_split(count, 8)
    weights = [tf.constant(weight) for weight in model.get_weights()]
    loss, accuracy = loss_and_accuracy(weights, tf.constant(images), tf.constant(labels), "relu")
    expected = model(images).numpy()
    assert loss == pytest.approx(-np.log(expected[np.arange(count), labels]).mean(), rel=1e-5)
    assert accuracy == pytest.approx((expected.argmax(axis=1) == labels).mean(), rel=1e-6)
    found = probabilities(weights, tf.constant(images), "relu").numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_gradient_norm_is_that_of_backpropagation_by_hand(model):
    images, labels = draw_split(1000, 8)
    weights = model.get_weights()
    squares = sum((array**2).sum() for array in backpropagated(weights, images, labels))
    found = gradient_norm([*map(tf.constant, weights)], tf.constant(images), tf.constant(labels), "relu")
    assert float(found) == pytest.approx(np.sqrt(squares), rel=1e-5)


@pytest.mark.parametrize(("images", "count", "rows"), [(100, 20, range(0, 100, 5)), (5, 9, range(5))])
def test_an_evaluation_subset_is_spread_evenly(images, count, rows):
    assert evenly_spaced(images, count).tolist() == list(rows)


def test_data_is_pickled_as_the_dataset_and_unpickled_as_the_same_tensors(data, dataset):
    pickled = pickle.dumps(data)
    assert len(pickled) < 1.01 * len(pickle.dumps(dataset))
    received = pickle.loads(pickled)
    assert (received.image_shape, received.classes) == ((28, 28), 10)
    for name in ("train", "validation", "test", "evaluation", "gradient"):
        for ours, theirs in zip(getattr(data, name), getattr(received, name), strict=True):
            assert np.array_equal(ours.numpy(), theirs.numpy()), name
