"""What a change does in dollars and SLO: the figures of a replay of both sides, as frozen values.

Dollars are US dollars a month of 730 hours, extrapolated from the days that were replayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

HOURS_PER_MONTH = 730.0
MUCH_LEFT_OUT = 0.02
"""Of the requests: where more belongs to no class the estimate is of another amount of traffic than was given."""


class Confidence(StrEnum):
    """How far the estimate may be trusted."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Band:
    """A figure with its 95% interval over days and seeds; both sides see the same requests."""

    value: float
    low: float | None = None
    """None, as `high` is: there are too few days and seeds for an interval."""
    high: float | None = None


@dataclass(frozen=True, slots=True)
class LaneFigures:
    """One lane on one side."""

    name: str
    type: str
    """As in spec.type: SelfHosted or HostedRealtime."""
    usd_per_month: float
    replicas_mean: float | None
    """Mean replicas paid for; None for hosted lanes."""
    replicas_peak: int | None
    gpu_hours_per_month: float | None
    requests_per_month: float
    tokens_per_month: float
    """Input and output tokens of requests that ended there."""
    at_most_share: float = 0.0
    """Share of the time, 0 to 1, in which more replicas would have paid than its maximum or its GPU pool allow."""


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class on one side."""

    key: str
    """namespace/name."""
    requests_per_month: float
    tokens_per_month: float
    usd_per_month: float
    """Hosted dollars of the class, and its part of the GPU dollars by tokens served on each own lane."""
    hosted_share: float
    """Share of its requests that hosted lanes served, 0 to 1."""
    attainment_percent: float
    """Share of requests within the objective; 100 without requests."""
    objective_percent: float
    misses_per_month: float
    held: bool
    """Whether the objective was held, by the backtest's rule."""
    ceiling_share: float = 0.0
    """Share of the time, 0 to 1, in which a spending ceiling kept some of it from hosted lanes."""


@dataclass(frozen=True, slots=True)
class SideFigures:
    """One side of the change, replayed."""

    usd_per_month: Band
    gpu_usd_per_month: float
    hosted_usd_per_month: float
    lanes: tuple[LaneFigures, ...]
    classes: tuple[ClassFigures, ...]

    def lane(self, name: str) -> LaneFigures | None:
        """The lane of that name."""
        return next((lane for lane in self.lanes if lane.name == name), None)

    def of(self, key: str) -> ClassFigures | None:
        """The class of that key (namespace/name)."""
        return next((each for each in self.classes if each.key == key), None)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was replayed."""

    source: str
    """For people, such as "demand.csv.gz" or "Prometheus http://..."."""
    days: float
    """Scored days, the warm-up left out."""
    requests: int
    seeds: int
    sampled: bool = False
    """Whether it had to be drawn from counts by bin, not from single requests."""
    left_out: tuple[str, ...] = ()
    """Classes of the traffic that no plan has."""
    left_out_share: float = 0.0
    """Their part of the requests that were given, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Both sides on the same requests."""

    plan_key: str
    base: SideFigures
    head: SideFigures
    difference: Band
    """Head minus base, US dollars a month; the interval is of the paired difference by day."""
    traffic: Traffic
    confidence: Confidence
    doubts: tuple[str, ...] = ()
    """One sentence each: what is not known and was assumed; worst first."""
    replay_seconds: float = 0.0
    truths: Mapping[str, str] = field(default_factory=dict)
    """By lane: where its service and latency come from ("declared profile", "learned from engines", ...)."""
    new: bool = False
    """Base doesn't have the plan: its side is empty, and the difference is the whole of head's."""

    @property
    def percent(self) -> float | None:
        """The difference as a percentage of the base; None where that costs nothing."""
        base = self.base.usd_per_month.value
        return None if base == 0 else 100.0 * self.difference.value / base
