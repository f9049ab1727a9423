"""Both sides of a change replayed on the same requests, and what comes of it in dollars and objectives a month."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from spillway.advise.review.effect import (
    HOURS_PER_MONTH,
    Band,
    ClassFigures,
    Confidence,
    Effect,
    LaneFigures,
    SideFigures,
)
from spillway.advise.review.effect import Traffic as TrafficTold
from spillway.advise.review.words import rough
from spillway.api import LaneType
from spillway.simulate.bootstrap import cost_interval
from spillway.simulate.scenario.errors import NUMBA_MISSING, ScenarioError
from spillway.simulate.scenario.manifests import Resources
from spillway.simulate.sides.ask import Ask
from spillway.simulate.sides.doubts import BOTH, LEAST_BLOCKS, Doubt, of_days, of_interval, ranked
from spillway.simulate.sides.figures import RunFigures
from spillway.simulate.sides.runs import run_all
from spillway.simulate.sides.side import Side, build_side, doubts_of, lanes_of, mode_doubt, read_side
from spillway.simulate.sides.traffic import Source, load_traffic, source_of
from spillway.simulate.world import Floats

BASE, HEAD = "base", "head"
LOW = Confidence.LOW
MONTH_SECONDS = HOURS_PER_MONTH * 3600.0
BUSIER = 1.25
"""Batches this many times those of the base's side go beyond what was seen."""
Document = Mapping[str, Any]


def replay(base: Sequence[Document], head: Sequence[Document], ask: Ask, progress: Callable[[str], None]) -> Effect:
    """Replay both sides: the documents of one plan, its lanes and its classes, as users wrote them.

    Hosted prices must stand in the documents. `progress` gets lines for people. Raises ScenarioError with one line.
    """
    started = time.monotonic()
    if importlib.util.find_spec("numba") is None:
        raise ScenarioError(NUMBA_MISSING)
    before, after = _read(base, head)
    source = source_of(ask)
    classes = {item.metadata.key: item for item in (*after.classes, *before.classes)}
    if not classes:
        raise ScenarioError(f"CapacityPlan {after.plan.metadata.key}: no WorkloadClass has it as its planRef; add one")
    traffic = load_traffic(source, [classes[key] for key in sorted(classes)], ask.elsewhere)
    lanes = (lanes_of(before), lanes_of(after))
    sides = [
        build_side(name, resources, lanes, source, traffic, ask.measured)
        for name, resources in ((BASE, before), (HEAD, after))
    ]
    seeds = _seeds(source, ask.seeds)
    results = run_all(sides, traffic, seeds, ask, progress)
    one, two = results.runs[BASE], results.runs[HEAD]
    difference = _band(_by_day(two) - _by_day(one), _factor(one))
    doubts = [
        *traffic.doubts,
        *_doubts(sides),
        *beyond_seen(sides, one, two),
        *over_ceilings(sides, (one, two)),
        *_of_figures(one, difference),
    ]
    confidence, sentences = ranked(doubts)
    return Effect(
        plan_key=after.plan.metadata.key,
        base=_side_figures(sides[0], one),
        head=_side_figures(sides[1], two),
        difference=difference,
        traffic=TrafficTold(
            source.label,
            _days(one),
            results.requests,
            len(seeds),
            traffic.sampled,
            traffic.left_out,
            traffic.left_out_share,
        ),
        confidence=confidence,
        doubts=sentences,
        replay_seconds=time.monotonic() - started,
        truths=_truths(sides),
    )


def _read(base: Sequence[Document], head: Sequence[Document]) -> tuple[Resources, Resources]:
    before, after = read_side(BASE, base), read_side(HEAD, head)
    if before.plan.metadata.key != after.plan.metadata.key:
        raise ScenarioError(
            f"head: CapacityPlan {after.plan.metadata.key} is another one than the base's "
            f"{before.plan.metadata.key}; compare one plan with itself"
        )
    return before, after


def _doubts(sides: Sequence[Side]) -> list[Doubt]:
    """What the documents of both sides leave open."""
    before, after = (side.resources for side in sides)
    each = [doubt for side in sides for doubt in (*side.truths.doubts, *doubts_of(side))]
    return [*each, *mode_doubt(before.plan, after.plan), *one_sided(before, after)]


def _of_figures(base: Sequence[RunFigures], difference: Band) -> list[Doubt]:
    """What days and their differences leave open."""
    usd = _monthly(base, lambda run: run.gpu_usd + run.hosted_usd)
    return [*of_days(_days(base)), *of_interval(difference, usd)]


def _days(runs: Sequence[RunFigures]) -> float:
    return runs[0].scored_seconds / 86_400.0


def _by_day(runs: Sequence[RunFigures]) -> Floats:
    """(S, D) dollars."""
    return np.array([run.days_usd for run in runs])


def _seeds(source: Source, wanted: int) -> list[int]:
    """The first of the scenario's seeds, then further ones."""
    seeds = list(source.file.seeds)
    return (seeds + [max(seeds) + 1 + extra for extra in range(wanted)])[: max(1, wanted)]


def _factor(runs: Sequence[RunFigures]) -> float:
    return MONTH_SECONDS / runs[0].scored_seconds


def _band(usd_by_day: Floats, factor: float) -> Band:
    """(S, D) dollars to dollars a month; the interval is of days and seeds, none with a single one."""
    value = float(usd_by_day.sum()) / len(usd_by_day) * factor
    if usd_by_day.size < LEAST_BLOCKS:
        return Band(value)
    low, high = cost_interval(usd_by_day)
    return Band(value, low * factor, high * factor)


def _monthly(runs: Sequence[RunFigures], what: Callable[[RunFigures], float]) -> float:
    return fmean(what(run) for run in runs) * _factor(runs)


def _side_figures(side: Side, runs: Sequence[RunFigures]) -> SideFigures:
    resources = side.resources
    types = {name: lane.spec.type for name, lane in lanes_of(resources).items()}
    lanes = [_lane(name, types[name], runs) for name in resources.plan.spec.lanes if name in types]
    objectives = resources.attainments
    return SideFigures(
        usd_per_month=_band(_by_day(runs), _factor(runs)),
        gpu_usd_per_month=_monthly(runs, lambda run: run.gpu_usd),
        hosted_usd_per_month=_monthly(runs, lambda run: run.hosted_usd),
        lanes=tuple(lanes),
        classes=tuple(_class(key, objectives[key], runs) for key in side.keys),
    )


def _lane(name: str, kind: LaneType, runs: Sequence[RunFigures]) -> LaneFigures:
    own = kind is LaneType.SELF_HOSTED
    return LaneFigures(
        name=name,
        type=str(kind),
        usd_per_month=_monthly(runs, lambda run: run.lanes[name].usd),
        replicas_mean=fmean(r.lanes[name].replica_seconds / r.scored_seconds for r in runs) if own else None,
        replicas_peak=max(run.lanes[name].replicas_peak for run in runs) if own else None,
        gpu_hours_per_month=_monthly(runs, lambda run: run.lanes[name].gpu_seconds) / 3600.0 if own else None,
        requests_per_month=_monthly(runs, lambda run: run.lanes[name].requests),
        tokens_per_month=_monthly(runs, lambda run: run.lanes[name].tokens),
        at_most_share=fmean(run.lanes[name].at_most_share for run in runs),
    )


def _class(key: str, objective: float, runs: Sequence[RunFigures]) -> ClassFigures:
    parts = [run.classes[key] for run in runs]
    requests = sum(part.requests for part in parts)
    return ClassFigures(
        key=key,
        requests_per_month=_monthly(runs, lambda run: run.classes[key].requests),
        tokens_per_month=_monthly(runs, lambda run: run.classes[key].tokens),
        usd_per_month=_monthly(runs, lambda run: run.classes[key].usd),
        hosted_share=sum(part.hosted_requests for part in parts) / requests if requests else 0.0,
        attainment_percent=100.0 * (1.0 - sum(part.misses for part in parts) / requests) if requests else 100.0,
        objective_percent=100.0 * objective,
        misses_per_month=_monthly(runs, lambda run: run.classes[key].misses),
        held=all(part.held for part in parts),
        ceiling_share=fmean(part.ceiling_share for part in parts),
    )


def one_sided(before: Resources, after: Resources) -> list[Doubt]:
    """Classes that only one side has."""
    one = {item.metadata.key for item in before.classes}
    two = {item.metadata.key for item in after.classes}
    found = [
        Doubt(f"WorkloadClass {key} is on the head's side alone: the difference is its whole cost there.")
        for key in sorted(two - one)
    ]
    return found + [
        Doubt(f"WorkloadClass {key} is on the base's side alone: its traffic is taken as gone, wherever it goes.", LOW)
        for key in sorted(one - two)
    ]


def beyond_seen(sides: Sequence[Side], one: Sequence[RunFigures], two: Sequence[RunFigures]) -> list[Doubt]:
    """Own lanes whose batches on the head's side lie beyond what was measured, or seen on the base's."""
    found = []
    for lane in sides[1].resources.own:
        name = lane.metadata.name
        batch = max(run.lanes[name].busy_batch for run in two)
        before = [run.lanes[name].busy_batch for run in one if name in run.lanes]
        measured = sides[1].truths.largest_batch.get(name)
        seen = measured if measured is not None else max(before, default=0.0) * BUSIER
        if name not in sides[0].truths.own:
            text = f"CapacityLane {lane.metadata.key} is new: nobody has seen its engines under this load."
        elif batch > max(seen, 1.0):
            most, how = (max(before), "seen before") if measured is None else (measured, "measured")
            text = (
                f"CapacityLane {lane.metadata.key}: {batch:.0f} requests at a time on a replica are more than the "
                f"{most:.0f} that were {how}."
            )
        else:
            continue
        found.append(Doubt(text))
    return found


def over_ceilings(sides: Sequence[Side], runs: Sequence[Sequence[RunFigures]]) -> list[Doubt]:
    """Classes without own lanes while a ceiling is reached: a gateway's armed limit is not simulated."""
    base, head = (_refused(side, of_side) for side, of_side in zip(sides, runs, strict=True))
    found = []
    for key in dict.fromkeys((*head, *base)):
        one, two = base.get(key, 0.0), head.get(key, 0.0)
        if one > 0 and rough(one) == rough(two):
            time = f"{rough(one)} of the time{BOTH}"
        elif one > 0 and two > 0:
            time = f"{rough(one)} of the time on base and {rough(two)} on head"
        else:
            time = f"{rough(one or two)} of the time on {'base' if one else 'head'} alone"
        more = "" if one > 0 and two > 0 else ", so that part of the difference is of such requests"
        text = (
            f"WorkloadClass {key}: hosted spending is at its ceiling {time}; what the gateway then refuses is served, "
            f"and paid, in the replay{more}."
        )
        found.append(Doubt(text))
    return found


def _refused(side: Side, runs: Sequence[RunFigures]) -> dict[str, float]:
    """By class that has no own lane: the share of the time in which a ceiling is reached, where it ever is."""
    shares = {
        key: fmean(run.classes[key].ceiling_share for run in runs)
        for key, truth in zip(side.keys, side.world.classes, strict=True)
        if not truth.own
    }
    return {key: share for key, share in shares.items() if share > 0}


def _truths(sides: Sequence[Side]) -> dict[str, str]:
    """By lane; where the sides differ, both."""
    one, two = sides[0].truths.sources, sides[1].truths.sources
    found = {}
    for name in dict.fromkeys((*two, *one)):
        if name in one and name in two and one[name] != two[name]:
            found[name] = f"{one[name]}; after the change {two[name]}"
        else:
            found[name] = two.get(name) or one[name]
    return found
