"""Forty models, ten studies, one seed, one epoch; one model, one seed, one epoch: every name is shown."""

import re

import pytest

from descent.config import read_params
from stages import report
from tests.support.images import write_arrays
from tests.support.report import svg_widths
from tests.support.results import IMAGES, noise_dataset, sweep_table, write_model
from tests.support.small_params import ROOT, read_yaml, write_yaml

pytestmark = pytest.mark.slow  # each test renders a report

FORTY = [f"model_{number:02}_with_a_name_that_takes_some_room" for number in range(40)]
TEN = {f"study_{number}": FORTY[2 * number : 2 * number + 2] for number in range(9)}
TEN["all"] = FORTY[:39]  # the last model is in no study


def run_report(folder, monkeypatch, models, studies, outcomes=("learned", "undertrained", "diverged")):
    """Write params.yaml, data and made-up results; run the report's stage; return the parameters."""
    monkeypatch.chdir(folder)
    raw = read_yaml(ROOT / "params.yaml")
    raw["preprocess"] |= {"training_images": IMAGES, "validation_images": IMAGES}
    raw["train"] = {"epochs": 1, "seeds": [0]}
    raw["network"]["hidden_layers"] = [3]
    raw["tuned"]["models"] = {}
    raw["sweep"] = {"batch_sizes": [8], "learning_rates": [0.1], "seeds": [0], "epochs": 1}
    raw["models"] = {
        name: {"batch_size": 1 + place, "learning_rate": 0.01} for place, name in enumerate(models)
    }
    raw["studies"] = {
        name: {"models": list(names), "question": f"Which is best in {name.replace('_', ' ')}?"}
        for name, names in studies.items()
    }
    write_yaml(folder / "params.yaml", raw)
    params = read_params()
    write_arrays(folder / "data/arrays", noise_dataset())
    (folder / "reports").mkdir()
    sweep_table({(8, 0.1): 0.5}).to_csv("reports/sweep.csv", index=False)
    (folder / "reports/rates.json").write_text("{}")
    for place, name in enumerate(models):
        write_model(folder / "models" / name, params, name, outcomes[place % len(outcomes)])
    report.main()
    return params


def words(svg: str) -> str:
    """Return the texts of a figure, without the breaks of their lines."""
    return "".join(re.findall(r">([^<>]+)<", svg))


@pytest.mark.timeout(900)
def test_forty_models_and_ten_studies_are_all_named(tmp_path, monkeypatch):
    params = run_report(tmp_path, monkeypatch, FORTY, TEN)
    text = (tmp_path / "reports/report.md").read_text()
    page = (tmp_path / "reports/report.html").read_text()
    for name in FORTY:
        assert name in text and name in page
    for study in params.studies.values():
        assert study.question in text and study.question in page
    figures = tmp_path / "reports/figures"
    widths = svg_widths(figures)
    assert all(width <= 1000 for width in widths.values()), widths
    curves = words((figures / "all-curves.svg").read_text())
    assert [name for name in TEN["all"] if name not in curves] == []


@pytest.mark.parametrize("outcome", ["learned", "undertrained", "stalled", "collapsed", "diverged"])
def test_one_model_one_seed_and_one_epoch_are_a_report(tmp_path, monkeypatch, outcome):
    run_report(tmp_path, monkeypatch, ["only"], {"alone": ["only"]}, (outcome,))
    text = (tmp_path / "reports/report.md").read_text()
    assert "only" in text and outcome in text and "nan" not in text
