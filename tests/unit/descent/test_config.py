"""params.yaml is validated as a whole: an error is one line with its key, its value, what is accepted."""

import copy

import pytest

from descent.config import Model, Params, read_params
from descent.engine.optimizers import OPTIMIZERS
from descent.errors import in_one_line
from descent.validation import InvalidParams
from tests.support.small_params import ROOT, parent, read_yaml, value_errors

TEXT = (ROOT / "params.yaml").read_text()
RAW = read_yaml(ROOT / "params.yaml")
MISSING = object()


def lines_after(key: str, value) -> list[str]:
    """Return the error lines after one change to the project's own params.yaml."""
    changed, place = copy.deepcopy(RAW), key.split("/")
    if value is MISSING:
        del parent(changed, place)[place[-1]]
    else:
        parent(changed, place)[place[-1]] = value
    return value_errors(changed)


def test_the_committed_file_describes_the_experiment():
    params = read_params(ROOT / "params.yaml")
    models = {name: (model.batch_size, model.learning_rate) for name, model in params.models.items()}
    assert models == {
        "batch_8": (8, 0.01),
        "baseline": (128, 0.01),
        "batch_full": ("full", 0.01),
        "rate_100": (128, 100.0),
        "rate_1e-7": (128, 1e-7),
    }
    runs = [run for name in models for run in params.model_runs(name)]
    shared = {(run.optimizer, run.hidden_layers, run.activation, run.epochs) for run in runs}
    assert shared == {("sgd", (128, 64), "relu", 20)}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("models/batch_8/batch_size", 0, "models.batch_8.batch_size: 0 "),
        ("models/batch_8/batch_size", 8.5, "models.batch_8.batch_size: 8.5 "),
        ("models/batch_8/batch_size", True, "models.batch_8.batch_size: True "),
        ("models/batch_8/batch_size", "all", "models.batch_8.batch_size: 'all' "),
        ("models/batch_8/batch_size", 50_001, "models.batch_8.batch_size: 50001 "),
        ("models/batch_8/learning_rate", 0, "models.batch_8.learning_rate: 0 "),
        ("models/batch_8/learning_rate", -0.01, "models.batch_8.learning_rate: -0.01 "),
        ("models/batch_8/learning_rate", float("nan"), "models.batch_8.learning_rate: nan "),
        ("models/batch_8/learning_rate", float("inf"), "models.batch_8.learning_rate: inf "),
        ("models/batch_8/learning_rate", "fast", "models.batch_8.learning_rate: 'fast' "),
        ("models/batch_8/learning_rate", 10**400, "models.batch_8.learning_rate: 1000"),
        ("models/batch_8/momentum", 0.9, "models.batch_8.momentum: 0.9 "),
        ("models/batch_8/optimizer", "lion", "models.batch_8.optimizer: 'lion' "),
        ("models/batch_8/hidden_layers", [0], "models.batch_8.hidden_layers.0: 0 "),
        ("models/-x", {"batch_size": 8, "learning_rate": 1}, "models: '-x' "),
        ("studies", {"../a": {"question": "Which?", "models": ["baseline", "rate_100"]}}, "studies: '../a' "),
        ("models", {}, "models: {} "),
        ("models", {"a\rb": {"batch_size": 8, "learning_rate": 1}}, r"models: 'a\rb' "),
        (
            "models/baseline",
            {"a\nb": 1, "batch_size": 8, "learning_rate": 1},
            r"models.baseline.a\nb: is not",
        ),
        ("train/seeds", [], "train.seeds: [] "),
        ("train/seeds", [1, 1], "train.seeds: [1, 1] "),
        ("train/seeds", [-1], "train.seeds.0: -1 "),
        ("train/epochs", 0, "train.epochs: 0 "),
        ("train/epochs", MISSING, "train.epochs: is missing"),
        ("train/epoch", 20, "train.epoch: is not a known key"),
        ("sweeps", {}, "sweeps: is not a known key"),
        ("studies/batch_size/models", [], "studies.batch_size.models: [] "),
        (
            "studies/batch_size/models",
            ["baseline"] * 2,
            "studies.batch_size.models: ['baseline', 'baseline'] ",
        ),
        ("data", "mnits", "data: 'mnits' "),
        ("preprocess/validation_images", 0, "preprocess.validation_images: 0 "),
        ("sweep", MISSING, "sweep: is missing"),
        ("sweep/batch_sizes", [8, 0], "sweep.batch_sizes.1: 0 "),
        ("sweep/batch_sizes", [8, 8], "sweep.batch_sizes: [8, 8] "),
        ("sweep/batch_sizes", [50_001], "sweep.batch_sizes: 50001 "),
        ("sweep/batch_sizes", [50_000, "full"], "sweep.batch_sizes: [50000, 'full'] "),
        ("sweep/learning_rates", [0.1, -1], "sweep.learning_rates.1: -1 "),
        ("sweep/learning_rates", [0.1, 1e-1], "sweep.learning_rates: [0.1, 0.1] "),
        ("sweep/learning_rates", [], "sweep.learning_rates: [] "),
        ("sweep/optimizers", ["sgd", "lion"], "sweep.optimizers.1: 'lion' "),
        ("sweep/optimizers", ["sgd", "sgd"], "sweep.optimizers: ['sgd', 'sgd'] "),
        ("sweep/seeds", [0, 0], "sweep.seeds: [0, 0] "),
        ("sweep/epochs", 0, "sweep.epochs: 0 "),
        (
            "datasets",
            {"a": {"title": "A", "source": "https://u:secret@h/a.zip?secret", "sha256": "0" * 64}},
            "datasets.a.source: 'https://h/a.zip' ",
        ),
        ("tuned", MISSING, "tuned: is missing"),
        ("tuned/seeds", [1, 1], "tuned.seeds: [1, 1] "),
        ("sweep/tuning_rates", [], "sweep.tuning_rates: [] "),
        ("tuned/models/adam/optimizer", "lion", "tuned.models.adam.optimizer: 'lion' "),
        ("tuned/models/adam/batch_size", 50_001, "tuned.models.adam.batch_size: 50001 "),
        ("tuned/models/adam/learning_rate", 0.1, "tuned.models.adam.learning_rate: is not a known key"),
        ("tuned/models/baseline", {"batch_size": 64}, "models: 'baseline' "),
        ("models/tuned", {"batch_size": 8, "learning_rate": 1}, "models: 'tuned' "),
    ],
)
def test_an_error_is_one_line_with_key_value_and_what_is_accepted(key, value, expected):
    (line,) = lines_after(key, value)
    assert line.startswith(expected)
    assert "accepted: " in line


def test_a_stage_prints_the_line_and_exits_with_2(tmp_path, capsys):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace("batch_size: 8", "batch_size: 0", 1))
    with pytest.raises(SystemExit) as caught, in_one_line():
        read_params(path)
    assert caught.value.code == 2
    assert capsys.readouterr() == (
        "",
        f"{path}: models.batch_8.batch_size: 0 is not accepted; "
        "accepted: a whole number from 1 to preprocess.training_images, or full\n",
    )


@pytest.mark.parametrize("text", ["", "3", "- 1"])
def test_a_file_that_is_not_a_mapping_is_rejected(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(InvalidParams):
        read_params(tmp_path / "params.yaml")


def test_a_missing_file_is_rejected(tmp_path):
    with pytest.raises(InvalidParams, match="params.yaml: cannot be read: "):
        read_params(tmp_path / "params.yaml")


def test_run_settings_replace_full_and_count_the_smaller_last_batch():
    full, small = (
        Model(batch_size=size, learning_rate=0.01).run_settings(50_000, 1, 0) for size in ("full", 128)
    )
    assert (full.batch_size, full.updates_per_epoch(50_000)) == (50_000, 1)
    assert small.updates_per_epoch(50_000) == 391  # 390 of 128 images, one of 80


@pytest.mark.parametrize(
    ("optimizer", "constant"), [(name, key) for name, o in OPTIMIZERS.items() for key in o.constants]
)
def test_every_constant_of_every_optimizer_can_be_set(optimizer, constant):
    model = Model(batch_size=8, learning_rate=0.01, optimizer=optimizer, **{constant: 0.25})
    assert dict(model.run_settings(600, 1, 0).constants) == OPTIMIZERS[optimizer].constants | {constant: 0.25}


def test_model_runs_are_one_per_seed_in_the_order_of_params_yaml(small_params):
    runs = small_params(train={"epochs": 2, "seeds": [3, 0, 1]}).model_runs("batch_full")
    assert [(run.seed, run.epochs, run.batch_size) for run in runs] == [(3, 2, 600), (0, 2, 600), (1, 2, 600)]


def test_sweep_runs_are_every_combination_once(small_params):
    grid = {"batch_sizes": [8, "full"], "learning_rates": [0.1, 1, 9], "seeds": [0, 1]}
    runs = small_params(sweep=grid | {"optimizers": ["sgd", "adam"], "epochs": 3}).sweep_runs()
    assert len(runs) == len(set(runs)) == 2 * 3 * 2 * 2
    assert {(run.batch_size, run.optimizer) for run in runs} == {
        (8, "sgd"),
        (8, "adam"),
        (600, "sgd"),
        (600, "adam"),
    }
    assert runs[0]._replace(seed=1) == runs[1], "the table lists the seeds of a setting together"


@pytest.mark.parametrize("rates, own", [((0.1, 1), {}), ((0.3, 9), {"tuning_rates": [0.3, 9]})])
def test_tuning_runs_are_all_rates_of_the_tuned_models_beyond_the_grid(small_params, rates, own):
    sweep = {"batch_sizes": [8, "full"], "learning_rates": [0.1, 1], "seeds": [0, 1], "epochs": 3, **own}
    models = {
        "in_grid": {"batch_size": "full"},
        "other_size": {"batch_size": 128},
        "other_optimizer": {"batch_size": 8, "optimizer": "adam"},
    }
    studies = {"a": {"question": "Which?", "models": list(models)}}
    tuned = {"seeds": [5], "models": models}
    runs = small_params(sweep=sweep, tuned=tuned, studies=studies).tuning_runs()
    assert [(run.batch_size, run.optimizer, run.learning_rate, run.seed) for run in runs] == [
        (size, optimizer, rate, seed)
        for size, optimizer in ((128, "sgd"), (8, "adam"))
        for rate in rates
        for seed in (0, 1)
    ]


@pytest.fixture
def small_params():
    """Return a function: the project's parameters with 600 training images and changed sections."""

    def make(**sections) -> Params:
        raw = copy.deepcopy(RAW | sections)
        raw["preprocess"]["training_images"] = 600
        return Params.model_validate(raw | {"sweep": raw["sweep"] | {"batch_sizes": [8, "full"]}})

    return make
