"""One run's time line for plots: means over buckets of a few minutes."""

from __future__ import annotations

from typing import Any

import numpy as np

from spillway.simulate.outcome import Outcome
from spillway.simulate.world import Floats, Workload, World

BUCKETS = 2_000
"""About as many points as a screen can show."""
DIGITS = 4


def timeline_of(world: World, workload: Workload, outcome: Outcome) -> dict[str, Any]:
    """Replicas by lane, demand and spill by class, dollars an hour; each list as long as ``at_s``.

    Rates are per second, ``at_s`` is the bucket's start.
    """
    width_s = max(60.0, world.duration_s / BUCKETS)
    count = max(1, int(np.ceil(world.duration_s / width_s - 1e-9)))
    log = outcome.timeline
    bucket = np.clip((log.at_s // width_s).astype(np.int64), 0, count - 1)
    # A scrape tells of the time before it: the one at a bucket's very start belongs to the bucket before.
    told = np.clip(((log.at_s - 1e-6) // width_s).astype(np.int64), 0, count - 1)
    lanes = [lane.name for lane in world.own]
    classes = [item.key for item in world.classes]
    return {
        "at_s": _rounded(np.arange(count, dtype=np.float64) * width_s),
        "ready": {name: _rounded(_mean(bucket, log.ready[:, i], count)) for i, name in enumerate(lanes)},
        "desired": {name: _rounded(_mean(bucket, log.desired[:, i], count)) for i, name in enumerate(lanes)},
        "arrived_per_s": {
            name: _rounded(_sum(told, log.arrived[:, i], count) / width_s) for i, name in enumerate(classes)
        },
        "hosted_per_s": {
            name: _rounded(_sum(told, log.hosted[:, i], count) / width_s) for i, name in enumerate(classes)
        },
        "usd_per_hour": _rounded(_usd_per_hour(world, workload, outcome, width_s, count)),
    }


def _usd_per_hour(world: World, workload: Workload, outcome: Outcome, width_s: float, count: int) -> Floats:
    """GPU and hosted dollars an hour by bucket."""
    arrived = np.clip((workload.arrival_s // width_s).astype(np.int64), 0, count - 1)
    hosted = _sum(arrived, outcome.requests.hosted_usd, count) * 3600.0 / width_s
    log = outcome.replicas
    if not len(log.lane):
        return hosted
    prices = np.array([lane.usd_per_replica_hour for lane in world.own])[log.lane]
    edges = np.arange(count + 1, dtype=np.float64) * width_s
    billed = _area_before(edges, log.created_s, prices) - _area_before(
        edges, log.ended_s + world.node_release_s, prices
    )
    return hosted + np.diff(billed) / width_s


def _area_before(edges: Floats, starts: Floats, weights: Floats) -> Floats:
    """Integral up to each edge of the step function that rises by each weight at its start."""
    order = np.argsort(starts, kind="stable")
    sorted_starts, sorted_weights = starts[order], weights[order]
    level = np.concatenate(([0.0], np.cumsum(sorted_weights)))
    moment = np.concatenate(([0.0], np.cumsum(sorted_weights * sorted_starts)))
    begun = np.searchsorted(sorted_starts, edges, side="right")
    area: Floats = level[begun] * edges - moment[begun]
    return area


def _sum(bucket: np.ndarray[Any, np.dtype[np.int64]], values: Floats, count: int) -> Floats:
    summed: Floats = np.bincount(bucket, weights=values, minlength=count).astype(np.float64)
    return summed


def _mean(bucket: np.ndarray[Any, np.dtype[np.int64]], values: Any, count: int) -> Floats:
    seen = np.bincount(bucket, minlength=count)
    means: Floats = _sum(bucket, values.astype(np.float64), count) / np.maximum(1, seen)
    return means


def _rounded(values: Floats) -> list[float]:
    rounded: list[float] = np.round(values, DIGITS).tolist()
    return rounded
