"""A part of a scenario as a scenario of its own, to search on less than the whole."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spillway.simulate.score import DAY_SECONDS
from spillway.simulate.world import Interval, Workload, World

LEAD_S = 1_800.0
"""Warm-up of a part."""
WORTHWHILE = 2.0
"""A part shorter than the scored time by less than this factor saves nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A stretch of a scenario, moved to time 0."""

    world: World
    workload: Workload
    offset_s: float = 0.0
    """Where its time 0 was in the whole."""


def busiest_day(world: World, workload: Workload) -> Part:
    """The scored day with the most tokens, half an hour of warm-up before it; all of a short scenario."""
    lead = min(LEAD_S, world.warmup_s)
    if world.duration_s - world.warmup_s < WORTHWHILE * DAY_SECONDS:
        return Part(world, workload)
    scored = world.scored(workload.arrival_s)
    days = int((world.duration_s - world.warmup_s) // DAY_SECONDS)
    day = ((workload.arrival_s[scored] - world.warmup_s) // DAY_SECONDS).astype(np.int64)
    tokens = (workload.input_tokens + workload.output_tokens)[scored].astype(np.float64)
    busiest = int(np.argmax(np.bincount(day, weights=tokens, minlength=days)[:days]))
    start = world.warmup_s + busiest * DAY_SECONDS - lead
    return cut(world, workload, start, start + lead + DAY_SECONDS, lead)


def cut(world: World, workload: Workload, start_s: float, end_s: float, warmup_s: float) -> Part:
    """[start, end) of a scenario, moved to time 0."""
    length = end_s - start_s

    def moved(intervals: tuple[Interval, ...]) -> tuple[Interval, ...]:
        return tuple((a - start_s, b - start_s) for a, b in intervals if b > start_s and a < end_s)

    first, last = np.searchsorted(workload.arrival_s, (start_s, end_s))
    part = Workload(
        workload.arrival_s[first:last] - start_s,
        workload.class_index[first:last],
        workload.input_tokens[first:last],
        workload.output_tokens[first:last],
    )
    smaller = replace(
        world,
        own=tuple(replace(lane, stockouts=moved(lane.stockouts)) for lane in world.own),
        hosted=tuple(replace(lane, outages=moved(lane.outages)) for lane in world.hosted),
        gaps=moved(world.gaps),
        warmup_s=warmup_s,
        duration_s=length,
    )
    return Part(smaller, part, start_s)
