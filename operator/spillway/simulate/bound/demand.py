"""Realised demand in replica-time: what foresight knows, cut into pieces, for planning schedules.

With c requests in flight on a replica, an iteration takes T(c) = alpha + c*slope, where slope is what one request of
the mix adds to it: beta + gamma*(I + O/2)/1000 + prefill*(I/O)/1000 ms. A request that is one of c takes T(c)*O/c of
the replica's time: its service work and alpha*O/c. The cap that the inter-token objective allows has T(cap) below it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

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
class LaneDemand:
    """What the requests would be on one lane. P pieces, S subpieces."""

    cap: Floats
    """(P,) requests in flight per replica, a real number: the gateway's cap changes between its neighbours."""
    load: Floats
    """(S,) replicas' worth of work at that cap."""
    alpha_share: float
    """Of an iteration at the cap, in the mean."""
    throughput: float
    """Requests a second of a replica at the cap, in the mean."""


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """Everything a plan is made from."""

    lanes: tuple[LaneDemand, ...]
    hosted_usd: Floats
    """(S,) price of hosting all that arrives, billed or scored parts only."""
    billed: Floats
    """(P,) billed seconds."""


def pieces(world: World) -> int:
    """Pieces of the whole span, warm-up included."""
    return max(1, math.ceil(world.duration_s / PIECE_S))


def demand(world: World, workload: Workload, itl_share: float, fixed_caps: tuple[int, ...] | None = None) -> Demand:
    """Demand by lane at caps whose iterations take `itl_share` of the strictest inter-token objective.

    `fixed_caps` by lane replaces them.
    """
    count = pieces(world)
    sub = np.minimum((workload.arrival_s * SUBPIECES / PIECE_S).astype(np.int64), count * SUBPIECES - 1)
    scored = world.scored(workload.arrival_s)
    lanes, cheapest = [], np.full(workload.size, math.inf)
    for index, lane in enumerate(world.own):
        found, work = _lane(
            world, workload, lane, index, itl_share, sub, None if fixed_caps is None else fixed_caps[index]
        )
        lanes.append(found)
        cheapest = np.minimum(cheapest, work * lane.usd_per_replica_hour / HOUR_SECONDS)
    price = miss_price_usd(world, workload)
    alone = np.array([not c.hosted for c in world.classes])[workload.class_index]
    price = np.where(alone & np.isfinite(cheapest), np.maximum(price, UNSERVED_PRICE * cheapest), price)
    usd = np.asarray(
        np.bincount(sub, weights=np.where(scored, price, 0.0), minlength=count * SUBPIECES), dtype=np.float64
    )
    edges = np.minimum(np.arange(count + 1) * PIECE_S, world.duration_s)
    return Demand(tuple(lanes), usd, billed_seconds(scored_intervals(world), edges[:-1], edges[1:]))


def _lane(
    world: World, workload: Workload, lane: OwnTruth, index: int, itl_share: float, sub: Integers, fixed: int | None
) -> tuple[LaneDemand, Floats]:
    count = pieces(world)
    allowed = np.array([index in c.own for c in world.classes], dtype=np.bool_)[workload.class_index]
    allowed &= workload.input_tokens + workload.output_tokens <= lane.kv_cache_tokens
    part = sub[allowed] // SUBPIECES
    tokens_in, tokens_out = workload.input_tokens[allowed], workload.output_tokens[allowed]
    requests = np.bincount(part, minlength=count).astype(np.float64)
    sum_in, sum_out = (np.bincount(part, weights=t, minlength=count) for t in (tokens_in, tokens_out))
    held = np.bincount(part, weights=tokens_out * (tokens_in + tokens_out / 2.0), minlength=count)
    if not len(part):
        none = LaneDemand(np.ones(count), np.zeros(count * SUBPIECES), 0.5, 1.0)
        return none, np.full(workload.size, math.inf)
    alpha, beta, gamma, prefill = _coefficients(lane, held.sum() / sum_out.sum(), sum_in.sum() / requests.sum())
    safe_out = np.maximum(sum_out, 1.0)
    slope = np.where(requests > 0, beta + (gamma * held + prefill * sum_in) / 1000.0 / safe_out, np.nan)
    slope = _filled(slope)
    cap = _caps(world, lane, index, alpha, slope, held.sum() / sum_out.sum(), itl_share)
    if fixed is not None:
        cap = np.full(count, float(fixed))
    of_request = cap[part]
    work = np.full(workload.size, math.inf)
    work[allowed] = (
        beta * tokens_out
        + gamma * tokens_out * (tokens_in + tokens_out / 2.0) / 1000.0
        + prefill * tokens_in / 1000.0
        + alpha * tokens_out / of_request
    ) / 1000.0  # fmt: skip
    load = _spread(world, workload, np.where(allowed, work, 0.0), sub, count * SUBPIECES) * SUBPIECES / PIECE_S
    weight = requests / requests.sum()
    step = alpha + cap * slope
    throughput = float(weight @ (cap / (step / 1000.0 * np.maximum(sum_out / np.maximum(requests, 1.0), 1.0))))
    return LaneDemand(cap, load, float(weight @ (alpha / step)), throughput), work


def _spread(world: World, workload: Workload, work: Floats, sub: Integers, count: int) -> Floats:
    """(S,) seconds of work by subpiece, deferrable work spread over a part of its deadline."""
    total = np.zeros(count)
    for index, truth in enumerate(world.classes):
        mine = workload.class_index == index
        seconds = np.bincount(sub[mine], weights=work[mine], minlength=count).astype(np.float64)
        if truth.latency is LatencyClass.DEFERRABLE:
            span = min(truth.deadline_s, world.duration_s) * SMOOTHING_SHARE
            width = max(1, round(span * SUBPIECES / PIECE_S))
            summed = np.concatenate(([0.0], np.cumsum(seconds)))
            start = np.maximum(np.arange(count) + 1 - width, 0)
            seconds = (summed[1:] - summed[start]) / width
        total += seconds
    return total


def _caps(
    world: World, lane: OwnTruth, index: int, alpha: float, slope: Floats, held: float, itl_share: float
) -> Floats:
    """(P,) caps by piece: the inter-token objective of the strictest class, the KV cache, the sequences."""
    strictest_ms = 1000.0 * min((c.itl_slo_s for c in world.classes if index in c.own), default=math.inf)
    room = UNLIMITED_ITL_CAP * min(lane.max_num_seqs, lane.kv_cache_tokens / max(held, 1.0))
    by_itl = (itl_share * strictest_ms - alpha) / slope if math.isfinite(strictest_ms) else np.full(len(slope), room)
    return np.asarray(np.clip(by_itl, 1.0, max(room, 1.0)), dtype=np.float64)


def _coefficients(lane: OwnTruth, context: float, prompt: float) -> tuple[float, float, float, float]:
    """alpha, beta, gamma and prefill of the lane; of a table, its secants where the work is."""
    if lane.table is None:
        return lane.alpha_ms, lane.beta_ms_per_seq, lane.gamma_ms_per_ktoken, lane.prefill_ms_per_ktoken
    table, few, many = lane.table, 1.0, float(min(lane.max_num_seqs, 64))
    beta = max((decode_ms(table, many, context) - decode_ms(table, few, context)) / (many - few), 1e-6)
    chunk = min(prompt, float(lane.max_batched_tokens))
    return max(decode_ms(table, few, context) - beta, 1e-3), beta, 0.0, prefill_ms(table, chunk) / chunk * 1000.0


def _filled(values: Floats) -> Floats:
    """Gaps take the value before (at the start: after) them."""
    known = np.flatnonzero(np.isfinite(values))
    place = np.clip(np.searchsorted(known, np.arange(len(values)), side="right") - 1, 0, None)
    return np.asarray(values[known[place]], dtype=np.float64)
