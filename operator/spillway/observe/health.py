"""Whether one plan's metrics can be decided on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from spillway.api import WorkloadClass
from spillway.decide.snapshot import Confidence, Demand, MetricsHealth, MetricsReason
from spillway.observe.counters import Sources
from spillway.observe.history import HistoryGrid
from spillway.observe.lanes import OwnLane, settled


def plan_health(
    classes: Sequence[WorkloadClass],
    lanes: Sequence[OwnLane],
    demand: Mapping[str, Demand],
    confidence: Mapping[str, Confidence],
    sources: Sources,
) -> MetricsHealth:
    """Prometheus first, then the lanes whose pods must report, then the classes' demand."""
    now = sources.metrics.at
    newest = max(
        [*(lane.newest_at for lane in lanes if lane.newest_at), *(d.requests_per_second.at for d in demand.values())],
        default=None,
    )
    if sources.metrics.error is not None:
        message = f"Prometheus cannot be read: {sources.metrics.error}"
        return MetricsHealth(MetricsReason.ERROR, message, newest)
    for lane in lanes:
        if (problem := _lane_problem(lane, sources)) is not None:
            return problem
    wanted = [c.metadata.key for c in classes if confidence.get(c.metadata.key) is not Confidence.AMBIGUOUS]
    known = [demand[key].requests_per_second.at for key in wanted if key in demand]
    if wanted and not known and not any(c.metadata.key in demand for c in classes):
        message = (
            f"No series tells the demand of class {wanted[0]}: no gateway counts it and no pod of its lanes reports"
        )
        return MetricsHealth(MetricsReason.MISSING, message, newest)
    if known and now - max(known) > sources.fresh_seconds:
        return _stale(f"The demand of class {wanted[0]}", max(known), now)
    return MetricsHealth(MetricsReason.FOUND, "Metrics are found and fresh", newest)


def _stale(what: str, at: float, now: float) -> MetricsHealth:
    return MetricsHealth(MetricsReason.STALE, f"{what} was last measured {now - at:.0f} s ago", at)


def _lane_problem(lane: OwnLane, sources: Sources) -> MetricsHealth | None:
    """A lane whose Ready pods should report, and of which none does."""
    if lane.engines or not any(settled(pod, sources) for pod in lane.target.pods):
        return None
    last = lane.newest_at or last_seen(sources.metrics.engine_history.fine, (row.fine for row in lane.rows))
    if last is not None:
        return _stale(f"Lane {lane.name}", last, sources.metrics.at)
    spec = lane.scope.resource.spec.self_hosted
    engine = f"{spec.engine.value} metrics" if spec else "metrics"
    message = f"Lane {lane.name}: Prometheus has no {engine} of the pods of {lane.target.kind} {lane.target.name}"
    return MetricsHealth(MetricsReason.MISSING, message)


def last_seen(
    grid: HistoryGrid | None, parts: Iterable[Mapping[str, np.ndarray[tuple[int], np.dtype[np.float32]]]]
) -> float | None:
    """Unix time of the newest known point of the running-requests series; None when there is none."""
    if grid is None:
        return None
    known = [
        int(found[-1])
        for part in parts
        if "running" in part and (found := np.flatnonzero(np.isfinite(part["running"]))).size
    ]
    return grid.start + max(known) * grid.step_seconds if known else None
