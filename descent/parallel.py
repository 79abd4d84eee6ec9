"""Many training runs at once, in threads of this process or on the cluster at DASK_SCHEDULER_ADDRESS."""

import asyncio
import hashlib
import importlib
import itertools
import logging
import os
import pickle
import queue
import sys
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle

try:
    import dask
except ValueError as error:  # a malformed file in ~/.config/dask
    sys.exit(" ".join(str(error).split()))
from dask.system import CPU_COUNT
from distributed import CancelledError, Client, Future, Security, get_worker, rpc
from distributed.client import ClosedClientError
from distributed.versions import VersionMismatchWarning, get_versions

import descent
from descent import errors
from descent.addresses import public_url
from descent.errors import UserError
from descent.files import zipped

PACKAGE = "descent"
"""The package that workers are sent. They need the libraries, but neither this code nor a shared disk."""

RUN_TRIES = 3
"""Tries of a run that raises, the first one included."""

CONNECT_TIMEOUT_S = 5
"""Dask's own 30 seconds would look like a hang."""

REPLICATE_TIMEOUT_S = 30
"""Runs wait until all workers have the data, but not for one that hangs."""

EVERYWHERE = ("dask", "distributed", "cloudpickle")
"""All processes of a cluster need the same versions of these, and of Python, to understand each other."""

ON_WORKERS = (*EVERYWHERE, "numpy", "tensorflow", "keras", "pydantic")
"""Versions that can change a result or how settings are pickled. The scheduler needs only EVERYWHERE."""

LOST = (CancelledError, ClosedClientError, OSError)
"""Raised by Dask when the connection to the scheduler is lost."""

for module in (sys.modules[__name__], errors):  # workers cannot import these
    cloudpickle.register_pickle_by_value(module)

Function = Callable[[Any, Any, Callable[[Any], None]], Any]
OnEvent = Callable[[int, Any], None]


class ClusterUnavailable(UserError):
    """The cluster cannot be used. One line: what was found where, and what is accepted."""


class Failure(NamedTuple):
    """A run that failed, with the error of its last try."""

    task: Any
    error: BaseException

    def __str__(self) -> str:
        """Return one line: the settings of the run and the error."""
        reason = " ".join(str(self.error).split())
        return f"{self.task}: {type(self.error).__name__}: {reason}"


@contextmanager
def connect() -> Iterator[Client]:
    """Connect to the cluster at DASK_SCHEDULER_ADDRESS or, without one, start a thread per processor.

    Threads suffice here because TensorFlow releases the interpreter lock while it computes.
    """
    for name in ("distributed", "distributed.client", "distributed.gc"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # errors are raised, as one line
    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    if not address:  # what a person has set for clusters, encryption say, would hold up threads
        dask.config.refresh(paths=[], env={})
    settings = {"distributed.admin.large-graph-warning-threshold": "1 GB", "scheduler-address": None}
    with dask.config.set(settings), _join(address) if address else _start_threads() as client:
        yield client


def _start_threads() -> Client:
    return Client(
        processes=False,
        n_workers=1,
        threads_per_worker=CPU_COUNT,  # those that this process may use: its container's share
        memory_limit=0,
        dashboard_address="127.0.0.1:0",  # Dask needs some port: a free one, for this machine only
        scheduler_kwargs={"dashboard": False},
        set_as_default=False,
    )


def _join(address: str) -> Client:
    shown = public_url(address if "://" in address else f"tcp://{address}")
    try:
        scheduler, workers = asyncio.run(_ask_versions(address))
    except Exception as error:  # which one depends on the scheme, and on what answers
        reason = " ".join(str(error).split()) or f"no answer within {CONNECT_TIMEOUT_S} s"
        if {"@", "?", "#"} & set(address):  # a library may repeat the password in any form
            reason = type(error).__name__
        raise ClusterUnavailable(f"DASK_SCHEDULER_ADDRESS: no Dask scheduler at {shown}: {reason}") from None
    _require_versions(f"the scheduler {shown}", scheduler, EVERYWHERE)
    for worker, found in workers.items():
        _require_versions(f"the worker {worker}", found, ON_WORKERS)
    if not workers:
        print(f"{shown}: no worker has joined yet; runs start when one does", file=sys.stderr)
    warnings.filterwarnings("ignore", category=VersionMismatchWarning)  # about packages that do not matter
    with _connection():
        return Client(address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)


async def _ask_versions(address: str) -> tuple[dict, dict[str, dict]]:
    """Return `get_versions` of the scheduler and of each worker; of none if one of them hangs.

    `Client` would wait for ever for a worker that hangs, or a server that accepts connections and says
    nothing, and its `get_versions(check=True)` warns only.
    """
    async with rpc(address, connection_args=Security().get_connection_args("client")) as scheduler:
        own = await asyncio.wait_for(scheduler.versions(packages=ON_WORKERS), CONNECT_TIMEOUT_S)
        question = {"op": "versions", "packages": ON_WORKERS}
        with suppress(TimeoutError):
            asked = scheduler.broadcast(msg=question, on_error="ignore")
            return own, await asyncio.wait_for(asked, CONNECT_TIMEOUT_S)
        return own, {}


def _require_versions(place: str, found: dict, packages: Sequence[str], expected: dict | None = None) -> None:
    """Raise ClusterUnavailable at the first version that is not as expected, by default as here."""
    here, there = (versions["packages"] for versions in (expected or get_versions(packages), found))
    for package in ("python", *packages):
        ours, theirs = (str(versions.get(package) or "missing") for versions in (here, there))
        if package == "python":  # the numbers after the second do not matter
            ours, theirs = (".".join(version.split(".")[:2]) for version in (ours, theirs))
        if ours != theirs:
            raise ClusterUnavailable(f"{place} has {package} {theirs}; accepted: {ours}, as the driver has")


@contextmanager
def _connection() -> Iterator[None]:
    """Raise ClusterUnavailable for what Dask raises when the scheduler has gone."""
    try:
        yield
    except LOST:
        raise ClusterUnavailable("the connection to the Dask scheduler was lost") from None


def run_each(
    client: Client,
    function: Function,
    tasks: Sequence[Any],
    shared: Any,
    on_event: OnEvent = lambda index, event: None,
) -> Iterator[tuple[int, Any]]:
    """Compute `function(task, shared, emit)` for every task, in parallel.

    Runs start in the order of the tasks. A run whose worker dies is repeated on another one, unless it has
    seen too many die (Dask's setting `distributed.scheduler.allowed-failures`); a run that raises is tried
    RUN_TRIES times. Closing the iterator abandons runs that have not ended, which stop at their next event.

    Workers import `function` by its name from this package. Threads share `shared` itself; each worker
    unpickles it once. `on_event` is called in this thread with (index, event) for what a run passes to
    `emit`, in the order of the run. Events of a repeated run are not reported twice.

    Yields:
        (index, result or Failure), as each run ends.
    """
    name, topic = uuid.uuid4().hex, client.id  # Dask clears this topic when the client has gone
    happened: queue.SimpleQueue = queue.SimpleQueue()
    pending: dict[Future, int] = {}
    reported = [0] * len(tasks)  # events of each run

    def receive(event: tuple[float, Any]) -> None:
        if not isinstance(event[1], dict) and event[1][0] == name:  # Dask logs dictionaries there
            happened.put(event[1][1:])

    try:
        with _connection():
            client.subscribe_topic(topic, receive)
            futures = client.map(
                lambda index, task, content: content.run(index, task, topic, name),
                range(len(tasks)),
                list(map(pickle.dumps, tasks)),
                content=_send(client, function, shared),
                key=[f"{function.__name__}-{index:09d}-{name}" for index in range(len(tasks))],
                retries=RUN_TRIES - 1,
            )
        pending.update(zip(futures, range(len(tasks)), strict=True))
        del futures  # a result leaves its worker with the last reference
        for future in list(pending):
            future.add_done_callback(happened.put)
        while pending:
            what = happened.get()
            if isinstance(what, Future):
                index = pending.pop(what)
                yield index, _outcome(what, tasks[index])
                continue
            index, number, event = what
            if number == reported[index]:
                reported[index] += 1
                on_event(index, pickle.loads(event))
    finally:
        with suppress(*LOST):  # the scheduler has gone, and everything on it
            client.unsubscribe_topic(topic)
            client.cancel(list(pending))


def run_all(
    client: Client,
    function: Function,
    tasks: Sequence[Any],
    shared: Any,
    on_event: OnEvent = lambda index, event: None,
) -> list[Any]:
    """Compute all runs as `run_each` does; return their results in the order of the tasks.

    Failures are raised together, a line for each, when all runs have ended.
    """
    outcomes = dict(run_each(client, function, tasks, shared, on_event))
    results = [outcomes[index] for index in range(len(tasks))]
    if failures := [result for result in results if isinstance(result, Failure)]:
        raise UserError("\n".join(map(str, failures))) from failures[0].error
    return results


def _outcome(future: Future, task: Any) -> Any:
    with _connection():
        try:
            return future.result()
        except Exception as error:
            if future.status != "error":  # no error of the run
                raise
            return Failure(task, error)


def _send(client: Client, function: Function, shared: Any) -> Future:
    """Give the workers what all runs need, as a dependency of each run.

    On a cluster it is the result of a task. Dask copies it from worker to worker, also to those that
    join later, computes it again if all workers that had it have died (scattered data would be lost),
    and forgets it with the client. It is copied before runs are submitted, or Dask would give them all
    to the one worker that has it. An upload plugin would need nannies, or outlive a killed client.
    """
    if client.cluster is not None:  # threads of this process
        return client.scatter(_Content(opened=(function, shared)), hash=False)
    content = _Content(_archive(), cloudpickle.dumps((function, shared)), get_versions(ON_WORKERS))
    sent = client.submit(pickle.loads, cloudpickle.dumps(content), key=f"content-{uuid.uuid4().hex}")
    with suppress(TimeoutError):
        client.replicate([sent], callback_timeout=REPLICATE_TIMEOUT_S)
    return sent


def _archive() -> bytes:
    """Zip the modules of the package."""
    package = Path(descent.__file__).parent
    modules = sorted(package.rglob("*.py"))
    return zipped({str(path.relative_to(package.parent)): path.read_bytes() for path in modules})


class _Content:
    """Code, function and data of many runs.

    The first run of each worker opens it, in its own thread: the worker has to answer while
    TensorFlow is imported.
    """

    def __init__(self, code: bytes = b"", pickled: bytes = b"", versions: dict | None = None, opened=None):
        """Take (function, shared) as `opened`, or `pickled` with the code to unpickle it."""
        self.code, self.pickled, self.versions, self.opened = code, pickled, versions, opened
        self.archive, self.opening = "", threading.Lock()

    def __reduce__(self):
        return type(self), (self.code, self.pickled, self.versions)

    def run(self, index: int, task: bytes, topic: str, name: str) -> Any:
        """Compute one run; events go to `topic` as (name, index, how many before, pickled event)."""
        worker, numbers = get_worker(), itertools.count()
        key = worker.get_current_task()

        def emit(event: Any) -> None:
            if worker.state.tasks[key].state == "cancelled":  # nobody waits for this run any more
                raise CancelledError(key)
            worker.log_event(topic, (name, index, next(numbers), pickle.dumps(event)))

        with self.opening:
            if self.opened is None:
                self._open(worker.address, Path(worker.local_directory))
        self._check_origin()
        function, shared = self.opened
        result = function(pickle.loads(task), shared, emit)
        self._check_origin()
        return result

    def _open(self, address: str, folder: Path) -> None:
        _require_versions(f"the worker {address}", get_versions(ON_WORKERS), ON_WORKERS, self.versions)
        archive = folder / f"{PACKAGE}-{hashlib.sha256(self.code).hexdigest()[:16]}.zip"
        if not archive.exists():
            archive.write_bytes(self.code)
        self.archive = str(archive)
        if not _origin().startswith(self.archive):
            sys.path.insert(0, self.archive)
            importlib.invalidate_caches()
            for module in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
                del sys.modules[module]
        self.opened = pickle.loads(self.pickled)

    def _check_origin(self) -> None:
        if _origin() and not _origin().startswith(self.archive):  # by the runs of another client
            raise RuntimeError(f"this worker has since imported another version of {PACKAGE}: {_origin()}")


def _origin() -> str:
    """Return where the package was imported from, if it was."""
    return str(getattr(sys.modules.get(PACKAGE), "__file__", ""))
