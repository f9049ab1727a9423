"""Prometheus' answers as typed, frozen values, sorted by whom they speak of. NaN and infinities are missing."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from spillway.api import Engine
from spillway.config import GatewayConfig, GatewayType, PrometheusConfig
from spillway.decide.snapshot import Reading
from spillway.observe.promql import TAG
from spillway.observe.queries import ENVOY_LABEL, LITELLM_LABELS, MODEL, PROXY_CONFIG, object_labels

PodKey = tuple[str, str]
"""Namespace and name of a pod."""

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PodEngine:
    """One model on one pod's engine: gauges as they are, counters as rates a second over the rate window."""

    engine: Engine
    model: str
    at: float
    """Unix time of the newest sample, in seconds."""
    values: Mapping[str, float]
    kv_size_tokens: float | None = None

    def get(self, key: str) -> float | None:
        """The value, or None when it is missing."""
        return self.values.get(key)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Cumulative observations a second by upper bound, in seconds, ascending; the last bound is infinity."""

    model: str
    buckets: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class PodLatency:
    """The histograms of one pod."""

    ttft: tuple[Histogram, ...] = ()
    itl: tuple[Histogram, ...] = ()


@dataclass(frozen=True, slots=True)
class GpuReadings:
    """GPU exporters' figures."""

    busy: Mapping[PodKey, Reading] = field(default_factory=dict)
    """Mean over the pod's GPUs, 0 to 1."""
    requested: Mapping[PodKey, float] = field(default_factory=dict)
    """GPUs that the pod's containers request, from kube-state-metrics."""
    allocatable: float | None = None


@dataclass(frozen=True, slots=True)
class GatewaySeries:
    """One group of a gateway's counters, as rates a second."""

    labels: Labels
    at: float
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class GatewayReading:
    """One gateway's counters."""

    series: tuple[GatewaySeries, ...] = ()
    alive_at: float | None = None
    """When it last answered a scrape, Unix time; what it has not counted by then is 0 and not missing."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of an answer."""

    tag: str
    labels: Labels
    value: float


def samples(result: Any) -> Iterator[Sample]:
    """The finite samples of an instant query's answer."""
    for item in result:
        value = float(item["value"][1])
        if math.isfinite(value):
            metric = item["metric"]
            yield Sample(metric.get(TAG, ""), metric, value)


def parse_engines(prometheus: PrometheusConfig) -> Callable[[Any], dict[PodKey, tuple[PodEngine, ...]]]:
    """Parser of the query ``engines``: readings by pod."""
    namespace, pod = prometheus.labels.namespace, prometheus.labels.pod

    def parse(result: Any) -> dict[PodKey, tuple[PodEngine, ...]]:
        values: dict[tuple[PodKey, str, str], dict[str, float]] = defaultdict(dict)
        for sample in samples(result):
            labels = sample.labels
            if namespace not in labels or pod not in labels:
                continue
            engine, _, key = sample.tag.partition("/")
            group = values[(labels[namespace], labels[pod]), engine, labels.get(MODEL, "")]
            if key == "cache_info":
                if (size := _cache_tokens(labels)) is not None:
                    group["kv_size_tokens"] = group.get("kv_size_tokens", 0.0) + size * sample.value
            else:
                group[key] = sample.value
        return _by_pod(values)

    return parse


def _cache_tokens(labels: Labels) -> float | None:
    try:
        if tokens := labels.get("kv_cache_size_tokens"):
            return float(tokens)
        return float(labels["block_size"]) * float(labels["num_gpu_blocks"])
    except (KeyError, ValueError):
        return None


def _by_pod(values: Mapping[tuple[PodKey, str, str], dict[str, float]]) -> dict[PodKey, tuple[PodEngine, ...]]:
    # The info metric carries no model_name in some versions: its size belongs to the pod.
    sizes = {key: group["kv_size_tokens"] for (key, _, _), group in values.items() if "kv_size_tokens" in group}
    found: dict[PodKey, list[PodEngine]] = defaultdict(list)
    for (key, engine, model), group in values.items():
        # A sample has a time even when its value is NaN: an engine that says nothing but that does not report.
        if "at" in group and group.keys() - {"at", "kv_size_tokens"}:
            found[key].append(PodEngine(Engine(engine), model, group["at"], group, sizes.get(key)))
    return {key: tuple(engines) for key, engines in found.items()}


def parse_latency(prometheus: PrometheusConfig) -> Callable[[Any], dict[PodKey, PodLatency]]:
    """Parser of the query ``latency``: histograms by pod."""
    namespace, pod = prometheus.labels.namespace, prometheus.labels.pod

    def parse(result: Any) -> dict[PodKey, PodLatency]:
        buckets: dict[tuple[PodKey, str, str], list[tuple[float, float]]] = defaultdict(list)
        for sample in samples(result):
            labels = sample.labels
            if namespace in labels and pod in labels and "le" in labels:
                key = (labels[namespace], labels[pod])
                kind = sample.tag.partition("/")[2]
                buckets[key, kind, labels.get(MODEL, "")].append((float(labels["le"]), sample.value))
        found: dict[PodKey, dict[str, list[Histogram]]] = defaultdict(lambda: {"ttft": [], "itl": []})
        for (key, kind, model), bounds in buckets.items():
            found[key][kind].append(Histogram(model, tuple(sorted(bounds))))
        return {key: PodLatency(tuple(kinds["ttft"]), tuple(kinds["itl"])) for key, kinds in found.items()}

    return parse


def parse_gpus(prometheus: PrometheusConfig) -> Callable[[Any], GpuReadings]:
    """Parser of the query ``gpus``."""
    pairs = object_labels(prometheus)

    def parse(result: Any) -> GpuReadings:
        figures: dict[str, dict[PodKey, float]] = {"busy": {}, "at": {}, "requested": {}}
        allocatable = None
        for sample in samples(result):
            if sample.tag == "allocatable":
                allocatable = sample.value
                continue
            named = ((sample.labels.get(namespace), sample.labels.get(pod)) for namespace, pod in pairs)
            key = next(((namespace, pod) for namespace, pod in named if namespace and pod), None)
            if key is not None and sample.tag in figures:
                figures[sample.tag][key] = sample.value
        at = figures["at"]
        busy = {key: Reading(value, at[key]) for key, value in figures["busy"].items() if key in at}
        return GpuReadings(busy, figures["requested"], allocatable)

    return parse


def parse_proxies(prometheus: PrometheusConfig) -> Callable[[Any], dict[PodKey, dict[str, float]]]:
    """Parser of the query ``proxies``: by pod, hash of a configuration to the deployments of it that are loaded."""
    namespace, pod = prometheus.labels.namespace, prometheus.labels.pod

    def parse(result: Any) -> dict[PodKey, dict[str, float]]:
        found: dict[PodKey, dict[str, float]] = defaultdict(dict)
        for sample in samples(result):
            key = sample.labels.get(namespace, ""), sample.labels.get(pod, "")
            if all(key):
                found[key][sample.labels.get(PROXY_CONFIG, "")] = sample.value
        return dict(found)

    return parse


def parse_gateways(kind: GatewayType, gateways: Iterable[GatewayConfig]) -> Callable[[Any], dict[str, GatewayReading]]:
    """Parser of a gateway type's query: readings by the gateway's configured name."""
    chosen = [gateway for gateway in gateways if gateway.type is kind]
    own = LITELLM_LABELS if kind is GatewayType.LITELLM else (ENVOY_LABEL,)

    def parse(result: Any) -> dict[str, GatewayReading]:
        groups: dict[tuple[tuple[str, str], ...], dict[str, float]] = defaultdict(dict)
        for sample in samples(result):
            labels = tuple(sorted((name, text) for name, text in sample.labels.items() if name != TAG))
            groups[labels][sample.tag] = sample.value
        return {gateway.name: _gateway(gateway, groups, own) for gateway in chosen}

    return parse


def is_of(gateway: GatewayConfig, labels: Labels) -> bool:
    """Whether a series with these labels is the gateway's."""
    return all(labels.get(name, "") == value for name, value in gateway.labels.items())


def _gateway(
    gateway: GatewayConfig, groups: Mapping[tuple[tuple[str, str], ...], dict[str, float]], own: tuple[str, ...]
) -> GatewayReading:
    series: list[GatewaySeries] = []
    alive: list[float] = []
    for key, values in groups.items():
        labels = dict(key)
        if not is_of(gateway, labels):
            continue
        if "up" in values:
            if values["up"] >= 1 and "up_at" in values:
                alive.append(values["up_at"])
        elif any(labels.get(name) for name in own):
            at = values.get("at")
            figures = {name: value for name, value in values.items() if name != "at"}
            series.append(GatewaySeries(labels, at if at is not None else math.nan, figures))
    newest = [one.at for one in series if math.isfinite(one.at)]
    if not gateway.labels:
        alive = newest
    # Failures are counted apart from successes and carry no time of their own: the gateway's is theirs.
    known = max([*alive, *newest], default=math.nan)
    dated = [one if math.isfinite(one.at) else GatewaySeries(one.labels, known, one.values) for one in series]
    return GatewayReading(tuple(one for one in dated if math.isfinite(one.at)), max(alive, default=None))
