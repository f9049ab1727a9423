"""One scrape of the fleet: from the state's counters to a `Sample`, and a row of the timeline."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spillway.simulate.fleet.engine import settle
from spillway.simulate.fleet.jit import compiled
from spillway.simulate.fleet.layout import FREE, READY, STARTING, State
from spillway.simulate.policy import ClassSample, Histogram, LaneSample, ReplicaSamples, Sample
from spillway.simulate.world import Floats

Record = Any

_REPLICA_ROWS = 12
_LANE_SCALARS = 11
_CLASS_SCALARS = 14
_TTFT, _ITL, _TPOT = 5, 7, 9
"""Where a lane's histogram sums stand; counts follow the sums."""


@compiled
def count_scrape(state: State, scrape: int, now: float) -> None:
    """Bring the counters up to this scrape: runs under way, and hosted requests that have ended."""
    for slot in range(len(state.replicas)):
        if state.replicas[slot].state != FREE and state.replicas[slot].state != STARTING:
            settle(state, slot, now)
    world = state.world[0]
    while world.last_scrape < scrape:
        world.last_scrape += 1
        for group in range(len(state.classes)):
            ended = state.hosted_ended[world.last_scrape, group]
            state.classes[group].ended += ended[0]
            state.classes[group].ended_input += ended[1]
            state.classes[group].ended_output += ended[2]


@compiled
def timeline_row(state: State, ready: Any, in_flight: Any, arrived: Any, hosted: Any) -> None:
    """Fill one row of the timeline: by lane, by lane, by class, by class."""
    for slot in range(len(state.replicas)):
        replica = state.replicas[slot]
        if replica.state != FREE:
            in_flight[replica.lane] += replica.in_flight
            if replica.state == READY:
                ready[replica.lane] += 1
    for index in range(len(state.classes)):
        group = state.classes[index]
        arrived[index] = group.arrived - group.row_arrived
        hosted[index] = group.hosted - group.row_hosted
        group.row_arrived, group.row_hosted = group.arrived, group.hosted


@compiled
def replica_rows(state: State) -> tuple[Any, Any]:
    """The Ready replicas' gauges and counters (rows, replicas), lane by lane, and where each lane begins."""
    lanes = len(state.lanes)
    rows = np.empty((_REPLICA_ROWS, state.world[0].ready))
    starts = np.zeros(lanes + 1, dtype=np.int64)
    column = 0
    for lane in range(lanes):
        for place in range(state.world[0].ready):
            replica = state.replicas[state.ready[place]]
            if replica.lane != lane:
                continue
            rows[0, column], rows[1, column] = replica.number, replica.ready
            rows[2, column], rows[3, column] = replica.in_flight - replica.waiting, replica.waiting
            rows[4, column] = replica.reserved / state.lanes[lane].kv
            rows[5, column] = replica.held
            rows[6, column], rows[7, column] = replica.prompt_tokens, replica.generation_tokens
            rows[8, column], rows[9, column] = replica.steps, replica.itl_sum
            rows[10, column], rows[11, column] = replica.itl_count, replica.finished
            column += 1
        starts[lane + 1] = column
    return rows, starts


@compiled
def lane_rows(state: State, now: float) -> Any:
    """Lanes' counters and histograms: (lanes, scalars and bucket counts)."""
    ttft, itl = state.ttft_counts.shape[1], state.itl_counts.shape[1]
    rows = np.empty((len(state.lanes), _LANE_SCALARS + ttft + 2 * itl))
    for index in range(len(state.lanes)):
        lane, row = state.lanes[index], rows[index]
        row[0], row[1], row[2], row[3] = lane.prompt_tokens, lane.generation_tokens, lane.finished, lane.rejected
        row[4] = lane.busy
        row[5], row[6], row[7], row[8] = lane.ttft_sum, lane.ttft_count, lane.itl_sum, lane.itl_count
        row[9], row[10] = lane.tpot_sum, lane.tpot_count
        row[_LANE_SCALARS : _LANE_SCALARS + ttft] = state.ttft_counts[index]
        row[_LANE_SCALARS + ttft : _LANE_SCALARS + ttft + itl] = state.itl_counts[index]
        row[_LANE_SCALARS + ttft + itl :] = state.tpot_counts[index]
    for slot in range(len(state.replicas)):
        replica = state.replicas[slot]
        busy = replica.state != FREE and replica.state != STARTING and replica.event < math.inf
        if busy and now > replica.clock:
            rows[replica.lane, 4] += now - replica.clock
    return rows


@compiled
def class_rows(state: State) -> Any:
    """Classes' counters at the gateway: (classes, scalars and requests routed by lane)."""
    rows = np.empty((len(state.classes), _CLASS_SCALARS + state.routed.shape[1]))
    for index in range(len(state.classes)):
        group, row = state.classes[index], rows[index]
        row[0], row[1], row[2], row[3] = group.arrived, group.ended, group.ended_input, group.ended_output
        row[4], row[5], row[6], row[7] = group.by_weight, group.by_queue, group.by_cap, group.by_patience
        row[8], row[9] = group.rejected, group.held
        row[10], row[11], row[12], row[13] = group.own_ended, group.own_met, group.own_tokens, group.own_tokens_met
        row[_CLASS_SCALARS:] = state.routed[index]
    return rows


def take_sample(state: State, now: float) -> Sample:
    """What a scrape at `now` sees; call `count_scrape` before."""
    rows, starts = replica_rows(state)
    bounds = starts.tolist()
    by_lane = lane_rows(state, now)
    lanes = tuple(
        _lane_sample(row, scalars, ReplicaSamples(*rows[:, bounds[index] : bounds[index + 1]]), state)
        for index, (row, scalars) in enumerate(zip(by_lane, by_lane[:, :_LANE_SCALARS].tolist(), strict=True))
    )
    by_class = class_rows(state)
    classes = tuple(
        ClassSample(
            *scalars[:10],
            to_lane=row[_CLASS_SCALARS:],
            own_ended=scalars[10],
            own_met=scalars[11],
            own_tokens_ended=scalars[12],
            own_tokens_met=scalars[13],
        )
        for row, scalars in zip(by_class, by_class[:, :_CLASS_SCALARS].tolist(), strict=True)
    )
    return Sample(now, lanes, classes)


def _lane_sample(row: Floats, scalars: list[float], replicas: ReplicaSamples, state: State) -> LaneSample:
    ttft_end = _LANE_SCALARS + state.ttft_counts.shape[1]
    itl_end = ttft_end + state.itl_counts.shape[1]
    return LaneSample(
        replicas,
        *scalars[:_TTFT],
        ttft=Histogram(row[_LANE_SCALARS:ttft_end], scalars[_TTFT], scalars[_TTFT + 1]),
        itl=Histogram(row[ttft_end:itl_end], scalars[_ITL], scalars[_ITL + 1]),
        tpot=Histogram(row[itl_end:], scalars[_TPOT], scalars[_TPOT + 1]),
    )
