"""Finished runs on disk, found by what determines them: settings, data, the engine's code and libraries."""

import ast
import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from stages.core.data.mnist import Digits
from stages.core.files import strict, write_json
from stages.core.settings import Model

ENGINE = (
    "backend",
    "chunks",
    "descent",
    "epoch",
    "evaluation",
    "gradients",
    "network",
    "optimizers",
    "sampling",
    "tensors",
)
"""The modules of which another version may give another number."""

LIBRARIES = ("tensorflow", "keras", "numpy")


class DamagedRun(ValueError):
    """A file of the store cannot be read; one line that says what to do."""


class RunStore(NamedTuple):
    """A folder of finished runs, one JSON file each, and what all runs of today have in common.

    The kind of processor is not part of a run's identity, though it may change last bits: runs that
    were pulled from elsewhere are used as they are.
    """

    folder: Path
    basis: dict[str, Any]
    images: int

    def path(self, settings: Model, epochs: int, seed: int) -> Path:
        """Where the run is kept: a name made of all that determines it."""
        identity = json.dumps(self.identity(settings, epochs, seed), sort_keys=True)
        return self.folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.json"

    def identity(self, settings: Model, epochs: int, seed: int) -> dict[str, Any]:
        """Defaults are filled in and `full` is a number: what means the same is the same."""
        return {
            "batch_size": settings.effective_batch_size(self.images),
            "learning_rate": settings.learning_rate,
            "optimizer": settings.optimizer,
            **settings.constants(),
            "hidden_layers": list(settings.hidden_layers),
            "activation": settings.activation,
            "epochs": epochs,
            "seed": seed,
            **self.basis,
        }

    def keep(self, settings: Model, epochs: int, seed: int, history: Sequence[Any]) -> None:
        """Write a finished run, whole or not at all; `history` are NamedTuples, one per epoch."""
        rows = [{name: strict(value) for name, value in epoch._asdict().items()} for epoch in history]
        identity = self.identity(settings, epochs, seed)
        write_json(self.path(settings, epochs, seed), {"run": identity, "history": rows})

    def find(self, settings: Model, epochs: int, seed: int) -> list[dict[str, Any]] | None:
        """The history of a finished run, None where a number was not finite; None if it is not there."""
        path = self.path(settings, epochs, seed)
        if not path.exists():
            return None
        try:
            return json.loads(path.read_text(encoding="utf-8"))["history"]
        except (ValueError, KeyError, TypeError):
            raise DamagedRun(f"{path}: is no finished run; remove it, and it is trained again") from None


def opened(folder: Path | str, digits: Digits) -> RunStore:
    """The store in `folder` for runs on these digits, by the code and the libraries that are here."""
    basis = {
        "data": digest_of(digits),
        "engine": digest_of_engine(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }
    return RunStore(Path(folder), basis, len(digits.train.labels))


def digest_of(digits: Digits) -> str:
    """SHA-256 of the arrays that a history depends on: those to learn from and to choose by."""
    digest = hashlib.sha256()
    for split in (digits.train, digits.validation):
        for array in split:
            digest.update(f"{array.dtype} {array.shape} ".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def digest_of_engine(folder: Path = Path(__file__).parent.parent / "engine") -> str:
    """SHA-256 of ENGINE's syntax trees: comments and layout may change and train nothing anew."""
    trees = [ast.dump(ast.parse((folder / f"{module}.py").read_text("utf-8"))) for module in ENGINE]
    return hashlib.sha256("\n".join(trees).encode()).hexdigest()
