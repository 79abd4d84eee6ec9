"""MLflow as a stage sees it: what it does is shown there, and it never fails for it.

A train stage streams its epochs while it runs. When its files are on disk, the run is completed
from these files, by the same function with which `python -m stages.sync` replays a run that MLflow
does not have. So the two cannot differ, and what was not logged is never lost.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from stages.core import process
from stages.core.mirror import current as mirror
from stages.core.mirror import lockfile, provenance, record, report_run, runs, series
from stages.core.mirror.background import BackgroundLogger
from stages.core.mirror.store import Store, open_store
from stages.core.params import Params

REMEDY = "the results go to disk all the same, and `python -m stages.sync` logs them later"
LOST = "the training did not end; runs that are left running are ended by the next start or sync"
GATHERING = 2
"""Seconds for which numbers are gathered before they are shown: a write takes as long for one as for many."""
PATIENCE = 60
"""Seconds that a stage waits at its end for a tracking store that is slow."""
FAREWELL = 5
"""Seconds that a cancelled stage takes to say so: ten after SIGTERM, many systems send SIGKILL."""


class LiveRun:
    """The run of the model that this process trains; `live` makes it."""

    def __init__(self, name: str, params: Params):
        self._name, self._params = name, params
        self._origin = provenance.here()
        self._store: Store | None = None
        self._runs = runs.Runs("", {})
        self._gathered: queue.SimpleQueue[tuple[int, list[series.Point]]] = queue.SimpleQueue()
        self._streamed: dict[int, set[int]] = {}
        self._over = threading.Event()
        self._logger = BackgroundLogger(REMEDY)
        self._begun = self._completing = self._completed = False

    def epoch(self, seed: int, epoch: Any) -> None:
        """Show the numbers of an epoch (descent.Epoch) in the run of `seed`, soon; costs nothing here."""
        self._gathered.put((seed, series.streamed(epoch, runs.now())))
        self._do(self._show)

    def complete(self, folder: Path | str) -> None:
        """Finish the runs from the files in `folder`, models/<model>; waits a minute for them at most."""
        self._completing = True
        self._over.set()
        self._do(lambda: self._complete(Path(folder)))
        self._logger.close(PATIENCE)
        self._completed = True

    def end(self, status: str) -> None:
        """End the runs that training did not complete, with MLflow's `status`; not those that are being
        completed: the files are whole, and to finish takes a moment.
        """
        if self._completed:
            return
        self._over.set()
        if self._begun and not self._completing:
            self._logger.remedy = LOST
            self._do(lambda: self._end(status))
        self._logger.close(FAREWELL)

    def _do(self, piece: Callable[[], None]) -> None:
        """The store is opened before the first piece, not before training: until there are numbers,
        importing MLflow would take the interpreter from what compiles.
        """
        if not self._begun:
            self._begun = True
            self._logger.do(self._open)
        self._logger.do(piece)

    def _open(self) -> None:
        self._store = open_store()
        mirror.reap(self._store)
        tags = {"model": self._name, **self._origin}
        self._runs = runs.Runs(runs.start(self._store, self._name, tags, runs.now()), {})

    def _show(self) -> None:
        """Write all that was gathered; nothing is there if another call of this has written it."""
        if self._gathered.empty():
            return
        self._over.wait(GATHERING)
        by_seed: dict[int, list[series.Point]] = {}
        while not self._gathered.empty():
            seed, points = self._gathered.get()
            by_seed.setdefault(seed, []).extend(points)
        for seed, points in by_seed.items():
            runs.log_points(self._store, self._run_of(seed), points)
            self._streamed.setdefault(seed, set()).update(point.epoch for point in points)

    def _run_of(self, seed: int) -> str:
        if seed not in self._runs.seeds:
            started = runs.start_seed(self._store, self._runs.model, self._name, seed, runs.now())
            self._runs.seeds[seed] = started
        return self._runs.seeds[seed]

    def _complete(self, folder: Path) -> None:
        root, settings = folder.parent.parent, self._params.models[self._name]
        arrays = root / "data" / "arrays"
        studies = self._params.studies_of(self._name)
        held = record.read(root, self._name, settings, studies, lockfile.digest(arrays))
        labels = np.load(arrays / "test_labels.npy", allow_pickle=False)
        for seed in held.seeds.keys() - self._runs.seeds.keys():
            self._run_of(seed)
        state = "experiment" if provenance.in_experiment_workspace() else "current"
        end = runs.now()
        ends = dict.fromkeys(held.seeds, end)
        runs.complete(self._store, self._runs, held, labels, self._origin, state, self._streamed, end, ends)
        if state == "current":
            mirror.supersede(self._store, f"tags.model = '{self._name}'", keep=self._runs.model)

    def _end(self, status: str) -> None:
        for run in (*self._runs.seeds.values(), self._runs.model):
            runs.finish(self._store, run, status, "interrupted", runs.now())


@contextmanager
def live(params: Params, name: str) -> Iterator[LiveRun]:
    """The run of `name`, one of params.models, for as long as it trains.

    Left by an exception the run ends as FAILED, by Ctrl-C or a signal (process.Stopped) as KILLED.
    Trouble with MLflow costs one warning on stderr, which names the command that repairs it, and no
    time: everything is logged beside the training.
    """
    run = LiveRun(name, params)
    try:
        yield run
    except BaseException as error:
        run.end("KILLED" if isinstance(error, (KeyboardInterrupt, process.Stopped)) else "FAILED")
        raise
    run.end("FAILED")


def report(params: Params) -> None:
    """Show reports/ in MLflow, as a run of its own; trouble costs one warning, as for a model's run."""
    shown, origin = report_run.read(".", params.studies), provenance.here()
    state = "experiment" if provenance.in_experiment_workspace() else "current"

    def log() -> None:
        store = open_store()
        mirror.reap(store)
        run = report_run.log(store, shown, origin, state)
        if state == "current":
            mirror.supersede(store, "tags.report = 'true'", keep=run)

    logger = BackgroundLogger(REMEDY)
    logger.do(log)
    try:
        logger.close(PATIENCE)
    except process.Stopped:  # what is begun is finished, if that takes a moment only
        logger.close(FAREWELL)
        raise
