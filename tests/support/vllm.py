"""What the tests on a real vLLM share: the lane it stands for, and the client's figures in the engine's buckets."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from spillway.config import OperatorConfig
from spillway.decide.snapshot import EngineState, PlanSnapshot
from spillway.observe.join import build_snapshot
from spillway.observe.metrics import MetricsReader, MetricsView
from spillway.observe.prices import PriceBook
from spillway.observe.scope import LaneScope
from support.observed import cluster, own_lane, plan_scope, pod_name, target, workload

NAMESPACE = "ai"
POD = pod_name("vllm", 0)
MODEL = "tiny"
QUEUE_LIMIT = 12
"""Requests in flight, of which 8 run."""
SCRAPE_SECONDS = 1


@dataclass(slots=True)
class Seen:
    """The operator's eyes on the one lane that the engine stands for."""

    reader: MetricsReader
    settings: OperatorConfig

    async def view(self, at: float | None = None) -> MetricsView:
        """One tick's reading."""
        view = await self.reader.read(time.time() if at is None else at)
        assert view.error is None, view.error
        return view

    async def plan(self, at: float | None = None, ttft_ms: int = 1000, itl_ms: int = 100) -> PlanSnapshot:
        """One tick's reading, joined with a plan of this one lane and a class with that SLO."""
        view = await self.view(at)
        lane = LaneScope(own_lane(NAMESPACE, models=(MODEL,)), target(NAMESPACE, view.at, [POD]))
        slo = {"timeToFirstTokenMs": ttft_ms, "interTokenLatencyMs": itl_ms}
        item = workload(NAMESPACE, match={"model": MODEL}, slo=slo, equivalentModels=[MODEL])
        scope = plan_scope(NAMESPACE, [lane], [item])
        return build_snapshot(cluster(view.at, scope), view, self.settings, view.at, PriceBook()).plans[0]

    async def engine(self, at: float | None = None) -> EngineState:
        """The lane's engines."""
        found = (await self.plan(at)).lanes[0].engine
        assert found is not None
        return found


def bucket(buckets: Sequence[tuple[float, float]], share: float) -> tuple[float, float]:
    """Bounds of the bucket in which that quantile of a cumulative histogram lies."""
    total, lower = buckets[-1][1], 0.0
    for bound, below in buckets:
        if below >= share * total * (1 - 1e-9):
            return lower, bound
        lower = bound
    return lower, math.inf


def quantile(values: Sequence[float], share: float) -> float:
    """The client's own quantile: the smallest value that so many are at most."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
