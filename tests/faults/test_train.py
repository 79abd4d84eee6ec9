"""The stage `train`: all seeds of a model and all their files; a run that diverges is a result."""

import re
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from descent import paths
from descent.engine.backend import keras
from descent.results import read_metrics, replicate
from tests.support import dask_cluster, stage
from tests.support.images import write_arrays
from tests.support.small_disk import enlarge, small_disk
from tests.support.small_params import write_params
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow  # each training imports TensorFlow in a new process


@pytest.fixture(scope="module")
def project(dataset, idx_folder, tmp_path_factory):
    """A folder with params.yaml and data/arrays, as the stages before this one leave it."""
    folder = tmp_path_factory.mktemp("train")
    models = {
        "overflowing": {"batch_size": 128, "learning_rate": 1e30},
        "huge": {"batch_size": 128, "learning_rate": 0.01, "hidden_layers": [8192, 8192]},
        "long": {"batch_size": 1, "learning_rate": 0.01, "hidden_layers": [4096, 4096]},
    }
    write_params(folder, idx_folder, models=models)
    write_arrays(folder / paths.ARRAYS, dataset)
    return folder


@pytest.fixture
def other_project(project, tmp_path):
    """Another folder with the same files."""
    (tmp_path / "params.yaml").symlink_to(project / "params.yaml")
    (tmp_path / "data").symlink_to(project / "data")
    return tmp_path


@pytest.fixture(scope="module")
def trained(project):
    """models/baseline after its training."""
    done = stage.run(project, "train", "baseline")
    assert (done.returncode, stage.without_tensorflow(done.stderr)) == (0, "")
    assert re.fullmatch(r"baseline: \w+, validation accuracy .* over 2 seeds, in \d+ s\n", done.stdout)
    return project / "models" / "baseline"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_train_writes_a_model_and_nothing_else(trained):
    assert sorted(contents(trained)) == [
        "history.csv",
        "metrics.json",
        "model.keras",
        "replicates/seed_0.keras",
        "replicates/seed_1.keras",
        "test_probabilities.npy",
        "trajectory.npy",
    ]


def test_the_model_is_that_of_the_best_seed(trained):
    metrics = read_metrics(trained)
    best = max(metrics["seeds"], key=lambda run: (run["validation_accuracy"], -run["validation_loss"]))
    assert metrics["best_seed"] == best["seed"] and metrics["parameters"] == 109_386
    assert (trained / "model.keras").read_bytes() == replicate(trained, best["seed"]).read_bytes()


def test_the_loaded_models_predict_the_recorded_probabilities(trained, dataset):
    recorded = np.load(trained / "test_probabilities.npy")
    for seed in (0, 1):
        model = keras.saving.load_model(replicate(trained, seed))
        np.testing.assert_allclose(model(dataset.test.images).numpy(), recorded[seed], atol=1e-6)


def test_the_trajectory_ends_at_the_weights_of_the_first_seed(trained):
    trajectory = np.load(trained / "trajectory.npy")
    final = keras.saving.load_model(replicate(trained, 0)).get_weights()
    np.testing.assert_array_equal(trajectory[-1], np.concatenate([weight.ravel() for weight in final]))


def test_a_run_that_overflows_is_a_result(project):
    done = stage.run(project, "train", "overflowing")
    assert (done.returncode, stage.without_tensorflow(done.stderr)) == (0, "")
    assert "overflowing: diverged" in done.stdout
    metrics = read_metrics(project / "models" / "overflowing")
    assert metrics["status"] == "diverged"
    assert metrics["seeds"][0]["train_loss"] is None
    assert pd.read_csv(project / "models/overflowing/history.csv").train_loss.isna().any()


def test_a_network_too_large_for_the_memory_is_a_line_for_each_seed(project):
    limited = ("prlimit", f"--as={8 * 10**9}")  # with 12 GB it trains
    done = stage.run(project, "train", "huge", prefix=limited)
    if done.returncode == -signal.SIGSEGV:  # TensorFlow, once in about 25 times that it gets no memory
        done = stage.run(project, "train", "huge", prefix=limited)
    assert done.returncode == 1
    assert stage.without_tensorflow(done.stderr).splitlines() == [
        "batch_size 128, learning_rate 0.01, optimizer sgd, hidden_layers 8192-8192, activation relu, "
        f"epochs 2, seed {seed}: MemoryError: the network does not fit into memory; "
        "use narrower hidden_layers"
        for seed in (0, 1)
    ]
    assert not (project / "models" / "huge").exists()


def test_a_full_disk_is_one_line_and_the_next_training_completes(other_project, trained):
    with small_disk(other_project / "models", kilobytes=2000) as models:  # trajectory 1.3 MB, networks 1 MB
        done = stage.run(other_project, "train", "baseline")
        assert done.returncode == 1
        assert re.fullmatch(
            r"models/baseline/\S+: No space left on device\n", stage.without_tensorflow(done.stderr)
        )
        enlarge(models)
        assert stage.run(other_project, "train", "baseline").returncode == 0
        assert contents(models / "baseline") == contents(trained)


def test_a_signal_ends_the_training_at_once_and_leaves_no_output(other_project):
    """Each signal is in tests/unit/descent/test_process.py."""
    with stage.start(other_project, "train", "long") as process:
        lock = other_project / "models/.long.lock"
        wait_for(lambda: lock.exists() and lock.read_text())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, stage.without_tensorflow(err)) == (128 + signal.SIGINT, "", "")
    assert [path.name for path in (other_project / "models").iterdir()] == [".long.lock"]


def test_a_second_training_of_the_same_model_is_rejected(other_project):
    with stage.start(other_project, "train", "long") as first:
        lock = other_project / "models/.long.lock"
        wait_for(lambda: lock.exists() and lock.read_text())
        second = stage.run(other_project, "train", "long")
        first.kill()
    assert second.returncode == 1
    assert (
        stage.without_tensorflow(second.stderr)
        == f"models/long: process {first.pid} is writing it; wait until it ends, or end it\n"
    )


def test_a_cluster_gives_the_same_bytes(other_project, trained):
    (other_project / "cluster").mkdir()
    with dask_cluster.running(other_project / "cluster", workers=2) as cluster:
        done = stage.run(other_project, "train", "baseline", DASK_SCHEDULER_ADDRESS=cluster.address)
    assert done.returncode == 0, done.stderr
    assert contents(other_project / "models/baseline") == contents(trained)


def test_an_unknown_model_is_rejected_in_one_line(project):
    done = stage.run(project, "train", "batch_9")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("stages.train: 'batch_9' is not accepted; accepted: one of batch_8, baseline, ")
