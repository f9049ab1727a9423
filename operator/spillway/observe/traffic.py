"""Traffic of a whole Prometheus without any plan: by engines' workload and model, by route rule, by LiteLLM's labels.

The expressions are those of the operator's ticks with rate windows of a bin's width, and three more: latency quantiles
by workload, OpenCost's GPU prices, and which GPU model DCGM saw under which pod. Their number is fixed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from spillway.api import Engine
from spillway.config import GatewayConfig, GatewayRole, GatewayType, OperatorConfig, PrometheusConfig
from spillway.observe.engines import TABLES
from spillway.observe.history import HistoryGrid, Values
from spillway.observe.past import read_grid, wide_queries
from spillway.observe.prometheus import Evaluation, PrometheusClient, PrometheusError
from spillway.observe.promql import Term, grouped, union, window, with_workload
from spillway.observe.queries import ENVOY_LABEL, LITELLM_LABELS, MODEL, object_labels
from spillway.observe.readings import PodKey, samples

BIN_SECONDS = 300
QUANTILES = (0.9, 0.99)
QUANTILE_WINDOWS = (86_400.0, 3_600.0)
"""The longest first; the next where Prometheus can't take so many samples."""
EngineKey = tuple[str, str, str]
"""Namespace, workload and model."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What was counted. None: nothing counts it."""

    seconds: float
    """Time for which there is anything, to half a bin."""
    requests: float
    peak_requests_per_second: float
    input_tokens: float | None = None
    output_tokens: float | None = None
    cached_tokens: float | None = None


@dataclass(frozen=True, slots=True)
class EngineTotals:
    """One model of one workload."""

    engine: Engine
    totals: Totals
    latency: Mapping[str, float] = field(default_factory=dict)
    """ "ttft_p90", "ttft_p99", "itl_p90", "itl_p99", in seconds; what nobody observed is left out."""


@dataclass(frozen=True, slots=True)
class GatewayTotals:
    """One set of labels of a gateway's counters."""

    labels: Mapping[str, str]
    totals: Totals


@dataclass(frozen=True, slots=True)
class Traffic:
    """Everything that was read."""

    engines: Mapping[EngineKey, EngineTotals] = field(default_factory=dict)
    rules: Mapping[tuple[str, str, int], Totals] = field(default_factory=dict)
    """By namespace, HTTPRoute and number of the rule."""
    litellm: tuple[GatewayTotals, ...] = ()
    gpu_models: Mapping[PodKey, str] = field(default_factory=dict)
    """DCGM's name of the GPUs under a pod."""
    gpu_usd: Mapping[str, float] = field(default_factory=dict)
    """OpenCost's price of one GPU-hour by node."""
    problems: tuple[str, ...] = ()
    """One for each part that could not be read."""


async def read_traffic(config: OperatorConfig, end: float, days: float) -> Traffic:
    """What was counted in the days before ``end`` (Unix seconds).

    Parts that can't be read are ``problems``. Raises PrometheusError where nothing can.
    """
    wide = config.model_copy(update={"gateways": _every_gateway(config)})
    bins = max(2, math.ceil(days * 86_400 / BIN_SECONDS))
    client = PrometheusClient(config.prometheus)
    reader = _Reader(client, config.prometheus, float(math.floor(end)))
    try:
        client.refresh_credentials()
        grids = {}
        for query in wide_queries(wide, BIN_SECONDS):
            try:
                grids[query.name] = await read_grid(client, query, reader.end, bins, BIN_SECONDS)
            except PrometheusError as error:
                reader.problems.append(str(error))
        if not grids:
            raise PrometheusError(reader.problems[0])
        latency = await reader.latency(days)
        gpu_models, gpu_usd = await reader.gpu_models(), await reader.gpu_usd()
    finally:
        client.close()
    return Traffic(
        engines=_engines(grids.get("engines"), latency, config.prometheus),
        rules=_rules(grids.get(GatewayType.ENVOY.value)),
        litellm=_litellm(grids.get(GatewayType.LITELLM.value)),
        gpu_models=gpu_models,
        gpu_usd=gpu_usd,
        problems=tuple(reader.problems),
    )


def _every_gateway(config: OperatorConfig) -> tuple[GatewayConfig, ...]:
    """One gateway of each type that takes every series of it, whatever is configured."""
    return tuple(GatewayConfig(name=f"any-{kind.value}", type=kind, role=GatewayRole.FRONT) for kind in GatewayType)


class _Reader:
    """The queries that only this reading makes."""

    def __init__(self, client: PrometheusClient, prometheus: PrometheusConfig, end: float) -> None:
        self._client, self._prometheus, self.end = client, prometheus, end
        self.problems: list[str] = []

    async def latency(self, days: float) -> dict[EngineKey, dict[str, float]]:
        """Quantiles by workload and model."""
        for seconds in QUANTILE_WINDOWS:
            expression = _quantiles(self._prometheus, min(seconds, days * 86_400))
            try:
                return await self._client.query(expression, Evaluation(self.end), self._parse_latency)
            except PrometheusError as error:
                last = error
        self.problems.append(f"latency quantiles could not be read: {last}")
        return {}

    def _parse_latency(self, result: Any) -> dict[EngineKey, dict[str, float]]:
        found: dict[EngineKey, dict[str, float]] = defaultdict(dict)
        for sample in samples(result):
            found[_engine_key(sample.labels, self._prometheus)][sample.tag] = sample.value
        return dict(found)

    async def gpu_models(self) -> dict[PodKey, str]:
        """DCGM's GPU model by pod; empty where it can't be read."""
        pairs = object_labels(self._prometheus)
        by = [*dict.fromkeys(label for pair in pairs for label in pair), "modelName"]
        expression = grouped("count", by, "DCGM_FI_DEV_GPU_UTIL")

        def parse(result: Any) -> dict[PodKey, str]:
            found: dict[PodKey, str] = {}
            for item in result:
                labels = item["metric"]
                named = ((labels.get(namespace), labels.get(pod)) for namespace, pod in pairs)
                key = next(((namespace, pod) for namespace, pod in named if namespace and pod), None)
                if key is not None and labels.get("modelName"):
                    found[key] = labels["modelName"]
            return found

        try:
            return await self._client.query(expression, Evaluation(self.end), parse)
        except PrometheusError as error:
            self.problems.append(f"DCGM's series could not be read: {error}")
            return {}

    async def gpu_usd(self) -> dict[str, float]:
        """OpenCost's price by node; empty where it can't be read."""
        expression = grouped("avg", ["node"], "node_gpu_hourly_cost > 0")

        def parse(result: Any) -> dict[str, float]:
            return {sample.labels["node"]: sample.value for sample in samples(result) if "node" in sample.labels}

        try:
            return await self._client.query(expression, Evaluation(self.end), parse)
        except PrometheusError as error:
            self.problems.append(f"OpenCost's series could not be read: {error}")
            return {}


def _quantiles(prometheus: PrometheusConfig, seconds: float) -> str:
    by = (prometheus.labels.namespace, "workload", MODEL)
    inner = (prometheus.labels.namespace, prometheus.labels.pod, MODEL, "le")
    terms = []
    for measure, chosen in (("ttft", "time_to_first_token"), ("itl", "request_token_latency")):
        for quantile in QUANTILES:
            parts = []
            for table in TABLES:
                for name in getattr(table, chosen):
                    rates = grouped("sum", inner, f"rate({name}_bucket[{window(seconds)}])")
                    buckets = grouped("sum", [*by, "le"], with_workload(rates, prometheus.labels.pod))
                    parts.append(f"histogram_quantile({quantile}, {buckets})")
            terms.append(Term(f"{measure}_p{round(quantile * 100)}", " or ".join(parts)))
    return union(terms)


def _engine_key(labels: Mapping[str, str], prometheus: PrometheusConfig) -> EngineKey:
    return labels.get(prometheus.labels.namespace, ""), labels.get("workload", ""), labels.get(MODEL, "")


def _engines(
    grid: HistoryGrid | None, latency: Mapping[EngineKey, Mapping[str, float]], prometheus: PrometheusConfig
) -> dict[EngineKey, EngineTotals]:
    rows: dict[tuple[str, EngineKey], dict[str, Values]] = defaultdict(dict)
    for (tag, labels), values in (grid.series if grid else {}).items():
        engine, _, measure = tag.partition("/")
        rows[engine, _engine_key(dict(labels), prometheus)][measure] = values
    found = {}
    for (engine, key), measures in rows.items():
        if totals := _totals(measures, "requests", seen=measures.get("running")):
            found[key] = EngineTotals(Engine(engine), totals, latency.get(key, {}))
    return found


def _rules(grid: HistoryGrid | None) -> dict[tuple[str, str, int], Totals]:
    found: dict[tuple[str, str, int], Totals] = {}
    for (tag, labels), values in (grid.series if grid else {}).items():
        parts = dict(labels).get(ENVOY_LABEL, "").split("/")
        if tag != "requests" or len(parts) < 5 or parts[0] != "httproute" or not parts[4].isdecimal():
            continue
        totals = _totals({"requests": values}, "requests")
        key = (parts[1], parts[2], int(parts[4]))
        if totals is not None:
            found[key] = added(found.get(key), totals)
    return found


def _litellm(grid: HistoryGrid | None) -> tuple[GatewayTotals, ...]:
    rows: dict[tuple[tuple[str, str], ...], dict[str, Values]] = defaultdict(dict)
    for (tag, labels), values in (grid.series if grid else {}).items():
        kept = tuple((name, text) for name, text in labels if name in LITELLM_LABELS and text not in ("", "None"))
        rows[kept][tag] = values
    found = []
    for labels, measures in rows.items():
        key = "requests" if "requests" in measures else "proxy_requests"
        if labels and (totals := _totals(measures, key, seen=next(iter(measures.values())))):
            found.append(GatewayTotals(dict(labels), totals))
    return tuple(found)


def _totals(measures: Mapping[str, Values], key: str, seen: Values | None = None) -> Totals | None:
    """Sums over all bins; None where there was nothing at all, not even an idle engine (``seen``)."""
    rates = measures.get(key)
    if rates is None and seen is None:
        return None
    known = np.logical_or.reduce([np.isfinite(values) for values in (rates, seen) if values is not None])
    if not known.any():
        return None
    # Where the series began, it did so somewhere in its first bin.
    bins = float(known.sum()) - (0.0 if known[0] else 0.5)

    def total(tag: str) -> float | None:
        values = measures.get(tag)
        return None if values is None else float(np.nansum(values)) * BIN_SECONDS

    peak = 0.0 if rates is None or not np.isfinite(rates).any() else float(np.nanmax(rates))
    return Totals(
        seconds=bins * BIN_SECONDS,
        requests=total(key) or 0.0,
        peak_requests_per_second=peak,
        input_tokens=total("input_tokens"),
        output_tokens=total("output_tokens"),
        cached_tokens=total("cached_tokens"),
    )


def added(left: Totals | None, right: Totals) -> Totals:
    """Both together; the peaks are added, as they may have been at one time."""
    if left is None:
        return right

    def both(name: str) -> float | None:
        known = [value for each in (left, right) if (value := getattr(each, name)) is not None]
        return sum(known) if known else None

    return replace(
        right,
        seconds=max(left.seconds, right.seconds),
        requests=left.requests + right.requests,
        peak_requests_per_second=left.peak_requests_per_second + right.peak_requests_per_second,
        **{name: both(name) for name in ("input_tokens", "output_tokens", "cached_tokens")},
    )


def combined(parts: Iterable[Totals]) -> Totals | None:
    """All together; None for none."""
    total: Totals | None = None
    for each in parts:
        total = added(total, each)
    return total
