"""Many runs at once: each is computed by some worker, its events and its result come back as they happen."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
from distributed import Client, KilledWorker, Scheduler, Worker

from stages.core.parallel.cluster import versions_at_work
from stages.core.parallel.exchange import Exchange, connected
from stages.core.parallel.shipment import SHIPMENT, Shipment, packed_code

TRIES = 3
"""A run that raises is tried this often at most, the first time included. A worker that dies is not the
run's failure until more of them died with it than Dask's own `distributed.scheduler.allowed-failures`, and
as many again when it was the only run."""

ROOT = Path(__file__).parents[3]


class Failure(NamedTuple):
    """A run that could not be computed, with the error of its last try."""

    task: Any
    error: BaseException

    def __str__(self) -> str:
        reason = " ".join(str(self.error).split())
        return f"{self.task}: {type(self.error).__name__}: {reason}"


class RunsFailed(RuntimeError):
    """Runs that could not be computed; a line for each, with its settings."""


def run_each(
    client: Client,
    function: Callable[[Any, Any, Callable[[Any], None]], Any],
    tasks: Sequence[Any],
    shared: Any,
    on_event: Callable[[int, Any], None] = lambda index, event: None,
) -> Iterator[tuple[int, Any]]:
    """Compute `function(task, shared, emit)` for every task; yield (index, result or Failure) as each ends.

    Workers start the tasks in their order; those whose workers died are computed once more at the
    end, each alone. What a task passes to `emit` reaches `on_event(index, event)` in this thread, in
    the order of that task, while others are running, and once even if a worker died and the task was
    computed again. `function` must be importable by its name. Whoever stops iterating abandons what
    has not ended.
    """
    with _shipped(client, function, shared) as shipment:
        exchange = Exchange(client, shipment.name, tasks, TRIES)
        try:
            yield from _suspects_alone(exchange, tasks, on_event)
        finally:
            exchange.abandon()


def _suspects_alone(
    exchange: Exchange, tasks: Sequence[Any], on_event: Callable[[int, Any], None]
) -> Iterator[tuple[int, Any]]:
    """All tasks at once, then each whose workers died: one that kills them is told from one beside it."""
    suspects = []
    exchange.begin(range(len(tasks)), "run")
    for index, outcome in exchange.outcomes(on_event):
        if isinstance(outcome, KilledWorker):
            suspects.append(index)
        else:
            yield index, _result(tasks[index], outcome)
    for suspect in suspects:
        exchange.begin([suspect], "alone")
        for index, outcome in exchange.outcomes(on_event):
            yield index, _result(tasks[index], outcome)


def _result(task: Any, outcome: Any) -> Any:
    return Failure(task, outcome) if isinstance(outcome, BaseException) else outcome


def run_all(
    client: Client,
    function: Callable[[Any, Any, Callable[[Any], None]], Any],
    tasks: Sequence[Any],
    shared: Any,
    on_event: Callable[[int, Any], None] = lambda index, event: None,
) -> list[Any]:
    """As `run_each`; the results in the order of the tasks. Raises RunsFailed when all have ended."""
    ended = dict(run_each(client, function, tasks, shared, on_event))
    results = [ended[index] for index in range(len(tasks))]
    if failures := [result for result in results if isinstance(result, Failure)]:
        raise RunsFailed("\n".join(map(str, failures))) from failures[0].error
    return results


@contextmanager
def _shipped(client: Client, function: Callable, shared: Any) -> Iterator[Shipment]:
    """Workers of this process have code and data already; others need not share a disk with it."""
    content, here = (function, shared), _workers_of_this_process(client)
    if here:
        shipment = Shipment(client.id, b"", content)
        for worker in here:
            client.sync(worker.plugin_add, shipment)
    else:
        code, versions = packed_code(ROOT), versions_at_work()
        shipment = Shipment(client.id, code, cloudpickle.dumps(content), versions)
        with connected():
            _clear_away_what_was_left(client)
            client.register_plugin(shipment)
    try:
        yield shipment
    finally:
        with suppress(Exception):  # the scheduler went away, and all of this with it
            for worker in here:
                client.sync(worker.plugin_remove, shipment.name)
            if not here:
                client.unregister_worker_plugin(shipment.name)


def _clear_away_what_was_left(client: Client) -> None:
    """Have scheduler and workers forget the shipments of drivers that were killed."""

    def left(begins: str, dask_scheduler: Scheduler) -> list[str]:
        names = [name for name in dask_scheduler.worker_plugins if name.startswith(begins)]
        return [name for name in names if name.split("/")[1] not in dask_scheduler.clients]

    for name in client.run_on_scheduler(left, f"{SHIPMENT}/"):
        with suppress(ValueError):  # another driver has just done it
            client.unregister_worker_plugin(name)


def _workers_of_this_process(client: Client) -> list[Worker]:
    in_process = client.cluster is not None and not client.cluster.processes
    return list(client.cluster.workers.values()) if in_process else []
