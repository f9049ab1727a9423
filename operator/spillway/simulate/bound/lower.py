"""The bound itself: prices of own time, and each request at the cheaper of its hosted price and its own work."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spillway.simulate.bound.grid import Grid, LifeCost, Reach, affordable, grid, life_cost
from spillway.simulate.bound.prices import MUST_SERVE, Group, lane_prices
from spillway.simulate.bound.work import charges, formula_charges, residence_s, work_s
from spillway.simulate.score import HOUR_SECONDS, hosted_price_usd
from spillway.simulate.selection import Selection, chosen
from spillway.simulate.world import Floats, Integers, Workload, World

WORTH_BUCKETS = 4
"""Groups of a class and piece, by hosted dollars per dollar of own work."""


@dataclass(frozen=True, slots=True)
class Bound:
    """No policy costs less on these requests."""

    cost_usd: float
    gpu_cost_usd: float
    """Of it, own work that is cheaper there than hosted, and replicas that the lanes' minimum keeps."""
    hosted_cost_usd: float
    own_work_hours: float
    """Replica-hours of work that is cheaper on own lanes."""
    own_token_share: float
    """Share of tokens whose own work is cheaper."""


@dataclass(frozen=True, slots=True, eq=False)
class _Requests:
    """The scored requests with what each lane would take and cost; arrays by request, lanes first."""

    workload: Workload
    work_s: Floats
    """(L, N); infinite where the class may not use the lane or the request doesn't fit."""
    piece: Integers
    """(N,) in which it comes."""
    reach: list[Reach]
    """By lane: from its arrival until no work on it can be done any more."""
    windows_s: list[float]
    """By class: the median of that time, at the lane that takes longest."""
    hosted_usd: Floats
    """(N,) at the cheapest hosted lane of the class; infinite where there is none."""
    may_fail: NDArray[np.bool_]
    """(N,) whether it can end unbilled and unserved."""


def cost_bound(world: World, workload: Workload, longest_steps_s: tuple[float, ...] | None = None) -> Bound:
    """The bound on one seed's realised requests (see the package's docstring for what it says and why it is true).

    `longest_steps_s`, by lane, charges alpha at these iterations instead of the longest possible: the bound of policies
    that never have longer ones.
    """
    pieces = grid(world)
    requests = _requests(world, workload, pieces, longest_steps_s)
    costs = [life_cost(world, lane, pieces) for lane in world.own]
    candidates = [_plain_prices(world, pieces, costs)]
    if any(lane.min_replicas for lane in world.own):
        candidates.append([np.zeros(pieces.pieces) for _ in world.own])
    if np.isfinite(requests.work_s).any():
        found = lane_prices(world, pieces, costs, _groups(world, requests, pieces), requests.windows_s)
        candidates.append([affordable(p, pieces, c) for p, c in zip(found, costs, strict=True)])
    return max((_value(world, requests, pieces, costs, prices) for prices in candidates), key=lambda b: b.cost_usd)


def _requests(
    world: World, workload: Workload, pieces: Grid, longest_steps_s: tuple[float, ...] | None = None
) -> _Requests:
    part = _only(workload, chosen(world.scored(workload.arrival_s)))
    waits = _longest_waits(world)[part.class_index]
    tokens = part.input_tokens + part.output_tokens
    piece = pieces.piece(part.arrival_s)
    work, reach = np.full((len(world.own), part.size), math.inf), []
    windows = np.zeros((len(world.own), len(world.classes)))
    for index, lane in enumerate(world.own):
        allowed = np.array([index in c.own for c in world.classes], dtype=np.bool_)[part.class_index]
        fits = chosen(allowed & (tokens <= lane.kv_cache_tokens))
        fitting = _only(part, fits)
        if fitting.size:
            given = None if longest_steps_s is None or lane.table is not None else longest_steps_s[index]
            of_lane = charges(lane, fitting) if given is None else formula_charges(lane, given)
            work[index, fits] = work_s(of_lane, fitting)
        until = part.arrival_s + waits + residence_s(lane, part)
        reach.append(Reach.of(pieces, piece, until))
        windows[index] = _windows(world, part, index, until - part.arrival_s)
    hosted, may_fail = _hosted(world, part, waits)
    return _Requests(part, work, piece, reach, windows.max(axis=0, initial=0.0).tolist(), hosted, may_fail)


def _only(workload: Workload, which: Selection) -> Workload:
    return Workload(
        workload.arrival_s[which],
        workload.class_index[which],
        workload.input_tokens[which],
        workload.output_tokens[which],
    )


def _longest_waits(world: World) -> Floats:
    """(C,) longest wait before admission: a queue looks at its head only, so the longest of the same priority."""
    return np.array([max(o.patience_s for o in world.classes if o.priority == c.priority) for c in world.classes])


def _hosted(world: World, part: Workload, waits: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Cheapest hosted price by request, and whether it may fail unbilled: no lane, limits, or an outage in reach.

    A request that errs twice is unbilled too, which the price discounts.
    """
    usd, may_fail = np.full(part.size, math.inf), np.zeros(part.size, dtype=np.bool_)
    for index, truth in enumerate(world.classes):
        mine = part.class_index == index
        its = chosen(mine)
        for lane in truth.hosted:
            hosted = world.hosted[lane]
            price = hosted_price_usd(world, part, lane) * (1.0 - hosted.error_rate**2)
            usd[its] = np.minimum(usd[its], price[its])
            if math.isfinite(min(hosted.requests_per_minute, hosted.tokens_per_minute, hosted.concurrency)):
                may_fail |= mine
            for start, end in hosted.outages:
                may_fail |= mine & (part.arrival_s < end) & (part.arrival_s + waits >= start)
        if not truth.hosted:
            may_fail |= mine
    return usd, may_fail


def _windows(world: World, part: Workload, lane: int, spans_s: Floats) -> list[float]:
    """By class: the median time from arrival in which the lane may work on it; 0 where it may not."""
    windows = []
    for index, truth in enumerate(world.classes):
        mine = chosen(part.class_index == index)
        spans = spans_s[mine] if lane in truth.own else spans_s[:0]
        windows.append(float(np.median(spans)) if len(spans) else 0.0)
    return windows


def _groups(world: World, requests: _Requests, pieces: Grid) -> list[Group]:
    """Requests by class, piece and worth, summed up."""
    part = requests.workload
    usd_per_s = np.array([lane.usd_per_replica_hour for lane in world.own]) / HOUR_SECONDS
    groups: list[Group] = []
    for index, truth in enumerate(world.classes):
        lanes = list(truth.own)
        if not lanes:
            continue
        mine = part.class_index == index
        for lane in lanes:
            mine &= np.isfinite(requests.work_s[lane])
        its = chosen(mine)
        piece = np.minimum(requests.piece[its], pieces.pieces - 1)
        if not len(piece):
            continue
        own_usd = np.zeros(len(piece))
        for lane in lanes:
            np.maximum(own_usd, requests.work_s[lane, its] * usd_per_s[lane], out=own_usd)
        hosted = requests.hosted_usd[its] if truth.hosted else MUST_SERVE * own_usd
        worth = hosted / np.maximum(own_usd, 1e-300)
        cuts = np.unique(np.quantile(worth, np.linspace(0, 1, WORTH_BUCKETS + 1)[1:-1]))
        key = piece * (WORTH_BUCKETS + 1) + np.searchsorted(cuts, worth)
        keys = np.flatnonzero(np.bincount(key))
        usd = np.bincount(key, weights=hosted)
        work = {lane: np.bincount(key, weights=requests.work_s[lane, its]) for lane in lanes}
        groups += [
            Group(index, k // (WORTH_BUCKETS + 1), {lane: float(w[k]) for lane, w in work.items()}, float(usd[k]))
            for k in keys.tolist()
        ]
    return groups


def _plain_prices(world: World, pieces: Grid, costs: list[LifeCost]) -> list[Floats]:
    """The lanes' own price wherever it is billed: affordable as it is, blind to start-up."""
    return [np.where(pieces.billed > 0.0, lane.usd_per_replica_hour / HOUR_SECONDS, 0.0) for lane in world.own]


def _value(world: World, requests: _Requests, pieces: Grid, costs: list[LifeCost], prices: list[Floats]) -> Bound:
    cheapest, work_s = np.full(requests.workload.size, math.inf), np.zeros(requests.workload.size)
    for index, lane in enumerate(world.own):
        lowest = requests.reach[index].lowest(np.append(prices[index], lane.usd_per_replica_hour / HOUR_SECONDS))
        usd = np.full(requests.workload.size, math.inf)
        np.multiply(requests.work_s[index], lowest, out=usd, where=np.isfinite(requests.work_s[index]))
        cheaper = usd < cheapest
        np.copyto(cheapest, usd, where=cheaper)
        np.copyto(work_s, requests.work_s[index], where=cheaper)
    own = np.isfinite(cheapest) & (cheapest <= requests.hosted_usd)
    usd = np.minimum(cheapest, requests.hosted_usd)
    usd[~np.isfinite(usd)] = 0.0
    usd *= _kept(world, requests, usd)
    minimum = sum(_minimum_usd(world, i, pieces, costs[i], prices[i]) for i in range(len(world.own)))
    tokens = requests.workload.input_tokens + requests.workload.output_tokens
    hours = float(work_s[own].sum()) / HOUR_SECONDS
    gpu, hosted = float(usd[own].sum()) + minimum, float(usd[~own].sum())
    share = float(tokens[own].sum()) / max(float(tokens.sum()), 1.0)
    return Bound(gpu + hosted, gpu, hosted, hours, share)


def _minimum_usd(world: World, lane: int, pieces: Grid, cost: LifeCost, prices: Floats) -> float:
    """What replicas that the lane's minimum keeps on cost beyond the work that the prices credit them with."""
    truth = world.own[lane]
    gpus = dict(world.gpu_pools).get(truth.pool) if truth.pool is not None else None
    wanted = sum(other.min_replicas * other.gpus_per_replica for other in world.own if other.pool == truth.pool)
    if gpus is not None and wanted > gpus:
        return 0.0
    return truth.min_replicas * max(0.0, float(np.sum(cost.on - prices * pieces.widths)))


def _kept(world: World, requests: _Requests, usd: Floats) -> Floats:
    """Share of each request that must be served, (N,); (1,) where that is all of every one.

    Of those that may fail unbilled, a class's target leaves some.

    A policy that holds the objective misses at most (1 - target) of the requests, and of the tokens; leaving out the
    dearest per request (or per token) is the least that it can pay. The weaker of the two is dropped.
    """
    if not requests.may_fail.any():
        return np.ones(1)
    share = np.ones(len(usd))
    part = requests.workload
    tokens = (part.input_tokens + part.output_tokens).astype(np.float64)
    for index, truth in enumerate(world.classes):
        mine = part.class_index == index
        loose = np.flatnonzero(mine & requests.may_fail)
        if not len(loose):
            continue
        by_request = _without_dearest(usd[loose], np.ones(len(loose)), (1.0 - truth.attainment) * mine.sum())
        by_token = _without_dearest(usd[loose], tokens[loose], (1.0 - truth.attainment) * tokens[mine].sum())
        share[loose] = by_request if by_request @ usd[loose] >= by_token @ usd[loose] else by_token
    return share


def _without_dearest(usd: Floats, weights: Floats, budget: float) -> Floats:
    """Shares that stay when the dearest per weight are left out, up to a budget of weight (the last one in part)."""
    order = np.argsort(-usd / weights, kind="stable")
    ends = np.cumsum(weights[order])
    left_out = np.clip((budget - (ends - weights[order])) / weights[order], 0.0, 1.0)
    stays = np.empty(len(usd))
    stays[order] = 1.0 - left_out
    return stays


def unpaid_startups(world: World) -> World:
    """The same world with replicas that are Ready at once, to see what start-up adds to the bound."""
    return replace(world, own=tuple(replace(lane, startup_mean_s=0.0) for lane in world.own), node_release_s=0.0)
