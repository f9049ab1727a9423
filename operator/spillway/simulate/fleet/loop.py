"""The event loop in compiled code: arrivals, replicas, ends of holds and retries, in order of time."""

from __future__ import annotations

import math
from typing import Any

from spillway.simulate.fleet.engine import begin_iterations, end_iterations
from spillway.simulate.fleet.gateway import arrive, end_hold, give_up, release, unhold
from spillway.simulate.fleet.heaps import pop_timer, schedule
from spillway.simulate.fleet.hosted import attempt
from spillway.simulate.fleet.jit import compiled
from spillway.simulate.fleet.layout import DRAINING, FREE, HELD, NONE, READY, STARTING, State
from spillway.simulate.outcome import Served

Record = Any

_NO_REPLICA = int(Served.HOSTED_NO_REPLICA)


@compiled
def run(state: State, until: float) -> None:
    """Let everything happen that happens by `until` (infinite: until nothing is left)."""
    world = state.world[0]
    while True:
        arrival = state.arrival[world.next] if world.next < world.size else math.inf
        replica_at = math.inf
        slot = NONE
        if world.events > 0:
            slot = state.events[0]
            replica_at = state.replicas[slot].event
        other = math.inf
        if world.holds > 0:
            other = state.hold_at[0]
        if world.retries > 0:
            other = min(other, state.retry_at[0])
        if arrival <= replica_at and arrival <= other:
            if arrival > until or arrival == math.inf:
                return
            if arrival < replica_at or state.replicas[slot].to_begin:
                request = world.next
                world.next += 1
                arrive(state, request, arrival)
                continue
        if replica_at <= other:
            if replica_at > until or replica_at == math.inf:
                return
            replica_event(state, slot, replica_at, arrival == replica_at)
        else:
            if other > until:
                return
            timer_event(state, other)


@compiled
def timer_event(state: State, now: float) -> None:
    """The end of a hold or a retry at a hosted lane."""
    world = state.world[0]
    if world.holds > 0 and state.hold_at[0] == now:
        end_hold(state)
        return
    request = state.retry_request[0]
    pop_timer(state.retry_at, state.retry_request, world.retries)
    world.retries -= 1
    attempt(state, request, now, 1)


@compiled
def replica_event(state: State, slot: int, now: float, arrivals_now: bool) -> None:
    """A replica gets Ready, or what is under way in it ends and more begins.

    What begins does so after the arrivals of the same moment, which it takes in.
    """
    replica = state.replicas[slot]
    world = state.world[0]
    if replica.state == STARTING:
        replica.state = READY
        replica.clock = now
        schedule(state.events, state.position, state.replicas, world, slot, math.inf)
        insert_ready(state, slot)
        if world.held > 0:
            release(state, replica.lane, now)
        return
    lane = replica.lane
    if replica.to_begin == 0:
        replica.to_begin = 1
        before = replica.in_flight
        end_iterations(state, slot, now)
        if replica.state == DRAINING and replica.in_flight == 0:
            end_replica(state, slot, now)
            return
        if world.held > 0 and replica.in_flight < before:
            release(state, lane, now)
        if arrivals_now:
            return
    begin_iterations(state, slot)
    if world.held > 0 and world.limited > 0:
        release(state, lane, now)


@compiled
def insert_ready(state: State, slot: int) -> None:
    """Add a slot to the Ready ones, which are in order of their replicas' numbers."""
    world = state.world[0]
    place = world.ready
    world.ready += 1
    while place > 0 and state.replicas[state.ready[place - 1]].number > state.replicas[slot].number:
        state.ready[place] = state.ready[place - 1]
        place -= 1
    state.ready[place] = slot


@compiled
def end_replica(state: State, slot: int, now: float) -> None:
    """The replica is gone and its slot is free."""
    replica = state.replicas[slot]
    state.replica_ended[replica.number] = now
    replica.state = FREE
    replica.to_begin = 0
    schedule(state.events, state.position, state.replicas, state.world[0], slot, math.inf)


@compiled
def create_replica(
    state: State, slot: int, lane: int, number: int, key: Any, times: tuple[float, float, float]
) -> None:
    """Put a new replica into a free slot; `times`: when it was asked for, is created and gets Ready."""
    replica = state.replicas[slot]
    replica.number, replica.lane, replica.noise_key = number, lane, key
    replica.asked, replica.created, replica.ready = times
    replica.state = STARTING
    replica.in_flight, replica.waiting, replica.decoding, replica.prompts = 0, 0, 0, 0
    replica.partial, replica.partial_left, replica.steps, replica.held, replica.reserved = NONE, 0, 0, 0, 0
    replica.finishing, replica.step_tokens, replica.leap, replica.to_begin = 0, 0, 0, 0
    replica.clock, replica.last_end = replica.ready, 0.0
    replica.prompt_tokens, replica.generation_tokens, replica.finished = 0.0, 0.0, 0.0
    replica.itl_sum, replica.itl_count = 0.0, 0.0
    state.queue[slot, :, :] = NONE
    schedule(state.events, state.position, state.replicas, state.world[0], slot, replica.ready)


@compiled
def drop_replica(state: State, lane: int, now: float) -> None:
    """Scale a lane in by one: its youngest starting replica, else its Ready one with the fewest in flight."""
    victim = NONE
    for slot in range(len(state.replicas)):
        replica = state.replicas[slot]
        if replica.state == STARTING and replica.lane == lane:
            if victim == NONE or replica.number > state.replicas[victim].number:
                victim = slot
    if victim != NONE:
        end_replica(state, victim, now)
        return
    at = NONE
    for place in range(state.world[0].ready):
        replica = state.replicas[state.ready[place]]
        if replica.lane == lane and (victim == NONE or replica.in_flight <= state.replicas[victim].in_flight):
            victim, at = state.ready[place], place
    if victim == NONE:
        return
    state.world[0].ready -= 1
    for place in range(at, state.world[0].ready):
        state.ready[place] = state.ready[place + 1]
    state.replicas[victim].state = DRAINING
    if state.replicas[victim].in_flight == 0:
        end_replica(state, victim, now)


@compiled
def release_all(state: State, now: float) -> None:
    """Caps, limits or replicas have changed: send what now has room."""
    for lane in range(len(state.lanes)):
        release(state, lane, now)


@compiled
def give_up_held(state: State, now: float) -> None:
    """Nothing will ever make room for what is still held: end it."""
    for request in range(len(state.served)):
        if state.served[request] == HELD:
            unhold(state, request, now)
            give_up(state, request, now, _NO_REPLICA)
