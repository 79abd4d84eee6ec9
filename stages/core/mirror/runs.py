"""A model's runs in MLflow, written from its record: one function, whether it just trained or is replayed."""

import time
from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

import numpy as np

from stages.core import process
from stages.core.mirror import artifacts, series, served
from stages.core.mirror.record import ModelRecord, RunRecord
from stages.core.mirror.series import Point
from stages.core.mirror.store import Store

BATCH = 1000
"""As many metrics as MLflow takes at once."""


class Runs(NamedTuple):
    """The ids of a model's run and of its seeds' runs."""

    model: str
    seeds: dict[int, str]


def now() -> int:
    """The time in ms since 1970, as MLflow counts it."""
    return time.time_ns() // 1_000_000


def start(store: Store, name: str, tags: Mapping[str, str], time: int, parent: str | None = None) -> str:
    """Start a run, nested in `parent` if given; its id. Its tags tell which process it will end with."""
    tags = {**tags, "mlflow.user": _user(), "process": process.identity(), "state": "running"}
    if parent:
        tags["mlflow.parentRunId"] = parent
    title = labelled(name, tags)
    run = store.client.create_run(store.experiment, start_time=time, tags=tags, run_name=title)
    return run.info.run_id


def labelled(name: str, tags: Mapping[str, str]) -> str:
    """`name`, followed by the DVC experiment that the run's tags name: the list of runs shows no tags."""
    return f"{name} [{tags['dvc.experiment']}]" if "dvc.experiment" in tags else name


def start_seed(store: Store, parent: str, model: str, seed: int, time: int) -> str:
    """Start the run of one seed within that of its model."""
    return start(store, f"{model}, seed {seed}", {"model": model, "seed": str(seed)}, time, parent)


def replay(
    store: Store, record: ModelRecord, labels: np.ndarray, origin: Mapping[str, str], state: str
) -> str:
    """Make the runs of a model that MLflow does not have, with the times of their training; the run's id."""
    own = record.model
    name = record.name
    model = start(store, name, {"model": name}, own.start)
    seeds = {seed: start_seed(store, model, name, seed, run.start) for seed, run in record.seeds.items()}
    tags = {**origin, "replayed": "true"}
    ends = {seed: run.end for seed, run in record.seeds.items()}
    complete(store, Runs(model, seeds), record, labels, tags, state, {}, own.end, ends)
    return model


def complete(
    store: Store,
    runs: Runs,
    record: ModelRecord,
    labels: np.ndarray,
    origin: Mapping[str, str],
    state: str,
    streamed: Mapping[int, Set[int]],
    end: int,
    ends: Mapping[int, int],
) -> None:
    """Bring `runs` from what they hold to what `record` says, and finish them.

    `labels` (n,) are those of the test images, `origin` the tags that are not in the files,
    `streamed` the epochs whose points a seed's run has already, `end` and `ends` when they ended.
    """
    for seed, run in runs.seeds.items():
        held = streamed.get(seed, set())
        points = [
            point for point in record.seeds[seed].points if point.epoch not in held or series.is_final(point)
        ]
        _write(store, run, record.seeds[seed], points, origin)
        finish(store, run, "FINISHED", state, ends[seed])
    _write(store, runs.model, record.model, record.model.points, origin)
    store.client.log_inputs(runs.model, artifacts.datasets(record))
    artifacts.log(store, runs.model, record, labels)
    served.log_model(store, runs.model, record)
    finish(store, runs.model, "FINISHED", state, end)


def finish(store: Store, run: str, status: str, state: str, time: int) -> None:
    """End a run with MLflow's `status` and this project's `state`."""
    store.client.set_tag(run, "state", state)
    store.client.set_terminated(run, status, time)
    if "process" in store.client.get_run(run).data.tags:
        store.client.delete_tag(run, "process")


def log_points(store: Store, run: str, points: Sequence[Point]) -> None:
    """Log points, as few requests as MLflow allows."""
    from mlflow.entities import Metric

    metrics = [Metric(key, value, time, epoch) for key, value, epoch, time in points]
    for first in range(0, len(metrics), BATCH):
        store.client.log_batch(run, metrics=metrics[first : first + BATCH])


def _write(
    store: Store, run: str, record: RunRecord, points: Sequence[Point], origin: Mapping[str, str]
) -> None:
    from mlflow.entities import Param, RunTag

    params = [Param(key, value) for key, value in record.params.items()]
    tags = [RunTag(key, value) for key, value in {**record.tags, **origin}.items()]
    store.client.log_batch(run, params=params, tags=tags)
    store.client.update_run(run, name=labelled(record.name, origin))
    log_points(store, run, points)


def _user() -> str:
    import getpass

    return getpass.getuser()
