"""params.yaml as a file: how it is read, how DVC rewrites it, what is rejected before anything runs."""

import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import load_yaml as load_as_dvc

from descent.config import own_dataset_entry, read_params
from tests.support.small_params import ROOT, dumped, error_lines, parent, places, read_yaml, write_yaml

FILE = ROOT / "params.yaml"
TEXT = FILE.read_text()
BATCH_8 = "  batch_8:\n    batch_size: 8\n"


@pytest.fixture
def errors(tmp_path):
    """Return a function: the error lines for a text, without the file's name."""

    return lambda text: error_lines(tmp_path / "params.yaml", text)


# DVC's rewriting


def test_an_override_changes_one_line(tmp_path):
    """Of every value at once: as many lines differ, each in its value alone."""
    path, raw = Path(shutil.copy(FILE, tmp_path)), read_yaml(FILE)
    found = [(".".join(map(str, place)), parent(raw, place)[place[-1]]) for place in places(raw)]
    values = [(name, was) for name, was in found if not isinstance(was, dict | list)]
    apply_overrides(str(path), [f"{name}={'other' if isinstance(was, str) else 77}" for name, was in values])
    pairs = zip(TEXT.splitlines(), path.read_text().splitlines(), strict=True)
    changed = [pair for pair in pairs if pair[0] != pair[1]]
    assert len(changed) == len(values)
    for before, after in changed:
        assert before.split()[0] == after.split()[0] and before.partition("#")[2] == after.partition("#")[2]


def test_an_override_of_a_list_changes_only_its_lines(tmp_path):
    path = shutil.copy(FILE, tmp_path)
    apply_overrides(path, ["network.hidden_layers=[64]"])
    assert (tmp_path / "params.yaml").read_text() == TEXT.replace("  - 128\n  - 64\n  act", "  - 64\n  act")


def test_a_tiny_learning_rate_stays_a_number_when_dvc_writes_it(tmp_path):
    path = shutil.copy(FILE, tmp_path)
    apply_overrides(path, ["models.batch_8.learning_rate=0.000001"])
    assert read_params(path).models["batch_8"].learning_rate == 1e-6


def test_the_entry_of_an_own_dataset_is_as_dvc_writes_it(tmp_path):
    entry = own_dataset_entry("/a/long/path/" + 20 * "folder/" + "my images", "0" * 64, 20)
    path = tmp_path / "params.yaml"
    path.write_text(entry)
    apply_overrides(path, ["datasets.my_images.test_images=21"])
    assert path.read_text() == entry.replace("test_images: 20", "test_images: 21")


# YAML as DVC reads it


@pytest.mark.parametrize("text", ["010", "0o12", "10", "1_0", "0xA", "1e1", "10.0"])
def test_a_number_is_what_dvc_records(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace("batch_size: 8\n", f"batch_size: {text}\n"))
    recorded = load_as_dvc(str(path))["models"]["batch_8"]["batch_size"]
    assert read_params(path).models["batch_8"].batch_size == recorded == 10


def test_a_duplicate_key_is_rejected_with_its_line(errors):
    (line,) = errors(TEXT.replace(BATCH_8, f"{BATCH_8}    batch_size: 16\n"))
    second = TEXT.splitlines().index("    batch_size: 8") + 2
    assert line == f'line {second}: is not YAML: found duplicate key "batch_size"'


@pytest.mark.parametrize("name", ["8", "007", "1e-3", "null", "~", "true", "2026-11-25", ".inf"])
def test_a_name_that_is_no_text_is_rejected_with_the_quotes_it_needs(errors, name):
    line, *_ = errors(TEXT.replace("  batch_8:", f"  {name}:"))
    assert f"the key {name} is " in line and line.endswith(f'needs quotes: "{name}"')


@pytest.mark.parametrize("name", ['"8"', "yes", '"null"', "'1e-3'"])
def test_a_name_that_is_text_for_dvc_is_accepted(tmp_path, name):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace("  batch_8:", f"  {name}:").replace("- batch_8", f"- {name}"))
    assert next(iter(read_params(path).models)) == name.strip("\"'")
    assert list(load_as_dvc(str(path))["models"]) == list(read_params(path).models)


def test_an_entry_of_a_list_that_is_no_text_needs_quotes(errors):
    (line,) = errors(TEXT.replace("- rate_100\n", "- 1e-3\n"))
    assert line.startswith("studies.learning_rate.models.1: 0.001 is not") and "needs quotes" in line


def test_a_quoted_number_is_rejected(errors):
    (line,) = errors(TEXT.replace("learning_rate: 100\n", "learning_rate: '1e-7'\n"))
    assert line.startswith("models.rate_100.learning_rate: '1e-7' is not") and line.endswith("has no quotes")


# Values that do not fit each other


def test_every_conflict_is_listed(errors):
    text = TEXT.replace("data: mnist", "data: mnits").replace("- rate_100\n", "- rate_10\n")
    text = text.replace(BATCH_8, "  batch_8:\n    momentum: 0.9\n    batch_size: 50001\n")
    assert [line.partition(" is not")[0] for line in errors(text)] == [
        "data: 'mnits'",
        "models.batch_8.momentum: 0.9",
        "models.batch_8.batch_size: 50001",
        "studies.learning_rate.models: 'rate_10'",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    - batch_8\n", "    - batch_9\n", "studies.batch_size.models: 'batch_9'"),
        ("    - batch_8\n    - baseline\n", "", "studies.batch_size.models: ['batch_full']"),
        ("rate: 100\n", "rate: 1e-7\n", "studies.learning_rate.models: ['rate_100', 'rate_1e-7']"),
        ("batch_size: 8\n", "batch_size: 50000\n", "studies.batch_size.models: ['batch_8', 'batch_full']"),
        ("  rate_100:", "  Baseline:", "models: 'Baseline'"),
        ("training_images: 50000", "training_images: 50001", "preprocess.training_images + "),
    ],
)  # fmt: skip
def test_models_that_cannot_be_compared_are_rejected(errors, old, new, expected):
    line, *_ = errors(TEXT.replace(old, new, 1))
    assert line.startswith(expected) and "accepted: " in line


def test_a_study_of_the_only_model_is_accepted_and_no_study_is_not(errors):
    raw = read_yaml(FILE)
    raw["models"] = {"only": raw["models"]["baseline"]}
    raw["studies"] = {"a": {"models": ["only"], "question": "How good is it?"}}
    assert errors(dumped(raw)) == []
    raw["studies"] = {}
    (line,) = errors(dumped(raw))
    assert line.startswith("studies: {} is not accepted; accepted: at least one study")


# Defaults


def test_models_and_sweep_have_what_network_says_unless_they_set_it(tmp_path):
    raw = read_yaml(FILE)
    raw["network"] = {"hidden_layers": [64], "activation": "tanh", "optimizer": "momentum"}
    raw["models"]["batch_8"] |= {"activation": "relu", "momentum": 0.5}
    write_yaml(tmp_path / "params.yaml", raw)
    params = read_params(tmp_path / "params.yaml")
    own, default = params.model_runs("batch_8")[0], params.model_runs("baseline")[0]
    assert (own.hidden_layers, own.activation, own.optimizer) == ((64,), "relu", "momentum")
    assert own.constants == (("momentum", 0.5),) and default.constants == (("momentum", 0.9),)
    assert default.activation == "tanh"
    run = params.sweep_runs()[0]
    assert (run.hidden_layers, run.activation, run.optimizer) == ((64,), "tanh", "momentum")
