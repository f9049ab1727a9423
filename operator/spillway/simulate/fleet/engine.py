"""Replicas in compiled code: exactly what `spillway.simulate.replica` does, one event at a time.

A replica is idle, or an iteration with prompts is under way (`leap` 0), or a run of alike decode-only iterations
(`leap` n) that ends with a sequence's last token at the latest. A run that must end earlier, since a request can now
be admitted, is cut at the end of the iteration under way. Sequences are known by the step of their last token only.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spillway.simulate.fleet import views
from spillway.simulate.fleet.counting import bucket, count_gaps, count_tokens, finish_own
from spillway.simulate.fleet.heaps import pop_key, push_key, schedule
from spillway.simulate.fleet.hosted import send_hosted
from spillway.simulate.fleet.jit import compiled, inlined
from spillway.simulate.fleet.layout import NONE, PRIORITIES, Core
from spillway.simulate.fleet.steps import noise_factor, run_line, run_seconds, step_ms, steps_until
from spillway.simulate.outcome import Served

Record = Any

_BY_PATIENCE = int(Served.HOSTED_BY_PATIENCE)
_REJECTED = int(Served.REJECTED)
_LOW = (1 << 32) - 1


@inlined
def append(link: Any, queues: Any, row: int, column: int, request: int) -> None:
    """Put a request at the end of a linked list."""
    link[request] = NONE
    last = queues[row, column, 1]
    if last == NONE:
        queues[row, column, 0] = request
    else:
        link[last] = request
    queues[row, column, 1] = request


@inlined
def take_first(link: Any, queues: Any, row: int, column: int) -> None:
    """Take the first request off a linked list."""
    following = link[queues[row, column, 0]]
    queues[row, column, 0] = following
    if following == NONE:
        queues[row, column, 1] = NONE


@inlined
def queue_head(core: Core, slot: int) -> int:
    """The first waiting request of the highest priority; NONE: nobody waits."""
    for priority in range(PRIORITIES):
        head = views.queue(core)[slot, priority, 0]
        if head != NONE:
            return int(head)
    return NONE


@inlined
def can_admit(core: Core, replica: Record, request: int) -> bool:
    """Whether there is KV cache for a request."""
    need = views.input_tokens(core)[request] + views.output_tokens(core)[request]
    return bool(replica.reserved + need <= views.lanes(core)[replica.lane].kv)


@inlined
def leave(core: Core, replica: Record, request: int, now: float) -> None:
    """A finished sequence frees what it held."""
    tokens = views.input_tokens(core)[request] + views.output_tokens(core)[request]
    replica.held -= tokens
    replica.reserved -= tokens
    replica.in_flight -= 1
    replica.finished += 1.0
    replica.last_end = now
    finish_own(core, request, replica.lane, now)


@compiled
def settle_run(core: Core, replica: Record, steps: int, now: float) -> None:
    """The first `steps` iterations of the run under way have ended, at `now`."""
    duration = now - replica.clock
    count_gaps(core, replica, steps, duration)
    count_tokens(core, replica, 0, replica.decoding * steps, duration)
    replica.first_ms += replica.slope_ms * steps
    replica.steps += steps
    replica.held += replica.decoding * steps
    replica.leap -= steps
    replica.clock = now


@compiled
def settle(core: Core, slot: int, now: float) -> None:
    """Count the iterations of a run that have ended by `now`; the run goes on."""
    replica = views.replicas(core)[slot]
    if replica.leap < 2 or now <= replica.clock or now >= replica.event:
        return
    steps = steps_until(core, replica, now, replica.leap)
    end = replica.clock + run_seconds(core, replica, steps)
    if end > now:
        steps -= 1
        end = replica.clock + run_seconds(core, replica, steps)
    if 0 < steps < replica.leap:
        settle_run(core, replica, steps, end)


@compiled
def first_token(core: Core, slot: int, request: int, now: float) -> None:
    """A prompt is done and its first token is out."""
    replica = views.replicas(core)[slot]
    lane = views.lanes(core)[replica.lane]
    views.ttft(core)[request] = now - views.arrival(core)[request]
    at_engine = views.ttft(core)[request] - views.held_s(core)[request]
    views.ttft_counts(core)[replica.lane, bucket(views.ttft_bounds(core), at_engine)] += 1.0
    lane.ttft_sum += at_engine
    lane.ttft_count += 1.0
    output = views.output_tokens(core)[request]
    if output <= 1:
        leave(core, replica, request, now)
        return
    replica.decoding += 1
    push_key(views.finish(core), slot, replica.finishing, ((replica.steps + output - 1) << 32) | request)
    replica.finishing += 1


@compiled
def end_iterations(core: Core, slot: int, now: float) -> None:
    """What is under way ends at `now`: tokens, last tokens, first tokens, and those who have waited too long."""
    replica = views.replicas(core)[slot]
    if replica.leap > 0:
        settle_run(core, replica, replica.leap, now)
    else:
        duration = now - replica.clock
        if replica.decoding > 0:
            views.itl_counts(core)[replica.lane, bucket(views.itl_bounds(core), duration)] += replica.decoding
            gaps = duration * replica.decoding
            replica.itl_sum += gaps
            replica.itl_count += replica.decoding
            views.lanes(core)[replica.lane].itl_sum += gaps
            views.lanes(core)[replica.lane].itl_count += replica.decoding
        count_tokens(core, replica, replica.step_tokens, replica.decoding + replica.prompts, duration)
        replica.steps += 1
        replica.clock = now
    while replica.finishing > 0 and (views.finish(core)[slot, 0] >> 32) <= replica.steps:
        request = views.finish(core)[slot, 0] & _LOW
        pop_key(views.finish(core), slot, replica.finishing)
        replica.finishing -= 1
        replica.decoding -= 1
        leave(core, replica, request, now)
    done, replica.prompts = replica.prompts, 0
    for index in range(done):
        first_token(core, slot, views.prompts(core)[slot, index], now)
    if replica.waiting > 0:
        drop_impatient(core, slot, now)


@compiled
def drop_impatient(core: Core, slot: int, now: float) -> None:
    """Send the heads of the queues that have waited for their whole patience to a hosted lane, or reject them."""
    replica = views.replicas(core)[slot]
    for priority in range(PRIORITIES):
        while True:
            head = views.queue(core)[slot, priority, 0]
            if head == NONE:
                break
            group = views.classes(core)[views.class_index(core)[head]]
            if now < views.arrival(core)[head] + group.patience:
                break
            take_first(views.link(core), views.queue(core), slot, priority)
            replica.waiting -= 1
            replica.in_flight -= 1
            replica.last_end = now
            if group.hosted_lanes > 0:
                send_hosted(core, head, now, _BY_PATIENCE)
            else:
                reject(core, head, now)


@compiled
def reject(core: Core, request: int, now: float) -> None:
    """The request ends here, unserved."""
    views.served(core)[request] = _REJECTED
    views.end(core)[request] = now
    views.classes(core)[views.class_index(core)[request]].rejected += 1.0


@inlined
def admit(core: Core, slot: int, head: int) -> None:
    """Take the head of the queue into the batch."""
    replica = views.replicas(core)[slot]
    take_first(views.link(core), views.queue(core), slot, views.classes(core)[views.class_index(core)[head]].priority)
    replica.waiting -= 1
    replica.reserved += views.input_tokens(core)[head] + views.output_tokens(core)[head]


@compiled
def fill_prompts(core: Core, slot: int) -> tuple[int, int]:
    """Share what decodes leave of the token budget among prompts, oldest first: (prompts, their tokens)."""
    replica = views.replicas(core)[slot]
    lane = views.lanes(core)[replica.lane]
    budget = lane.max_tokens - replica.decoding
    whole, tokens = 0, 0
    while budget > 0:
        request, left = replica.partial, replica.partial_left
        replica.partial = NONE
        if request == NONE:
            if replica.waiting == 0 or replica.decoding + whole >= lane.max_seqs:
                break
            request = queue_head(core, slot)
            if not can_admit(core, replica, request):
                break
            admit(core, slot, request)
            left = views.input_tokens(core)[request]
        chunk = min(budget, left)
        budget -= chunk
        tokens += chunk
        if chunk < left:
            replica.partial, replica.partial_left = request, left - chunk
        else:
            views.prompts(core)[slot, whole] = request
            whole += 1
    replica.prompts = whole
    return whole + (1 if replica.partial != NONE else 0), tokens


@compiled
def begin_iterations(core: Core, slot: int) -> None:
    """Start the next iteration, or a run of them, at the replica's clock; idle if there is nothing to do."""
    replica = views.replicas(core)[slot]
    replica.to_begin = 0
    prompts, tokens = 0, 0
    if replica.partial != NONE or replica.waiting > 0:
        prompts, tokens = fill_prompts(core, slot)
    if prompts > 0:
        batch = replica.decoding + prompts
        replica.held += replica.decoding + tokens + replica.prompts
        duration = step_ms(core, replica.lane, batch, replica.held, tokens) / 1000.0
        if views.lanes(core)[replica.lane].noisy:
            duration *= noise_factor(core, replica, replica.steps + 1)
        replica.leap = 0
        replica.step_tokens = tokens
        event = replica.clock + duration
    elif replica.decoding > 0:
        first, slope, most = run_line(core, replica.lane, replica.decoding, replica.held)
        replica.first_ms, replica.slope_ms = first, slope
        replica.leap = min(most, (views.finish(core)[slot, 0] >> 32) - replica.steps)
        event = replica.clock + run_seconds(core, replica, replica.leap)
        if replica.waiting > 0:
            event = cut_for_patience(core, slot, event)
    else:
        replica.leap = 0
        event = math.inf
    schedule(views.events(core), views.position(core), views.replicas(core), core, slot, event)


@compiled
def cut_for_patience(core: Core, slot: int, event: float) -> float:
    """End a run with the iteration in which a waiting request's patience ends, if it does: when the run ends."""
    replica = views.replicas(core)[slot]
    for priority in range(PRIORITIES):
        head = views.queue(core)[slot, priority, 0]
        if head != NONE:
            over = views.arrival(core)[head] + views.classes(core)[views.class_index(core)[head]].patience
            if over < event:
                replica.leap = steps_until(core, replica, over, replica.leap)
                event = replica.clock + run_seconds(core, replica, replica.leap)
    return event


@inlined
def begin_soon(core: Core, slot: int) -> None:
    """Let the replica begin at its clock, once everything else of that moment has happened."""
    replica = views.replicas(core)[slot]
    replica.to_begin = 1
    soon = np.nextafter(replica.clock, math.inf)
    schedule(views.events(core), views.position(core), views.replicas(core), core, slot, soon)


@compiled
def submit(core: Core, slot: int, request: int, now: float) -> None:
    """Put a request into a replica's queue; a run under way is cut if the next iteration can take it."""
    replica = views.replicas(core)[slot]
    priority = views.classes(core)[views.class_index(core)[request]].priority
    append(views.link(core), views.queue(core), slot, priority, request)
    replica.waiting += 1
    replica.in_flight += 1
    views.routed(core)[views.class_index(core)[request], replica.lane] += 1.0
    if replica.to_begin:
        return
    if replica.event == math.inf:
        replica.clock = now
        begin_soon(core, slot)
        return
    if replica.leap < 2:
        return
    head = queue_head(core, slot)
    admissible = replica.decoding < views.lanes(core)[replica.lane].max_seqs and can_admit(core, replica, head)
    if admissible:
        replica.leap = steps_until(core, replica, now, replica.leap)
        event = replica.clock + run_seconds(core, replica, replica.leap)
    else:
        event = cut_for_patience(core, slot, replica.event)
    if event != replica.event:
        schedule(views.events(core), views.position(core), views.replicas(core), core, slot, event)
