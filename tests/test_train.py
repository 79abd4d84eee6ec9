"""The stage `train`: one model, all its seeds, everything on disk; a run that diverges is a result."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from small_disk import enlarge, small_disk

from stages.core import model_folder
from stages.core.engine import network
from stages.core.files import write_array
from tests import dask_cluster
from tests.project import ROOT, shrink

OUTPUTS = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["train"]["do"]["outs"]


@pytest.fixture(scope="module")
def workplace(digits, idx_folder, tmp_path_factory):
    """A folder with params.yaml and data/arrays, as the stages before this one leave it."""
    folder = tmp_path_factory.mktemp("train")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    shrink(params, idx_folder)
    params["models"]["overflowing"] = {"batch_size": 128, "learning_rate": 1e30}
    params["models"]["huge"] = {"batch_size": 128, "learning_rate": 0.01, "hidden_layers": [65536, 65536]}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    for name, split in digits._asdict().items():
        write_array(folder / "data" / "arrays" / f"{name}_images.npy", split.images)
        write_array(folder / "data" / "arrays" / f"{name}_labels.npy", split.labels)
    return folder


def train(
    folder: Path, *arguments: str, memory: int | None = None, **variables: str
) -> subprocess.CompletedProcess:
    """`python -m stages.train` as dvc would call it, without a terminal, with `memory` bytes to address."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder), **variables}
    limit = ["prlimit", f"--as={memory}"] if memory else []
    command = [*limit, sys.executable, "-m", "stages.train", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def trained(workplace):
    """models/baseline after its training."""
    done = train(workplace, "baseline")
    assert done.returncode == 0, done.stderr
    return workplace / "models" / "baseline"


def test_it_writes_just_what_dvc_yaml_says(trained):
    assert sorted(f"models/${{key}}/{path.name}" for path in trained.iterdir()) == sorted(OUTPUTS)
    assert sorted(path.name for path in (trained / "replicates").iterdir()) == [
        "seed_0.keras",
        "seed_1.keras",
    ]


def test_the_model_is_that_of_the_best_seed(trained):
    metrics = model_folder.read_metrics(trained)
    best = max(metrics["seeds"], key=lambda run: (run["validation_accuracy"], -run["validation_loss"]))
    assert metrics["best_seed"] == best["seed"]
    replicate = trained / "replicates" / f"seed_{best['seed']}.keras"
    assert (trained / "model.keras").read_bytes() == replicate.read_bytes()


def test_the_reloaded_models_predict_what_is_recorded(trained, digits):
    recorded = np.load(trained / "test_probabilities.npy")
    for seed in (0, 1):
        model = network.load(trained / "replicates" / f"seed_{seed}.keras")
        np.testing.assert_allclose(model(digits.test.images).numpy(), recorded[seed], atol=1e-6)


def test_the_final_numbers_are_those_of_the_last_epoch(trained):
    history = model_folder.read_history(trained)
    last = history[history.epoch == 2].set_index("seed")
    for run in model_folder.read_metrics(trained)["seeds"]:
        for name in ("train_loss", "validation_accuracy", "gradient_norm", "distance"):
            assert run[name] == pytest.approx(last.loc[run["seed"], name], rel=1e-8)


def test_the_path_begins_at_the_start_and_ends_at_the_first_seeds_weights(trained):
    path = np.load(trained / "path.npy")
    final = network.load(trained / "replicates" / "seed_0.keras").get_weights()
    np.testing.assert_array_equal(path[-1], np.concatenate([weight.ravel() for weight in final]))
    distance = model_folder.read_history(trained).query("seed == 0").distance
    np.testing.assert_allclose(np.linalg.norm(path - path[0], axis=1), distance, rtol=1e-5)


def test_trained_again_it_is_the_same_to_the_byte_but_for_the_clock(workplace, trained):
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    assert train(workplace, "baseline").returncode == 0
    changed = [path.name for path, content in before.items() if path.read_bytes() != content]
    assert changed == ["timing.json"]


def test_a_run_that_overflows_is_a_result_and_exits_with_0(workplace):
    done = train(workplace, "overflowing")
    assert done.returncode == 0, done.stderr
    assert "overflowing: diverged" in done.stdout
    metrics = model_folder.read_metrics(workplace / "models" / "overflowing")
    assert metrics["status"] == "diverged"
    assert metrics["seeds"][0]["train_loss"] is None
    assert pd.read_csv(workplace / "models/overflowing/history.csv").train_loss.isna().any()


def test_a_network_too_large_for_the_memory_is_a_line_for_each_seed(workplace):
    done = train(workplace, "huge", memory=8 * 10**9)  # one of its kernels alone has 17 GB
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"batch_size 128, learning_rate 0.01, hidden_layers [65536, 65536], epochs 2, seed {seed}: "
        "MemoryError: the network does not fit into memory; narrower hidden_layers do"
        for seed in (0, 1)
    ]
    assert not (workplace / "models" / "huge").exists()


def test_a_full_disk_is_one_line_and_with_room_it_is_as_if_nothing_had_been(workplace, trained, tmp_path):
    (tmp_path / "params.yaml").symlink_to(workplace / "params.yaml")
    (tmp_path / "data").symlink_to(workplace / "data")
    with small_disk(tmp_path / "models", kilobytes=2000) as models:  # path.npy has 1.3 MB, two networks 1 MB
        done = train(tmp_path, "baseline")
        assert done.returncode == 1
        assert re.fullmatch(r"models/baseline/\S+: No space left on device\n", done.stderr)
        enlarge(models)
        assert train(tmp_path, "baseline").returncode == 0
        assert without_clock(models / "baseline") == without_clock(trained)


@pytest.mark.slow
def test_on_a_cluster_it_writes_the_same_bytes(workplace, trained, tmp_path):
    (tmp_path / "params.yaml").symlink_to(workplace / "params.yaml")
    (tmp_path / "data").symlink_to(workplace / "data")
    (tmp_path / "cluster").mkdir()
    with dask_cluster.running(tmp_path / "cluster", workers=2) as cluster:
        done = train(tmp_path, "baseline", DASK_SCHEDULER_ADDRESS=cluster.address)
    assert done.returncode == 0, done.stderr
    assert without_clock(tmp_path / "models/baseline") == without_clock(trained)


def without_clock(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "timing.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_an_unknown_model_is_refused_in_one_line(workplace):
    done = train(workplace, "batch_9")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("stages.train: 'batch_9' is not accepted; accepted: one of baseline, batch_8, ")


def test_missing_arrays_are_one_line_that_names_the_command(workplace, tmp_path):
    (tmp_path / "params.yaml").write_bytes((workplace / "params.yaml").read_bytes())
    done = train(tmp_path, "baseline")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "dvc repro preprocess" in line
    assert not (tmp_path / "models").exists()
