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
SETTLING = (1.02, 1.04, 1.08, 1.16)
"""Steps of the caps on the whole span."""
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
    targets: dict[str, float]
    """Attainment that each class must have."""
    result: SeedScore
    outcome: Outcome

    @property
    def rank(self) -> tuple[bool, float]:
        """Lower is better: whoever holds the objective by cost, then the others by how far they are off."""
        if self.result.slo_held:
            return False, self.result.cost_usd
        return True, -self.slack

    @property
    def slack(self) -> float:
        """How far the worst class is above its target, by requests or by tokens; negative: below."""
        return min(
            min(c.attainment_requests, c.attainment_tokens) - self.targets[key]
            for key, c in self.result.slo_attainment_by_class.items()
        )


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
    targets = {c.key: c.attainment for c in world.classes}
    return Trial(settings, targets, score(world, part.workload, outcome), outcome)


def holds(world: World, share: float) -> tuple[float, ...]:
    """Longest wait at the proxy by class."""
    return tuple(
        DEADLINE_SHARE * c.deadline_s if c.latency is LatencyClass.DEFERRABLE else min(share * c.ttft_slo_s, 1e6)
        for c in world.classes
    )


def shortest_hold_s(world: World, settings: Settings) -> float:
    """What a plan may count on."""
    return 0.0 if settings.queue_limit is not None else min(holds(world, settings.hold_share), default=0.0)


@dataclass(slots=True)
class Search:
    """Plays settings, keeps the best, and learns what a point of attainment costs."""

    play_it: Play
    best: Trial | None = None
    usd_per_attainment: float = 0.0
    """Dollars that caps save for each unit of attainment given up, near the target."""

    def at(self, settings: Settings) -> Trial:
        """Play settings."""
        trial = self.play_it(settings)
        self.best = trial if self.best is None else better(self.best, trial)
        return trial

    def fullest(self, start: Settings, refinements: int) -> Trial:
        """The fullest caps that hold the objective: out from the start by growing steps, then between the last two."""
        before = other = self.at(start)
        held, step = other.result.slo_held, STEP
        while other.result.slo_held == held and SMALLEST_SHARE < other.settings.itl_share < LARGEST_SHARE:
            share = other.settings.itl_share * (step if held else 1.0 / step)
            before, other, step = other, self.at(replace(start, itl_share=share)), step * STEP
            if held and other.result.slo_held and other.rank > before.rank:
                return before
        if other.result.slo_held == held:
            return better(before, other)
        return self.between(*((before, other) if held else (other, before)), refinements)

    def between(self, empty: Trial, full: Trial, refinements: int) -> Trial:
        """The best of `empty`, which holds the objective, and what lies between it and `full`, which doesn't.

        Where the attainment of both tells where the target lies, a little below that; else in the middle.
        """
        best = empty
        for _ in range(refinements):
            low, high = empty.settings.itl_share, full.settings.itl_share
            part = 0.5
            if empty.slack > 0.0 > full.slack:
                part = min(max(0.85 * empty.slack / (empty.slack - full.slack), 0.1), 0.9)
            trial = self.at(replace(empty.settings, itl_share=low * (high / low) ** part))
            best = better(best, trial)
            empty, full = (trial, full) if trial.result.slo_held else (empty, trial)
        if empty.slack > full.slack:
            saved = (empty.result.cost_usd - full.result.cost_usd) / (empty.slack - full.slack)
            self.usd_per_attainment = max(saved, 0.0)
        return best

    def at_target(self, trial: Trial) -> float:
        """What a trial would about cost if caps brought it to its target: to compare trials of different attainment."""
        return trial.result.cost_usd - self.usd_per_attainment * trial.slack


def settle(play_all: Play, settings: Settings) -> Trial:
    """Settings that were found on a part, on the whole: fuller as long as the objective is held, or emptier until it
    is, then once between the last two.
    """
    search = Search(play_all)
    best = trial = search.at(settings)
    held = trial.result.slo_held
    for step in SETTLING:
        share = trial.settings.itl_share * (step if held else 1.0 / step)
        before, trial = trial, search.at(replace(trial.settings, itl_share=share))
        best = better(best, trial)
        if trial.result.slo_held != held:
            return better(best, search.between(*((before, trial) if held else (trial, before)), 1))
    return best


def _whole(caps: Floats) -> Integers:
    """Whole caps that have the real ones as their mean over time, evenly mixed."""
    dither = (np.arange(len(caps)) * GOLDEN) % 1.0
    return np.maximum(np.floor(caps + dither), 1.0).astype(np.int64)
