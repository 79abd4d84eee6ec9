"""A finished run is found again by all that determines it, and by nothing else."""

import json
import math
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from stages.core.data.mnist import Digits, Split
from stages.core.parallel import run_store
from stages.core.settings import Model
from tests.test_dvc_yaml import imported

CORE = Path(run_store.__file__).parent.parent / "engine"
NO_NUMBERS = {"collection", "files", "mnist", "process", "quiet", "refusals", "section", "settings"}
"""What the engine imports and no result depends on, beside what a run's identity holds already."""


class Epoch(NamedTuple):
    epoch: int
    train_loss: float


@pytest.fixture
def store(tmp_path, digits):
    return run_store.opened(tmp_path, digits)


def test_a_kept_run_is_found_with_its_numbers(store):
    run = (Model(batch_size=8, learning_rate=0.1), 2, 0)
    assert store.find(*run) is None
    store.keep(*run, [Epoch(0, 2.3), Epoch(1, math.inf), Epoch(2, math.nan)])
    assert store.find(*run) == [
        {"epoch": 0, "train_loss": 2.3},
        {"epoch": 1, "train_loss": None},
        {"epoch": 2, "train_loss": None},
    ]


@pytest.mark.parametrize(
    ("settings", "epochs", "seed"),
    [
        ({"batch_size": 16}, 2, 0),
        ({"learning_rate": 0.2}, 2, 0),
        ({"optimizer": "momentum"}, 2, 0),
        ({"optimizer": "momentum", "momentum": 0.8}, 2, 0),
        ({"activation": "tanh"}, 2, 0),
        ({"hidden_layers": [9]}, 2, 0),
        ({}, 3, 0),
        ({}, 2, 1),
    ],
)
def test_whatever_determines_a_run_tells_it_from_others(store, settings, epochs, seed):
    model = {"batch_size": 8, "learning_rate": 0.1}
    assert store.path(Model(**(model | settings)), epochs, seed) != store.path(Model(**model), 2, 0)


def test_other_digits_are_other_runs(tmp_path, digits):
    images = digits.train.images.copy()
    images[0, 0, 0] ^= 1
    changed = digits._replace(train=Split(images, digits.train.labels))
    assert run_store.digest_of(changed) != run_store.digest_of(digits)
    assert run_store.digest_of(Digits(*digits)) == run_store.digest_of(digits)


def test_what_means_the_same_is_the_same_run(store, digits):
    full = Model(batch_size="full", learning_rate=0.1)
    assert store.path(full, 2, 0) == store.path(full.model_copy(update={"batch_size": 600}), 2, 0)
    written = Model(batch_size=8, learning_rate=0.1, optimizer="adam", beta_1=0.9)
    assert store.path(written, 2, 0) == store.path(
        Model(batch_size=8, learning_rate=0.1, optimizer="adam"), 2, 0
    )


def test_the_engine_is_every_module_that_a_descent_imports():
    found, todo = set(), {CORE / "descent.py"}
    while todo:
        found |= todo
        todo = {file for path in todo for file in imported(path)} - found
    modules = {path.stem for path in found if path.stem != "__init__"}
    assert modules - NO_NUMBERS == set(run_store.ENGINE)


def test_comments_in_the_engine_train_nothing_anew_and_code_does(tmp_path):
    for module in run_store.ENGINE:
        shutil.copy(CORE / f"{module}.py", tmp_path)
    before = run_store.digest_of_engine(tmp_path)
    assert before == run_store.digest_of_engine()
    path = tmp_path / "descent.py"
    path.write_text(path.read_text() + "\n# a remark\n")
    assert run_store.digest_of_engine(tmp_path) == before
    path.write_text(path.read_text() + "\nANOTHER = 1\n")
    assert run_store.digest_of_engine(tmp_path) != before


def test_a_damaged_file_is_told_with_what_to_do(store):
    run = (Model(batch_size=8, learning_rate=0.1), 2, 0)
    for content in ("", "{", "[]", json.dumps({"run": {}})):
        store.path(*run).write_text(content)
        with pytest.raises(run_store.DamagedRun, match="remove it, and it is trained again"):
            store.find(*run)
