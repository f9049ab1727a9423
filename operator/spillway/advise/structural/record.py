"""What was seen of an own lane's bounds, by the hour: how long, what it needed, what other bounds would have saved.

Only time in which the lane was decided on counts; a gap is no observation. Frozen: each tick gives a new record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from spillway.advise.review.effect import HOURS_PER_MONTH

HOUR_SECONDS = 3600
KEPT_HOURS = 15 * 24
"""A day more than the longest proposals.observeSeconds, so that it is reached in spite of gaps."""
MONTH_SECONDS = Decimal(str(HOURS_PER_MONTH)) * HOUR_SECONDS
MICRO, NANO = Decimal("0.000001"), Decimal("0.000000001")


@dataclass(frozen=True, slots=True)
class Sight:
    """What one tick shows of a lane."""

    needed: int
    """Replicas that it would be asked for without its bounds."""
    used: bool
    """Whether it has a replica, or would have one."""
    saves_usd_per_hour: Mapping[int, float] = field(default_factory=dict)
    """By what the bound that binds could be instead; negative: the bill would be higher."""


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour of a lane."""

    at: int
    """Hours since 1970 (UTC)."""
    seconds: Decimal = Decimal(0)
    """How long it was observed."""
    needed: Mapping[int, Decimal] = field(default_factory=dict)
    """Seconds by replicas needed."""
    saved: Mapping[int, Decimal] = field(default_factory=dict)
    """US dollars by another bound."""
    used: Decimal = Decimal(0)
    """Seconds in which the lane was used."""


@dataclass(frozen=True, slots=True)
class Record:
    """All that is kept of a lane."""

    basis: str
    """Hash of the specs that it was seen under: with others it begins anew."""
    hours: tuple[Hour, ...] = ()
    """Oldest first."""

    @property
    def seconds(self) -> Decimal:
        """How long the lane was observed."""
        return sum((hour.seconds for hour in self.hours), Decimal(0))

    @property
    def used_seconds(self) -> Decimal:
        """How long of that it was used."""
        return sum((hour.used for hour in self.hours), Decimal(0))

    def needed_for(self, share: Decimal) -> int:
        """Fewest replicas that were enough for this share (0 to 1) of the time observed."""
        seconds = _summed(hour.needed for hour in self.hours)
        reached, wanted = Decimal(0), share * sum(seconds.values(), Decimal(0))
        for replicas in sorted(seconds):
            reached += seconds[replicas]
            if reached >= wanted:
                return replicas
        return max(seconds, default=0)

    def seconds_where(self, holds: Callable[[int], bool]) -> Decimal:
        """How long so many replicas were needed that ``holds``."""
        seconds = _summed(hour.needed for hour in self.hours)
        return sum((value for replicas, value in seconds.items() if holds(replicas)), Decimal(0))

    def days_where(self, holds: Callable[[int], bool]) -> int:
        """On how many days (UTC) that was so at all."""
        return len({hour.at // 24 for hour in self.hours if any(map(holds, hour.needed))})

    @property
    def days(self) -> int:
        """Days (UTC) on which it was observed at all."""
        return len({hour.at // 24 for hour in self.hours})

    def saved_a_month(self, bound: int) -> Decimal:
        """US dollars that the bill of a month of 730 hours would be lower by with that bound; negative: higher."""
        if self.seconds <= 0:
            return Decimal(0)
        saved = sum((hour.saved.get(bound, Decimal(0)) for hour in self.hours), Decimal(0))
        return (saved * MONTH_SECONDS / self.seconds).quantize(MICRO)


def seen(before: Record | None, basis: str, sight: Sight, now: float, seconds: float) -> Record:
    """The record with ``seconds`` more up to ``now`` (Unix time), in which what is seen now held."""
    record = before if before is not None and before.basis == basis else Record(basis)
    if seconds <= 0:
        return record
    at, length = int(now // HOUR_SECONDS), Decimal(str(round(seconds, 3)))
    kept = [hour for hour in record.hours if at - KEPT_HOURS < hour.at <= at]
    last = kept.pop() if kept and kept[-1].at == at else Hour(at)
    hours = length / HOUR_SECONDS
    saved = {bound: (Decimal(str(usd)) * hours).quantize(NANO) for bound, usd in sight.saves_usd_per_hour.items()}
    kept.append(
        Hour(
            at,
            last.seconds + length,
            _summed((last.needed, {sight.needed: length})),
            _summed((last.saved, saved)),
            last.used + (length if sight.used else Decimal(0)),
        )
    )
    return replace(record, hours=tuple(kept))


def _summed(parts: Iterable[Mapping[int, Decimal]]) -> dict[int, Decimal]:
    found: dict[int, Decimal] = {}
    for part in parts:
        for key, value in part.items():
            found[key] = found.get(key, Decimal(0)) + value
    return found
