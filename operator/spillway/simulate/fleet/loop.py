"""The event loop in compiled code: arrivals, replicas, ends of holds and retries, in order of time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spillway.simulate.fleet import views
from spillway.simulate.fleet.engine import begin_iterations, begin_soon, end_iterations
from spillway.simulate.fleet.gateway import arrive, end_hold, give_up, release, unhold
from spillway.simulate.fleet.heaps import pop_timer, schedule
from spillway.simulate.fleet.hosted import attempt
from spillway.simulate.fleet.jit import compiled, inlined
from spillway.simulate.fleet.layout import DRAINING, FREE, HELD, NONE, READY, STARTING, Array, Core
from spillway.simulate.outcome import Served

Record = Any

_NO_REPLICA = int(Served.HOSTED_NO_REPLICA)


@compiled
def run(cores: Array, until: float) -> None:
    """Let everything happen that happens by `until` (infinite: until nothing is left)."""
    core = cores[0]
    while True:
        arrival = views.arrival(core)[core.next] if core.next < core.requests else math.inf
        replica_at = math.inf
        slot = NONE
        if core.events > 0:
            slot = views.events(core)[0]
            replica_at = views.replicas(core)[slot].event
        other = math.inf
        if core.holds > 0:
            other = views.hold_at(core)[0]
        if core.retries > 0:
            other = min(other, views.retry_at(core)[0])
        if arrival <= replica_at and arrival <= other:
            if arrival > until or arrival == math.inf:
                return
            if arrival < replica_at:
                request = core.next
                core.next += 1
                arrive(core, request, arrival)
                continue
        if replica_at <= other:
            if replica_at > until or replica_at == math.inf:
                return
            replica_event(core, slot, replica_at, arrival)
        else:
            if other > until:
                return
            timer_event(core, other)


@compiled
def timer_event(core: Core, now: float) -> None:
    """The end of a hold or a retry at a hosted lane."""
    if core.holds > 0 and views.hold_at(core)[0] == now:
        end_hold(core)
        return
    request = views.retry_request(core)[0]
    pop_timer(views.retry_at(core), views.retry_request(core), core.retries)
    core.retries -= 1
    attempt(core, request, now, 1)


@compiled
def replica_event(core: Core, slot: int, now: float, arrival: float) -> None:
    """A replica gets Ready, or what is under way in it ends and more begins.

    What begins does so after all other ends and the arrivals (the next one: at `arrival`) of the same moment.
    """
    replica = views.replicas(core)[slot]
    if replica.state == STARTING:
        replica.state = READY
        replica.clock = now
        schedule(views.events(core), views.position(core), views.replicas(core), core, slot, math.inf)
        insert_ready(core, slot)
        if core.held > 0:
            release(core, replica.lane, now)
        return
    lane = replica.lane
    if replica.to_begin == 0:
        replica.to_begin = 1
        before = replica.in_flight
        end_iterations(core, slot, now)
        if replica.state == DRAINING and replica.in_flight == 0:
            end_replica(core, slot, now)
            return
        if core.held > 0 and replica.in_flight < before:
            release(core, lane, now)
        if arrival == now or not (quiet_from(core, 1, now) and quiet_from(core, 2, now)):
            begin_soon(core, slot)
            return
    begun = replica.clock
    begin_iterations(core, slot)
    if core.held > 0 and core.limited > 0 and quiet_from(core, 0, begun):
        # All that begin now have taken in what they can: their queues may have room.
        for other in range(len(views.lanes(core))):
            release(core, other, now)


@inlined
def quiet_from(core: Core, place: int, now: float) -> bool:
    """Whether nothing from that place of the heap of events on happens at this moment any more."""
    if place >= core.events:
        return True
    return bool(views.replicas(core)[views.events(core)[place]].event > np.nextafter(now, math.inf))


@compiled
def insert_ready(core: Core, slot: int) -> None:
    """Add a slot to the Ready ones, which are in order of their replicas' numbers."""
    place = core.ready
    core.ready += 1
    while place > 0 and views.replicas(core)[views.ready(core)[place - 1]].number > views.replicas(core)[slot].number:
        views.ready(core)[place] = views.ready(core)[place - 1]
        place -= 1
    views.ready(core)[place] = slot


@compiled
def end_replica(core: Core, slot: int, now: float) -> None:
    """The replica is gone and its slot is free."""
    replica = views.replicas(core)[slot]
    views.replica_ended(core)[replica.number] = now
    replica.state = FREE
    replica.to_begin = 0
    schedule(views.events(core), views.position(core), views.replicas(core), core, slot, math.inf)


@compiled
def create_replica(
    cores: Array, slot: int, lane: int, number: int, key: Any, times: tuple[float, float, float]
) -> None:
    """Put a new replica into a free slot; `times`: when it was asked for, is created and gets Ready."""
    core = cores[0]
    replica = views.replicas(core)[slot]
    replica.number, replica.lane, replica.noise_key = number, lane, key
    replica.asked, replica.created, replica.ready = times
    replica.state = STARTING
    replica.in_flight, replica.waiting, replica.decoding, replica.prompts = 0, 0, 0, 0
    replica.partial, replica.partial_left, replica.steps, replica.held, replica.reserved = NONE, 0, 0, 0, 0
    replica.finishing, replica.step_tokens, replica.leap, replica.to_begin = 0, 0, 0, 0
    replica.clock, replica.last_end = replica.ready, 0.0
    replica.prompt_tokens, replica.generation_tokens, replica.finished = 0.0, 0.0, 0.0
    replica.itl_sum, replica.itl_count = 0.0, 0.0
    views.queue(core)[slot, :, :] = NONE
    schedule(views.events(core), views.position(core), views.replicas(core), core, slot, replica.ready)


@compiled
def drop_replica(cores: Array, lane: int, now: float) -> None:
    """Scale a lane in by one: its youngest starting replica, else its Ready one with the fewest in flight."""
    core = cores[0]
    victim = NONE
    for slot in range(len(views.replicas(core))):
        replica = views.replicas(core)[slot]
        if replica.state != STARTING or replica.lane != lane:
            continue
        if victim == NONE or replica.number > views.replicas(core)[victim].number:
            victim = slot
    if victim != NONE:
        end_replica(core, victim, now)
        return
    at = NONE
    for place in range(core.ready):
        replica = views.replicas(core)[views.ready(core)[place]]
        if replica.lane == lane and (victim == NONE or replica.in_flight <= views.replicas(core)[victim].in_flight):
            victim, at = views.ready(core)[place], place
    if victim == NONE:
        return
    core.ready -= 1
    for place in range(at, core.ready):
        views.ready(core)[place] = views.ready(core)[place + 1]
    views.replicas(core)[victim].state = DRAINING
    if views.replicas(core)[victim].in_flight == 0:
        end_replica(core, victim, now)


@compiled
def release_all(cores: Array, now: float) -> None:
    """Caps, limits or replicas have changed: send what now has room."""
    core = cores[0]
    for lane in range(len(views.lanes(core))):
        release(core, lane, now)


@compiled
def give_up_held(cores: Array, now: float) -> None:
    """Nothing will ever make room for what is still held: end it."""
    core = cores[0]
    for request in range(len(views.served(core))):
        if views.served(core)[request] == HELD:
            unhold(core, request, now)
            give_up(core, request, now, _NO_REPLICA)


@compiled
def count_states(cores: Array, counts: Array) -> None:
    """Count starting, Ready and draining replicas by lane into (L, 3)."""
    core = cores[0]
    counts[:] = 0
    for slot in range(len(views.replicas(core))):
        replica = views.replicas(core)[slot]
        if replica.state != FREE:
            counts[replica.lane, replica.state - STARTING] += 1
