"""One scrape of the fleet: from the state's counters to a `Sample`, and a row of the timeline."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spillway.simulate.fleet import views
from spillway.simulate.fleet.engine import settle
from spillway.simulate.fleet.jit import compiled
from spillway.simulate.fleet.layout import FREE, READY, STARTING, Array
from spillway.simulate.policy import (
    ITL_BUCKETS_S,
    TTFT_BUCKETS_S,
    ClassSample,
    Histogram,
    LaneSample,
    ReplicaSamples,
    Sample,
)
from spillway.simulate.world import Floats

Record = Any

_REPLICA_ROWS = 12
_LANE_SCALARS = 11
_CLASS_SCALARS = 14
_HELD = 10
"""Scalars of a class up to `held`."""
_TTFT_BUCKETS, _ITL_BUCKETS = len(TTFT_BUCKETS_S) + 1, len(ITL_BUCKETS_S) + 1
_TTFT, _ITL, _TPOT = 5, 7, 9
"""Where a lane's histogram sums stand; counts follow the sums."""


@compiled
def count_scrape(cores: Array, scrape: int, now: float) -> None:
    """Bring the counters up to this scrape: runs under way, and hosted requests that have ended."""
    core = cores[0]
    for slot in range(len(views.replicas(core))):
        if views.replicas(core)[slot].state != FREE and views.replicas(core)[slot].state != STARTING:
            settle(core, slot, now)
    while core.last_scrape < scrape:
        core.last_scrape += 1
        for group in range(len(views.classes(core))):
            ended = views.hosted_ended(core)[core.last_scrape, group]
            views.classes(core)[group].ended += ended[0]
            views.classes(core)[group].ended_input += ended[1]
            views.classes(core)[group].ended_output += ended[2]


@compiled
def timeline_row(cores: Array, ready: Any, in_flight: Any, arrived: Any, hosted: Any) -> None:
    """Fill one row of the timeline: by lane, by lane, by class, by class."""
    core = cores[0]
    for slot in range(len(views.replicas(core))):
        replica = views.replicas(core)[slot]
        if replica.state != FREE:
            in_flight[replica.lane] += replica.in_flight
            if replica.state == READY:
                ready[replica.lane] += 1
    for index in range(len(views.classes(core))):
        group = views.classes(core)[index]
        arrived[index] = group.arrived - group.row_arrived
        hosted[index] = group.hosted - group.row_hosted
        group.row_arrived, group.row_hosted = group.arrived, group.hosted


@compiled
def replica_rows(cores: Array) -> tuple[Any, Any]:
    """The Ready replicas' gauges and counters (rows, replicas), lane by lane, and where each lane begins."""
    core = cores[0]
    lanes = len(views.lanes(core))
    rows = np.empty((_REPLICA_ROWS, core.ready))
    starts = np.zeros(lanes + 1, dtype=np.int64)
    column = 0
    for lane in range(lanes):
        for place in range(core.ready):
            replica = views.replicas(core)[views.ready(core)[place]]
            if replica.lane != lane:
                continue
            rows[0, column], rows[1, column] = replica.number, replica.ready
            rows[2, column], rows[3, column] = replica.in_flight - replica.waiting, replica.waiting
            rows[4, column] = replica.reserved / views.lanes(core)[lane].kv
            rows[5, column] = replica.held
            rows[6, column], rows[7, column] = replica.prompt_tokens, replica.generation_tokens
            rows[8, column], rows[9, column] = replica.steps, replica.itl_sum
            rows[10, column], rows[11, column] = replica.itl_count, replica.finished
            column += 1
        starts[lane + 1] = column
    return rows, starts


@compiled
def lane_rows(cores: Array, now: float) -> Any:
    """Lanes' counters and histograms: (lanes, scalars and bucket counts)."""
    core = cores[0]
    ttft, itl = views.ttft_counts(core).shape[1], views.itl_counts(core).shape[1]
    rows = np.empty((len(views.lanes(core)), _LANE_SCALARS + ttft + 2 * itl))
    for index in range(len(views.lanes(core))):
        lane, row = views.lanes(core)[index], rows[index]
        row[0], row[1], row[2], row[3] = lane.prompt_tokens, lane.generation_tokens, lane.finished, lane.rejected
        row[4] = lane.busy
        row[5], row[6], row[7], row[8] = lane.ttft_sum, lane.ttft_count, lane.itl_sum, lane.itl_count
        row[9], row[10] = lane.tpot_sum, lane.tpot_count
        row[_LANE_SCALARS : _LANE_SCALARS + ttft] = views.ttft_counts(core)[index]
        row[_LANE_SCALARS + ttft : _LANE_SCALARS + ttft + itl] = views.itl_counts(core)[index]
        row[_LANE_SCALARS + ttft + itl :] = views.tpot_counts(core)[index]
    for slot in range(len(views.replicas(core))):
        replica = views.replicas(core)[slot]
        busy = replica.state not in (FREE, STARTING) and replica.event < math.inf
        if busy and now > replica.clock:
            rows[replica.lane, 4] += now - replica.clock
    return rows


@compiled
def class_rows(cores: Array) -> Any:
    """Classes' counters at the gateway: (classes, scalars and requests routed by lane)."""
    core = cores[0]
    rows = np.empty((len(views.classes(core)), _CLASS_SCALARS + views.routed(core).shape[1]))
    for index in range(len(views.classes(core))):
        group, row = views.classes(core)[index], rows[index]
        row[0], row[1], row[2], row[3] = group.arrived, group.ended, group.ended_input, group.ended_output
        row[4], row[5], row[6], row[7] = group.by_weight, group.by_queue, group.by_cap, group.by_patience
        row[8], row[9] = group.rejected, group.held
        row[10], row[11], row[12], row[13] = group.own_ended, group.own_met, group.own_tokens, group.own_tokens_met
        row[_CLASS_SCALARS:] = views.routed(core)[index]
    return rows


@compiled
def hosted_failures(cores: Array) -> Any:
    """Hosted lanes' failed attempts so far: (hosted lanes,)."""
    core = cores[0]
    found = np.empty(len(views.hosted(core)))
    for index in range(len(found)):
        found[index] = views.hosted(core)[index].failed
    return found


def take_sample(core: Array, now: float) -> Sample:
    """What a scrape at `now` sees; call `count_scrape` before."""
    rows, starts = replica_rows(core)
    bounds = starts.tolist()
    by_lane = lane_rows(core, now)
    lanes = tuple(
        _lane_sample(row, scalars, ReplicaSamples(*rows[:, bounds[index] : bounds[index + 1]]))
        for index, (row, scalars) in enumerate(zip(by_lane, by_lane[:, :_LANE_SCALARS].tolist(), strict=True))
    )
    by_class = class_rows(core)
    classes = tuple(
        ClassSample(*[*scalars[:_HELD], row[_CLASS_SCALARS:], *scalars[_HELD:]])
        for row, scalars in zip(by_class, by_class[:, :_CLASS_SCALARS].tolist(), strict=True)
    )
    return Sample(now, lanes, classes, hosted_failures(core))


def _lane_sample(row: Floats, scalars: list[Any], replicas: ReplicaSamples) -> LaneSample:
    ttft_end = _LANE_SCALARS + _TTFT_BUCKETS
    itl_end = ttft_end + _ITL_BUCKETS
    ttft = Histogram(row[_LANE_SCALARS:ttft_end], *scalars[_TTFT : _TTFT + 2])
    itl = Histogram(row[ttft_end:itl_end], *scalars[_ITL : _ITL + 2])
    tpot = Histogram(row[itl_end:], *scalars[_TPOT : _TPOT + 2])
    fields: list[Any] = [replicas, *scalars[:_TTFT], ttft, itl, tpot]
    return LaneSample(*fields)
