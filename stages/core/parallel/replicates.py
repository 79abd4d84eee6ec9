"""A run and all that determines it, and the runs of a model that differ in their seed, side by side."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from distributed import Client

from stages.core.data.mnist import Digits
from stages.core.engine.backend import tf
from stages.core.engine.descent import Descent, Epoch, descend
from stages.core.engine.tensors import Tensors
from stages.core.parallel.dispatch import run_all
from stages.core.settings import Model


class Run(NamedTuple):
    """All that determines a run, beside the digits and the code."""

    settings: Model
    epochs: int
    seed: int

    def __str__(self) -> str:
        settings = self.settings.model_dump(mode="json", exclude_defaults=True)
        told = settings | {"epochs": self.epochs, "seed": self.seed}
        return ", ".join(f"{name} {value}" for name, value in told.items())


def train_replicates(
    client: Client,
    settings: Model,
    epochs: int,
    seeds: Sequence[int],
    digits: Digits,
    on_epoch: Callable[[int, Epoch], None],
) -> list[Descent]:
    """One descent per seed, in their order; `on_epoch(seed, epoch)` hears of each epoch as it ends.

    Raises dispatch.RunsFailed.
    """
    runs = [Run(settings, epochs, seed) for seed in seeds]
    data = Tensors(digits)
    return run_all(client, descend_run, runs, data, lambda index, epoch: on_epoch(seeds[index], epoch))


def descend_run(run: Run, digits: Tensors, emit: Callable[[Epoch], None]) -> Descent:
    """One run on the worker that it was given to. Raises MemoryError where its network does not fit."""
    try:
        return descend(run.settings, run.epochs, run.seed, digits, emit)
    except tf.errors.ResourceExhaustedError:
        raise MemoryError("the network does not fit into memory; narrower hidden_layers do") from None
