"""Realised demand in replica-time: what foresight knows, cut into pieces, for planning schedules.

With c requests in flight on a replica, an iteration takes T(c) = alpha + c*slope, where slope is what one request of
the mix adds to it: beta + gamma*(I + O/2)/1000 + prefill*(I/O)/1000 ms. A request that is one of c takes T(c)*O/c of
the replica's time: its service work and alpha*O/c. The cap that the inter-token objective allows has T(cap) below it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillway.api import LatencyClass
from spillway.simulate.bound.work import decode_ms, prefill_ms
from spillway.simulate.score import HOUR_SECONDS, billed_seconds, miss_price_usd, scored_intervals
from spillway.simulate.world import Floats, Integers, OwnTruth, Workload, World

PIECE_S = 300.0
"""Replicas are chosen for pieces of this length."""
SUBPIECES = 5
"""Demand inside a piece is looked at in so many parts."""
UNSERVED_PRICE = 20.0
"""A request that no hosted lane may take costs this many times its own work when it finds no room."""
SMOOTHING_SHARE = 0.5
"""Deferrable work is planned as if spread over this share of its deadline."""
UNLIMITED_ITL_CAP = 0.9
"""Without an inter-token objective the cap is this share of what the KV cache takes."""


@dataclass(frozen=True, slots=True, eq=False)
class LaneTotals:
    """The requests that one lane could take, summed up. P pieces, S subpieces."""

    alpha_ms: float
    slope_ms: Floats
    """(P,) what a request of the piece's mix adds to an iteration."""
    weight: Floats
    """(P,) share of the requests."""
    mean_output: Floats
    """(P,) tokens."""
    room: float
    """Requests that fit on a replica."""
    work_s: Floats
    """(S,) service work, alpha left out."""
    output_tokens: Floats
    """(S,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Totals:
    """A workload summed up for planning; it is read once, however many plans are made."""

    lanes: tuple[LaneTotals, ...]
    hosted_usd: Floats
    """(S,) price of hosting what arrives, scored parts only."""
    billed: Floats
    """(P,) billed seconds."""


@dataclass(frozen=True, slots=True, eq=False)
class LaneDemand:
    """What the requests would be on one lane under caps."""

    cap: Floats
    """(P,) requests in flight per replica, a real number: the gateway's cap changes between its neighbours."""
    load: Floats
    """(S,) replicas' worth of work at that cap."""
    alpha_share: float
    """Of an iteration at the cap, in the mean."""
    throughput: float
    """Requests a second of a replica at the cap, in the mean."""
    step_s: float
    """Seconds of an iteration at the cap, in the mean."""


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """Everything a plan is made from."""

    lanes: tuple[LaneDemand, ...]
    hosted_usd: Floats
    billed: Floats


def totals(world: World, workload: Workload) -> Totals:
    """Sum up a workload over the whole span, warm-up included."""
    count = max(1, math.ceil(world.duration_s / PIECE_S))
    sub = np.minimum((workload.arrival_s * SUBPIECES / PIECE_S).astype(np.int64), count * SUBPIECES - 1)
    price = miss_price_usd(world, workload)
    alone = np.array([not c.hosted for c in world.classes], dtype=np.bool_)[workload.class_index]
    lanes = []
    for index, lane in enumerate(world.own):
        found, work = _lane(world, workload, lane, index, sub)
        lanes.append(found)
        forbidding = UNSERVED_PRICE * work * lane.usd_per_replica_hour / HOUR_SECONDS
        price = np.where(alone, np.maximum(price, forbidding), price)
    usd = _summed(sub, np.where(world.scored(workload.arrival_s), price, 0.0), count * SUBPIECES)
    edges = np.minimum(np.arange(count + 1) * PIECE_S, world.duration_s)
    return Totals(tuple(lanes), usd, billed_seconds(scored_intervals(world), edges[:-1], edges[1:]))


def demand(world: World, summed: Totals, itl_share: float) -> Demand:
    """Demand by lane at caps whose iterations take `itl_share` of the strictest inter-token objective."""
    lanes = tuple(
        _under_caps(_caps(world, index, lane, itl_share), lane) for index, lane in enumerate(summed.lanes)
    )  # fmt: skip
    return Demand(lanes, summed.hosted_usd, summed.billed)


def _under_caps(cap: Floats, lane: LaneTotals) -> LaneDemand:
    alone = lane.alpha_ms / 1000.0 * lane.output_tokens / np.repeat(cap, SUBPIECES)
    step_ms = lane.alpha_ms + cap * lane.slope_ms
    return LaneDemand(
        cap=cap,
        load=(lane.work_s + alone) * SUBPIECES / PIECE_S,
        alpha_share=float(lane.weight @ (lane.alpha_ms / step_ms)),
        throughput=float(lane.weight @ (cap / (step_ms / 1000.0 * lane.mean_output))),
        step_s=float(lane.weight @ step_ms) / 1000.0,
    )


def _caps(world: World, index: int, lane: LaneTotals, itl_share: float) -> Floats:
    """(P,) caps by piece: the inter-token objective of the strictest class, the KV cache, the sequences."""
    strictest_ms = 1000.0 * min((c.itl_slo_s for c in world.classes if index in c.own), default=math.inf)
    if not math.isfinite(strictest_ms):
        return np.full(len(lane.slope_ms), max(lane.room, 1.0))
    by_itl = (itl_share * strictest_ms - lane.alpha_ms) / lane.slope_ms
    return np.asarray(np.clip(by_itl, 1.0, max(lane.room, 1.0)), dtype=np.float64)


def _lane(world: World, workload: Workload, lane: OwnTruth, index: int, sub: Integers) -> tuple[LaneTotals, Floats]:
    """Sums of the requests that a lane may take, and (N,) the service work of each; 0 for the others."""
    count = max(1, math.ceil(world.duration_s / PIECE_S))
    allowed: NDArray[np.bool_] = np.array([index in c.own for c in world.classes], dtype=np.bool_)[workload.class_index]
    allowed = allowed & (workload.input_tokens + workload.output_tokens <= lane.kv_cache_tokens)
    tokens_in = np.where(allowed, workload.input_tokens, 0).astype(np.float64)
    tokens_out = np.where(allowed, workload.output_tokens, 0).astype(np.float64)
    if not allowed.any():
        ones, none = np.ones(count), np.zeros(count * SUBPIECES)
        return LaneTotals(1.0, ones, ones / count, ones, 1.0, none, none), np.zeros(workload.size)
    piece = sub // SUBPIECES
    held_by = tokens_out * (tokens_in + tokens_out / 2.0)
    requests, sum_in, sum_out, held = (
        _summed(piece, values, count) for values in (allowed.astype(np.float64), tokens_in, tokens_out, held_by)
    )
    context = float(held.sum() / sum_out.sum())
    alpha, beta, gamma, prefill = _coefficients(lane, context, float(sum_in.sum() / requests.sum()))
    slope = beta + (gamma * held + prefill * sum_in) / 1000.0 / np.maximum(sum_out, 1.0)
    work = (beta * tokens_out + (gamma * held_by + prefill * tokens_in) / 1000.0) / 1000.0
    found = LaneTotals(
        alpha_ms=alpha,
        slope_ms=_filled(np.where(requests > 0, slope, np.nan)),
        weight=requests / requests.sum(),
        mean_output=_filled(np.where(requests > 0, sum_out / np.maximum(requests, 1.0), np.nan)),
        room=UNLIMITED_ITL_CAP * min(lane.max_num_seqs, lane.kv_cache_tokens / max(context, 1.0)),
        work_s=_spread(world, workload, work, sub, count * SUBPIECES),
        output_tokens=_spread(world, workload, tokens_out, sub, count * SUBPIECES),
    )
    return found, work


def _spread(world: World, workload: Workload, values: Floats, sub: Integers, count: int) -> Floats:
    """(S,) sums by subpiece, those of deferrable classes spread over a part of their deadline."""
    total = np.zeros(count)
    for index, truth in enumerate(world.classes):
        mine = workload.class_index == index
        of_class = _summed(sub[mine], values[mine], count)
        if truth.latency is LatencyClass.DEFERRABLE:
            span = min(truth.deadline_s, world.duration_s) * SMOOTHING_SHARE
            width = max(1, round(span * SUBPIECES / PIECE_S))
            sums = np.concatenate(([0.0], np.cumsum(of_class)))
            of_class = (sums[1:] - sums[np.maximum(np.arange(count) + 1 - width, 0)]) / width
        total += of_class
    return total


def _coefficients(lane: OwnTruth, context: float, prompt: float) -> tuple[float, float, float, float]:
    """alpha, beta, gamma and prefill of the lane; of a table, its secants where the work is."""
    if lane.table is None:
        return lane.alpha_ms, lane.beta_ms_per_seq, lane.gamma_ms_per_ktoken, lane.prefill_ms_per_ktoken
    table, few, many = lane.table, 1.0, float(min(lane.max_num_seqs, 64))
    beta = max((decode_ms(table, many, context) - decode_ms(table, few, context)) / max(many - few, 1.0), 1e-6)
    chunk = min(prompt, float(lane.max_batched_tokens))
    return max(decode_ms(table, few, context) - beta, 1e-3), beta, 0.0, prefill_ms(table, chunk) / chunk * 1000.0


def _summed(place: Integers, values: Floats, count: int) -> Floats:
    return np.asarray(np.bincount(place, weights=values, minlength=count), dtype=np.float64)


def _filled(values: Floats) -> Floats:
    """Gaps take the value before (at the start: after) them."""
    known = np.flatnonzero(np.isfinite(values))
    place = np.clip(np.searchsorted(known, np.arange(len(values)), side="right") - 1, 0, None)
    return np.asarray(values[known[place]], dtype=np.float64)
