"""What an own lane does at any load: its valve, a request's work on it, and how much spills by replicas.

Made from learned service, the mix and the objectives, and made anew only when one of these has moved: a table costs
milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from spillway.decide import response
from spillway.decide.allocation.problem import Response
from spillway.decide.bursts import Unevenness
from spillway.decide.compared import Compared
from spillway.decide.forecast import Floats
from spillway.decide.response import RequestModel, Valve
from spillway.decide.service import Coefficients
from spillway.decide.service.latency import iteration_work_ms
from spillway.decide.usable import usable as within_objectives
from spillway.decide.valves import Objective, misses, opening, reserved_tokens, streams

MOVED = 0.04
"""Relative change of an input that makes a curve stale."""
LOOSELY = 0.4
"""Exponent of inputs that a curve depends on weakly: a tenth counts as 4%."""
HELD_LOOSELY = 0.15
"""Requests in flight are few and unlike: 30% counts as 4%."""
LOADS = 64
LITTLE = 0.05
"""Share of the work that may spill where a number of replicas is said to serve it."""
FEWEST_COUNTS = 6
LOAD_REACH = 1.3
"""Offered work that a table reaches, over its replicas."""
KINKS, MOST_LOADS = 5, 600


@dataclass(frozen=True, slots=True, eq=False)
class Curve(Compared):
    """One lane at one mix."""

    inputs: tuple[float, ...]
    """What it was made from."""
    most: int
    """Replicas that the table reaches."""
    valve: Valve
    """Without a cap at the gateway: the level at which the allowance would be used up."""
    hold_seconds: Mapping[str, float]
    request_seconds: Mapping[str, float]
    """Replica-seconds of a request at a full cap, by class."""
    request: RequestModel
    reachable: bool
    response: Response
    usable: tuple[float, ...]
    """Work in replicas that 0, 1, ... replicas take within the objectives."""

    def usable_work(self, replicas: int) -> float:
        """The same for any number: beyond the table each replica adds what the last one did."""
        last = len(self.usable) - 1
        if replicas <= last:
            return self.usable[max(replicas, 0)]
        return self.usable[last] + (replicas - last) * (self.usable[last] - self.usable[last - 1])


def curve(
    before: Curve | None,
    model: Coefficients,
    objectives: Mapping[str, Objective],
    uneven: Unevenness,
    most: int,
    held_tokens: float | None = None,
    caution: float | None = None,
) -> Curve:
    """The lane's curve; ``before`` again while nothing has moved. ``most``: replicas that it should reach.

    ``caution``: where no gateway caps the lane, the demand over its mean that weights are set for; None where one does.
    """
    longer = max(1.0, (held_tokens or 0.0) / reserved_tokens(streams(objectives)))
    inputs = (*_inputs(model, objectives, uneven), longer**HELD_LOOSELY, caution or 0.0)
    if before is not None and before.most >= most and _alike(before.inputs, inputs):
        return before
    made = opening(model, objectives, held_tokens)
    request = response.request_model(model, streams(objectives))
    seconds = {
        key: response.request_seconds(model, item.mix, item.lengths, made.valve.cap) for key, item in objectives.items()
    }
    reach = max(FEWEST_COUNTS, math.ceil(1.25 * most))
    counts = np.arange(reach + 1, dtype=np.float64)
    # Finer where small fleets live: a load of one replica matters as much as the tenth.
    load = np.concatenate([[0.0], np.geomspace(0.05, LOAD_REACH * reach, LOADS - 1)])
    if caution is None:
        left = response.left(request, made.valve, counts, load, uneven.dispersion)
        left = response.jittered(left, load, np.array(uneven.factors), np.array(uneven.weights))
        usable = _spilling_little(left, load)
    else:
        rate = within_objectives(request, misses(model, objectives, held_tokens), counts, uneven)
        usable = rate / float(request.rate(np.array(made.valve.cap)))
        # What is left has kinks, one for each number of replicas.
        load = np.unique(np.concatenate([load, np.linspace(0.0, load[-1], min(MOST_LOADS, KINKS * reach))]))
        left = np.maximum(load[None, :] - usable[:, None] / caution, 0.0)
    return Curve(
        inputs=inputs,
        most=reach,
        valve=made.valve,
        hold_seconds=made.hold_seconds,
        request_seconds=seconds,
        request=request,
        reachable=made.reachable,
        response=Response(counts, load, left),
        usable=tuple(usable.tolist()),
    )


def _spilling_little(left: Floats, load: Floats) -> Floats:
    """By replicas, the largest load of which little spills."""
    share = left[:, 1:] / load[1:]
    return np.array([float(np.interp(LITTLE, row, load[1:], left=0.0)) for row in share])


def _inputs(model: Coefficients, objectives: Mapping[str, Objective], uneven: Unevenness) -> tuple[float, ...]:
    """Everything that the curve rests on, as positive numbers; shares of traffic, not its amount."""
    total = sum(item.requests_per_second for item in objectives.values())
    deviation, excess = uneven.moments
    found = [
        model.alpha_ms,
        model.prefill_ms_per_ktoken + 1.0,
        model.max_sequences,
        model.kv_cache_tokens or 0.0,
        uneven.dispersion**LOOSELY,
        1.0 + deviation,
        0.5 + excess,
        1.0 + uneven.jitter,
    ]
    for item in objectives.values():
        share = item.requests_per_second / total if total > 0 else 1.0
        found += [
            0.1 + share if len(objectives) > 1 else 1.0,
            iteration_work_ms(model, item.mix, item.lengths),
            item.mix.input_tokens + 1.0,
            item.mix.output_tokens + 1.0,
            item.lengths.input_sigma + 0.1,
            item.lengths.output_sigma + 0.1,
            item.ttft_ms or 0.0,
            item.itl_ms or 0.0,
            item.allowance**LOOSELY,
            item.hosted_late**LOOSELY,
        ]
    return tuple(found)


def _alike(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    if len(one) != len(other):
        return False
    return all(abs(a - b) <= MOVED * max(abs(a), abs(b)) for a, b in zip(one, other, strict=True))
