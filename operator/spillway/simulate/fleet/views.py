"""The state's arrays, as compiled code finds them through the one record that is passed around.

Passing some fifty arrays from function to function costs more than the simulation itself, so `core` holds their
addresses, and `views.NAME(core)` is the array `State.NAME`, built in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numba import from_dtype
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np import arrayobj

from spillway.simulate.fleet.layout import CLASS, HOSTED, LANE, REPLICA, Array, Core

_codegen: Any = cgutils
_arrays: Any = arrayobj

View = Callable[[Core], Array]


def _view(name: str, dimensions: int, dtype: Any) -> View:
    """What builds the C-contiguous array whose address and shape the core has under `name`."""
    item = from_dtype(np.dtype(dtype))

    def view(typing_context: Any, core: Any) -> Any:
        kind = types.Array(item, dimensions, "C")

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def field(label: str) -> Any:
                word = context.get_value_type(types.intp)
                return builder.load(_codegen.get_record_member(builder, arguments[0], core.offset(label), word))

            item_type = context.get_data_type(item)
            size = context.get_constant(types.intp, context.get_abi_sizeof(item_type))
            shape = [field(f"d{axis}_{name}") for axis in range(dimensions)]
            strides = [size]
            for length in reversed(shape[1:]):
                strides.insert(0, builder.mul(strides[0], length))
            array = _arrays.make_array(kind)(context, builder)
            data = builder.inttoptr(field(f"p_{name}"), item_type.as_pointer())
            _arrays.populate_array(array, data, shape, strides, size, meminfo=None)
            return array._getvalue()

        return kind(core), generate

    return cast(View, intrinsic(view))


replicas = _view("replicas", 1, REPLICA)
lanes = _view("lanes", 1, LANE)
classes = _view("classes", 1, CLASS)
hosted = _view("hosted", 1, HOSTED)
arrival = _view("arrival", 1, np.float64)
class_index = _view("class_index", 1, np.int64)
input_tokens = _view("input_tokens", 1, np.int64)
output_tokens = _view("output_tokens", 1, np.int64)
served = _view("served", 1, np.int8)
lane = _view("lane", 1, np.int64)
ttft = _view("ttft", 1, np.float64)
itl = _view("itl", 1, np.float64)
end = _view("end", 1, np.float64)
usd = _view("usd", 1, np.float64)
held_s = _view("held_s", 1, np.float64)
link = _view("link", 1, np.int32)
queue = _view("queue", 3, np.int64)
finish = _view("finish", 2, np.int64)
prompts = _view("prompts", 2, np.int32)
ready = _view("ready", 1, np.int64)
events = _view("events", 1, np.int64)
position = _view("position", 1, np.int64)
hosted_ended = _view("hosted_ended", 3, np.float64)
holding = _view("holding", 3, np.int64)
hold_at = _view("hold_at", 1, np.float64)
hold_request = _view("hold_request", 1, np.int32)
retry_at = _view("retry_at", 1, np.float64)
retry_request = _view("retry_request", 1, np.int32)
own = _view("own", 2, np.bool_)
split = _view("split", 2, np.float64)
order = _view("order", 2, np.int64)
outages = _view("outages", 3, np.float64)
minute_requests = _view("minute_requests", 2, np.float64)
minute_tokens = _view("minute_tokens", 2, np.float64)
busy_until = _view("busy_until", 2, np.float64)
routed = _view("routed", 2, np.float64)
ttft_counts = _view("ttft_counts", 2, np.float64)
itl_counts = _view("itl_counts", 2, np.float64)
table_decode = _view("table_decode", 3, np.float64)
tpot_counts = _view("tpot_counts", 2, np.float64)
ttft_bounds = _view("ttft_bounds", 1, np.float64)
itl_bounds = _view("itl_bounds", 1, np.float64)
table_batch = _view("table_batch", 2, np.float64)
table_context = _view("table_context", 2, np.float64)
table_prompt = _view("table_prompt", 2, np.float64)
table_prefill = _view("table_prefill", 2, np.float64)
noise = _view("noise", 2, np.float64)
replica_ended = _view("replica_ended", 1, np.float64)
