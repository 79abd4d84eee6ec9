"""The process that logs for a running stage; `live` starts it and writes to its stdin."""

import json
import math
import os
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dvc_mlflow import process, runs
from dvc_mlflow.expected import child_run, metric_name, read_mapping, read_running
from dvc_mlflow.mapping import Mapping
from dvc_mlflow.provenance import Place
from dvc_mlflow.store import Store, described, open_store, prepare_environment, tracking_uri

GATHER_S = 1
"""Seconds for which numbers are gathered before they are written: one write takes as long as many."""


def work() -> None:
    """Log what arrives on stdin."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the stage says what a signal means
    messages = _messages()
    begun = next(messages)[0]
    place = Place(*map(Path, begun["place"]))
    try:
        prepare_environment()
        mapping, origin, diff = read_mapping(place, begun["stage"])
        if mapping:
            import mlflow  # noqa: F401  (while the stage imports its own libraries)

            origin[runs.PROCESS] = begun["process"]
            _Stream(place, begun, mapping, origin, diff).follow(messages)
    except (Exception, process.Unanswered) as error:
        print("", described(error, tracking_uri(place.root)), sep="\n", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)  # without taking MLflow apart, which takes a while


def _messages() -> Iterator[list[Any]]:
    """Yield the first message, then a second's messages at a time, until the stage closes its end."""
    closed = select.poll()
    closed.register(0, 0)
    rest, first = b"", True
    while read := os.read(0, 1 << 20):
        *lines, rest = (rest + read).split(b"\n")
        batch = [json.loads(line) for line in lines]
        if batch and first:
            yield [batch.pop(0)]
            first = False
        if batch:
            yield batch
        if len(read) < 1 << 15:  # else more is waiting
            closed.poll(1000 * GATHER_S)


class _Stream:
    """The runs that the numbers of a stage belong to."""

    def __init__(self, place: Place, begun: Any, mapping: Mapping, origin: dict[str, str], diff: str):
        self._place, self._begun, self._mapping, self._diff = place, begun, mapping, diff
        self._tags = {**origin, "dvc.stage": begun["stage"], runs.STATE: "no"}
        self._live: dict[str, runs.StartedRun] = {}
        self._store: Store | None = None

    def follow(self, batches: Iterator[list[Any]]) -> None:
        """Log until the stage ends."""
        for messages in batches:
            self._write([one for one in messages if "step" in one])
            for last in (one for one in messages if "step" not in one):
                return self._complete(last["complete"]) if "complete" in last else self._end(last["end"])
        self._end("KILLED")

    def _write(self, messages: list[Any]) -> None:
        """Log values, with the moments at which the stage had them."""
        values: dict[str, dict[tuple[str, int], float]] = {}
        moments: dict[str, dict[tuple[str, int], int]] = {}
        for message in messages:
            child = child_run(self._begun["stage"], self._mapping, message["child"])
            moment = round(1000 * message["time"])
            run = self._run(child.key, child.name, moment - round(1000 * (message["seconds"] or 0)))
            run.end = moment
            for key, value in message["metrics"].items():
                if math.isfinite(value):
                    place = metric_name(self._mapping, key), message["step"]
                    values.setdefault(child.key, {})[place] = value
                    moments.setdefault(child.key, {})[place] = moment
        for key, new in values.items():
            runs.send(self._opened(), self._live[key].id, new, moments=moments[key])
            self._live[key].values |= new

    def _opened(self) -> Store:
        if self._store is None:
            self._store = open_store(self._place.root)
            assert self._store
            self._experiment = self._store.experiment(self._mapping.experiment or self._place.root.name)
        return self._store

    def _run(self, key: str = "", name: str = "", begin: int = 0) -> runs.StartedRun:
        """Return the run of a child, or the stage's own, which is started if need be."""
        store, own = self._opened(), (self._begun["stage"], self._tags, self._begun["time"])
        if "" not in self._live:
            self._live[""] = runs.StartedRun(runs.start(store, self._experiment, *own))
        if key not in self._live:
            tags = {**self._tags, "dvc.child": key, runs.PARENT: self._live[""].id}
            self._live[key] = runs.StartedRun(runs.start(store, self._experiment, name, tags, begin))
        return self._live[key]

    def _complete(self, made_by: dict[str, str]) -> None:
        """Complete the runs from the stage's files."""
        try:
            stage = read_running(self._place, self._begun["stage"])
        except ValueError:  # Unusable is one
            self._end("FAILED")
            raise
        store, own, current = self._opened(), self._run(), self._begun["current"]
        for key in self._live.keys() - stage.children.keys() - {""}:
            store.client.set_terminated(self._live[key].id)
            store.client.delete_run(self._live.pop(key).id)
        origin = self._tags | made_by | {runs.STATE: "yes" if current else "no"}
        runs.write_stage(store, stage, origin, self._diff, self._live)
        condition = f"tags.`dvc.stage` = '{stage.name}' and tags.{runs.STATE} = 'yes'"
        for run in store.runs([self._experiment], condition) if current else []:
            if own.id not in (run.info.run_id, run.data.tags.get(runs.PARENT)):
                store.client.set_tag(run.info.run_id, runs.STATE, "no")

    def _end(self, status: str) -> None:
        """End the runs as they are."""
        for run in self._live.values():
            self._opened().client.set_terminated(run.id, status)
