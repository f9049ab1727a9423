"""Replicas over time with foresight: a dynamic program over pieces, with start-up, and hosting for what finds no room.

What finds no room is computed from the requests' rate by a birth-death chain: with n requests in flight on N replicas
each works at the rate that n/N in flight give it, up to the cap; above, requests wait at the proxy as long as they are
held, and who finds that full goes hosted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spillway.simulate.bound.demand import PIECE_S, SUBPIECES, Demand
from spillway.simulate.score import HOUR_SECONDS
from spillway.simulate.world import Floats, Integers, World

MOST_REPLICAS = 400
ROUNDS = 2
"""Passes over the lanes, each planned around what the others have."""
_LOADS = np.concatenate((np.linspace(0.3, 1.5, 49), np.linspace(1.6, 4.0, 13)))
"""Loads per replica at which blocking is computed."""


@dataclass(frozen=True, slots=True)
class PlanRule:
    """What the plan assumes of overflow, and how careful it is."""

    hold_s: float
    margin: float = 1.0
    """Factor on demand."""


def plan(world: World, needs: Demand, rule: PlanRule) -> Integers:
    """(P, L) replicas by piece and lane, each within the lane's bounds and GPUs."""
    count = len(needs.billed)
    chosen = np.zeros((count, len(world.own)), dtype=np.int64)
    rate = np.array([lane.usd_per_replica_hour for lane in world.own]) * [float(n.load.sum()) for n in needs.lanes]
    order = [int(i) for i in np.argsort(rate, kind="stable") if needs.lanes[i].load.any()]
    for index, lane in enumerate(world.own):
        chosen[:, index] = lane.min_replicas
    for _ in range(ROUNDS if len(order) > 1 else 1):
        for index in order:
            chosen[:, index] = _plan_lane(world, needs, rule, index, chosen)
    return chosen


def cost_by_replicas(world: World, needs: Demand, rule: PlanRule, index: int, others: Floats) -> Floats:
    """(P, N + 1) dollars of each piece with n replicas of a lane, next to `others` (P,) replicas' worth elsewhere.

    Start-up is not in it. Numbers below the lane's minimum cost infinitely much.
    """
    lane, need = world.own[index], needs.lanes[index]
    most = replicas_limit(world, index, needs, rule)
    numbers = np.arange(most + 1)
    on = np.outer(needs.billed, numbers) * lane.usd_per_replica_hour / HOUR_SECONDS
    # Work elsewhere takes its share of the load away before any of it comes here.
    load = np.maximum(rule.margin * need.load - np.repeat(others, SUBPIECES), 0.0)
    part = np.divide(load, rule.margin * need.load, out=np.zeros(len(load)), where=need.load > 0)
    hosted = np.empty_like(on)
    cap = float(np.median(need.cap))
    for n in numbers:
        lost = _lost(int(n), load, cap, need.alpha_share, rule.hold_s * need.throughput)
        hosted[:, n] = (needs.hosted_usd * part * lost).reshape(-1, SUBPIECES).sum(axis=1)
    cost: Floats = on + hosted
    cost[:, : lane.min_replicas] = math.inf
    return cost


def replicas_limit(world: World, index: int, needs: Demand, rule: PlanRule) -> int:
    """The most replicas that can be of use: the lane's maximum, its pool's GPUs, twice the peak load."""
    lane = world.own[index]
    most = min(lane.max_replicas, MOST_REPLICAS)
    pool = dict(world.gpu_pools).get(lane.pool) if lane.pool is not None else None
    if pool is not None:
        most = min(most, pool // lane.gpus_per_replica)
    peak = float(needs.lanes[index].load.max(initial=0.0)) * rule.margin
    return max(lane.min_replicas, min(most, math.ceil(1.5 * peak) + 3))


def by_tick(world: World, chosen: Integers, tick_s: float) -> Integers:
    """(T, L) desired replicas by tick from 0: each early enough for a slow start-up."""
    ticks = math.ceil(world.duration_s / tick_s)
    first = np.arange(ticks) * tick_s
    desired = np.empty((ticks, chosen.shape[1]), dtype=np.int64)
    for index, lane in enumerate(world.own):
        lead = lane.startup_mean_s * math.exp(lane.startup_sigma)
        start = np.minimum((first / PIECE_S).astype(np.int64), len(chosen) - 1)
        end = np.minimum(((first + lead) / PIECE_S).astype(np.int64), len(chosen) - 1)
        column = chosen[:, index]
        most = column[start]
        for ahead in range(1, int((end - start).max(initial=0)) + 1):
            most = np.where(start + ahead <= end, np.maximum(most, column[np.minimum(start + ahead, end)]), most)
        desired[:, index] = most
    return desired


def planned_usd(world: World, needs: Demand, rule: PlanRule, chosen: Integers) -> float:
    """What a plan expects to cost: replicas, start-ups, and hosting what finds no room."""
    total = 0.0
    for index, lane in enumerate(world.own):
        usd_per_second = lane.usd_per_replica_hour / HOUR_SECONDS
        rises = np.maximum(np.diff(chosen[:, index]), 0) * (needs.billed[1:] > 0)
        total += usd_per_second * float(needs.billed @ chosen[:, index])
        total += usd_per_second * _started_s(world, index) * float(rises.sum())
    if world.own:
        first = max(range(len(world.own)), key=lambda i: float(needs.lanes[i].load.sum()))
        cost = cost_by_replicas(world, needs, rule, first, _elsewhere(needs, first, chosen))
        numbers = np.minimum(chosen[:, first], cost.shape[1] - 1)
        on = needs.billed * numbers * world.own[first].usd_per_replica_hour / HOUR_SECONDS
        return total + float((cost[np.arange(len(numbers)), numbers] - on).sum())
    return total + float(needs.hosted_usd.sum())


def _elsewhere(needs: Demand, index: int, chosen: Integers) -> Floats:
    """(P,) what other lanes' replicas are worth in replicas of this lane."""
    others = np.zeros(len(needs.billed))
    for other, need in enumerate(needs.lanes):
        if other != index and need.load.any():
            others += needs.lanes[index].load.sum() / need.load.sum() * chosen[:, other]
    return others


def _started_s(world: World, index: int) -> float:
    """Seconds that a start-up is planned to be paid, the release of the node included."""
    lane = world.own[index]
    return lane.startup_mean_s * math.exp(lane.startup_sigma) + world.node_release_s


def _plan_lane(world: World, needs: Demand, rule: PlanRule, index: int, chosen: Integers) -> Integers:
    """(P,) replicas of a lane by a dynamic program over pieces: cost of the piece, plus start-up for each one more."""
    lane = world.own[index]
    cost = cost_by_replicas(world, needs, rule, index, _elsewhere(needs, index, chosen))
    start_usd = lane.usd_per_replica_hour / HOUR_SECONDS * _started_s(world, index)
    numbers = np.arange(cost.shape[1])
    best, origins = cost[0].copy(), []
    for row, billed in zip(cost[1:], needs.billed[1:], strict=True):
        up = start_usd if billed > 0 else 0.0
        # From m <= n: best[m] + up*(n - m); from m > n: best[m]. Both are running minima.
        below = best - up * numbers
        from_below = _argmin_so_far(below)
        from_above = len(best) - 1 - _argmin_so_far(best[::-1])[::-1]
        climb = below[from_below] + up * numbers
        fall = best[from_above]
        origins.append(np.where(climb <= fall, from_below, from_above))
        best = np.minimum(climb, fall) + row
    path = [int(np.argmin(best))]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return np.array(path[::-1], dtype=np.int64)


def _argmin_so_far(values: Floats) -> Integers:
    """Index of the least value up to each place."""
    lowest = np.minimum.accumulate(values)
    new = np.concatenate(([True], values[1:] < lowest[:-1]))
    return np.maximum.accumulate(np.where(new, np.arange(len(values)), 0))


def _lost(replicas: int, load: Floats, cap: float, alpha_share: float, held: float) -> Floats:
    """(S,) share of requests that find no room; load in replicas' worth at the cap, `held` per replica."""
    if replicas == 0:
        return np.ones(len(load))
    places = max(1, round(replicas * cap))
    states = np.arange(1, places + 1) / places
    rates = states / (alpha_share + (1.0 - alpha_share) * states)
    waiting = math.ceil(held * replicas)
    logs = -np.cumsum(np.log(np.concatenate((rates, np.ones(waiting)))))
    numbers = np.arange(1, len(logs) + 1)
    blocked = np.empty(len(_LOADS))
    for place, per_replica in enumerate(_LOADS):
        terms = logs + numbers * math.log(per_replica)
        top = max(0.0, float(terms.max()))
        blocked[place] = math.exp(float(terms[-1]) - top) / (math.exp(-top) + float(np.exp(terms - top).sum()))
    each = load / replicas
    beyond = 1.0 - 1.0 / np.maximum(each, 1.0)
    inside = np.interp(each, _LOADS, blocked, left=0.0)
    return np.where(each > _LOADS[-1], np.maximum(beyond, inside), inside)
