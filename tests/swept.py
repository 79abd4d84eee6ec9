"""The files of a sweep as its stage writes them, of made-up numbers: a table and a file for each run."""

import csv
import itertools
import math
from pathlib import Path

import yaml

from stages.core.files import write_json
from stages.core.mirror.sweep_record import RUNS, TABLE
from tests.project import Project

STAGE = {"cmd": "true", "outs": [{RUNS: {"persist": True}}, {TABLE: {"cache": False}}]}


def name_of(engine: str, size: int, rate: float) -> str:
    """What a run's file is called."""
    return f"{engine}-{size}-{rate:g}"


def write_sweep(folder: Path, sizes=(8, 128), rates=(1e-7, 0.1, 100), engine="a") -> list[str]:
    """Add the runs of a grid, computed by `engine`, and make them the table's; their names."""
    pairs = list(itertools.product(sizes, rates))
    names = [name_of(engine, *pair) for pair in pairs]
    for name, (size, rate) in zip(names, pairs, strict=True):
        settings = {"batch_size": size, "learning_rate": rate, "optimizer": "sgd", "epochs": 3, "seed": 0}
        run = settings | {"data": "d", "engine": engine, "libraries": {"numpy": "2"}}
        write_json(folder / RUNS / f"{name}.json", {"run": run, "history": _history(size, rate)})
    (folder / TABLE).parent.mkdir(exist_ok=True)
    with open(folder / TABLE, "w", newline="") as table:
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(("batch_size", "learning_rate", "run"))
        rows.writerows((*pair, name) for pair, name in zip(pairs, names, strict=True))
    return names


def _history(size: int, rate: float) -> list[dict]:
    fall = min(rate, 0.5)
    losses = [2.3 * (1 - fall) ** epoch if epoch == 0 or rate < 100 else None for epoch in range(4)]
    return [
        {
            "epoch": epoch,
            "updates": epoch * math.ceil(600 / size),
            "train_loss": loss,
            "validation_accuracy": min(0.1 + epoch * fall, 1) + size / 1e4,
        }
        for epoch, loss in enumerate(losses)
    ]


def add_sweep(project: Project, **grid) -> list[str]:
    """Give the project a stage `sweep` that has run, as far as DVC knows; the names of its runs."""
    names = write_sweep(project.folder, **grid)
    path = project.folder / "dvc.yaml"
    pipeline = yaml.safe_load(path.read_text())
    pipeline["stages"]["sweep"] = STAGE
    path.write_text(yaml.safe_dump(pipeline, sort_keys=False))
    ignored = project.folder / ".gitignore"
    ignored.write_text(ignored.read_text().replace("/models/\n", "/models/\n/data/sweep/\n"))
    project.run("dvc", "commit", "-q", "-f", "sweep")
    return names
