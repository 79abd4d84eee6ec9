"""Many runs at once: each is computed by some worker, its events and its result come back as they happen."""

import pickle
import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
from distributed import CancelledError, Client, Future, Worker, get_worker

from stages.core.parallel.cluster import ClusterUnavailable, versions_at_work
from stages.core.parallel.shipment import Shipment, packed_code

TRIES = 3
"""A run that raises is tried this often at most, the first time included. A worker that dies is not the
run's failure until Dask's own `distributed.scheduler.allowed-failures` of them died with it."""

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

    Workers start the tasks in their order. What a task passes to `emit` reaches
    `on_event(index, event)` in this thread, in the order of that task, while others are running, and
    once even if a worker died and the task was computed again. `function` must be importable by its
    name. Whoever stops iterating abandons what has not ended.
    """
    with _shipped(client, function, shared) as shipment:
        happened: queue.SimpleQueue = queue.SimpleQueue()
        client.subscribe_topic(shipment.name, lambda event: happened.put(event[1]))
        with _connected():
            futures = _submit(client, shipment.name, tasks, happened)
        try:
            for index, outcome in _as_they_happen(client, futures, happened, on_event):
                failed = isinstance(outcome, BaseException)
                yield index, Failure(tasks[index], outcome) if failed else outcome
        finally:
            with suppress(OSError):  # the scheduler went away, and all of this with it
                client.unsubscribe_topic(shipment.name)
                client.cancel([*futures.values()], force=True)


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
        shipment = Shipment(b"", content)
        for worker in here:
            client.sync(worker.plugin_add, shipment)
    else:
        shipment = Shipment(packed_code(ROOT), cloudpickle.dumps(content), versions_at_work())
        with _connected():
            client.register_plugin(shipment)
    try:
        yield shipment
    finally:
        with suppress(Exception):  # the scheduler went away, and all of this with it
            for worker in here:
                client.sync(worker.plugin_remove, shipment.name)
            if not here:
                client.unregister_worker_plugin(shipment.name)


def _workers_of_this_process(client: Client) -> list[Worker]:
    in_process = client.cluster is not None and not client.cluster.processes
    return list(client.cluster.workers.values()) if in_process else []


def _submit(
    client: Client, name: str, tasks: Sequence[Any], happened: queue.SimpleQueue
) -> dict[int, Future]:
    """Keys in the order of the tasks: Dask goes by it between tasks that nothing else tells apart."""
    numbers, pickled = range(len(tasks)), [pickle.dumps(task) for task in tasks]
    keys = [f"run-{index:09d}-{name}" for index in numbers]
    futures = dict(enumerate(client.map(_call(name), numbers, pickled, key=keys, retries=TRIES - 1)))
    for index, future in futures.items():
        future.add_done_callback(lambda done, index=index: happened.put((index, done, None)))
    return futures


def _call(name: str) -> Callable[[int, bytes], Any]:
    """A function that travels by value, being inside another: the scheduler does not know the project."""

    def call(index: int, task: bytes) -> Any:
        return get_worker().plugins[name].run(index, task)

    return call


def _as_they_happen(
    client: Client,
    futures: dict[int, Future],
    happened: queue.SimpleQueue,
    on_event: Callable[[int, Any], None],
) -> Iterator[tuple[int, Any]]:
    """Yield (index, result or exception). What is done leaves `futures`, and its result the worker."""
    heard = dict.fromkeys(futures, 0)
    while futures:
        ended = {}
        for index, what, event in _waiting(happened):
            if isinstance(what, Future):
                ended[index] = futures.pop(index)
            elif what == heard[index]:
                heard[index] += 1
                on_event(index, pickle.loads(event))
        yield from zip(ended, _outcomes(client, [*ended.values()]), strict=True)


def _waiting(happened: queue.SimpleQueue) -> list[tuple]:
    """All that has happened since, at least one thing: results that come together are fetched together."""
    found = [happened.get()]
    while not happened.empty():
        found.append(happened.get())
    return found


def _outcomes(client: Client, ended: list[Future]) -> list[Any]:
    errors = {future.key: future.exception() for future in ended if future.status == "error"}
    with _connected():
        results = iter(client.gather([future for future in ended if future.key not in errors]))
    return [errors[future.key] if future.key in errors else next(results) for future in ended]


@contextmanager
def _connected() -> Iterator[None]:
    """Raise ClusterUnavailable where what the block asks of the cluster finds it gone."""
    try:
        yield
    except (CancelledError, OSError):  # Dask's own errors of a connection are OSErrors
        raise ClusterUnavailable("the connection to the Dask scheduler was lost") from None
