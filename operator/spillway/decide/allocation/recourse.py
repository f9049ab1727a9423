"""What becomes of demand once replicas are given: own capacity first, the rest hosted within limits, or missed.

Closed-form and vectorised over any shape of cells (scenarios, periods, replica counts); requests a second throughout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spillway.decide.allocation.problem import RANK, ClassProblem, LaneProblem, Problem, miss_prices
from spillway.decide.allocation.types import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Recourse:
    """Requests a second by where they go."""

    own: Mapping[str, Floats]
    hosted: Mapping[tuple[str, str], Floats]
    """By (class key, hosted lane)."""
    missed: Mapping[str, Floats]
    usd_per_second: Floats
    """Hosted dollars times pacing, and misses at their price."""


def hosted_limits_bind(problem: Problem) -> bool:
    """Whether ceilings or hosted limits would bite if every class went to its cheapest hosted lane at its peak."""
    usd, by_tier, used, tokens = 0.0, dict[str, float](), dict[str, float](), dict[str, float]()
    for item in problem.classes:
        if not item.hosted:
            continue
        option, peak = min(item.hosted, key=lambda o: o.usd_per_request), float(item.demand.max())
        hourly = 3600 * option.usd_per_request * peak
        usd += hourly
        if item.tier is not None:
            by_tier[item.tier] = by_tier.get(item.tier, 0.0) + hourly
        used[option.lane] = used.get(option.lane, 0.0) + peak / option.max_requests_per_second
        tokens[option.lane] = tokens.get(option.lane, 0.0) + 60 * peak * option.tokens_per_request
    return (
        usd > problem.ceiling_usd_per_hour
        or any(usd > problem.tier_usd_per_hour.get(tier, math.inf) for tier, usd in by_tier.items())
        or any(share > 1 for share in used.values())
        or any(value > problem.hosted_tokens_per_minute.get(lane, math.inf) for lane, value in tokens.items())
    )


def one_lane(problem: Problem, lane: LaneProblem | None, demand: Mapping[str, Floats], taken: Floats) -> Recourse:
    """The cheaper of two orders of own capacity: dearest to spill first, and the most urgent first.

    Without ceilings and limits the first is optimal (spill in ascending hosted dollars per unit of own work); where
    one bites the second keeps it for the urgent. ``taken`` is the work in replicas that the lane takes.
    """
    prices = miss_prices(problem)
    classes = list(problem.classes)
    seconds = {} if lane is None else lane.work_seconds

    def worth(item: ClassProblem) -> float:
        usd = min((problem.pacing * o.usd_per_request for o in item.hosted), default=prices[item.key])
        return usd / seconds[item.key] if item.key in seconds else 0.0

    by_price = sorted(classes, key=lambda item: (-worth(item), -RANK[item.latency], item.key))
    first = _served(problem, by_price, seconds, demand, taken, prices)
    by_rank = sorted(classes, key=lambda item: (bool(item.hosted), -RANK[item.latency], -worth(item), item.key))
    if by_rank == by_price or not hosted_limits_bind(problem):
        return first
    second = _served(problem, by_rank, seconds, demand, taken, prices)
    better = second.usd_per_second < first.usd_per_second
    return Recourse(
        {key: np.where(better, second.own[key], first.own[key]) for key in first.own},
        {key: np.where(better, second.hosted[key], first.hosted[key]) for key in first.hosted},
        {key: np.where(better, second.missed[key], first.missed[key]) for key in first.missed},
        np.minimum(first.usd_per_second, second.usd_per_second),
    )


def _served(
    problem: Problem,
    order: Sequence[ClassProblem],
    seconds: Mapping[str, float],
    demand: Mapping[str, Floats],
    taken: Floats,
    prices: Mapping[str, float],
) -> Recourse:
    room, own, rest = taken, dict[str, Floats](), dict[str, Floats]()
    for item in order:
        if item.key not in seconds:
            own[item.key], rest[item.key] = np.zeros_like(taken), demand[item.key] + np.zeros_like(taken)
            continue
        work = demand[item.key] * seconds[item.key]
        used = np.minimum(work, room)
        room = room - used
        own[item.key] = used / seconds[item.key]
        rest[item.key] = (work - used) / seconds[item.key]
    hosted, missed, usd = host(problem, rest, prices)
    return Recourse(own, hosted, missed, usd)


def host(
    problem: Problem, rest: Mapping[str, Floats], prices: Mapping[str, float]
) -> tuple[dict[tuple[str, str], Floats], dict[str, Floats], Floats]:
    """Send the rest to hosted lanes, the most urgent class first, cheapest lane first: hosted, missed, dollars."""
    hosted, missed = dict[tuple[str, str], Floats](), dict[str, Floats]()
    limited = hosted_limits_bind(problem)
    budgets: dict[str, Floats | float] = {f"tier/{k}": v for k, v in problem.tier_usd_per_hour.items()}
    budgets |= {f"tokens/{k}": v for k, v in problem.hosted_tokens_per_minute.items()}
    budgets["ceiling"] = problem.ceiling_usd_per_hour
    total: Floats = np.zeros(())
    for item in sorted(problem.classes, key=lambda c: (-RANK[c.latency], c.key)):
        left = rest[item.key]
        for option in sorted(item.hosted, key=lambda o: (o.usd_per_request, o.lane)):
            goes = left
            if limited:
                uses = _uses(item, option.lane, option.usd_per_request, option.tokens_per_request)
                if math.isfinite(option.max_requests_per_second):
                    uses[f"lane/{option.lane}"] = 1 / option.max_requests_per_second
                    budgets.setdefault(f"lane/{option.lane}", 1.0)
                for name, use in uses.items():
                    if use > 0:
                        goes = np.minimum(goes, np.maximum(budgets.get(name, math.inf), 0.0) / use)
                for name, use in uses.items():
                    if name in budgets:
                        budgets[name] = budgets[name] - use * goes
            hosted[item.key, option.lane] = goes
            left = left - goes
            total = total + goes * (problem.pacing * option.usd_per_request)
            if not limited:
                break
        missed[item.key] = left
        if limited or not item.hosted:
            total = total + left * prices[item.key]
    for item in problem.classes:
        for option in item.hosted:
            hosted.setdefault((item.key, option.lane), np.zeros_like(rest[item.key]))
    return hosted, missed, total


def _uses(item: ClassProblem, lane: str, usd: float, tokens: float) -> dict[str, float]:
    uses = {"ceiling": 3600 * usd, f"tokens/{lane}": 60 * tokens}
    return uses if item.tier is None else {f"tier/{item.tier}": 3600 * usd, **uses}
