"""Hosted lanes in compiled code: limits, latencies, errors, one retry, and the bill."""

from __future__ import annotations

import math
from typing import Any

from spillway.simulate.fleet import views
from spillway.simulate.fleet.draws import normals, uniform
from spillway.simulate.fleet.heaps import pop_key, push_key, push_timer
from spillway.simulate.fleet.jit import compiled
from spillway.simulate.fleet.layout import NONE, Core
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
def send_hosted(core: Core, request: int, now: float, why: int) -> None:
    """Send a request to the class's hosted lanes; `why` is a value of `Served`."""
    group = views.classes(core)[views.class_index(core)[request]]
    group.hosted += 1.0
    if why == _BY_WEIGHT:
        group.by_weight += 1.0
    elif why == _BY_QUEUE:
        group.by_queue += 1.0
    elif why == _BY_CAP:
        group.by_cap += 1.0
    elif why == _BY_PATIENCE:
        group.by_patience += 1.0
    views.served(core)[request] = why
    attempt(core, request, now, 0)


@compiled
def attempt(core: Core, request: int, now: float, number: int) -> None:
    """The first (0) or second (1) attempt of a request at a hosted lane."""
    group_index = views.class_index(core)[request]
    index = choose(core, request, now)
    if index == NONE:
        # 429 everywhere: a second attempt at the same moment would meet the same limits.
        fail(core, request, now)
        return
    hosted = views.hosted(core)[index]
    if number == 0:
        views.routed(core)[group_index, len(views.lanes(core)) + index] += 1.0
    to_first, to_gap = normals(core.key, request * DRAWS + _DRAW_LATENCY + 2 * number)
    first_at = now + hosted.ttft * math.exp(hosted.ttft_sigma * to_first)
    failed = in_outage(core, index, now)
    if not failed and hosted.errors > 0.0:
        failed = uniform(core.key, request * DRAWS + _DRAW_ERROR + number) < hosted.errors
    output = views.output_tokens(core)[request]
    end = first_at
    if not failed and output > 1:
        gap = hosted.itl * math.exp(hosted.itl_sigma * to_gap)
        end += gap * (output - 1)
        views.itl(core)[request] = gap
    if hosted.concurrency < math.inf:
        push_key(views.busy_until(core), index, hosted.in_flight, end)
        hosted.in_flight += 1
    if failed:
        hosted.failed += 1.0
    if failed and number == 0:
        push_timer(views.retry_at(core), views.retry_request(core), core.retries, first_at, request)
        core.retries += 1
    elif failed:
        fail(core, request, first_at)
    else:
        views.ttft(core)[request] = first_at - views.arrival(core)[request]
        views.end(core)[request] = end
        views.lane(core)[request] = index
        views.usd(core)[request] = hosted.usd_input * views.input_tokens(core)[request] + hosted.usd_output * output
        scrape = min(math.ceil(end / SCRAPE_SECONDS), len(views.hosted_ended(core)) - 1)
        views.hosted_ended(core)[scrape, group_index, 0] += 1.0
        views.hosted_ended(core)[scrape, group_index, 1] += views.input_tokens(core)[request]
        views.hosted_ended(core)[scrape, group_index, 2] += output


@compiled
def fail(core: Core, request: int, now: float) -> None:
    """The request fails for good: a miss, unbilled."""
    views.served(core)[request] = _FAILED
    views.end(core)[request] = now


@compiled
def choose(core: Core, request: int, now: float) -> int:
    """The first hosted lane of the class that is not over its limits, with the attempt counted; NONE: 429 on all."""
    group_index = views.class_index(core)[request]
    tokens = views.input_tokens(core)[request] + views.output_tokens(core)[request]
    minute = min(int(now / 60.0), views.minute_requests(core).shape[1] - 1)
    for place in range(views.classes(core)[group_index].hosted_lanes):
        index = views.order(core)[group_index, place]
        hosted = views.hosted(core)[index]
        if hosted.concurrency < math.inf:
            free_ended(core, index, now)
            if hosted.in_flight >= hosted.concurrency:
                continue
        if views.minute_requests(core)[index, minute] + 1.0 > hosted.per_minute:
            continue
        if views.minute_tokens(core)[index, minute] + tokens > hosted.tokens_per_minute:
            continue
        views.minute_requests(core)[index, minute] += 1.0
        views.minute_tokens(core)[index, minute] += tokens
        return int(index)
    return NONE


@compiled
def free_ended(core: Core, index: int, now: float) -> None:
    """Forget a lane's requests that have ended."""
    hosted = views.hosted(core)[index]
    while hosted.in_flight > 0 and views.busy_until(core)[index, 0] <= now:
        pop_key(views.busy_until(core), index, hosted.in_flight)
        hosted.in_flight -= 1


@compiled
def in_outage(core: Core, index: int, now: float) -> bool:
    """Whether the lane is out."""
    for place in range(views.hosted(core)[index].outages):
        if views.outages(core)[index, place, 0] <= now < views.outages(core)[index, place, 1]:
            return True
    return False
