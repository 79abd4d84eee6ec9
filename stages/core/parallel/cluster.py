"""Where runs are computed: threads of this process, or the Dask cluster at DASK_SCHEDULER_ADDRESS."""

import asyncio
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import dask
from distributed import Client, LocalCluster, Security, rpc
from distributed.versions import VersionMismatchWarning, get_versions

from stages.core.process import processors
from stages.core.redaction import redacted

SECONDS_TO_CONNECT = 5
"""A scheduler that has not answered by then is unreachable; Dask's own 30 would look like a hang."""

HANDOVER = 2e-4
"""Seconds after which a thread that waits for the interpreter gets it. Of Python's own 0.005, runs that
compute would lose so many between any two operations while another thread imports or logs."""

EVERYWHERE = ("python", "dask", "distributed", "cloudpickle")
"""What a message between any two processes of the cluster depends on."""

AT_WORK = ("numpy", "tensorflow", "keras", "pydantic")
"""What a result's bits, and the way that settings travel, depend on; the scheduler need not have them."""


class ClusterUnavailable(RuntimeError):
    """The cluster cannot be used; one line: the address, what was found, what is accepted."""


@contextmanager
def connect() -> Iterator[Client]:
    """A client of the cluster that DASK_SCHEDULER_ADDRESS names, else of a thread for each processor.

    Threads are enough here: TensorFlow lets go of the interpreter's lock while it computes.
    Raises ClusterUnavailable if there is no scheduler, or libraries differ from those of this process.
    """
    _hush()
    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GB"}):
        with _joined(address) if address else _threads() as client:
            yield client


def _hush() -> None:
    """What matters of Dask's log is told in a line where it happens; the rest is of no use to a reader."""
    for name in ("distributed", "distributed.client", "distributed.gc"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", category=VersionMismatchWarning)  # `_expect_alike` says it in a line


@contextmanager
def _threads() -> Iterator[Client]:
    """One worker in this process with a thread for each processor and no limit on its memory."""
    sys.setswitchinterval(HANDOVER)
    with LocalCluster(
        processes=False,
        n_workers=1,
        threads_per_worker=processors(),
        memory_limit=0,
        # Dask always serves pages on its state: any free port, for this machine alone, without a dashboard.
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
    ) as cluster:
        with Client(cluster, set_as_default=False) as client:
            yield client


@contextmanager
def _joined(address: str) -> Iterator[Client]:
    try:
        scheduler, workers = asyncio.run(_versions(address))
    except Exception as error:  # whatever a foreign server or a strange address makes of the first words
        reason = " ".join(str(error).split()) or f"no answer within {SECONDS_TO_CONNECT} s"
        raise ClusterUnavailable(
            redacted(f"DASK_SCHEDULER_ADDRESS: no Dask scheduler at {address}: {reason}")
        ) from None
    ours = get_versions(AT_WORK)
    _expect_alike(ours, {f"the scheduler {redacted(address)}": scheduler}, EVERYWHERE)
    _expect_alike(ours, {f"the worker {worker}": of for worker, of in workers.items()}, EVERYWHERE + AT_WORK)
    if not workers:
        print(f"{redacted(address)}: no worker has joined yet; runs start as they do", file=sys.stderr)
    try:
        client = Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except OSError as error:  # it was there a moment ago
        raise ClusterUnavailable(redacted(f"DASK_SCHEDULER_ADDRESS: {address}: {error}")) from None
    with client:
        yield client


def versions_at_work() -> dict[str, str | None]:
    """The versions of AT_WORK's libraries in this process; None where one is missing."""
    found = get_versions(AT_WORK)["packages"]
    return {name: found[name] for name in AT_WORK}


async def _versions(address: str) -> tuple[dict, dict[str, dict]]:
    """What the scheduler, and each worker, would answer to `get_versions`, before anything is started.

    A worker that hangs has nothing to say, as one that joins later: Shipment asks each once more.
    """
    async with rpc(address, connection_args=Security().get_connection_args("client")) as scheduler:
        packages, workers = list(AT_WORK), {}
        own = await asyncio.wait_for(scheduler.versions(packages=packages), SECONDS_TO_CONNECT)
        with suppress(TimeoutError):
            asked = scheduler.broadcast(msg={"op": "versions", "packages": packages}, on_error="ignore")
            workers = await asyncio.wait_for(asked, SECONDS_TO_CONNECT)
        return own, workers


def _expect_alike(ours: Mapping, theirs: Mapping[str, Mapping], packages: tuple[str, ...]) -> None:
    for place, found in theirs.items():
        for package in packages:
            here, there = (_version(side["packages"], package) for side in (ours, found))
            if here != there:
                raise ClusterUnavailable(f"{place} has {package} {there}; accepted: {here}, as here")


def _version(packages: Mapping[str, str | None], package: str) -> str:
    version = packages.get(package) or "missing"
    return ".".join(version.split(".")[:2]) if package == "python" else version
