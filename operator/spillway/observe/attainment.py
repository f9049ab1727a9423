"""Share of a class's own-GPU requests that met its SLO, out of the engines' histograms."""

from __future__ import annotations

from collections.abc import Sequence

from spillway.api import WorkloadClass
from spillway.decide.snapshot import Reading
from spillway.observe.claims import may_use
from spillway.observe.counters import Sources
from spillway.observe.histogram import share_within
from spillway.observe.lanes import OwnLane
from spillway.observe.readings import Histogram


def attainment(item: WorkloadClass, lanes: Sequence[OwnLane], sources: Sources) -> Reading | None:
    """The lower of the shares that met the TTFT and the ITL; None without an SLO or without requests lately.

    The histograms don't tell classes apart: on a shared lane this is the share of all requests that would meet this
    class's SLO.
    """
    slo = item.spec.slo
    if slo is None:
        return None
    ttft: list[Histogram] = []
    itl: list[Histogram] = []
    newest: list[float] = []
    for lane in lanes:
        models = lane.scope.resource.spec.models
        newest += [engine.at for engine in lane.engines]
        for key in lane.pod_keys:
            if (latency := sources.metrics.latency.get(key)) is not None:
                ttft += [each for each in latency.ttft if may_use(item, each.model, models)]
                itl += [each for each in latency.itl if may_use(item, each.model, models)]
    shares = [
        share_within([each.buckets for each in ttft], slo.time_to_first_token_ms / 1000),
        share_within([each.buckets for each in itl], slo.inter_token_latency_ms / 1000),
    ]
    known = [share for share in shares if share is not None]
    return Reading(min(known), max(newest)) if known and newest else None
