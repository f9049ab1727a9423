"""What an own lane would be asked for were its bounds wider, and what the bill would be then.

From the same curves and forecasts as its size, at the start-up lead. Other own lanes of its classes move with it,
within their bounds: each in turn, the cheapest first, takes what costs least of what is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from spillway.decide.allocation.problem import Response
from spillway.decide.forecast import Floats

MOST_BOUNDS = 32
"""Numbers of replicas below a minimum, and above a maximum, that are looked at."""
FEWEST_ABOVE = 4
"""Above a maximum: as many as it is, and at least so many."""
NEAR = 16
"""Another lane is looked at with so many replicas more or less than it is asked for."""


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


@dataclass(frozen=True, slots=True, eq=False)
class OwnLane:
    """An own lane as far as its bounds are weighed."""

    response: Response
    request_seconds: Mapping[str, float]
    """Replica-seconds of a request, by class; the classes that justify replicas of it."""
    usd_per_replica_hour: float
    low: int
    high: int
    """Bounds of its replicas, the GPU pool's room included."""
    asked: int
    """Replicas that it is asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What classes ask for at the lead, over the forecast's paths, and what it costs where no own lane takes it."""

    rates: Mapping[str, Floats]
    """Requests a second, by class."""
    usd_per_request: Mapping[str, float]
    """Misses included."""
    billed_per_request: Mapping[str, float]
    """Hosted tokens alone."""

    def after(self, lane: OwnLane, replicas: int) -> Work:
        """What so many replicas of the lane leave: of each of its classes the same share."""
        work = self.on(lane)
        left = lane.response.left_at(replicas, work)
        share = np.divide(left, work, out=np.zeros_like(left), where=work > 0)
        rest = {key: rate * share if key in lane.request_seconds else rate for key, rate in self.rates.items()}
        return Work(rest, self.usd_per_request, self.billed_per_request)

    def on(self, lane: OwnLane) -> Floats:
        """The work that the lane is offered, in replicas at a full cap."""
        return sum((self.rates[key] * seconds for key, seconds in lane.request_seconds.items()), np.zeros(1))

    def cost(self, usd: Mapping[str, float]) -> float:
        """Dollars an hour of what is left, in the mean."""
        return sum(3600 * usd.get(key, 0.0) * float(np.mean(rate)) for key, rate in self.rates.items())

    def best(self, lane: OwnLane) -> int:
        """The replicas of the lane that cost least for this work, near what it is asked for."""
        low = max(lane.low, lane.asked - NEAR)
        high = max(low, min(lane.high, lane.asked + NEAR))
        work = self.on(lane)
        usd = sum((3600 * self.rates[key] * self.usd_per_request[key] for key in lane.request_seconds), np.zeros(1))
        per_work = np.divide(usd, work, out=np.zeros_like(usd), where=work > 0)
        left = (lane.response.table(work, high, low) * per_work[:, None]).mean(axis=0)
        return low + int(np.argmin(left + lane.usd_per_replica_hour * np.arange(low, high + 1)))


def beyond(lane: OwnLane, others: Sequence[OwnLane], work: Work, room: int | None) -> Beyond | None:
    """What the lane would cost outside its bounds; None where neither of them binds.

    ``others``: own lanes that serve classes of it, the cheapest first: each takes what costs least of what is left.
    ``room``: replicas that the lane's GPU pool has room for; None without a limit.
    """
    first = last = lane.asked
    if lane.asked == lane.low:
        first = max(0, lane.low - MOST_BOUNDS)
    if lane.asked == lane.high:
        last = lane.high + min(MOST_BOUNDS, max(FEWEST_ABOVE, lane.high))
        last = last if room is None else max(lane.asked, min(last, room))
    if first == last:
        return None
    found = [_costs(lane, others, work, replicas) for replicas in range(first, last + 1)]
    return Beyond(first, tuple(worth for worth, _ in found), tuple(billed for _, billed in found))


def _costs(lane: OwnLane, others: Sequence[OwnLane], work: Work, replicas: int) -> tuple[float, float]:
    """Dollars an hour with so many replicas: what is weighed, and what is billed."""
    gpus, rest = lane.usd_per_replica_hour * replicas, work.after(lane, replicas)
    for other in others:
        number = rest.best(other)
        gpus, rest = gpus + other.usd_per_replica_hour * number, rest.after(other, number)
    return gpus + rest.cost(work.usd_per_request), gpus + rest.cost(work.billed_per_request)


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
