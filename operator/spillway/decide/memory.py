"""What a decision remembers from the ones before: bounded, frozen, rebuilt safely after a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spillway.decide.budget import ErrorBudget
from spillway.decide.bursts import Burst
from spillway.decide.curves import Curve
from spillway.decide.forecast import ForecastState
from spillway.decide.plan import Planned
from spillway.decide.service import Mix, ServiceState


@dataclass(frozen=True, slots=True)
class LaneMemory:
    """What was seen of one lane."""

    first_seen_at: float
    """Unix time in seconds. After a restart the stabilization window starts anew here."""
    recommendations: tuple[tuple[float, int], ...] = ()
    """(time, desired replicas) within the stabilization window, oldest first."""
    changes: tuple[tuple[float, int], ...] = ()
    """(time, replicas added or removed) that the spec showed within the last minute, whoever made them."""
    last_replicas: int | None = None
    low_saturation_since: float | None = None
    zero_weight_since: float | None = None
    """Since when the lane's own weight has been 0 on every rule."""
    override_replicas: int | None = None
    """What a person has scaled the target to."""
    override_since: float | None = None
    """When that was first seen: the apiserver keeps no time for writes of the scale subresource."""
    override_over: bool = False
    """Whether it is over because the plan came to the same value."""
    cap_owed: float = 0.0
    """What rounding the in-flight cap has left over."""


@dataclass(frozen=True, slots=True)
class ProviderLimit:
    """What a hosted lane is given at most, since its provider refused requests."""

    requests_per_second: float
    at: float
    """When that was said, Unix time in seconds."""
    cut_at: float
    refused_share: float
    """Of its requests at the last cut, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of one plan, by lane name; and the hosted share last decided, by class key."""

    lanes: Mapping[str, LaneMemory] = field(default_factory=dict)
    hosted_shares: Mapping[str, float] = field(default_factory=dict)
    mixes: Mapping[str, Mix] = field(default_factory=dict)
    """Last known token mix by class key: none is measured while nothing comes."""
    forecasts: Mapping[str, ForecastState] = field(default_factory=dict)
    """By class key."""
    bursts: Mapping[str, Burst] = field(default_factory=dict)
    """By class key."""
    budgets: Mapping[str, ErrorBudget] = field(default_factory=dict)
    """By class key."""
    services: Mapping[str, ServiceState] = field(default_factory=dict)
    """By lane name."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    """By lane name."""
    planned: Planned | None = None
    """The last allocation."""
    providers: Mapping[str, ProviderLimit] = field(default_factory=dict)
    """By lane name, of those that refused requests of late."""
