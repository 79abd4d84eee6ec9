"""Write expected runs to MLflow: the one place for runs that were live and runs that are replayed."""

import json
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dvc_mlflow import models, process, provenance
from dvc_mlflow.expected import DIFF, LISTING, ExpectedRun, ExpectedStage
from dvc_mlflow.store import Store

BATCH = 1000
"""Metric values that are logged at once."""
STATE = "in_dvc_lock"
"""The tag that says whether dvc.lock holds what a run made: yes or no."""
PARENT, PROCESS = "mlflow.parentRunId", "dvc.process"


@dataclass
class StartedRun:
    """A run that exists: the values that it was sent while its stage ran, and when the last came."""

    id: str
    sent: dict[tuple[str, int], float] = field(default_factory=dict)
    end: int | None = None


Tags = Mapping[str, str]
StartedRuns = Mapping[str, StartedRun]
"""The runs of a stage that exist already: by the key of a child run, and its own by an empty one."""


def now() -> int:
    """Return the time in milliseconds, as MLflow counts it."""
    return time.time_ns() // 1_000_000


def start(store: Store, experiment: str, name: str, tags: Tags, begin: int) -> str:
    """Start a run and return its id. A tag says which process will end it."""
    tags = {PROCESS: process.fingerprint(), "mlflow.user": provenance.user(), **tags}
    label = f"{name} [{tags['dvc.experiment']}]" if "dvc.experiment" in tags else name
    return str(store.client.create_run(experiment, begin, tags, label).info.run_id)


def write_stage(store: Store, expected: ExpectedStage, origin: Tags, diff: str, live: StartedRuns) -> str:
    """Write a stage's run and its child runs; return the run's id.

    The stage's run is finished first: an interrupted replay of many child runs goes on where it ended.
    `origin` has the tags of provenance and state, which the files do not say.
    """
    experiment = store.experiment(expected.experiment)
    tags = {**expected.tags, **origin}
    own = live.get("") or StartedRun(start(store, experiment, expected.name, tags, now()))
    _fill(store, own, expected, tags)
    _log_datasets(store, own.id, expected)
    _log_artifacts(store, own.id, expected, diff)
    if expected.mapping.model:
        models.log(store, own.id, experiment, expected)
    store.client.set_terminated(own.id)
    write_children(store, expected, origin, own.id, expected.children, live)
    return own.id


def write_children(
    store: Store, expected: ExpectedStage, origin: Tags, parent: str, keys: Iterable[str], live: StartedRuns
) -> None:
    """Write the child runs `keys`, those that are `live` and new ones."""
    experiment = store.experiment(expected.experiment)
    common = {key: value for key, value in origin.items() if key.startswith(("dvc.", STATE))}
    common |= {"dvc.stage": expected.name, PARENT: parent}

    def write(child: ExpectedRun) -> None:
        tags, end = {**common, "dvc.child": child.key, **child.tags}, now()
        begin = end - round(1000 * (child.seconds or 0))
        run = live.get(child.key) or StartedRun(start(store, experiment, child.name, tags, begin))
        _fill(store, run, child, tags if run.end else {})
        store.client.set_terminated(run.id, "FINISHED", run.end or end)

    store.each([partial(write, expected.children[key]) for key in keys])


def _fill(store: Store, run: StartedRun, expected: ExpectedRun, tags: Tags) -> None:
    """Log parameters, tags, and the values that a run was not sent, or sent otherwise than the file has."""
    from mlflow.entities import Metric, Param, RunTag

    moment = now()
    metrics = [
        Metric(key, value, moment, step)
        for key, curve in expected.curves.items()
        for step, value in curve.items()
        if run.sent.get((key, step)) != value
    ]
    params = [Param(key, value) for key, value in expected.params.items()]
    store.client.log_batch(
        run.id, metrics[:BATCH], params, [RunTag(key, value) for key, value in tags.items()]
    )
    for begin in range(BATCH, len(metrics), BATCH):  # each with a deadline of its own
        store.client.log_batch(run.id, metrics[begin : begin + BATCH])


def _log_datasets(store: Store, run: str, expected: ExpectedStage) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [
        DatasetInput(
            Dataset(name, digest, "local", json.dumps({"uri": path})),
            [InputTag("mlflow.data.context", context)] if context else [],
        )
        for name, digest, path, context in expected.datasets
    ]
    if inputs:
        store.client.log_inputs(run, inputs)


def _log_artifacts(store: Store, run: str, expected: ExpectedStage, diff: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, text in ((LISTING, expected.listing), (DIFF, diff)):
            if text:
                (folder / name).write_text(text, encoding="utf-8")
        for name, path in expected.artifacts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(path.resolve())
        store.client.log_artifacts(run, temporary)
