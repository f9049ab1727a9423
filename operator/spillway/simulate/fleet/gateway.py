"""The gateway in compiled code: weights, caps, queue limits, holds and the choice of the replica."""

from __future__ import annotations

import math
from typing import Any

from spillway.simulate.fleet.draws import uniform
from spillway.simulate.fleet.engine import append, reject, submit, take_first
from spillway.simulate.fleet.heaps import pop_timer, push_timer
from spillway.simulate.fleet.hosted import DRAW_SPLIT, DRAW_WEIGHT, DRAWS, send_hosted
from spillway.simulate.fleet.jit import compiled
from spillway.simulate.fleet.layout import HELD, NONE, PENDING, State
from spillway.simulate.outcome import Served

Record = Any

_BY_WEIGHT = int(Served.HOSTED_BY_WEIGHT)
_BY_QUEUE = int(Served.HOSTED_BY_QUEUE)
_BY_CAP = int(Served.HOSTED_BY_CAP)
_BY_PATIENCE = int(Served.HOSTED_BY_PATIENCE)
_NO_REPLICA = int(Served.HOSTED_NO_REPLICA)
_NOWHERE = -2
"""No replica is Ready (NONE: all are at their cap)."""
_EPSILON = 1e-9


@compiled
def arrive(state: State, request: int, now: float) -> None:
    """A request arrives at the gateway."""
    group_index = state.class_index[request]
    group = state.classes[group_index]
    world = state.world[0]
    group.arrived += 1.0
    hosted = group.hosted_lanes > 0
    if hosted and group.share > 0.0 and uniform(world.key, request * DRAWS + DRAW_WEIGHT) < group.share:
        send_hosted(state, request, now, _BY_WEIGHT)
        return
    need = state.input_tokens[request] + state.output_tokens[request]
    if need > group.max_kv:
        give_up(state, request, now, _NO_REPLICA)
        return
    lane = split_lane(state, request, need)
    slot = choose_replica(state, group_index, lane, need)
    if slot >= 0:
        replica = state.replicas[slot]
        if replica.waiting < state.lanes[replica.lane].queue_limit:
            submit(state, slot, request, now)
        else:
            state.lanes[replica.lane].rejected += 1.0
            if hosted:
                send_hosted(state, request, now, _BY_QUEUE)
            else:
                hold(state, request, now, lane)
    elif not hosted or group.hold > 0.0:
        hold(state, request, now, lane)
    else:
        send_hosted(state, request, now, _BY_CAP if slot == NONE else _NO_REPLICA)


@compiled
def give_up(state: State, request: int, now: float, why: int) -> None:
    """Send a request hosted, or reject it where its class may not go there."""
    if state.classes[state.class_index[request]].hosted_lanes > 0:
        send_hosted(state, request, now, why)
    else:
        reject(state, request, now)


@compiled
def split_lane(state: State, request: int, need: int) -> int:
    """The own lane that a request's class split draws; NONE: any (also where that lane has no Ready replica)."""
    group_index = state.class_index[request]
    if state.classes[group_index].split == 0:
        return NONE
    draw = uniform(state.world[0].key, request * DRAWS + DRAW_SPLIT)
    lane = 0
    while lane < len(state.lanes) - 1 and draw >= state.split[group_index, lane]:
        lane += 1
    if need > state.lanes[lane].kv:
        return NONE
    for place in range(state.world[0].ready):
        if state.replicas[state.ready[place]].lane == lane:
            return lane
    return NONE


@compiled
def choose_replica(state: State, group_index: int, only_lane: int, need: int) -> int:
    """The slot with the fewest in flight under its lane's cap, ties in rotation; NONE: all at their cap; or nowhere."""
    world = state.world[0]
    count = world.ready
    best, best_place, fewest = _NOWHERE, 0, 1 << 60
    place = world.rotate
    for _ in range(count):
        if place >= count:
            place = 0
        slot = state.ready[place]
        replica = state.replicas[slot]
        lane = replica.lane
        if (lane == only_lane or (only_lane == NONE and state.own[group_index, lane])) and need <= state.lanes[lane].kv:
            best = max(best, NONE)
            if replica.in_flight < fewest and replica.in_flight < state.lanes[lane].cap:
                best, best_place, fewest = slot, place, replica.in_flight
        place += 1
    if best >= 0:
        world.rotate = best_place + 1
    return best


@compiled
def hold(state: State, request: int, now: float, lane: int) -> None:
    """Keep a request at the proxy until there is room, its hold is over, or its patience."""
    group_index = state.class_index[request]
    group = state.classes[group_index]
    world = state.world[0]
    until = state.arrival[request] + group.patience
    if group.hosted_lanes > 0:
        until = min(until, now + group.hold)
    column = lane if lane >= 0 else len(state.lanes)
    append(state.link, state.holding, group_index, column, request)
    state.served[request] = HELD
    state.held_s[request] = now
    group.held += 1.0
    world.held += 1
    if until < math.inf:
        push_timer(state.hold_at, state.hold_request, world.holds, until, request)
        world.holds += 1


@compiled
def unhold(state: State, request: int, now: float) -> None:
    """A request is held no longer."""
    state.served[request] = PENDING
    state.held_s[request] = now - state.held_s[request]
    state.classes[state.class_index[request]].held -= 1.0
    state.world[0].held -= 1


@compiled
def end_hold(state: State) -> None:
    """Act on the earliest end of a hold."""
    world = state.world[0]
    now, request = state.hold_at[0], state.hold_request[0]
    pop_timer(state.hold_at, state.hold_request, world.holds)
    world.holds -= 1
    if state.served[request] != HELD:
        return
    unhold(state, request, now)
    patience = state.classes[state.class_index[request]].patience
    over = now >= state.arrival[request] + patience - _EPSILON
    give_up(state, request, now, _BY_PATIENCE if over else _BY_CAP)


@compiled
def first_held(state: State, lane: int) -> tuple[int, int]:
    """(class, column) of the held request that goes to a lane next: by priority, then by arrival; NONE: nobody."""
    best_group, best_column, best_request, best_priority = NONE, NONE, 0, 0
    for group_index in range(len(state.classes)):
        if not state.own[group_index, lane] or state.classes[group_index].held == 0.0:
            continue
        priority = state.classes[group_index].priority
        for column in (lane, len(state.lanes)):
            head = state.holding[group_index, column, 0]
            while head != NONE and state.served[head] != HELD:
                take_first(state.link, state.holding, group_index, column)
                head = state.holding[group_index, column, 0]
            if head == NONE or state.input_tokens[head] + state.output_tokens[head] > state.lanes[lane].kv:
                continue
            if best_group == NONE or priority < best_priority or (priority == best_priority and head < best_request):
                best_group, best_column, best_request, best_priority = group_index, column, head, priority
    return best_group, best_column


@compiled
def roomiest(state: State, lane: int) -> int:
    """The lane's Ready replica with the fewest in flight that has room under cap and queue limit; NONE: none."""
    best, fewest = NONE, state.lanes[lane].cap
    for place in range(state.world[0].ready):
        slot = state.ready[place]
        replica = state.replicas[slot]
        if replica.lane == lane and replica.in_flight < fewest and replica.waiting < state.lanes[lane].queue_limit:
            best, fewest = slot, replica.in_flight
    return best


@compiled
def release(state: State, lane: int, now: float) -> None:
    """Send held requests to a lane while it has room."""
    while state.world[0].held > 0:
        slot = roomiest(state, lane)
        if slot == NONE:
            return
        group_index, column = first_held(state, lane)
        if group_index == NONE:
            return
        request = state.holding[group_index, column, 0]
        take_first(state.link, state.holding, group_index, column)
        unhold(state, request, now)
        submit(state, slot, request, now)
