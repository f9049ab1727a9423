"""What allocation answers, and what it remembers between calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from spillway.decide.allocation.types import Floats
from spillway.decide.compared import Compared


class Status(StrEnum):
    """How a plan was made."""

    OPTIMAL = "Optimal"
    """Solved now: exactly (one lane) or within the gap (coupled lanes)."""
    TIME_LIMIT = "TimeLimit"
    """Solved now; the limit of time or nodes came before the gap was closed, what it found is close enough."""
    KEPT = "Kept"
    """The limit came too early: the last plan, shifted by the time since."""
    FAST = "Fast"
    """Between solves, coupled lanes by lookup in the last solution; or without one, lane by lane."""


@dataclass(frozen=True, slots=True)
class LanePlan:
    """One own lane."""

    replicas: int
    """To have now, those under way included."""
    path: tuple[int, ...]
    """To have at the start of each period; the first is ``replicas``."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What to ask for."""

    lanes: Mapping[str, LanePlan]
    shares: Mapping[str, Mapping[str, float]]
    """By class key: share of its requests by own or hosted lane now; what lacks to 1 is missed."""
    next_shares: Mapping[str, Mapping[str, float]]
    """The same for the second period."""
    expected_usd: float
    """Over the horizon, coupled lanes as of the last solve: GPUs, hosted tokens times pacing, misses; less the worth
    at its end."""
    status: Status
    gap: float = 0.0
    """Largest relative distance to the optimum that is not ruled out, as of the last solve."""


@dataclass(frozen=True, slots=True, eq=False)
class Schedule(Compared):
    """A solved plan of coupled lanes."""

    lanes: tuple[str, ...]
    replicas: Floats
    """(L, K)"""
    seconds: Floats
    usd: float
    gap: float
    status: Status

    def shifted(self, elapsed_seconds: float) -> int:
        """The schedule's period so long after its solve."""
        passed = int(np.searchsorted(np.cumsum(self.seconds), elapsed_seconds, side="right"))
        return min(passed, len(self.seconds) - 1)


@dataclass(frozen=True, slots=True, eq=False)
class AllocationState(Compared):
    """What is kept of the last solve of coupled lanes; a lane by itself is solved in 2-3 ms whenever it is asked for.

    Small, and only annotations that can be recorded.
    """

    solved_at: float
    schedules: Mapping[str, Schedule]
    """By the names of the lanes that were solved together, joined by commas."""
    signature: str
    """What makes a solve out of date when it changes."""
