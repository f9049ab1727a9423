"""The gateway in compiled code: weights, caps, queue limits, holds and the choice of the replica."""

from __future__ import annotations

import math
from typing import Any

from spillway.simulate.fleet import views
from spillway.simulate.fleet.draws import uniform
from spillway.simulate.fleet.engine import append, reject, submit, take_first
from spillway.simulate.fleet.heaps import pop_timer, push_timer
from spillway.simulate.fleet.hosted import DRAW_SPLIT, DRAW_WEIGHT, DRAWS, send_hosted
from spillway.simulate.fleet.jit import compiled
from spillway.simulate.fleet.layout import HELD, NONE, PENDING, Core
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
def arrive(core: Core, request: int, now: float) -> None:
    """A request arrives at the gateway."""
    group_index = views.class_index(core)[request]
    group = views.classes(core)[group_index]
    group.arrived += 1.0
    hosted = group.hosted_lanes > 0
    if hosted and group.share > 0.0 and uniform(core.key, request * DRAWS + DRAW_WEIGHT) < group.share:
        send_hosted(core, request, now, _BY_WEIGHT)
        return
    need = views.input_tokens(core)[request] + views.output_tokens(core)[request]
    if need > group.max_kv:
        give_up(core, request, now, _NO_REPLICA)
        return
    lane = split_lane(core, request, need)
    slot = choose_replica(core, group_index, lane, need)
    if slot >= 0:
        replica = views.replicas(core)[slot]
        if replica.waiting < views.lanes(core)[replica.lane].queue_limit:
            submit(core, slot, request, now)
        else:
            views.lanes(core)[replica.lane].rejected += 1.0
            if hosted:
                send_hosted(core, request, now, _BY_QUEUE)
            else:
                hold(core, request, now, lane)
    elif not hosted or group.hold > 0.0:
        hold(core, request, now, lane)
    else:
        send_hosted(core, request, now, _BY_CAP if slot == NONE else _NO_REPLICA)


@compiled
def give_up(core: Core, request: int, now: float, why: int) -> None:
    """Send a request hosted, or reject it where its class may not go there."""
    if views.classes(core)[views.class_index(core)[request]].hosted_lanes > 0:
        send_hosted(core, request, now, why)
    else:
        reject(core, request, now)


@compiled
def split_lane(core: Core, request: int, need: int) -> int:
    """The own lane that a request's class split draws; NONE: any (also where that lane has no Ready replica)."""
    group_index = views.class_index(core)[request]
    if views.classes(core)[group_index].split == 0:
        return NONE
    draw = uniform(core.key, request * DRAWS + DRAW_SPLIT)
    lane = 0
    while lane < len(views.lanes(core)) - 1 and draw >= views.split(core)[group_index, lane]:
        lane += 1
    if need > views.lanes(core)[lane].kv:
        return NONE
    for place in range(core.ready):
        if views.replicas(core)[views.ready(core)[place]].lane == lane:
            return lane
    return NONE


@compiled
def choose_replica(core: Core, group_index: int, only_lane: int, need: int) -> int:
    """The slot with the fewest in flight under its lane's cap, ties in rotation; NONE: all at their cap; or nowhere."""
    count = core.ready
    best, best_place, fewest = _NOWHERE, 0, 1 << 60
    place = core.rotate
    for _ in range(count):
        if place >= count:
            place = 0
        slot = views.ready(core)[place]
        replica = views.replicas(core)[slot]
        lane = replica.lane
        if (lane == only_lane or (only_lane == NONE and views.own(core)[group_index, lane])) and need <= views.lanes(
            core
        )[lane].kv:
            best = max(best, NONE)
            if replica.in_flight < fewest and replica.in_flight < views.lanes(core)[lane].cap:
                best, best_place, fewest = slot, place, replica.in_flight
        place += 1
    if best >= 0:
        core.rotate = best_place + 1
    return best


@compiled
def hold(core: Core, request: int, now: float, lane: int) -> None:
    """Keep a request at the proxy until there is room, its hold is over, or its patience."""
    group_index = views.class_index(core)[request]
    group = views.classes(core)[group_index]
    until = views.arrival(core)[request] + group.patience
    if group.hosted_lanes > 0:
        until = min(until, now + group.hold)
    column = lane if lane >= 0 else len(views.lanes(core))
    append(views.link(core), views.holding(core), group_index, column, request)
    views.served(core)[request] = HELD
    views.held_s(core)[request] = now
    group.held += 1.0
    core.held += 1
    if until < math.inf:
        push_timer(views.hold_at(core), views.hold_request(core), core.holds, until, request)
        core.holds += 1


@compiled
def unhold(core: Core, request: int, now: float) -> None:
    """A request is held no longer."""
    views.served(core)[request] = PENDING
    views.held_s(core)[request] = now - views.held_s(core)[request]
    views.classes(core)[views.class_index(core)[request]].held -= 1.0
    core.held -= 1


@compiled
def end_hold(core: Core) -> None:
    """Act on the earliest end of a hold."""
    now, request = views.hold_at(core)[0], views.hold_request(core)[0]
    pop_timer(views.hold_at(core), views.hold_request(core), core.holds)
    core.holds -= 1
    if views.served(core)[request] != HELD:
        return
    unhold(core, request, now)
    patience = views.classes(core)[views.class_index(core)[request]].patience
    over = now >= views.arrival(core)[request] + patience - _EPSILON
    give_up(core, request, now, _BY_PATIENCE if over else _BY_CAP)


@compiled
def first_held(core: Core, lane: int) -> tuple[int, int]:
    """(class, column) of the held request that goes to a lane next: by priority, then by arrival; NONE: nobody."""
    best_group, best_column, best_request, best_priority = NONE, NONE, 0, 0
    for group_index in range(len(views.classes(core))):
        if not views.own(core)[group_index, lane] or views.classes(core)[group_index].held == 0.0:
            continue
        priority = views.classes(core)[group_index].priority
        for column in (lane, len(views.lanes(core))):
            head = views.holding(core)[group_index, column, 0]
            while head != NONE and views.served(core)[head] != HELD:
                take_first(views.link(core), views.holding(core), group_index, column)
                head = views.holding(core)[group_index, column, 0]
            if (
                head == NONE
                or views.input_tokens(core)[head] + views.output_tokens(core)[head] > views.lanes(core)[lane].kv
            ):
                continue
            if best_group == NONE or priority < best_priority or (priority == best_priority and head < best_request):
                best_group, best_column, best_request, best_priority = group_index, column, head, priority
    return best_group, best_column


@compiled
def roomiest(core: Core, lane: int) -> int:
    """The lane's Ready replica with the fewest in flight that has room under cap and queue limit; NONE: none."""
    best, fewest = NONE, views.lanes(core)[lane].cap
    for place in range(core.ready):
        slot = views.ready(core)[place]
        replica = views.replicas(core)[slot]
        if (
            replica.lane == lane
            and replica.in_flight < fewest
            and replica.waiting < views.lanes(core)[lane].queue_limit
        ):
            best, fewest = slot, replica.in_flight
    return best


@compiled
def release(core: Core, lane: int, now: float) -> None:
    """Send held requests to a lane while it has room."""
    while core.held > 0:
        slot = roomiest(core, lane)
        if slot == NONE:
            return
        group_index, column = first_held(core, lane)
        if group_index == NONE:
            return
        request = views.holding(core)[group_index, column, 0]
        take_first(views.link(core), views.holding(core), group_index, column)
        unhold(core, request, now)
        submit(core, slot, request, now)
