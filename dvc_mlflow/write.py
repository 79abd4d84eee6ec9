"""Write an expected run to MLflow: the one function for runs that were live and runs that are replayed."""

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from dvc_mlflow import models, process, provenance
from dvc_mlflow.expected import LISTING, ExpectedRun, ExpectedStage, Point
from dvc_mlflow.store import Store

METRICS = 1000
"""Metrics that MLflow takes at once; parameters and tags are a tenth."""
REQUESTS = 8
"""Requests that a server answers side by side."""
UPLOAD_S = 600
"""Seconds that files may take."""
STATE = "in_dvc_lock"
"""The tag that says whether dvc.lock holds what a run made: yes or no."""
PARENT, PROCESS = "mlflow.parentRunId", "dvc.process"


@dataclass
class Begun:
    """Runs that exist already: the stage's, and its child runs by key."""

    run: str
    children: dict[str, str] = field(default_factory=dict)
    points: dict[str, dict[tuple[str, int], float]] = field(default_factory=dict)
    """What each run, by id, has been sent."""
    ends: dict[str, int] = field(default_factory=dict)
    """When each child run, by key, was last heard of."""


def now() -> int:
    """Return the time in milliseconds, as MLflow counts it."""
    return time.time_ns() // 1_000_000


def start(store: Store, experiment: str, name: str, tags: Mapping[str, str], begin: int) -> str:
    """Start a run and return its id. A tag says which process will end it."""
    tags = {PROCESS: process.identity(), "mlflow.user": provenance.user(), **tags}
    label = f"{name} [{tags['dvc.experiment']}]" if "dvc.experiment" in tags else name
    return str(store.client.create_run(experiment, begin, tags, label).info.run_id)


def send(
    store: Store,
    run: str,
    points: Iterable[Point] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    when: int | Sequence[int] | None = None,
) -> None:
    """Log points, parameters and tags in as few requests as MLflow allows."""
    from mlflow.entities import Metric, Param, RunTag

    points = list(points)
    moments = [when or now()] * len(points) if when is None or isinstance(when, int) else when
    metrics = [
        Metric(key, value, moment, step) for (key, value, step), moment in zip(points, moments, strict=True)
    ]
    held = [Param(key, value) for key, value in (params or {}).items()]
    marks = [RunTag(key, value) for key, value in (tags or {}).items()]
    few = METRICS // 10
    while metrics or held or marks:
        room = METRICS - len(held[:few]) - len(marks[:few])
        store.client.log_batch(run, metrics[:room], held[:few], marks[:few])
        metrics, held, marks = metrics[room:], held[few:], marks[few:]


def write_stage(
    store: Store,
    expected: ExpectedStage,
    origin: Mapping[str, str],
    state: str,
    diff: str,
    begun: Begun | None = None,
) -> None:
    """Bring a stage's run and its child runs to what is expected, and finish them.

    Args:
        store: Where.
        expected: What to show.
        origin: Tags of provenance, which the files do not say.
        state: Value of the tag STATE.
        diff: What was not committed, logged as an artifact.
        begun: Runs that were live. Without it new ones are made, and the stage's is finished first: an
            interrupted replay of many child runs goes on where it ended.
    """
    experiment = store.experiment(expected.experiment)
    tags = {**expected.tags, **origin, STATE: state}
    live = begun is not None
    with store.asking():
        begun = begun or Begun(start(store, experiment, expected.name, tags, now()))
        send(store, begun.run, _missing(expected, begun.points.get(begun.run, {})), expected.params, tags)
        _log_datasets(store, begun.run, expected)
    with store.asking(UPLOAD_S):
        _log_artifacts(store, begun.run, expected, diff)
        if expected.model:
            models.log(store, begun.run, experiment, expected)
    if not live:
        finish(store, begun.run)
    write_children(store, expected, origin, state, begun, begun.children)
    if live:
        finish(store, begun.run)


def write_children(
    store: Store,
    expected: ExpectedStage,
    origin: Mapping[str, str],
    state: str,
    begun: Begun,
    live: Iterable[str] = (),
) -> None:
    """Write the child runs that do not exist, and those that are `live`, by key."""
    experiment, live = store.experiment(expected.experiment), set(live)
    common = {key: value for key, value in origin.items() if key.startswith(("dvc.", "mlflow.user"))}
    common |= {"dvc.stage": expected.stage, STATE: state, PARENT: begun.run}

    def write(child: ExpectedRun) -> None:
        tags, end = {**common, "dvc.child": child.key, **child.tags}, now()
        if child.key in live:
            run = begun.children[child.key]
            send(store, run, _missing(child, begun.points.get(run, {})), child.params, tags, end)
        else:
            run = start(store, experiment, child.name, tags, end - round(1000 * (child.seconds or 0)))
            send(store, run, _missing(child, {}), child.params, when=end)
        finish(store, run, end=begun.ends.get(child.key, end))

    missing = [child for key, child in expected.children.items() if key in live or key not in begun.children]
    side_by_side(store, [partial(write, child) for child in missing])


def side_by_side(store: Store, pieces: Sequence[Callable[[], Any]]) -> None:
    """Do pieces of work: several at once with a server, one after the other with a database."""
    with store.asking() as progress:
        if not store.remote:
            for piece in pieces:
                piece()
                progress()
            return
        pool = ThreadPoolExecutor(REQUESTS)
        try:
            for done in as_completed([pool.submit(piece) for piece in pieces]):
                done.result()
                progress()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _missing(run: ExpectedRun, known: Mapping[tuple[str, int], float]) -> list[Point]:
    """List the points that were not streamed, or with another value than the file has."""
    return [
        Point(place[0], value, place[1]) for place, value in run.points.items() if known.get(place) != value
    ]


def _log_datasets(store: Store, run: str, expected: ExpectedStage) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [
        DatasetInput(
            Dataset(one.name, one.digest, "local", json.dumps({"uri": one.path})),
            [InputTag("mlflow.data.context", one.context)] if one.context else [],
        )
        for one in expected.datasets
    ]
    if inputs:
        store.client.log_inputs(run, inputs)


def _log_artifacts(store: Store, run: str, expected: ExpectedStage, diff: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, text in ((LISTING, expected.listing), ("uncommitted.diff", diff)):
            if text:
                (folder / name).write_text(text, encoding="utf-8")
        for name, path in expected.artifacts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(path.resolve())
        store.client.log_artifacts(run, temporary)


def finish(store: Store, run: str, status: str = "FINISHED", end: int | None = None) -> None:
    """End a run."""
    store.client.set_terminated(run, status, end)
