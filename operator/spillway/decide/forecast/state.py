"""What the forecast of one class remembers: its history in slots, and what was learned from it. Frozen and bounded.

Time is cut into slots of 1/144 of the shortest season (10 minutes of a day), aligned to time 0, so that the slots of
all classes are the same moments. Boundary b is the moment ``b * slot_seconds``; slot b lies between b and b + 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillway.decide.compared import Compared

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SAMPLES = 128
"""Equally likely outcomes that a forecast is made of."""
SLOTS_PER_SEASON = 144
MAX_SLOTS = 15 * SLOTS_PER_SEASON
"""History kept: fifteen seasons."""
STARTS = np.array((0, 1, 2, 3, 4, 6, 9, 12, 18, 24, 36, 60), dtype=np.int64)
"""Slots from the origin to the start of each horizon's target, which is one slot long."""
HORIZONS = len(STARTS)
RESIDUALS = 7 * SLOTS_PER_SEASON
"""Origins whose errors are kept."""
EXPERTS = 4
"""The regression, persistence, the same time a season ago, persistence with errors in proportion to the level."""


@dataclass(frozen=True, slots=True, eq=False)
class Regression(Compared):
    """Recursive ridge regressions, one per horizon (first axis): X'WX, X'Wy and the coefficients in force."""

    gram: Floats
    moment: Floats
    coefficients: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Learned(Compared):
    """What was learned from the slots before boundary ``upto``. Arrays run over horizons unless said otherwise."""

    upto: int
    count: int
    """Slots that were learned from."""
    offset: float
    """Requests a second added before logarithms: a tenth of a season's mean and half a request per slot."""
    change: Regression
    """Logarithm of demand at the horizon over the level at the origin."""
    scale: Regression
    """Mean absolute error of that."""
    reach: Floats
    """(horizons, features): largest size of each regressor among judged origins; beyond it nothing is learned."""
    typical_error: Floats
    """Running mean absolute error."""
    errors: NDArray[np.float32]
    """(RESIDUALS, horizons): errors over their scale, by origin boundary modulo RESIDUALS; NaN: none yet."""
    losses: Floats
    """(experts, horizons): discounted sum of pinball losses."""
    loss_weight: Floats
    weights: Floats
    """(experts, horizons): how far each is trusted."""
    shapes: Floats
    """(experts, SAMPLES, horizons): ascending errors at equally spaced probabilities; NaN: not usable yet."""
    order: Integers
    """(SAMPLES, horizons): which of these each joint outcome takes: ranks of the errors of common past origins."""
    cap: float
    """No outcome exceeds twice this: the largest demand seen, in requests a second."""


@dataclass(frozen=True, slots=True, eq=False)
class ForecastState(Compared):
    """All that the forecast of one class needs; made by ``updated``, read by ``paths``. About 120 kB at most."""

    season_seconds: float
    slot_seconds: float
    first: int
    """Number of the first slot in ``values``."""
    values: Floats
    """Mean demand of each closed slot, in requests a second; NaN is a gap."""
    levels: Floats
    """Level estimated at each slot's end: the mean over as much of the last slot as agrees with its end."""
    recent_times: Floats
    """Times of the known points of the last slot length; a point is the mean over the step before it."""
    recent_values: Floats
    seen: float
    """Time of the newest known point, Unix seconds."""
    step_seconds: float
    level: float
    """Level at ``seen``, in requests a second."""
    mean: float
    """Mean over the last slot length before ``seen``."""
    learned: Learned | None
    """None before a few slots have closed."""

    @property
    def season_slots(self) -> float:
        """Slots in a season."""
        return self.season_seconds / self.slot_seconds

    @property
    def end(self) -> int:
        """The boundary behind the last closed slot."""
        return self.first + len(self.values)
