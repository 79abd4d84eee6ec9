"""The map in MLflow: an experiment of its own, one run per run of the sweep, for its charts.

Each run of the map has exactly one finished run in MLflow whose tag `state` is `current`, whoever
logged it: the stage, or `stages.sync` later.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from stages.core.mirror import current, provenance, runs, sweep_record
from stages.core.mirror.background import BackgroundLogger
from stages.core.mirror.current import Shown, search
from stages.core.mirror.disagreements import Disagreement
from stages.core.mirror.record import RunRecord
from stages.core.mirror.store import Store, named_experiment, open_store
from stages.core.mirror.sweep_record import STAGE

EXPERIMENT = "mnist-sweep"
DESCRIPTION = (
    "The map of batch sizes and learning rates. Compare all runs with `tags.state = 'current'`: in the "
    "parallel coordinates take log2_batch_size, log10_learning_rate and validation_accuracy; in the scatter "
    "plot log10_learning_rate against validation_accuracy."
)
PATIENCE = 120
"""Seconds that the stage waits for a tracking store: ten thousand runs are not logged in them, see REMEDY."""

REMEDY = "the sweep is on disk, and `python -m stages.sync` logs it later"


def show() -> None:
    """Log what MLflow does not have of the map in the working directory; trouble costs one warning."""
    wanted, origin = sweep_record.read("."), provenance.here()
    logger = BackgroundLogger(REMEDY)
    logger.do(lambda: _show(open_store(), wanted, origin))
    logger.close(PATIENCE)


def _show(store: Store, wanted: Mapping[str, RunRecord], origin: Mapping[str, str]) -> None:
    if provenance.in_experiment_workspace():
        log(store, wanted, origin, working=())
    else:
        log(store, wanted, origin, working=wanted)
        settle(store, wanted)


def log(
    store: Store, wanted: Mapping[str, RunRecord], origin: Mapping[str, str], working: Collection[str]
) -> int:
    """Make the runs of `wanted` that MLflow does not show; how many. Those in `working` are current."""
    store = at_own_experiment(store)
    current.reap(store)
    shown, otherwise = _showing(_finished(store), wanted), current.otherwise(origin)
    missing = [record for name, record in wanted.items() if name not in shown]
    for record in missing:
        name = record.tags["sweep.run"]
        _log_run(store, record, origin, "current" if name in working else otherwise)
    return len(missing)


def settle(store: Store, wanted: Mapping[str, RunRecord]) -> int:
    """Let exactly one run for each of `wanted` be current, and no other; how many were not as they should be.

    Where several show the same, the first that was started is the one: two processes that log at once
    agree on it.
    """
    store = at_own_experiment(store)
    held = _finished(store)
    due = list(current.states_due(held, {shown.id for shown in _showing(held, wanted).values()}))
    for run, state in due:
        store.client.set_tag(run.info.run_id, "state", state)
    return len(due)


def check(store: Store, wanted: Mapping[str, RunRecord], working: bool) -> Iterator[Disagreement]:
    """Where MLflow does not show the map; nothing is changed. `working`: states count as well."""
    found = store.client.get_experiment_by_name(EXPERIMENT)
    held = _finished(store._replace(experiment=found.experiment_id)) if found else []
    shown = _showing(held, wanted)
    if len(shown) < len(wanted):
        yield Disagreement(STAGE, f"{len(wanted)} runs", f"{len(shown)} of them")
    elif working and (due := list(current.states_due(held, {one.id for one in shown.values()}))):
        yield Disagreement(f"{STAGE}: state", f"{len(wanted)} current runs", f"{len(due)} with a wrong state")


def at_own_experiment(store: Store) -> Store:
    """The same store, at the experiment of the sweep, made beside the models' if need be."""
    beside = store.client.get_experiment(store.experiment).artifact_location
    place = None if ":/" in beside else beside  # a server has a place of its own
    return store._replace(experiment=named_experiment(store.client, EXPERIMENT, DESCRIPTION, place))


def _finished(store: Store) -> list[Shown]:
    """The finished runs of the sweep, the first that was started first."""
    found = search(store, "attributes.status = 'FINISHED'")
    return [Shown(run, {}) for run in sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))]


def _showing(held: Iterable[Shown], wanted: Mapping[str, RunRecord]) -> dict[str, Shown]:
    """The first of `held` that shows what a record says, for each record that has one."""
    found: dict[str, Shown] = {}
    for shown in held:
        name = shown.tags.get("sweep.run", "")
        if name not in found and name in wanted and _agrees(shown.run.data, wanted[name]):
            found[name] = shown
    return found


def _agrees(data: Any, record: RunRecord) -> bool:
    """Whether parameters, status and the last value of every curve are those of the record."""
    finals = {point.key: point.value for point in record.points}
    same_status = data.tags.get("status") == record.tags["status"]
    return same_status and data.params == record.params and data.metrics == finals


def _log_run(store: Store, record: RunRecord, origin: Mapping[str, str], state: str) -> None:
    from mlflow.entities import Param

    now = runs.now()
    run = runs.start(store, record.name, record.tags | dict(origin), now)
    store.client.log_batch(run, params=[Param(key, value) for key, value in record.params.items()])
    runs.log_points(store, run, [point._replace(time=now) for point in record.points])
    runs.finish(store, run, "FINISHED", state, now)
