"""params.yaml is validated as a whole: a fault is one line with its key, its value, what is accepted."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stages.core.params import InvalidParams, read_params
from stages.core.settings import Model

ROOT = Path(__file__).parent.parent
MISSING = object()


@pytest.fixture
def faults(tmp_path):
    """A function: the lines that one change to the project's own params.yaml leads to."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())

    def lines(key: str, value) -> list[str]:
        changed = copy.deepcopy(raw)
        *sections, last = key.split("/")
        section = changed
        for name in sections:
            section = section[name]
        if value is MISSING:
            del section[last]
        else:
            section[last] = value
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(changed))
        try:
            read_params(path)
        except InvalidParams as error:
            return [line.removeprefix(f"{path}: ") for line in str(error).splitlines()]
        return []

    return lines


def test_the_committed_file_describes_the_experiment():
    params = read_params(ROOT / "params.yaml")
    asked = {name: (model.batch_size, model.learning_rate) for name, model in params.models.items()}
    assert asked == {
        "batch_8": (8, 0.01),
        "baseline": (128, 0.01),
        "batch_full": ("full", 0.01),
        "rate_100": (128, 100.0),
        "rate_1e-7": (128, 1e-7),
    }
    assert all(model.hidden_layers == (128, 64) for model in params.models.values())
    assert all(model.optimizer == "sgd" for model in params.models.values())
    assert params.train.epochs == 20


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("models/batch_8/batch_size", 0, "models.batch_8.batch_size: 0 "),
        ("models/batch_8/batch_size", -8, "models.batch_8.batch_size: -8 "),
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
        ("models/batch_8/optimizer", "adamw", "models.batch_8.optimizer: 'adamw' "),
        ("models/batch_8/hidden_layers", [0], "models.batch_8.hidden_layers.0: 0 "),
        ("models/new.one", {"batch_size": 8, "learning_rate": 1}, "models: 'new.one' "),
        ("models/new one", {"batch_size": 8, "learning_rate": 1}, "models: 'new one' "),
        ("models/-x", {"batch_size": 8, "learning_rate": 1}, "models: '-x' "),
        ("models", {"a/b": {"batch_size": 8, "learning_rate": 1}}, "models: 'a/b' "),
        ("models", {"../a": {"batch_size": 8, "learning_rate": 1}}, "models: '../a' "),
        ("studies", {"../a": {"question": "Which?", "models": ["baseline"]}}, "studies: '../a' "),
        ("models", {}, "models: {} "),
        ("models", {"a\rb": {"batch_size": 8, "learning_rate": 1}}, r"models: 'a\rb' "),
        (
            "models/baseline",
            {"a\nb": 1, "batch_size": 8, "learning_rate": 1},
            r"models.baseline.'a\nb': is not",
        ),
        ("train/seeds", [], "train.seeds: [] "),
        ("train/seeds", [1, 1], "train.seeds: [1, 1] "),
        ("train/seeds", [-1], "train.seeds.0: -1 "),
        ("train/seeds", 3, "train.seeds: 3 "),
        ("train/epochs", 0, "train.epochs: 0 "),
        ("train/epochs", MISSING, "train.epochs: is missing"),
        ("train/epoch", 20, "train.epoch: is not a known key"),
        ("sweeps", {}, "sweeps: is not a known key"),
        ("models/batch_8/learning_rate", MISSING, "models.batch_8.learning_rate: is missing"),
        ("studies/batch_size/models", ["batch_9"], "studies.batch_size.models: 'batch_9' "),
        ("studies/batch_size/models", [], "studies.batch_size.models: [] "),
        (
            "studies/batch_size/models",
            ["baseline"] * 2,
            "studies.batch_size.models: ['baseline', 'baseline'] ",
        ),
        ("download/sha256/t10k-labels-idx1-ubyte", "abc", "download.sha256.t10k-labels-idx1-ubyte: 'abc' "),
        ("preprocess/validation_images", 0, "preprocess.validation_images: 0 "),
        ("sweep", MISSING, "sweep: is missing"),
        ("sweep/batch_sizes", [8, 0], "sweep.batch_sizes.1: 0 "),
        ("sweep/batch_sizes", [8, 8], "sweep.batch_sizes: [8, 8] "),
        ("sweep/batch_sizes", [50_001], "sweep.batch_sizes: 50001 "),
        ("sweep/batch_sizes", [50_000, "full"], "sweep.batch_sizes: [50000, 'full'] "),
        ("sweep/batch_sizes", 8, "sweep.batch_sizes: 8 "),
        ("sweep/learning_rates", [0.1, -1], "sweep.learning_rates.1: -1 "),
        ("sweep/learning_rates", ["1e-7", 1e-7], "sweep.learning_rates: [1e-07, 1e-07] "),
        ("sweep/learning_rates", [], "sweep.learning_rates: [] "),
        ("sweep/optimizers", ["sgd", "adamw"], "sweep.optimizers.1: 'adamw' "),
        ("sweep/optimizers", ["sgd", "sgd"], "sweep.optimizers: ['sgd', 'sgd'] "),
        ("sweep/seeds", [0, 0], "sweep.seeds: [0, 0] "),
        ("sweep/epochs", 0, "sweep.epochs: 0 "),
    ],
)
def test_a_fault_is_one_line_with_key_value_and_what_is_accepted(faults, key, value, told):
    (line,) = faults(key, value)
    assert line.startswith(told)
    assert "accepted: " in line


def test_faults_in_different_places_are_all_told(tmp_path):
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["train"]["epochs"] = 0
    raw["models"]["batch_8"]["batch_size"] = 0
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(InvalidParams) as error:
        read_params(tmp_path / "params.yaml")
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize("text", ["1e-7", "1.0e-7", "1e-07", "'0.0000001'", "0.0000001", "1E-7"])
def test_a_small_rate_is_a_number_however_it_is_written(tmp_path, text):
    written = (ROOT / "params.yaml").read_text().replace("1.0e-7", text)
    (tmp_path / "params.yaml").write_text(written)
    assert read_params(tmp_path / "params.yaml").models["rate_1e-7"].learning_rate == 1e-7


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "- 1",
        "a: [",
        "\x00",
        "{[1]: 2}",
        "a: &x [*x]",
        "!!python/object:os.x {}",
        "a: 2026-13-01",
        "[" * 9999,
    ],
)
def test_what_is_not_a_mapping_is_refused_without_a_traceback(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(InvalidParams):
        read_params(tmp_path / "params.yaml")


def test_the_command_prints_the_fault_alone_exits_with_2_and_writes_nothing(tmp_path):
    written = (ROOT / "params.yaml").read_text().replace("batch_size: 8", "batch_size: 0")
    (tmp_path / "params.yaml").write_text(written)
    for stage in ("download", "preprocess"):
        command = [sys.executable, "-m", f"stages.{stage}"]
        done = subprocess.run(
            command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
        )
        assert done.returncode == 2
        assert done.stderr.splitlines() == [
            "params.yaml: models.batch_8.batch_size: 0 is not accepted; "
            "accepted: a whole number from 1 to preprocess.training_images, or full"
        ]
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_full_means_all_training_images_in_one_update():
    model = Model(batch_size="full", learning_rate=0.01)
    assert (model.effective_batch_size(50_000), model.updates_per_epoch(50_000)) == (50_000, 1)


def test_the_last_smaller_batch_is_an_update_too():
    assert Model(batch_size=128, learning_rate=0.01).updates_per_epoch(50_000) == 391  # 390 of 128, one of 80
    assert Model(batch_size=8, learning_rate=0.01).updates_per_epoch(50_000) == 6250


def test_an_optimizer_has_the_constants_of_keras_unless_told_otherwise():
    adam = Model(batch_size=8, learning_rate=0.01, optimizer="adam", beta_1=0.8)
    assert adam.constants() == {"beta_1": 0.8, "beta_2": 0.999, "epsilon": 1e-7}


TEXT = (ROOT / "params.yaml").read_text()
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["full", "1e-7", ".nan", "-0", "1e999", "0x1F", "1_000", "2026-11-22", "~", "sgd"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3),
    max_leaves=6,
)


def places(value, at=()):
    """Every place in nested mappings and lists, as tuples of keys."""
    yield at
    for key, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from places(inner, (*at, key))


@given(st.data())
def test_any_value_anywhere_is_read_or_refused_with_a_line(tmp_path_factory, data):
    raw = yaml.safe_load(TEXT)
    place = data.draw(st.sampled_from([place for place in places(raw) if place]))
    section = raw
    for key in place[:-1]:
        section = section[key]
    section[place[-1]] = data.draw(values)
    read_or_refuse(tmp_path_factory, yaml.safe_dump(raw))


@given(st.integers(0, len(TEXT)), st.integers(0, 40), st.text(max_size=20))
def test_any_damage_to_the_text_is_read_or_refused_with_a_line(tmp_path_factory, start, length, put):
    read_or_refuse(tmp_path_factory, TEXT[:start] + put + TEXT[start + length :])


def read_or_refuse(tmp_path_factory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        params = read_params(path)
    except InvalidParams as error:
        assert all(line.startswith(f"{path}: ") for line in str(error).splitlines())
    else:
        assert params.models and params.studies and params.train.seeds
