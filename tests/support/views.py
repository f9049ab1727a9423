"""Views of metrics put together by hand, for the pure half of the join."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spillway.api import Engine
from spillway.config import GatewayType
from spillway.observe.history import HistoryGrid, HistoryKey, Values
from spillway.observe.metrics import HistoryView, MetricsView
from spillway.observe.readings import GatewayReading, GatewaySeries, PodEngine, PodKey

NOW = 1_800_000_000.0


def engine(requests: float | None = 2.0, model: str = "llama", *, at: float = NOW, **values: float) -> PodEngine:
    """One pod's engine with 8 requests running."""
    known = {"running": 8.0, "waiting": 0.0} | values | ({} if requests is None else {"requests": requests})
    return PodEngine(Engine.VLLM, model, at, known)


def engines(namespace: str, *readings: PodEngine, workload: str = "vllm") -> dict[PodKey, tuple[PodEngine, ...]]:
    """Pods ``<workload>-0`` and on, each with one reading."""
    return {(namespace, f"{workload}-{n}"): (reading,) for n, reading in enumerate(readings)}


def pods(count: int, workload: str = "vllm") -> list[str]:
    """The names that ``engines`` gives."""
    return [f"{workload}-{n}" for n in range(count)]


def series(at: float = NOW, labels: Mapping[str, str] | None = None, **values: float) -> GatewaySeries:
    """One group of a gateway's counters."""
    return GatewaySeries(labels or {}, at, values)


def envoy(route: str, rate: float, at: float = NOW) -> GatewaySeries:
    """A route rule's counter: ``route`` as namespace/name/index."""
    namespace, name, index = route.split("/")
    labels = {"job": "envoy", "envoy_cluster_name": f"httproute/{namespace}/{name}/rule/{index}"}
    return series(at, labels, requests=rate)


def litellm(model: str, rate: float, *, requested: str = "", team: str = "", **labels: str) -> GatewaySeries:
    """A LiteLLM group: 1,000 tokens in and 100 out per request."""
    named = {"job": "litellm", "model": model, "requested_model": requested or model, "team": team, **labels}
    known = {key: text for key, text in named.items() if text}
    return series(NOW, known, requests=rate, input_tokens=rate * 1000, output_tokens=rate * 100)


def grid(content: Mapping[HistoryKey, Sequence[float | None]], step: int = 15) -> HistoryGrid:
    """A grid that ends now; None is a gap."""
    points = len(next(iter(content.values()), ()))
    arrays: dict[HistoryKey, Values] = {
        key: np.array([math.nan if value is None else value for value in values], dtype=np.float32)
        for key, values in content.items()
    }
    return HistoryGrid(NOW, step, points, arrays)


def engine_history(
    namespace: str, workload: str = "vllm", model: str = "llama", **measures: Sequence[float | None]
) -> dict[HistoryKey, Sequence[float | None]]:
    """Histories of one workload's vLLM engines."""
    labels = (("model_name", model), ("namespace", namespace), ("workload", workload))
    return {(f"vLLM/{name}", labels): values for name, values in measures.items()}


def view(
    engines: Mapping[PodKey, tuple[PodEngine, ...]] | None = None,
    *,
    egress: Sequence[GatewaySeries] = (),
    front: Sequence[GatewaySeries] = (),
    alive: bool = True,
    history: HistoryGrid | None = None,
    **more: Any,
) -> MetricsView:
    """A view with an egress and a front, both up unless told otherwise."""
    at = NOW if alive else None
    gateways = {"egress": GatewayReading(tuple(egress), at), "front": GatewayReading(tuple(front), at)}
    histories = {GatewayType.LITELLM: HistoryView(), GatewayType.ENVOY: HistoryView()}
    content: dict[str, Any] = {
        "engines": engines or {},
        "gateways": gateways,
        "engine_history": HistoryView(history),
        "gateway_history": histories,
    }
    return MetricsView(at=NOW, **(content | more))
