"""A small report made by hand: any number of models, with words that try to become HTML or Markdown."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from descent.config import Params, Preprocess
from descent.data import Dataset, Split
from descent.metrics import EPOCH_METRICS
from descent.report.captions import Caption
from descent.report.format import markdown
from descent.report.sentences import Answer, Contents, StudyTable
from descent.report.tables import Tables
from tests.support.results import make_params

QUESTION = "Which is best <script>alert(1)</script> | *really* [x](http://example.org) `y` $z$?"
RATES = (0.001, 0.01, 0.1)
EPOCHS, CLASSES = 4, ("T-shirt/top", "Trouser", "Pullover", "Dress <b>", "Coat")


class Example(NamedTuple):
    """What render.write_report takes."""

    params: Params
    tables: Tables
    contents: Contents
    dataset: Dataset


def example(models: int = 3, seeds: int = 2) -> Example:
    """Make a report of one study; the last of several models diverges in its second epoch."""
    names = [f"model_{number}" for number in range(models)]
    settings = {
        name: {"batch_size": 8 + n // 3, "learning_rate": RATES[n % 3]} for n, name in enumerate(names)
    }
    studies = {"study": {"question": QUESTION, "models": names}}
    params = make_params(settings, range(seeds), EPOCHS, studies=studies)
    tables = Tables(
        comparison=_comparison(settings),
        history=_history(names, seeds),
        differences=pd.DataFrame(),
        trajectories=_trajectories(names),
        surface=_surface(),
        confusion=_confusion(names[0]),
        mistakes=pd.DataFrame(
            {
                "model": names[0],
                "image": [3, 7],
                "true": [3, 2],
                "predicted": [1, 4],
                "probability": [0.9, 0.8],
            }
        ),
        sweep=_sweep(),
    )
    random = np.random.default_rng(0)
    images = Split(random.integers(0, 255, (20, 14, 14), dtype=np.uint8), np.arange(20, dtype=np.uint8) % 5)
    return Example(params, tables, _contents(names), Dataset(images, images, images, CLASSES))


def svg_widths(folder: Path) -> dict[str, float]:
    """Return the width in pixels of each figure in a folder, by the name of its file."""
    found = {
        path.name: re.search(r'<svg[^>]* width="([\d.]+)"', path.read_text()) for path in folder.glob("*.svg")
    }
    return {name: float(match[1]) for name, match in found.items() if match}


def _status(name: str, names: list[str]) -> str:
    return "diverged" if len(names) > 1 and name == names[-1] else "learned"


def _comparison(settings: dict[str, dict[str, Any]]) -> pd.DataFrame:
    rows = [
        {
            "study": "study",
            "model": name,
            "optimizer": "sgd",
            "status": _status(name, list(settings)),
            "updates": (7 + place) * EPOCHS,
            **values,
        }
        for place, (name, values) in enumerate(settings.items())
    ]
    return pd.DataFrame(rows)


def _history(names: list[str], seeds: int) -> pd.DataFrame:
    rows = []
    for place, name in enumerate(names):
        for seed in range(seeds):
            for epoch in range(EPOCHS + 1):
                value = (0.5 + 0.01 * (place + seed)) ** epoch
                row = {metric.key: value for metric in EPOCH_METRICS} | {"distance": float(epoch)}
                if _status(name, names) == "diverged" and epoch > 1:
                    row |= {metric.key: np.nan for metric in EPOCH_METRICS if metric.scale == "log"}
                rows.append(
                    {"model": name, "seed": seed, "epoch": epoch, "updates": (7 + place) * epoch, **row}
                )
    return pd.DataFrame(rows)


def _trajectories(names: list[str]) -> pd.DataFrame:
    rows = []
    for place, name in enumerate(names):
        far = 1e25 if _status(name, names) == "diverged" else 1.0
        for epoch in range(EPOCHS + 1):
            x, y = far * epoch, 0.1 * (place + 1) * epoch
            rows.append(
                {
                    "study": "study",
                    "model": name,
                    "epoch": epoch,
                    "x": x,
                    "y": y,
                    "explained": 0.9,
                }
            )
    return pd.DataFrame(rows)


def _surface() -> pd.DataFrame:
    corners = [(-1.0, -1.0), (5.0, -1.0), (5.0, 4.4), (-1.0, 4.4)]
    rows = [
        {"study": "study", "region": region, "corner": corner, "loss": loss, "x": x, "y": y}
        for region, loss in enumerate((0.1, 2.0))
        for corner, (x, y) in enumerate(corners)
    ]
    return pd.DataFrame(rows)


def _confusion(name: str) -> pd.DataFrame:
    true, predicted = np.divmod(np.arange(25), 5)
    return pd.DataFrame(
        {"model": name, "true": true, "predicted": predicted, "images": np.where(true == predicted, 90, true)}
    )


def _sweep() -> pd.DataFrame:
    accuracy = {
        (8, 0.001): 0.84,
        (8, 0.01): 0.97,
        (8, 0.1): 0.1,
        (128, 0.001): 0.2,
        (128, 0.01): 0.9,
        (128, 0.1): 1.0,
    }
    rows = [
        {
            **{metric.key: 0.5 for metric in EPOCH_METRICS},
            "batch_size": size,
            "learning_rate": rate,
            "optimizer": "sgd",
            "seed": 0,
            "epochs": 1,
            "updates": 7,
            "validation_accuracy": found,
            "status": "diverged" if found == 0.1 else "learned",
        }
        for (size, rate), found in accuracy.items()
    ]
    return pd.DataFrame(rows)


def _contents(names: list[str]) -> Contents:
    labels = {name: name if _status(name, names) == "learned" else f"{name} (diverged)" for name in names}
    kinds = ("study-curves", "study-movement", "study-trajectories", "sweep", f"{names[0]}-mistakes")
    headings = ["model", "learning rate", "validation accuracy", "status", "updates"]
    rows = [[name, "0.001", "97.62 ± 0.10 %", _status(name, names), "125,000"] for name in names]
    answer = Answer(
        study="study",
        question=markdown(QUESTION),
        answer="learning rate 0.001 <b>",
        models=names[:1],
        headline=f"Learning rate 0.001 (`{names[0]}`) performed best.",
        table=StudyTable(headings, rows, "Mean over 2 seeds ± standard deviation."),
        evidence=["The lead is significant."],
        reasons=[f"`{name}`: steps of a suitable size." for name in names],
        limits=["Nothing else was tried."],
    )
    return Contents(
        title="How the learning rate affects gradient descent",
        introduction=["Small steps win."],
        network="A network 196 → 5. An epoch is 7 updates.",
        answers=[answer],
        captions={kind: Caption(f'Title of "{kind}" <i>', f"Text of {kind}.") for kind in kinds},
        method={
            "split": Preprocess(training_images=20, validation_images=20, seed=0),
            "source": "A. Author, 2020",
            "classes": 5,
            "surface": True,
            "tuned": ["model_0"],
            "sweep_epochs": 1,
            "unused": ["model_9"],
        },
        labels=labels,
    )
