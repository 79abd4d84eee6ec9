"""The runs of a stage while it executes, in the process that logs for it."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dvc_mlflow import write
from dvc_mlflow.expected import Point, child_run, metric_name, read
from dvc_mlflow.lock import Unusable
from dvc_mlflow.mapping import Mapping
from dvc_mlflow.provenance import machine
from dvc_mlflow.store import Store, open_store
from dvc_mlflow.sync import reap


@dataclass
class _Pending:
    """What has arrived for a run and is not written yet; times in milliseconds."""

    name: str
    begin: int
    end: int = 0
    points: list[Point] = field(default_factory=list)
    moments: list[int] = field(default_factory=list)


class Stream:
    """Numbers that arrive, and the runs that they belong to."""

    def __init__(
        self,
        root: Path,
        workspace: Path,
        stage: str,
        mapping: Mapping,
        origin: dict[str, str],
        diff: str,
        current: bool,
        begin: int,
    ):
        """`current`: dvc.lock will hold the results, as DVC runs the stage in the user's working tree."""
        self._root, self._workspace, self._stage, self._mapping = root, workspace, stage, mapping
        self._origin, self._diff, self._current = (
            {**origin, "mlflow.user": machine()["mlflow.user"]},
            diff,
            current,
        )
        self._pending: dict[str, _Pending] = {}
        self._begin = begin
        self._begun: write.Begun | None = None
        self._store: Store | None = None

    def note(self, message: Any) -> None:
        """Take in a message of the stage."""
        run = child_run(self._stage, self._mapping, message["child"])
        moment = round(1000 * message["time"])
        begin = moment - round(1000 * (message["seconds"] or 0))
        pending = self._pending.setdefault(run.key, _Pending(run.name, begin))
        pending.end = moment
        for key, value in message["metrics"].items():
            if math.isfinite(value):
                pending.points.append(Point(metric_name(self._mapping, key), value, message["step"]))
                pending.moments.append(moment)

    def flush(self) -> None:
        """Log what was taken in."""
        if not self._pending:
            return
        store, begun = self._opened()
        with store.asking(quiet=True) as progress:
            for key, one in self._pending.items():
                if key and key not in begun.children:
                    tags = {**self._tags(), "dvc.child": key, write.PARENT: begun.run}
                    begun.children[key] = write.start(
                        store, self._experiment(store), one.name, tags, one.begin
                    )
                run = begun.children[key] if key else begun.run
                write.send(store, run, one.points, when=one.moments)
                begun.points.setdefault(run, {}).update(
                    {(key, step): value for key, value, step in one.points}
                )
                begun.ends[key] = one.end
                progress()
        self._pending.clear()

    def complete(self, made_by: dict[str, str]) -> None:
        """Complete the runs from the stage's files."""
        expectation = read(self._workspace, running=self._stage)
        if expectation.unusable:
            if self._begun:
                self.end("FAILED")
            raise Unusable(expectation.unusable[self._stage])
        self.flush()
        store, begun = self._opened()
        (expected,) = expectation.stages
        state = "yes" if self._current else "no"
        for key in begun.children.keys() - expected.children.keys():
            write.finish(store, begun.children[key])
            store.client.delete_run(begun.children.pop(key))
        write.write_stage(store, expected, self._origin | made_by, state, self._diff, begun)
        if self._current:
            condition = f"tags.`dvc.stage` = '{self._stage}' and tags.{write.STATE} = 'yes'"
            ours = {begun.run}
            for run in store.runs([self._experiment(store)], condition):
                if run.info.run_id not in ours and run.data.tags.get("mlflow.parentRunId") not in ours:
                    store.client.set_tag(run.info.run_id, write.STATE, "no")

    def end(self, status: str) -> None:
        """End the runs as they are."""
        if self._begun is None and not self._pending:
            return
        self.flush()
        store, begun = self._opened()
        with store.asking(quiet=True):
            for run in (*begun.children.values(), begun.run):
                write.finish(store, run, status)

    def _opened(self) -> tuple[Store, write.Begun]:
        """Open the store and start the stage's run, which waits for the first numbers."""
        if self._store is None:
            self._store = open_store(self._root)
            assert self._store
            reap(self._store, [self._experiment(self._store)])
        if self._begun is None:
            run = write.start(
                self._store, self._experiment(self._store), self._stage, self._tags(), self._begin
            )
            self._begun = write.Begun(run)
        return self._store, self._begun

    def _tags(self) -> dict[str, str]:
        return {**self._origin, "dvc.stage": self._stage, write.STATE: "no"}

    def _experiment(self, store: Store) -> str:
        return store.experiment(self._mapping.experiment or self._root.name)
