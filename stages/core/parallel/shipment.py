"""What a worker is given once: the project's code, a function, and the data that all its runs share.

Nothing here imports the project, and its class travels by value: a worker starts with the libraries alone.
"""

import hashlib
import importlib
import io
import itertools
import pickle
import sys
import threading
import types
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import cloudpickle
from distributed import Worker, WorkerPlugin
from distributed.versions import get_versions

cloudpickle.register_pickle_by_value(sys.modules[__name__])

PACKAGE = "stages"

SHIPMENT = "shipment"
"""How the name of a shipment begins; its owner follows, and what tells it from the owner's others."""


class Abandoned(Exception):
    """Nobody waits for this run any more."""


class Shipment(WorkerPlugin):
    """Sent to each worker once, and to those that join later; each run refers to it by its name.

    Events go to the topic of that name as (index of the run, how many it emitted before, the event
    pickled), so that those of a run that is computed again can be told from new ones.
    """

    def __init__(
        self,
        owner: str,
        code: bytes,
        content: bytes | tuple[Callable[[Any, Any, Callable], Any], Any],
        versions: Mapping[str, str | None] = types.MappingProxyType({}),
    ):
        """`owner` is the id of the client whose runs these are; `versions` are those to run them with.

        `content` is (function, shared), pickled if it is to travel.
        """
        self.name = f"{SHIPMENT}/{owner}/{uuid4()}"
        self.code = code
        self.content = content
        self.versions = dict(versions)

    def setup(self, worker: Worker) -> None:
        """Make the code importable; what needs it is unpacked by the first run, in a thread of its own."""
        self.worker, self.unpacking = worker, threading.Lock()
        found = get_versions(list(self.versions))["packages"]
        self.unlike = ", ".join(
            f"{name} {found[name] or 'missing'} (accepted: {version})"
            for name, version in self.versions.items()
            if found[name] != version
        )
        self.archive = _importable(self.code, Path(worker.local_directory)) if self.code else ""

    def run(self, index: int, task: bytes) -> Any:
        """`function(task, shared, emit)` on this worker."""
        if self.unlike:  # it joined when the versions of the others had been compared
            raise RuntimeError(f"the worker {self.worker.address} has {self.unlike}")
        with self.unpacking:  # imports TensorFlow, for which seconds the worker must still answer
            if isinstance(self.content, bytes):
                self.content = pickle.loads(self.content)
        if _origin() and not _origin().startswith(self.archive):
            raise RuntimeError(f"{self.worker.address} has since loaded another version of the project")
        function, shared = self.content
        return function(pickle.loads(task), shared, self._emitter(index))

    def _emitter(self, index: int) -> Callable[[Any], None]:
        key, emitted = self.worker.get_current_task(), itertools.count()

        def emit(event: Any) -> None:
            if self.worker.state.tasks[key].state == "cancelled":
                raise Abandoned  # the only way to end a thread that computes
            self.worker.log_event(self.name, (index, next(emitted), pickle.dumps(event)))

        return emit


def _origin() -> str:
    """Where the package was imported from; nothing if it was not."""
    return str(getattr(sys.modules.get(PACKAGE), "__file__", ""))


def _importable(code: bytes, folder: Path) -> str:
    """Put the code before all other places to import from, and forget what was imported from elsewhere."""
    archive = folder / f"project-{hashlib.sha256(code).hexdigest()[:16]}.zip"
    archive.write_bytes(code)
    if str(archive) not in sys.path:
        sys.path.insert(0, str(archive))
    importlib.invalidate_caches()
    if not _origin().startswith(str(archive)):
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]
    return str(archive)


def packed_code(root: Path) -> bytes:
    """The modules of the package at `root`, as a zip archive to import from."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        for path in sorted((root / PACKAGE).rglob("*.py")):
            entry = zipfile.ZipInfo(str(path.relative_to(root)))  # the same to the byte for the same code
            target.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive.getvalue()
