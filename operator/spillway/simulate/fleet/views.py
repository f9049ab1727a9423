"""The state's arrays, as compiled code finds them through the one record that is passed around.

Passing some fifty arrays from function to function costs more than the simulation itself; `core` holds their addresses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray
from numba.core import cgutils, types
from numba.extending import intrinsic

from spillway.simulate.fleet.jit import inlined
from spillway.simulate.fleet.layout import CLASS, HOSTED, LANE, REPLICA, Array, Core


@intrinsic  # type: ignore[misc]
def pointer(typing_context: Any, address: Any) -> Any:
    """An address as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


@inlined
def replicas(core: Core) -> Array:
    """See `State.replicas`."""
    return carray(pointer(core.p_replicas), (core.d0_replicas,), REPLICA)  # type: ignore[no-any-return]


@inlined
def lanes(core: Core) -> Array:
    """See `State.lanes`."""
    return carray(pointer(core.p_lanes), (core.d0_lanes,), LANE)  # type: ignore[no-any-return]


@inlined
def classes(core: Core) -> Array:
    """See `State.classes`."""
    return carray(pointer(core.p_classes), (core.d0_classes,), CLASS)  # type: ignore[no-any-return]


@inlined
def hosted(core: Core) -> Array:
    """See `State.hosted`."""
    return carray(pointer(core.p_hosted), (core.d0_hosted,), HOSTED)  # type: ignore[no-any-return]


@inlined
def arrival(core: Core) -> Array:
    """See `State.arrival`."""
    return carray(pointer(core.p_arrival), (core.d0_arrival,), np.float64)  # type: ignore[no-any-return]


@inlined
def class_index(core: Core) -> Array:
    """See `State.class_index`."""
    return carray(pointer(core.p_class_index), (core.d0_class_index,), np.int64)  # type: ignore[no-any-return]


@inlined
def input_tokens(core: Core) -> Array:
    """See `State.input_tokens`."""
    return carray(pointer(core.p_input_tokens), (core.d0_input_tokens,), np.int64)  # type: ignore[no-any-return]


@inlined
def output_tokens(core: Core) -> Array:
    """See `State.output_tokens`."""
    return carray(pointer(core.p_output_tokens), (core.d0_output_tokens,), np.int64)  # type: ignore[no-any-return]


@inlined
def served(core: Core) -> Array:
    """See `State.served`."""
    return carray(pointer(core.p_served), (core.d0_served,), np.int8)  # type: ignore[no-any-return]


@inlined
def lane(core: Core) -> Array:
    """See `State.lane`."""
    return carray(pointer(core.p_lane), (core.d0_lane,), np.int64)  # type: ignore[no-any-return]


@inlined
def ttft(core: Core) -> Array:
    """See `State.ttft`."""
    return carray(pointer(core.p_ttft), (core.d0_ttft,), np.float64)  # type: ignore[no-any-return]


@inlined
def itl(core: Core) -> Array:
    """See `State.itl`."""
    return carray(pointer(core.p_itl), (core.d0_itl,), np.float64)  # type: ignore[no-any-return]


@inlined
def end(core: Core) -> Array:
    """See `State.end`."""
    return carray(pointer(core.p_end), (core.d0_end,), np.float64)  # type: ignore[no-any-return]


@inlined
def usd(core: Core) -> Array:
    """See `State.usd`."""
    return carray(pointer(core.p_usd), (core.d0_usd,), np.float64)  # type: ignore[no-any-return]


@inlined
def held_s(core: Core) -> Array:
    """See `State.held_s`."""
    return carray(pointer(core.p_held_s), (core.d0_held_s,), np.float64)  # type: ignore[no-any-return]


@inlined
def link(core: Core) -> Array:
    """See `State.link`."""
    return carray(pointer(core.p_link), (core.d0_link,), np.int32)  # type: ignore[no-any-return]


@inlined
def queue(core: Core) -> Array:
    """See `State.queue`."""
    return carray(pointer(core.p_queue), (core.d0_queue, core.d1_queue, core.d2_queue), np.int64)  # type: ignore[no-any-return]


@inlined
def finish(core: Core) -> Array:
    """See `State.finish`."""
    return carray(pointer(core.p_finish), (core.d0_finish, core.d1_finish), np.int64)  # type: ignore[no-any-return]


@inlined
def prompts(core: Core) -> Array:
    """See `State.prompts`."""
    return carray(pointer(core.p_prompts), (core.d0_prompts, core.d1_prompts), np.int32)  # type: ignore[no-any-return]


@inlined
def ready(core: Core) -> Array:
    """See `State.ready`."""
    return carray(pointer(core.p_ready), (core.d0_ready,), np.int64)  # type: ignore[no-any-return]


@inlined
def events(core: Core) -> Array:
    """See `State.events`."""
    return carray(pointer(core.p_events), (core.d0_events,), np.int64)  # type: ignore[no-any-return]


@inlined
def position(core: Core) -> Array:
    """See `State.position`."""
    return carray(pointer(core.p_position), (core.d0_position,), np.int64)  # type: ignore[no-any-return]


@inlined
def holding(core: Core) -> Array:
    """See `State.holding`."""
    return carray(pointer(core.p_holding), (core.d0_holding, core.d1_holding, core.d2_holding), np.int64)  # type: ignore[no-any-return]


@inlined
def hold_at(core: Core) -> Array:
    """See `State.hold_at`."""
    return carray(pointer(core.p_hold_at), (core.d0_hold_at,), np.float64)  # type: ignore[no-any-return]


@inlined
def hold_request(core: Core) -> Array:
    """See `State.hold_request`."""
    return carray(pointer(core.p_hold_request), (core.d0_hold_request,), np.int32)  # type: ignore[no-any-return]


@inlined
def retry_at(core: Core) -> Array:
    """See `State.retry_at`."""
    return carray(pointer(core.p_retry_at), (core.d0_retry_at,), np.float64)  # type: ignore[no-any-return]


@inlined
def retry_request(core: Core) -> Array:
    """See `State.retry_request`."""
    return carray(pointer(core.p_retry_request), (core.d0_retry_request,), np.int32)  # type: ignore[no-any-return]


@inlined
def own(core: Core) -> Array:
    """See `State.own`."""
    return carray(pointer(core.p_own), (core.d0_own, core.d1_own), np.bool_)  # type: ignore[no-any-return]


@inlined
def split(core: Core) -> Array:
    """See `State.split`."""
    return carray(pointer(core.p_split), (core.d0_split, core.d1_split), np.float64)  # type: ignore[no-any-return]


@inlined
def order(core: Core) -> Array:
    """See `State.order`."""
    return carray(pointer(core.p_order), (core.d0_order, core.d1_order), np.int64)  # type: ignore[no-any-return]


@inlined
def outages(core: Core) -> Array:
    """See `State.outages`."""
    return carray(pointer(core.p_outages), (core.d0_outages, core.d1_outages, core.d2_outages), np.float64)  # type: ignore[no-any-return]


@inlined
def minute_requests(core: Core) -> Array:
    """See `State.minute_requests`."""
    return carray(pointer(core.p_minute_requests), (core.d0_minute_requests, core.d1_minute_requests), np.float64)  # type: ignore[no-any-return]


@inlined
def minute_tokens(core: Core) -> Array:
    """See `State.minute_tokens`."""
    return carray(pointer(core.p_minute_tokens), (core.d0_minute_tokens, core.d1_minute_tokens), np.float64)  # type: ignore[no-any-return]


@inlined
def busy_until(core: Core) -> Array:
    """See `State.busy_until`."""
    return carray(pointer(core.p_busy_until), (core.d0_busy_until, core.d1_busy_until), np.float64)  # type: ignore[no-any-return]


@inlined
def hosted_ended(core: Core) -> Array:
    """See `State.hosted_ended`."""
    return carray(
        pointer(core.p_hosted_ended), (core.d0_hosted_ended, core.d1_hosted_ended, core.d2_hosted_ended), np.float64
    )  # type: ignore[no-any-return]


@inlined
def routed(core: Core) -> Array:
    """See `State.routed`."""
    return carray(pointer(core.p_routed), (core.d0_routed, core.d1_routed), np.float64)  # type: ignore[no-any-return]


@inlined
def ttft_counts(core: Core) -> Array:
    """See `State.ttft_counts`."""
    return carray(pointer(core.p_ttft_counts), (core.d0_ttft_counts, core.d1_ttft_counts), np.float64)  # type: ignore[no-any-return]


@inlined
def itl_counts(core: Core) -> Array:
    """See `State.itl_counts`."""
    return carray(pointer(core.p_itl_counts), (core.d0_itl_counts, core.d1_itl_counts), np.float64)  # type: ignore[no-any-return]


@inlined
def tpot_counts(core: Core) -> Array:
    """See `State.tpot_counts`."""
    return carray(pointer(core.p_tpot_counts), (core.d0_tpot_counts, core.d1_tpot_counts), np.float64)  # type: ignore[no-any-return]


@inlined
def ttft_bounds(core: Core) -> Array:
    """See `State.ttft_bounds`."""
    return carray(pointer(core.p_ttft_bounds), (core.d0_ttft_bounds,), np.float64)  # type: ignore[no-any-return]


@inlined
def itl_bounds(core: Core) -> Array:
    """See `State.itl_bounds`."""
    return carray(pointer(core.p_itl_bounds), (core.d0_itl_bounds,), np.float64)  # type: ignore[no-any-return]


@inlined
def table_batch(core: Core) -> Array:
    """See `State.table_batch`."""
    return carray(pointer(core.p_table_batch), (core.d0_table_batch, core.d1_table_batch), np.float64)  # type: ignore[no-any-return]


@inlined
def table_context(core: Core) -> Array:
    """See `State.table_context`."""
    return carray(pointer(core.p_table_context), (core.d0_table_context, core.d1_table_context), np.float64)  # type: ignore[no-any-return]


@inlined
def table_decode(core: Core) -> Array:
    """See `State.table_decode`."""
    return carray(
        pointer(core.p_table_decode), (core.d0_table_decode, core.d1_table_decode, core.d2_table_decode), np.float64
    )  # type: ignore[no-any-return]


@inlined
def table_prompt(core: Core) -> Array:
    """See `State.table_prompt`."""
    return carray(pointer(core.p_table_prompt), (core.d0_table_prompt, core.d1_table_prompt), np.float64)  # type: ignore[no-any-return]


@inlined
def table_prefill(core: Core) -> Array:
    """See `State.table_prefill`."""
    return carray(pointer(core.p_table_prefill), (core.d0_table_prefill, core.d1_table_prefill), np.float64)  # type: ignore[no-any-return]


@inlined
def noise(core: Core) -> Array:
    """See `State.noise`."""
    return carray(pointer(core.p_noise), (core.d0_noise, core.d1_noise), np.float64)  # type: ignore[no-any-return]


@inlined
def replica_ended(core: Core) -> Array:
    """See `State.replica_ended`."""
    return carray(pointer(core.p_replica_ended), (core.d0_replica_ended,), np.float64)  # type: ignore[no-any-return]
