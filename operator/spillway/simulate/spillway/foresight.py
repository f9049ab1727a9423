"""Demand as it will really come, for runs that are told of it beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from spillway.decide.snapshot import Series
from spillway.simulate.spillway.readings import EPOCH
from spillway.simulate.world import Floats, Workload

STEP_SECONDS = 60.0
AHEAD_STEPS = 180
"""Three hours: further than any plan reaches."""
AFTERWARDS_STEPS = 10
"""After the scenario's end demand goes on as in its last minutes: a run should not be told that the world ends."""


def future(workload: Workload, classes: int, duration_s: float) -> tuple[Floats, ...]:
    """Requests a second of each class by step, on beyond the end of the scenario."""
    steps = max(1, math.ceil(duration_s / STEP_SECONDS))
    place = np.minimum((workload.arrival_s // STEP_SECONDS).astype(np.int64), steps - 1)
    found = []
    for index in range(classes):
        counts = np.bincount(place[workload.class_index == index], minlength=steps) / STEP_SECONDS
        last = float(counts[-AFTERWARDS_STEPS - 1 : -1].mean()) if steps > 1 else float(counts[0])
        found.append(np.concatenate((counts, np.full(AHEAD_STEPS + 1, last))))
    return tuple(found)


def announcement(rates: Floats, now_s: float) -> Series:
    """What is known at a moment of the scenario of the hours after it."""
    first = min(int(now_s // STEP_SECONDS), len(rates) - 1)
    values: Sequence[float] = rates[first : first + AHEAD_STEPS].tolist()
    return Series(EPOCH + first * STEP_SECONDS, STEP_SECONDS, tuple(values))
