"""Hosted lanes in compiled code: limits, latencies, errors, one retry, and the bill."""

from __future__ import annotations

import math
from typing import Any

from spillway.simulate.fleet.draws import normals, uniform
from spillway.simulate.fleet.heaps import pop_key, push_key, push_timer
from spillway.simulate.fleet.jit import compiled
from spillway.simulate.fleet.layout import NONE, State
from spillway.simulate.outcome import Served
from spillway.simulate.policy import SCRAPE_SECONDS

Record = Any

DRAWS = 8
"""Counters of one request: weight, split, error and error of the retry, then two normals for each attempt."""
DRAW_WEIGHT, DRAW_SPLIT, _DRAW_ERROR, _DRAW_LATENCY = 0, 1, 2, 4

_BY_WEIGHT = int(Served.HOSTED_BY_WEIGHT)
_BY_QUEUE = int(Served.HOSTED_BY_QUEUE)
_BY_CAP = int(Served.HOSTED_BY_CAP)
_BY_PATIENCE = int(Served.HOSTED_BY_PATIENCE)
_FAILED = int(Served.FAILED)


@compiled
def send_hosted(state: State, request: int, now: float, why: int) -> None:
    """Send a request to the class's hosted lanes; `why` is a value of `Served`."""
    group = state.classes[state.class_index[request]]
    group.hosted += 1.0
    if why == _BY_WEIGHT:
        group.by_weight += 1.0
    elif why == _BY_QUEUE:
        group.by_queue += 1.0
    elif why == _BY_CAP:
        group.by_cap += 1.0
    elif why == _BY_PATIENCE:
        group.by_patience += 1.0
    state.served[request] = why
    attempt(state, request, now, 0)


@compiled
def attempt(state: State, request: int, now: float, number: int) -> None:
    """The first (0) or second (1) attempt of a request at a hosted lane."""
    world = state.world[0]
    group_index = state.class_index[request]
    index = choose(state, request, now)
    if index == NONE:
        # 429 everywhere: a second attempt at the same moment would meet the same limits.
        fail(state, request, now)
        return
    hosted = state.hosted[index]
    if number == 0:
        state.routed[group_index, len(state.lanes) + index] += 1.0
    to_first, to_gap = normals(world.key, request * DRAWS + _DRAW_LATENCY + 2 * number)
    first_at = now + hosted.ttft * math.exp(hosted.ttft_sigma * to_first)
    failed = in_outage(state, index, now)
    if not failed and hosted.errors > 0.0:
        failed = uniform(world.key, request * DRAWS + _DRAW_ERROR + number) < hosted.errors
    output = state.output_tokens[request]
    end = first_at
    if not failed and output > 1:
        gap = hosted.itl * math.exp(hosted.itl_sigma * to_gap)
        end += gap * (output - 1)
        state.itl[request] = gap
    if hosted.concurrency < math.inf:
        push_key(state.busy_until, index, hosted.in_flight, end)
        hosted.in_flight += 1
    if failed and number == 0:
        push_timer(state.retry_at, state.retry_request, world.retries, first_at, request)
        world.retries += 1
    elif failed:
        fail(state, request, first_at)
    else:
        state.ttft[request] = first_at - state.arrival[request]
        state.end[request] = end
        state.lane[request] = index
        state.usd[request] = hosted.usd_input * state.input_tokens[request] + hosted.usd_output * output
        scrape = min(int(math.ceil(end / SCRAPE_SECONDS)), len(state.hosted_ended) - 1)
        state.hosted_ended[scrape, group_index, 0] += 1.0
        state.hosted_ended[scrape, group_index, 1] += state.input_tokens[request]
        state.hosted_ended[scrape, group_index, 2] += output


@compiled
def fail(state: State, request: int, now: float) -> None:
    """The request fails for good: a miss, unbilled."""
    state.served[request] = _FAILED
    state.end[request] = now


@compiled
def choose(state: State, request: int, now: float) -> int:
    """The first hosted lane of the class that is not over its limits, with the attempt counted; NONE: 429 on all."""
    group_index = state.class_index[request]
    tokens = state.input_tokens[request] + state.output_tokens[request]
    minute = min(int(now / 60.0), state.minute_requests.shape[1] - 1)
    for place in range(state.classes[group_index].hosted_lanes):
        index = state.order[group_index, place]
        hosted = state.hosted[index]
        if hosted.concurrency < math.inf:
            free_ended(state, index, now)
            if hosted.in_flight >= hosted.concurrency:
                continue
        if state.minute_requests[index, minute] + 1.0 > hosted.per_minute:
            continue
        if state.minute_tokens[index, minute] + tokens > hosted.tokens_per_minute:
            continue
        state.minute_requests[index, minute] += 1.0
        state.minute_tokens[index, minute] += tokens
        return int(index)
    return NONE


@compiled
def free_ended(state: State, index: int, now: float) -> None:
    """Forget a lane's requests that have ended."""
    hosted = state.hosted[index]
    while hosted.in_flight > 0 and state.busy_until[index, 0] <= now:
        pop_key(state.busy_until, index, hosted.in_flight)
        hosted.in_flight -= 1


@compiled
def in_outage(state: State, index: int, now: float) -> bool:
    """Whether the lane is out."""
    for place in range(state.hosted[index].outages):
        if state.outages[index, place, 0] <= now < state.outages[index, place, 1]:
            return True
    return False
