"""From a world and a workload to the arrays that compiled code works on."""

from __future__ import annotations

import math

import numpy as np

from spillway.simulate.fleet.draws import NOISE_STEPS, noise_factors, stream_key
from spillway.simulate.fleet.layout import (
    CLASS,
    CORE,
    HOSTED,
    LANE,
    NONE,
    PENDING,
    PRIORITIES,
    REPLICA,
    Array,
    State,
    bind,
)
from spillway.simulate.policy import ITL_BUCKETS_S, SCRAPE_SECONDS, TTFT_BUCKETS_S
from spillway.simulate.world import Floats, HostedTruth, OwnTruth, StepTable, Workload, World

UNLIMITED = 1 << 60
_NORMAL_P99 = 2.3263478740408408
_MINUTES_AFTER = 120
"""Minutes with request limits after the last arrival; later ones share the last."""


def build_state(world: World, workload: Workload, slots: int) -> State:
    """The state before anything has happened, with room for `slots` replicas at a time."""
    _check(world, workload)
    size, lanes, classes = workload.size, len(world.own), len(world.classes)
    hosted = len(world.hosted)
    widest = max((lane.max_num_seqs for lane in world.own), default=1)
    minutes = int(world.duration_s / 60.0) + _MINUTES_AFTER
    concurrency = max((int(h.concurrency) for h in world.hosted if math.isfinite(h.concurrency)), default=0)
    tables = _tables(world.own)
    return State(
        replicas=_free_replicas(slots),
        lanes=_lanes(world.own),
        classes=_classes(world),
        hosted=_hosted(world.hosted, world.cached_share),
        arrival=np.ascontiguousarray(workload.arrival_s, dtype=np.float64),
        class_index=np.ascontiguousarray(workload.class_index, dtype=np.int64),
        input_tokens=np.ascontiguousarray(workload.input_tokens, dtype=np.int64),
        output_tokens=np.ascontiguousarray(workload.output_tokens, dtype=np.int64),
        served=np.full(size, PENDING, dtype=np.int8),
        lane=np.full(size, NONE, dtype=np.int64),
        ttft=np.full(size, np.nan),
        itl=np.full(size, np.nan),
        end=np.full(size, np.nan),
        usd=np.zeros(size),
        held_s=np.zeros(size),
        link=np.empty(size, dtype=np.int32),
        queue=np.full((slots, PRIORITIES, 2), NONE, dtype=np.int64),
        finish=np.empty((slots, widest), dtype=np.int64),
        prompts=np.empty((slots, widest), dtype=np.int32),
        ready=np.zeros(slots, dtype=np.int64),
        events=np.zeros(slots, dtype=np.int64),
        position=np.full(slots, NONE, dtype=np.int64),
        holding=np.full((classes, lanes + 1, 2), NONE, dtype=np.int64),
        hold_at=np.empty(size),
        hold_request=np.empty(size, dtype=np.int32),
        retry_at=np.empty(size),
        retry_request=np.empty(size, dtype=np.int32),
        own=_own(world),
        split=np.zeros((classes, lanes)),
        order=_order(world),
        outages=_outages(world.hosted),
        minute_requests=np.zeros((hosted, minutes)),
        minute_tokens=np.zeros((hosted, minutes)),
        busy_until=np.empty((hosted, concurrency + 1)),
        hosted_ended=np.zeros((int(world.duration_s / SCRAPE_SECONDS) + 2, classes, 3)),
        routed=np.zeros((classes, lanes + hosted)),
        ttft_counts=np.zeros((lanes, len(TTFT_BUCKETS_S) + 1)),
        itl_counts=np.zeros((lanes, len(ITL_BUCKETS_S) + 1)),
        tpot_counts=np.zeros((lanes, len(ITL_BUCKETS_S) + 1)),
        ttft_bounds=np.array(TTFT_BUCKETS_S),
        itl_bounds=np.array(ITL_BUCKETS_S),
        table_batch=tables[0],
        table_context=tables[1],
        table_decode=tables[2],
        table_prompt=tables[3],
        table_prefill=tables[4],
        noise=_noise(world.own),
        replica_ended=np.full(1024, np.inf),
    )


def build_core(state: State, seed: int) -> Array:
    """The (1,) core of a new run."""
    core = np.zeros(1, dtype=CORE)
    core["requests"] = len(state.arrival)
    core["key"] = stream_key(seed, 1)
    bind(core, state)
    return core


def with_more_slots(state: State) -> State:
    """The same state with twice the slots."""
    slots = len(state.replicas)
    return state._replace(
        replicas=np.concatenate([state.replicas, _free_replicas(slots)]),
        queue=np.concatenate([state.queue, np.full_like(state.queue, NONE)]),
        finish=np.concatenate([state.finish, np.empty_like(state.finish)]),
        prompts=np.concatenate([state.prompts, np.empty_like(state.prompts)]),
        ready=np.concatenate([state.ready, np.zeros_like(state.ready)]),
        events=np.concatenate([state.events, np.zeros_like(state.events)]),
        position=np.concatenate([state.position, np.full_like(state.position, NONE)]),
    )


def with_more_numbers(state: State) -> State:
    """The same state with room for twice as many replicas over the whole run."""
    return state._replace(
        replica_ended=np.concatenate([state.replica_ended, np.full(len(state.replica_ended), np.inf)])
    )


def _check(world: World, workload: Workload) -> None:
    for lane in world.own:
        if lane.max_batched_tokens <= lane.max_num_seqs:
            raise ValueError(f"lane {lane.name}: maxBatchedTokens must exceed maxNumSeqs, else prompts could starve")
        if lane.table is None and lane.alpha_ms <= 0:
            raise ValueError(f"lane {lane.name}: alphaMs must be above 0: an iteration always takes time")
    if workload.size >= 1 << 31:
        raise ValueError("too many requests: at most 2^31 - 1")
    if workload.size == 0:
        return
    if np.any(np.diff(workload.arrival_s) < 0):
        raise ValueError("requests are not in order of arrival")
    if workload.arrival_s[-1] >= world.duration_s or workload.arrival_s[0] < 0:
        raise ValueError("a request arrives outside of [0, durationSeconds)")
    if workload.input_tokens.min() < 1 or workload.output_tokens.min() < 1:
        raise ValueError("a request has less than 1 input or output token")
    if workload.class_index.min() < 0 or workload.class_index.max() >= len(world.classes):
        raise ValueError("a request's class is not one of the world's")


def _free_replicas(slots: int) -> Array:
    replicas = np.zeros(slots, dtype=REPLICA)
    replicas["event"] = np.inf
    replicas["partial"] = NONE
    return replicas


def _lanes(own: tuple[OwnTruth, ...]) -> Array:
    lanes = np.zeros(len(own), dtype=LANE)
    for row, truth in zip(lanes, own, strict=True):
        row["max_seqs"], row["max_tokens"], row["kv"] = (
            truth.max_num_seqs,
            truth.max_batched_tokens,
            truth.kv_cache_tokens,
        )
        row["max_queued"] = UNLIMITED if truth.max_queued is None else truth.max_queued
        row["queue_limit"], row["cap"] = row["max_queued"], UNLIMITED
        row["alpha"], row["beta"] = truth.alpha_ms, truth.beta_ms_per_seq
        row["gamma"], row["prefill"] = truth.gamma_ms_per_ktoken, truth.prefill_ms_per_ktoken
        if truth.table is not None:
            row["table"], row["noisy"] = 1, truth.table.noise_sigma > 0.0
            row["batches"], row["contexts"] = len(truth.table.batch), len(truth.table.context_tokens)
            row["chunks"] = len(truth.table.prompt_tokens)
    return lanes


def _classes(world: World) -> Array:
    classes = np.zeros(len(world.classes), dtype=CLASS)
    for row, truth in zip(classes, world.classes, strict=True):
        row["priority"], row["hosted_lanes"] = truth.priority, len(truth.hosted)
        row["max_kv"] = max((world.own[lane].kv_cache_tokens for lane in truth.own), default=0)
        row["ttft_slo"], row["itl_slo"] = truth.ttft_slo_s, truth.itl_slo_s
        row["deadline"], row["patience"] = truth.deadline_s, truth.patience_s
    return classes


def _hosted(lanes: tuple[HostedTruth, ...], cached_share: float) -> Array:
    hosted = np.zeros(len(lanes), dtype=HOSTED)
    for row, truth in zip(hosted, lanes, strict=True):
        row["ttft"], row["ttft_sigma"] = truth.ttft_p50_s, _sigma(truth.ttft_p50_s, truth.ttft_p99_s)
        row["itl"], row["itl_sigma"] = truth.itl_p50_s, _sigma(truth.itl_p50_s, truth.itl_p99_s)
        row["errors"] = truth.error_rate
        row["usd_input"] = (
            truth.usd_per_input_token * (1.0 - cached_share) + truth.usd_per_cached_input_token * cached_share
        )
        row["usd_output"] = truth.usd_per_output_token
        row["per_minute"], row["tokens_per_minute"] = truth.requests_per_minute, truth.tokens_per_minute
        row["concurrency"], row["outages"] = truth.concurrency, len(truth.outages)
    return hosted


def _sigma(p50: float, p99: float) -> float:
    return math.log(p99 / p50) / _NORMAL_P99 if p50 > 0.0 else 0.0


def _own(world: World) -> Array:
    own = np.zeros((len(world.classes), len(world.own)), dtype=np.bool_)
    for index, truth in enumerate(world.classes):
        own[index, list(truth.own)] = True
    return own


def _order(world: World) -> Array:
    order = np.zeros((len(world.classes), max(len(world.hosted), 1)), dtype=np.int64)
    for index, truth in enumerate(world.classes):
        order[index, : len(truth.hosted)] = truth.hosted
    return order


def _outages(lanes: tuple[HostedTruth, ...]) -> Floats:
    most = max((len(lane.outages) for lane in lanes), default=0)
    outages = np.zeros((len(lanes), most, 2))
    for row, lane in zip(outages, lanes, strict=True):
        if lane.outages:
            row[: len(lane.outages)] = lane.outages
    return outages


def _tables(own: tuple[OwnTruth, ...]) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    tables: list[StepTable | None] = [lane.table for lane in own]
    known = [table for table in tables if table is not None]
    batches = max((len(t.batch) for t in known), default=1)
    contexts = max((len(t.context_tokens) for t in known), default=1)
    chunks = max((len(t.prompt_tokens) for t in known), default=1)
    out = (
        np.zeros((len(own), batches)),
        np.zeros((len(own), contexts)),
        np.zeros((len(own), batches, contexts)),
        np.zeros((len(own), chunks)),
        np.zeros((len(own), chunks)),
    )
    for index, table in enumerate(tables):
        if table is not None:
            out[0][index, : len(table.batch)] = table.batch
            out[1][index, : len(table.context_tokens)] = table.context_tokens
            out[2][index, : len(table.batch), : len(table.context_tokens)] = table.decode_ms
            out[3][index, : len(table.prompt_tokens)] = table.prompt_tokens
            out[4][index, : len(table.prompt_tokens)] = table.prefill_ms
    return out


def _noise(own: tuple[OwnTruth, ...]) -> Floats:
    noise = np.ones((len(own), NOISE_STEPS))
    for index, lane in enumerate(own):
        if lane.table is not None and lane.table.noise_sigma > 0.0:
            noise[index] = noise_factors(lane.table.noise_sigma)
    return noise
