"""What was planned for own lanes, as frozen values that memory keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from spillway.decide.allocation import AllocationState
from spillway.decide.calibration import Calibration
from spillway.decide.compared import Compared
from spillway.decide.forecast import Steady
from spillway.decide.freed import Beyond


@dataclass(frozen=True, slots=True)
class Sizing:
    """The cheapest number of replicas of one lane and why, at the start-up lead."""

    replicas: int
    usd_per_replica_hour: float
    next_saves_usd_per_hour: float
    """What one replica more would save in hosted dollars and misses."""
    last_saves_usd_per_hour: float
    """What the last replica saves."""
    hosted_usd_per_hour: float
    """Expected hosted dollars."""
    beyond: Beyond | None = None
    """What it would cost outside the lane's bounds, where one binds."""


@dataclass(frozen=True, slots=True, eq=False)
class Planned(Compared):
    """The last solve, kept in memory."""

    at: float
    sizings: Mapping[str, Sizing]
    quantiles: Mapping[str, Mapping[str, float]]
    """Forecast at the shortest lead by class and quantile ("0.1", "0.5", "0.9"), requests a second."""
    state: AllocationState | None
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)
    """By lane name."""
    steadies: Mapping[str, Steady] = field(default_factory=dict)
    """By class key."""
    bound_savings: Mapping[str, float] = field(default_factory=dict)
    """Dollars an hour that each bound moved by a little would save, by its name (`Marginals.by_bound`)."""
    bounds_moved_at: float = -math.inf
    """When that was last looked at."""
