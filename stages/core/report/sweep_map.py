"""The map: every combination of the sweep's settings as a run, and the table of what came of each."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from stages.core import outcome
from stages.core.engine.descent import Epoch
from stages.core.engine.tensors import Tensors
from stages.core.parallel.replicates import Run, descend_run
from stages.core.parallel.run_store import RunStore
from stages.core.params import Sweep
from stages.core.settings import Model

FINALS = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


class Course(NamedTuple):
    """What the map keeps of a descent: not its weights, which are forty times as large."""

    history: list[Epoch]
    compile_seconds: float
    epoch_seconds: list[float]


def combinations(sweep: Sweep) -> list[Run]:
    """All runs of the map, in the order of its table."""
    values = itertools.product(sweep.optimizers, sweep.batch_sizes, sweep.learning_rates, sweep.seeds)
    return [
        Run(Model(batch_size=size, learning_rate=rate, optimizer=optimizer), sweep.epochs, seed)
        for optimizer, size, rate, seed in values
    ]


def longest_first(runs: Sequence[Run], images: int) -> list[Run]:
    """The order in which to start them: what is left for the end is short, so that nobody waits long."""
    return sorted(runs, key=lambda run: -run.epochs * run.settings.updates_per_epoch(images))


def course(run: Run, digits: Tensors, emit: Callable[[Epoch], None]) -> Course:
    """One run of the map, computed as a model's is."""
    descent = descend_run(run, digits, emit)
    return Course(descent.history, descent.compile_seconds, descent.epoch_seconds)


def table(runs: Sequence[Run], store: RunStore) -> pd.DataFrame:
    """One row per run, in their order, from the store alone; all runs must be in it."""
    return pd.DataFrame([_row(run, store.find(*run), store.images) for run in runs])


def _row(run: Run, history: Sequence[dict[str, Any]], images: int) -> dict[str, Any]:
    return {
        "batch_size": run.settings.effective_batch_size(images),
        "learning_rate": run.settings.learning_rate,
        "optimizer": run.settings.optimizer,
        "seed": run.seed,
        "epochs": run.epochs,
        "updates": history[-1]["updates"],
        **{name: history[-1][name] for name in FINALS},
        "status": outcome.status([epoch["train_loss"] for epoch in history]),
    }
