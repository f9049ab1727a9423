"""Whether one more replica saves what it was expected to: the forecast of savings, held against what came.

What sizing rests on is not the forecast itself but what one replica more or less would save at the lead. That is
promised at every solve, and a lead later the lane's curve says what it would really have saved at the demand that
came. The ratio of the two, over half a day, is the price factor on hosted dollars in the next solves: it is 1 where
promises were right, less where own replicas were worth less than expected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

MEMORY_SECONDS = 12 * 3600.0
START_HOURS = 1.0
"""Weight of the assumption that promises are right, in hours of promises like the present one."""
LOWEST, HIGHEST = 0.7, 1.3


@dataclass(frozen=True, slots=True)
class Promise:
    """What was promised for a moment."""

    at: float
    replicas: int
    usd_per_hour: float
    """Saved by the last replica and the next one, together."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The record of one lane."""

    at: float
    promises: tuple[Promise, ...] = ()
    promised: float = 0.0
    """Decayed sum over looks, dollars an hour times hours."""
    kept: float = 0.0

    @property
    def factor(self) -> float:
        """Realised over promised savings."""
        usd = self.promises[-1].usd_per_hour if self.promises else 0.0
        start = max(START_HOURS * usd, 1e-9)
        return min(HIGHEST, max(LOWEST, (self.kept + start) / (self.promised + start)))

    def due(self, now: float) -> tuple[Promise, ...]:
        """Promises for moments that have come."""
        return tuple(promise for promise in self.promises if promise.at <= now)


def held_against(record: Calibration, now: float, kept_usd_per_hour: tuple[float, ...]) -> Calibration:
    """With the due promises judged; ``kept_usd_per_hour`` is what each would have saved at the demand of now."""
    due = record.due(now)
    hours = max(0.0, now - record.at) / 3600
    decay = math.exp(-3600 * hours / MEMORY_SECONDS)
    share = hours / len(due) if due else 0.0
    return replace(
        record,
        at=now,
        promises=record.promises[len(due) :],
        promised=decay * record.promised + share * sum(promise.usd_per_hour for promise in due),
        kept=decay * record.kept + share * sum(kept_usd_per_hour),
    )


def promising(record: Calibration, promise: Promise) -> Calibration:
    """With one promise more."""
    return replace(record, promises=(*record.promises, promise))
