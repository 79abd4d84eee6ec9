"""The process that logs for a running stage; `live` starts it and writes to its stdin."""

import json
import math
import os
import select
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dvc_mlflow import process, runs
from dvc_mlflow.expected import child_run, metric_name, read_mapping, read_running
from dvc_mlflow.mapping import Mapping
from dvc_mlflow.provenance import Place, find
from dvc_mlflow.store import described, open_store, prepare_environment, tracking_uri

GATHER_S = 1
"""Seconds for which numbers are gathered before they are written: one write takes as long as many."""


def work(stage: str) -> None:
    """Log what arrives on stdin for the stage that `live` describes in JSON."""
    begun = json.loads(stage)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the stage says what a signal means
    place = find(Path.cwd())
    uri = tracking_uri(place.root)
    try:
        prepare_environment()
        begun["stage"], mapping, origin, diff = read_mapping(place, begun["stage"])
        if mapping:
            _Stream(place, uri, begun, mapping, origin, diff).follow()
    except (Exception, process.Unanswered) as error:
        print("", described(error, uri), sep="\n", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)  # without taking MLflow apart, which takes a while


def _messages() -> Iterator[list[Any]]:
    """Yield a second's messages at a time, until the stage closes its end."""
    closed = select.poll()
    closed.register(0, 0)
    rest = b""
    while read := os.read(0, 1 << 20):
        *lines, rest = (rest + read).split(b"\n")
        yield [json.loads(line) for line in lines]
        if len(read) < 1 << 15:  # else more is waiting
            closed.poll(1000 * GATHER_S)


class _Stream:
    """The runs of a stage: its own, whose key is empty and which begins at once, and its child runs."""

    def __init__(
        self, place: Place, uri: str, begun: Any, mapping: Mapping, origin: dict[str, str], diff: str
    ):
        self._place, self._begun, self._mapping, self._diff = place, begun, mapping, diff
        self._store = open_store(place.root, uri)
        self._experiment = self._store.experiment(mapping.experiment or place.root.name)
        self._tags = {**origin, "dvc.stage": begun["stage"], runs.STATE: "no", runs.PROCESS: begun["process"]}
        self._live = {"": self._start(begun["stage"], self._tags, begun["time"])}

    def _start(self, name: str, tags: dict[str, str], begin: int) -> runs.StartedRun:
        return runs.StartedRun(runs.start(self._store, self._experiment, name, tags, begin))

    def follow(self) -> None:
        """Log until the stage ends."""
        for messages in _messages():
            self._write([one for one in messages if "step" in one])
            for last in (one for one in messages if "step" not in one):
                return self._complete(last["complete"]) if "complete" in last else self._end(last["end"])
        self._end("KILLED")

    def _write(self, messages: list[Any]) -> None:
        """Log values, with the moments at which the stage had them."""
        from mlflow.entities import Metric

        new: dict[str, list[Metric]] = defaultdict(list)
        for message in messages:
            child = child_run(self._begun["stage"], self._mapping, message["child"])
            moment = round(1000 * message["time"])
            if child.key not in self._live:
                tags = {**self._tags, "dvc.child": child.key, runs.PARENT: self._live[""].id}
                begin = moment - round(1000 * (message["seconds"] or 0))
                self._live[child.key] = self._start(child.name, tags, begin)
            run, step = self._live[child.key], message["step"]
            run.end = moment
            for key, value in message["metrics"].items():
                if math.isfinite(value):
                    name = metric_name(self._mapping, key)
                    new[run.id].append(Metric(name, value, moment, step))
                    run.sent[name, step] = value
        for identity, metrics in new.items():
            self._store.client.log_batch(identity, metrics)

    def _complete(self, made_by: dict[str, str]) -> None:
        """Complete the runs from the stage's files."""
        try:
            stage = read_running(self._place, self._begun["stage"])
        except ValueError:  # Unusable is one
            self._end("FAILED")
            raise
        store, own, current = self._store, self._live[""], self._begun["current"]
        for key in self._live.keys() - stage.children.keys() - {""}:
            store.client.set_terminated(self._live[key].id)
            store.client.delete_run(self._live.pop(key).id)
        origin = self._tags | made_by | {runs.STATE: "yes" if current else "no"}
        runs.write_stage(store, stage, origin, self._diff, self._live)
        in_lock = f"tags.{runs.STATE} = 'yes' and tags.`dvc.outputs` LIKE '%'"  # a name may hold any quotes
        for run in store.runs([self._experiment], in_lock) if current else []:
            if run.data.tags["dvc.stage"] == stage.name and run.info.run_id != own.id:
                children = f"tags.`{runs.PARENT}` = '{run.info.run_id}'"
                for one in (run, *store.runs([self._experiment], children)):
                    store.client.set_tag(one.info.run_id, runs.STATE, "no")

    def _end(self, status: str) -> None:
        """End the runs as they are."""
        for run in self._live.values():
            self._store.client.set_terminated(run.id, status)
