"""A small report made by hand: any number of models, with words that try to become HTML or Markdown."""

import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd

from descent.data import Dataset, Split
from descent.metrics import METRICS
from descent.report.render import Report
from descent.report.tables import DIFFERENCES, Tables
from tests.support.results import make_params, sweep_table

QUESTION = "Which is best <script>alert(1)</script> | *really* [x](http://example.org) `y` $z$?"
RATES = (0.001, 0.01, 0.1)
EPOCHS, CLASSES = 4, ("T-shirt/top", "Trouser", "Pullover", "Dress <b>", '"Coat"')


def example(models: int = 3, seeds: int = 2) -> Report:
    """Make a report of one study; the last of several models diverges in its second epoch."""
    names = [f"model_{number}" for number in range(models)]
    settings = {
        name: {"batch_size": 8 + n // 3, "learning_rate": RATES[n % 3]} for n, name in enumerate(names)
    }
    studies = {"study": {"question": QUESTION, "models": names}}
    params = make_params(settings, range(seeds), EPOCHS, studies=studies)
    comparison = pd.DataFrame(settings.values()).assign(study="study", model=names, optimizer="sgd")
    comparison["status"] = [_status(name, names) for name in names]
    comparison["updates"] = [(7 + place) * EPOCHS for place in range(models)]
    comparison = comparison.assign(hidden_layers="none", activation="relu", images=20, pixels=196, classes=5)
    comparison = comparison.assign(seeds=seeds, best_seed=0, p_lead=np.nan)
    for key, (end, value) in itertools.product(METRICS, {"std": 0.001, "low": 0.9, "high": 0.99}.items()):
        comparison[f"{key}_{end}"] = value
        comparison[f"{key}_mean"] = np.linspace(0.9762, 0.1, models)
    true, predicted = np.divmod(np.arange(25), 5)
    confusion = {"model": names[0], "true": true, "predicted": predicted}
    mistakes = {"model": names[0], "image": [3, 7], "true": [3, 2], "predicted": [1, 4]}
    corners = {"corner": range(4), "x": [-1.0, 5.0, 5.0, -1.0], "y": [-1.0, -1.0, 4.4, 4.4]}
    surface = [pd.DataFrame(corners | {"region": n, "loss": loss}) for n, loss in enumerate((0.1, 2.0))]
    accuracies = zip(itertools.product((8, 128), RATES), (0.84, 0.97, 0.1, 0.2, 0.9, 1.0), strict=True)
    sweep = sweep_table(dict(accuracies), epochs=1, updates=7)
    sweep.loc[sweep.validation_accuracy == 0.1, "status"] = "diverged"
    tables = Tables(
        comparison=comparison,
        history=_history(names, seeds),
        differences=pd.DataFrame(columns=DIFFERENCES),
        trajectories=_trajectories(names),
        surface=pd.concat(surface, ignore_index=True).assign(study="study"),
        confusion=pd.DataFrame(confusion | {"images": np.where(true == predicted, 90, true)}),
        mistakes=pd.DataFrame(mistakes | {"probability": [0.9, 0.8]}),
        sweep=sweep,
    )
    random = np.random.default_rng(0)
    images = Split(random.integers(0, 255, (20, 14, 14), dtype=np.uint8), np.arange(20, dtype=np.uint8) % 5)
    return Report(params, tables, Dataset(images, images, images, CLASSES, source="A. Author, 2020"))


def svg_widths(folder: Path) -> dict[str, float]:
    """Return the width in pixels of each figure in a folder, by the name of its file."""
    found = {
        path.name: re.search(r'<svg[^>]* width="([\d.]+)"', path.read_text()) for path in folder.glob("*.svg")
    }
    return {name: float(match[1]) for name, match in found.items() if match}


def _status(name: str, names: list[str]) -> str:
    return "diverged" if len(names) > 1 and name == names[-1] else "learned"


def _history(names: list[str], seeds: int) -> pd.DataFrame:
    rows = []
    for (place, name), seed, epoch in itertools.product(enumerate(names), range(seeds), range(EPOCHS + 1)):
        row = {"model": name, "seed": seed, "epoch": epoch, "updates": (7 + place) * epoch}
        value = (0.5 + 0.05 * place + 0.01 * seed) ** epoch  # so far apart that a finger can tell them
        row |= dict.fromkeys(METRICS, value) | {"distance": float(epoch)}
        if _status(name, names) == "diverged" and epoch > 1:
            row |= {key: np.nan for key, metric in METRICS.items() if metric.scale == "log"}
        rows.append(row)
    return pd.DataFrame(rows)


def _trajectories(names: list[str]) -> pd.DataFrame:
    epochs, tables = np.arange(EPOCHS + 1), []
    for place, name in enumerate(names, 1):
        far = 1e25 if _status(name, names) == "diverged" else 1.0
        tables.append(
            pd.DataFrame({"model": name, "epoch": epochs, "x": far * epochs, "y": 0.1 * place * epochs})
        )
    return pd.concat(tables, ignore_index=True).assign(study="study", explained=0.9)
