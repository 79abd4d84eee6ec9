"""Runs under way: handed to the workers, their events and results brought back into one thread."""

import pickle
import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from distributed import CancelledError, Client, Future, get_worker

from stages.core.parallel.cluster import ClusterUnavailable


class Exchange:
    """The runs of one shipment that were begun and have not ended yet.

    Raises ClusterUnavailable where it finds the cluster gone.
    """

    def __init__(self, client: Client, shipment: str, tasks: Sequence[Any], tries: int):
        """`shipment` is the name of what the workers have; a run that raises is tried `tries` times."""
        self._client, self._shipment, self._tasks, self._tries = client, shipment, tasks, tries
        self._futures: dict[int, Future] = {}
        self._heard = [0] * len(tasks)
        self._happened: queue.SimpleQueue = queue.SimpleQueue()
        client.subscribe_topic(shipment, lambda event: self._happened.put(event[1]))

    def begin(self, indices: Sequence[int], prefix: str) -> None:
        """Hand over the tasks at `indices`, under keys of their own that begin with `prefix`.

        Keys are in the order of the tasks: Dask goes by it between tasks that nothing else tells apart.
        """
        pickled = [pickle.dumps(self._tasks[index]) for index in indices]
        keys = [f"{prefix}-{index:09d}-{self._shipment}" for index in indices]
        call = _call(self._shipment)
        with connected():
            begun = self._client.map(call, indices, pickled, key=keys, retries=self._tries - 1)
        for index, future in zip(indices, begun, strict=True):
            self._futures[index] = future
            future.add_done_callback(lambda done, index=index: self._happened.put((index, done, None)))

    def outcomes(self, on_event: Callable[[int, Any], None]) -> Iterator[tuple[int, Any]]:
        """Yield (index, result or exception) until all that was begun has ended.

        `on_event(index, event)` hears of each event once, also of a run that was begun again. A result
        that was yielded leaves the worker.
        """
        while self._futures:
            ended = {}
            for index, what, event in _waiting(self._happened):
                if isinstance(what, Future):
                    ended[index] = self._futures.pop(index)
                elif what == self._heard[index]:
                    self._heard[index] += 1
                    on_event(index, pickle.loads(event))
            yield from zip(ended, self._fetched([*ended.values()]), strict=True)

    def abandon(self) -> None:
        """Have the workers stop what has not ended."""
        with suppress(OSError):  # the scheduler went away, and all of this with it
            self._client.unsubscribe_topic(self._shipment)
            self._client.cancel([*self._futures.values()], force=True)

    def _fetched(self, ended: list[Future]) -> list[Any]:
        errors = {future.key: future.exception() for future in ended if future.status == "error"}
        with connected():
            results = iter(self._client.gather([future for future in ended if future.key not in errors]))
        return [errors[future.key] if future.key in errors else next(results) for future in ended]


def _call(shipment: str) -> Callable[[int, bytes], Any]:
    """A function that travels by value, being inside another: the scheduler does not know the project."""

    def call(index: int, task: bytes) -> Any:
        return get_worker().plugins[shipment].run(index, task)

    return call


def _waiting(happened: queue.SimpleQueue) -> list[tuple]:
    """All that has happened since, at least one thing: results that come together are fetched together."""
    found = [happened.get()]
    while not happened.empty():
        found.append(happened.get())
    return found


@contextmanager
def connected() -> Iterator[None]:
    """Raise ClusterUnavailable where what the block asks of the cluster finds it gone."""
    try:
        yield
    except (CancelledError, OSError):  # Dask's own errors of a connection are OSErrors
        raise ClusterUnavailable("the connection to the Dask scheduler was lost") from None
