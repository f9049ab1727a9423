"""The state of a simulated fleet as plain arrays, which compiled code and Python share.

`State` is a tuple of arrays. Replicas live in slots that are used again once a replica has ended; a replica's number
counts up in order of creation. Requests are known by their number everywhere; queues are linked lists through `link`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spillway.simulate.world import Floats, Integers

Array = NDArray[Any]
Core = Any
"""A record of CORE: counters, and where the arrays of `State` are."""

FREE, STARTING, READY, DRAINING = 0, 1, 2, 3
PENDING, HELD = -1, -2
"""Values of `State.served` before a request has ended."""
PRIORITIES = 3
NONE = -1

REPLICA = np.dtype(
    [
        ("number", "i8"), ("lane", "i8"), ("state", "i8"), ("in_flight", "i8"), ("waiting", "i8"),
        ("decoding", "i8"), ("prompts", "i8"), ("partial", "i8"), ("partial_left", "i8"), ("steps", "i8"),
        ("held", "i8"), ("reserved", "i8"), ("finishing", "i8"), ("step_tokens", "i8"),
        ("leap", "i8"),      # decode-only iterations under way; 0: an iteration with prompts, or idle
        ("to_begin", "i8"),  # an iteration has ended and the next one has not begun
        ("clock", "f8"),     # start of what is under way
        ("event", "f8"),     # when it ends, or when the replica gets Ready; infinite: idle
        ("first_ms", "f8"), ("slope_ms", "f8"),
        ("asked", "f8"), ("created", "f8"), ("ready", "f8"), ("last_end", "f8"), ("noise_key", "u8"),
        ("prompt_tokens", "f8"), ("generation_tokens", "f8"), ("itl_sum", "f8"), ("itl_count", "f8"),
        ("finished", "f8"),
    ],
    align=True,
)  # fmt: skip

LANE = np.dtype(
    [
        ("max_seqs", "i8"), ("max_tokens", "i8"), ("kv", "i8"), ("max_queued", "i8"), ("queue_limit", "i8"),
        ("cap", "i8"), ("alpha", "f8"), ("beta", "f8"), ("gamma", "f8"), ("prefill", "f8"),
        ("table", "i8"), ("batches", "i8"), ("contexts", "i8"), ("chunks", "i8"), ("noisy", "i8"),
        ("prompt_tokens", "f8"), ("generation_tokens", "f8"), ("finished", "f8"), ("rejected", "f8"),
        ("busy", "f8"), ("ttft_sum", "f8"), ("ttft_count", "f8"), ("itl_sum", "f8"), ("itl_count", "f8"),
        ("tpot_sum", "f8"), ("tpot_count", "f8"),
    ],
    align=True,
)  # fmt: skip

CLASS = np.dtype(
    [
        ("priority", "i8"), ("hosted_lanes", "i8"), ("split", "i8"), ("max_kv", "i8"), ("ttft_slo", "f8"),
        ("itl_slo", "f8"), ("deadline", "f8"), ("patience", "f8"), ("hold", "f8"), ("share", "f8"),
        ("arrived", "f8"), ("ended", "f8"), ("ended_input", "f8"), ("ended_output", "f8"), ("by_weight", "f8"),
        ("by_queue", "f8"), ("by_cap", "f8"), ("by_patience", "f8"), ("rejected", "f8"), ("held", "f8"),
        ("own_ended", "f8"), ("own_met", "f8"), ("own_tokens", "f8"), ("own_tokens_met", "f8"),
        ("hosted", "f8"), ("row_arrived", "f8"), ("row_hosted", "f8"),
    ],
    align=True,
)  # fmt: skip

HOSTED = np.dtype(
    [
        ("ttft", "f8"), ("ttft_sigma", "f8"), ("itl", "f8"), ("itl_sigma", "f8"), ("errors", "f8"),
        ("usd_input", "f8"), ("usd_output", "f8"), ("per_minute", "f8"), ("tokens_per_minute", "f8"),
        ("concurrency", "f8"), ("in_flight", "i8"), ("outages", "i8"), ("failed", "f8"),
    ],
    align=True,
)  # fmt: skip


class State(NamedTuple):
    """Everything that compiled code reads and writes. S slots, L own lanes, H hosted lanes, C classes, N requests."""

    replicas: Array
    """(S,) of REPLICA."""
    lanes: Array
    """(L,) of LANE."""
    classes: Array
    """(C,) of CLASS."""
    hosted: Array
    """(H,) of HOSTED."""
    arrival: Floats
    class_index: Integers
    input_tokens: Integers
    output_tokens: Integers
    served: NDArray[np.int8]
    lane: Integers
    ttft: Floats
    itl: Floats
    end: Floats
    usd: Floats
    held_s: Floats
    """While a request is held: since when."""
    link: Array
    """(N,) int32: the next request in the same queue."""
    queue: Array
    """(S, PRIORITIES, 2) int64: first and last request that waits in the engine."""
    finish: Array
    """(S, max sequences) int64 heaps: last step x 2^32 + request number."""
    prompts: Array
    """(S, max sequences) int32: prompts that the iteration under way finishes."""
    ready: Array
    """(S,) int64: slots of the Ready replicas, by number."""
    events: Array
    """(S,) int64: heap of slots by `event`."""
    position: Array
    """(S,) int64: where a slot stands in `events`; NONE: not there."""
    holding: Array
    """(C, L + 1, 2) int64: first and last held request by class and lane (the last column: any lane)."""
    hold_at: Floats
    hold_request: Array
    """(N,) heap of the ends of holds, and whose."""
    retry_at: Floats
    retry_request: Array
    """(N,) heap of second attempts at hosted lanes, and whose."""
    own: NDArray[np.bool_]
    """(C, L): which own lanes may take a class."""
    split: Floats
    """(C, L): cumulative shares of a class's own lanes."""
    order: Integers
    """(C, H): hosted lanes of a class."""
    outages: Floats
    """(H, most outages, 2)."""
    minute_requests: Floats
    minute_tokens: Floats
    """(H, minutes): attempts and their tokens."""
    busy_until: Floats
    """(H, largest concurrency) heaps of the ends of hosted requests, for lanes with that limit."""
    hosted_ended: Floats
    """(scrapes, C, 3): hosted requests that end before a scrape: count, input and output tokens."""
    routed: Floats
    """(C, L + H): requests sent to each lane so far."""
    ttft_counts: Floats
    """(L, buckets)."""
    itl_counts: Floats
    tpot_counts: Floats
    ttft_bounds: Floats
    itl_bounds: Floats
    table_batch: Floats
    """(L, B); tables are padded to the largest."""
    table_context: Floats
    table_decode: Floats
    """(L, B, K)."""
    table_prompt: Floats
    table_prefill: Floats
    noise: Floats
    """(L, NOISE_STEPS)."""
    replica_ended: Floats
    """By replica number; infinite: not yet."""


_DIMENSIONS = 3

CORE = np.dtype(
    [
        ("next", "i8"), ("requests", "i8"), ("ready", "i8"), ("events", "i8"), ("rotate", "i8"), ("held", "i8"),
        ("holds", "i8"), ("retries", "i8"), ("last_scrape", "i8"), ("key", "u8"), ("limited", "i8"),
    ]
    + [(f"p_{name}", "i8") for name in State._fields]
    + [(f"d{axis}_{name}", "i8") for name in State._fields for axis in range(_DIMENSIONS)],
    align=True,
)  # fmt: skip


def bind(core: Array, state: State) -> None:
    """Write the arrays' addresses and shapes into the (1,) core; the state must live for as long as it is used."""
    for name in State._fields:
        array: Array = getattr(state, name)
        if not array.flags.c_contiguous:
            raise ValueError(f"{name} is not contiguous")
        core[f"p_{name}"] = array.ctypes.data
        for axis, length in enumerate(array.shape):
            core[f"d{axis}_{name}"] = length
