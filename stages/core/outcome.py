"""What came of a run, in a word, by a rule on its training loss."""

import math
from collections.abc import Sequence

STATUSES = ("diverged", "stalled", "undertrained", "learned")
"""From the worst to the best."""

UNFIT = STATUSES[:2]
"""A model with one of these has learned nothing: it is never the best, and never served."""

STALLED_BELOW = 0.01
"""A loss that fell by less than this share of its start has not moved."""

LEARNED_FROM = 0.5
"""A loss that fell by at least this share of its start has learned."""


def status(losses: Sequence[float | None]) -> str:
    """One of STATUSES, from a run's training loss by epoch, the loss before the first step first.

    `diverged`: the last loss is not finite (or None), or lies above the first. `stalled`: it fell
    by less than 1 % of the first. `undertrained`: by less than half. `learned`: by half or more.
    The thresholds are a convention of this experiment: nothing is learned at a rate of 1e-7 (the
    loss falls by 0.01 %), the full batch is still on its way after 20 updates (by 5 %).
    """
    first, last = losses[0], losses[-1]
    if last is None or not math.isfinite(last) or last > first:
        return "diverged"
    fallen = 1 - last / first
    if fallen < STALLED_BELOW:
        return "stalled"
    return "undertrained" if fallen < LEARNED_FROM else "learned"


def of_model(statuses: Sequence[str]) -> str:
    """The status of a model: the worst that any of its seeds came to."""
    return min(statuses, key=STATUSES.index)
