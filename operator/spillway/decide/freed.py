"""What an own lane would be asked for were its bounds wider, and what the bill would be then.

From the same curves and forecasts as its size, at the start-up lead, as if it had its classes to itself. Where other
lanes share them it needs fewer, so what is said of a minimum errs on the side of keeping it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from spillway.decide.allocation.problem import Response
from spillway.decide.forecast import Floats

MOST_BOUNDS = 32
"""Numbers of replicas below a minimum, and above a maximum, that are looked at."""
FEWEST_ABOVE = 4
"""Above a maximum: as many as it is, and at least so many."""


@dataclass(frozen=True, slots=True)
class Beyond:
    """What each number of replicas outside the bounds that bind would cost, dollars an hour, the bounds included."""

    first: int
    """Replicas of the first figure; each further one is for one more."""
    worth: tuple[float, ...]
    """GPUs, hosted tokens and misses: what is weighed."""
    billed: tuple[float, ...]
    """GPUs and hosted tokens alone."""


@dataclass(frozen=True, slots=True)
class Freed:
    """A lane without its bounds."""

    needed: int
    """Replicas that would cost least."""
    saves_usd_per_hour: Mapping[int, float] = field(default_factory=dict)
    """By what the bound that binds could be instead: dollars that the bill would be lower by; negative: higher."""


@dataclass(frozen=True, slots=True)
class Priced:
    """A lane's work at the lead, over the paths of its forecast, and its prices."""

    response: Response
    work: Floats
    """In replicas at a full cap."""
    usd_per_work: Floats
    """What work that is not taken costs, misses included, dollars an hour per replica of work."""
    billed_per_work: Floats
    """What of that is hosted tokens."""
    usd_per_replica_hour: float


def beyond(priced: Priced, replicas: int, bounds: tuple[int, int], room: int | None) -> Beyond | None:
    """The figures for ``replicas``, the number that costs least within ``bounds``; None where neither binds.

    ``room``: replicas that the lane's GPU pool has room for; None without a limit.
    """
    low, high = bounds
    first = last = replicas
    if replicas == low:
        first = max(0, low - MOST_BOUNDS)
    if replicas == high:
        last = high + min(MOST_BOUNDS, max(FEWEST_ABOVE, high))
        last = last if room is None else max(replicas, min(last, room))
    if first == last:
        return None
    left = priced.response.table(priced.work, last, first)
    own = priced.usd_per_replica_hour * np.arange(first, last + 1)
    worth = own + (left * priced.usd_per_work[:, None]).mean(axis=0)
    billed = own + (left * priced.billed_per_work[:, None]).mean(axis=0)
    return Beyond(first, tuple(worth.tolist()), tuple(billed.tolist()))


def freed(replicas: int, found: Beyond | None, bounds: tuple[int, int], fewest: int) -> Freed:
    """The lane without its bounds. ``fewest``: 1 where it may not stand at 0 whatever its minimum is."""
    low, high = bounds
    if found is None or replicas not in (low, high):
        return Freed(replicas)
    numbers = range(found.first, found.first + len(found.worth))
    allowed = [n for n in numbers if n >= fewest or n == replicas]
    needed = min(allowed, key=lambda n: (found.worth[n - found.first], abs(n - replicas)))

    def saves(bound: int) -> float:
        moved = max(bound, needed) if needed < replicas else min(bound, needed)
        return found.billed[replicas - found.first] - found.billed[moved - found.first]

    if needed == replicas:
        return Freed(needed)
    others = (n for n in allowed if n < low) if needed < replicas else (n for n in allowed if n > high)
    return Freed(needed, {n: saves(n) for n in others})
