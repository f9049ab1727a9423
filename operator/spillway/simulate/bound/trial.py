"""Playing replicas over time with one overflow, and searching the overflow that just holds the objective."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from spillway.api import LatencyClass
from spillway.simulate.bound.demand import PIECE_S, Demand
from spillway.simulate.bound.schedule import TICK_S, Schedule, SchedulePolicy
from spillway.simulate.bound.span import Part
from spillway.simulate.fleet import simulate
from spillway.simulate.outcome import Outcome
from spillway.simulate.policy import Known
from spillway.simulate.score import SeedScore, score
from spillway.simulate.world import Floats, Integers, World

DEADLINE_SHARE = 0.8
"""Deferrable requests are held for this share of their deadline."""
STEP = 1.15
SMALLEST_SHARE, LARGEST_SHARE = 0.05, 3.0
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How a schedule spills, and how carefully it is planned."""

    itl_share: float = 0.65
    """Caps: iterations take this share of the strictest inter-token objective."""
    hold_share: float = 0.45
    """Longest wait at the proxy as a share of the TTFT objective; 0: a cap alone."""
    margin: float = 1.0
    """Factor on the demand that is planned for."""
    queue_limit: int | None = None
    """The engines' queue limit instead of caps and holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Settings, played."""

    settings: Settings
    result: SeedScore
    outcome: Outcome

    @property
    def rank(self) -> tuple[bool, float]:
        """Lower is better: whoever holds the objective by cost, then the others by how far they are off."""
        if self.result.slo_held:
            return False, self.result.cost_usd
        return True, 1.0 - self.result.slo_attainment


Play = Callable[[Settings], Trial]


def better(one: Trial, other: Trial) -> Trial:
    """The one of lower rank; the first of equals."""
    return one if one.rank <= other.rank else other


def play(part: Part, known: Known, seed: int, settings: Settings, replicas: Integers, needs: Demand) -> Trial:
    """Play replicas by tick (T, L) with the settings' overflow."""
    world = part.world
    if settings.queue_limit is not None:
        schedule = Schedule(replicas, None, settings.queue_limit)
    else:
        piece = np.minimum((np.arange(len(replicas)) * TICK_S / PIECE_S).astype(np.int64), len(needs.billed) - 1)
        caps = np.column_stack([_whole(need.cap[piece]) for need in needs.lanes]) if needs.lanes else None
        schedule = Schedule(replicas, caps, hold_s=holds(world, settings.hold_share))
    outcome = simulate(world, part.workload, known, SchedulePolicy("schedule", schedule), seed)
    return Trial(settings, score(world, part.workload, outcome), outcome)


def holds(world: World, share: float) -> tuple[float, ...]:
    """Longest wait at the proxy by class."""
    return tuple(
        DEADLINE_SHARE * c.deadline_s if c.latency is LatencyClass.DEFERRABLE else min(share * c.ttft_slo_s, 1e6)
        for c in world.classes
    )


def shortest_hold_s(world: World, settings: Settings) -> float:
    """What a plan may count on."""
    return 0.0 if settings.queue_limit is not None else min(holds(world, settings.hold_share), default=0.0)


def fullest(play_it: Play, start: Settings, bisections: int) -> Trial:
    """The fullest caps that hold the objective: out from the start by growing steps, then bisection."""

    def at(share: float) -> Trial:
        return play_it(replace(start, itl_share=share))

    share, step = start.itl_share, STEP
    trial = best = at(share)
    held = trial.result.slo_held
    low = high = share
    while trial.result.slo_held == held and SMALLEST_SHARE < share < LARGEST_SHARE:
        share = share * step if held else share / step
        low, high, step = (high, share, step * STEP) if held else (share, low, step * STEP)
        trial = at(share)
        if held and trial.result.slo_held and trial.rank > best.rank:
            return best
        best = better(best, trial)
    for _ in range(bisections):
        middle = math.sqrt(low * high)
        trial = at(middle)
        best = better(best, trial)
        low, high = (middle, high) if trial.result.slo_held else (low, middle)
    return best


def settle(play_all: Play, settings: Settings, steps: tuple[float, ...]) -> Trial:
    """Settings that were found on a part, on the whole: fuller by the steps while the objective is held, or emptier
    until it is.
    """
    best = trial = play_all(settings)
    held = trial.result.slo_held
    for step in steps:
        factor = step if held else 1.0 / step
        trial = play_all(replace(trial.settings, itl_share=trial.settings.itl_share * factor))
        best = better(best, trial)
        if trial.result.slo_held != held:
            break
    return best


def _whole(caps: Floats) -> Integers:
    """Whole caps that have the real ones as their mean over time, evenly mixed."""
    dither = (np.arange(len(caps)) * GOLDEN) % 1.0
    return np.maximum(np.floor(caps + dither), 1.0).astype(np.int64)
