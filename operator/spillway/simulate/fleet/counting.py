"""What engines and the gateway count when iterations and requests end, in compiled code."""

from __future__ import annotations

from typing import Any

from spillway.simulate.fleet import views
from spillway.simulate.fleet.jit import compiled, inlined
from spillway.simulate.fleet.layout import Core
from spillway.simulate.fleet.steps import noise_factor
from spillway.simulate.outcome import Served

Record = Any

_OWN = int(Served.OWN)


@inlined
def bucket(bounds: Any, value: float) -> int:
    """The histogram bucket of a value: upper bounds are inclusive, one more bucket is unbounded."""
    index = 0
    while index < len(bounds) and value > bounds[index]:
        index += 1
    return index


@compiled
def finish_own(core: Core, request: int, lane_index: int, now: float) -> None:
    """Write down a request that an own lane has finished."""
    lane, output = views.lanes(core)[lane_index], views.output_tokens(core)[request]
    group = views.classes(core)[views.class_index(core)[request]]
    views.served(core)[request] = _OWN
    views.lane(core)[request] = lane_index
    views.end(core)[request] = now
    itl_met = True
    if output > 1:
        itl = (now - views.arrival(core)[request] - views.ttft(core)[request]) / (output - 1)
        views.itl(core)[request] = itl
        itl_met = itl <= group.itl_slo
        views.tpot_counts(core)[lane_index, bucket(views.itl_bounds(core), itl)] += 1.0
        lane.tpot_sum += itl
        lane.tpot_count += 1.0
    tokens = views.input_tokens(core)[request] + output
    lane.finished += 1.0
    group.ended += 1.0
    group.ended_input += views.input_tokens(core)[request]
    group.ended_output += output
    group.own_ended += 1.0
    group.own_tokens += tokens
    on_time = now - views.arrival(core)[request] <= group.deadline
    if itl_met and on_time and views.ttft(core)[request] <= group.ttft_slo:
        group.own_met += 1.0
        group.own_tokens_met += tokens


@inlined
def count_tokens(core: Core, replica: Record, prompts: int, generated: int, duration: float) -> None:
    """What the engine's counters gain from iterations of `duration` seconds in all."""
    lane = views.lanes(core)[replica.lane]
    replica.prompt_tokens += prompts
    replica.generation_tokens += generated
    lane.prompt_tokens += prompts
    lane.generation_tokens += generated
    lane.busy += duration


@compiled
def count_gaps(core: Core, replica: Record, steps: int, duration: float) -> None:
    """Put the time between tokens of the run's first `steps` iterations into the histogram."""
    lane = views.lanes(core)[replica.lane]
    batch = replica.decoding
    counts, bounds = views.itl_counts(core), views.itl_bounds(core)
    replica.itl_sum += duration * batch
    replica.itl_count += batch * steps
    lane.itl_sum += duration * batch
    lane.itl_count += batch * steps
    if lane.noisy:
        for i in range(1, steps + 1):
            factor = noise_factor(core, replica, replica.steps + i)
            gap = (replica.first_ms + replica.slope_ms * i) * factor / 1000.0
            counts[replica.lane, bucket(bounds, gap)] += batch
        return
    done = 0
    while done < steps:
        index = bucket(bounds, (replica.first_ms + replica.slope_ms * (done + 1)) / 1000.0)
        until = steps
        if bucket(bounds, (replica.first_ms + replica.slope_ms * steps) / 1000.0) != index:
            edge = index if replica.slope_ms > 0.0 else index - 1
            until = int((bounds[edge] * 1000.0 - replica.first_ms) / replica.slope_ms)
            until = min(max(until, done + 1), steps)
        counts[replica.lane, index] += batch * (until - done)
        done = until
