"""Gateways' and engines' series with their histories, indexed by what they speak of, once a tick."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from spillway.config import GatewayConfig, GatewayRole, GatewayType, OperatorConfig
from spillway.observe.history import HistoryGrid, HistoryKey, Values
from spillway.observe.metrics import HistoryView, MetricsView
from spillway.observe.queries import ENVOY_LABEL, MODEL
from spillway.observe.readings import GatewaySeries, Labels, is_of

_ROUTE_CLUSTER = re.compile(r"^httproute/([^/]+)/([^/]+)/rule/([0-9]+)(?:/.*)?$")

LabelKey = tuple[tuple[str, str], ...]
ByTag = Mapping[str, Values]


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """One group of a gateway's counters: now, and over time."""

    gateway: GatewayConfig
    labels: Labels
    now: GatewaySeries | None = None
    fine: ByTag = field(default_factory=dict)
    coarse: ByTag = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineRow:
    """One model of one workload over time, summed over its pods."""

    engine: str
    model: str
    fine: ByTag
    coarse: ByTag


def _by_labels(grid: HistoryGrid | None) -> dict[LabelKey, dict[str, Values]]:
    found: dict[LabelKey, dict[str, Values]] = defaultdict(dict)
    for (tag, labels), values in (grid.series if grid else {}).items():
        found[labels][tag] = values
    return found


class GatewayCounters:
    """The counters of all gateways of one role and type."""

    def __init__(self, gateways: Iterable[GatewayConfig], metrics: MetricsView) -> None:
        """Index what ``metrics`` holds of these gateways."""
        self.gateways = tuple(gateways)
        self.by_route: dict[tuple[str, str, int], list[GatewayRow]] = defaultdict(list)
        self._by_label: dict[tuple[str, str], list[GatewayRow]] = defaultdict(list)
        readings = [metrics.gateways[gateway.name] for gateway in self.gateways if gateway.name in metrics.gateways]
        self.alive_at = max((reading.alive_at for reading in readings if reading.alive_at), default=None)
        for gateway in self.gateways:
            for row in _gateway_rows(gateway, metrics):
                self._index(row)

    def _index(self, row: GatewayRow) -> None:
        if found := _ROUTE_CLUSTER.match(row.labels.get(ENVOY_LABEL, "")):
            namespace, route, index = found.groups()
            self.by_route[namespace, route, int(index)].append(row)
            return
        for label in ("model", "requested_model", "team", "team_alias"):
            if text := row.labels.get(label):
                self._by_label[label, text].append(row)

    def labelled(self, label: str, value: str) -> list[GatewayRow]:
        """Rows whose label has that value."""
        return self._by_label.get((label, value), [])


def _gateway_rows(gateway: GatewayConfig, metrics: MetricsView) -> list[GatewayRow]:
    history = metrics.gateway_history.get(gateway.type, HistoryView())
    fine, coarse = _by_labels(history.fine), _by_labels(history.coarse)
    reading = metrics.gateways.get(gateway.name)
    now = {tuple(sorted(series.labels.items())): series for series in (reading.series if reading else ())}
    rows = []
    for key in dict.fromkeys((*now, *fine, *coarse)):
        labels = dict(key)
        if is_of(gateway, labels):
            rows.append(GatewayRow(gateway, labels, now.get(key), fine.get(key, {}), coarse.get(key, {})))
    return rows


class EngineHistory:
    """The histories of all workloads' engines."""

    def __init__(self, history: HistoryView, namespace_label: str) -> None:
        """Index ``history`` by namespace and workload."""
        self._rows: dict[tuple[str, str], list[EngineRow]] = defaultdict(list)
        self._ordinals: dict[tuple[str, str], set[str]] = defaultdict(set)
        grouped: dict[tuple[str, str, str, str], tuple[dict[str, Values], dict[str, Values]]] = {}
        for position, grid in enumerate((history.fine, history.coarse)):
            for key, values in (grid.series if grid else {}).items():
                place, tag = _engine_place(key, namespace_label)
                grouped.setdefault(place, ({}, {}))[position][tag] = values
        for (engine, namespace, workload, model), (fine, coarse) in grouped.items():
            if not workload:
                continue
            self._rows[namespace, workload].append(EngineRow(engine, model, fine, coarse))
            if found := re.fullmatch(r"(.*)-[0-9]+", workload):
                self._ordinals[namespace, found[1]].add(workload)

    def rows(self, namespace: str, kind: str, name: str) -> list[EngineRow]:
        """What is known of one workload. A LeaderWorkerSet's workers carry their group's number in the name."""
        names = [name]
        if kind == "LeaderWorkerSet":
            names += sorted(self._ordinals.get((namespace, name), ()))
        return [row for each in names for row in self._rows.get((namespace, each), ())]


def _engine_place(key: HistoryKey, namespace_label: str) -> tuple[tuple[str, str, str, str], str]:
    engine, _, tag = key[0].partition("/")
    labels = dict(key[1])
    return (engine, labels.get(namespace_label, ""), labels.get("workload", ""), labels.get(MODEL, "")), tag


@dataclass(frozen=True, slots=True)
class Sources:
    """Every counter of one tick, indexed."""

    config: OperatorConfig
    metrics: MetricsView
    litellm_front: GatewayCounters
    envoy_front: GatewayCounters
    egress: GatewayCounters
    """What counts hosted traffic: LiteLLM at the egress; where there is none, LiteLLM at the front sees it too."""
    engines: EngineHistory

    @property
    def fresh_seconds(self) -> float:
        """A newest sample older than this is stale."""
        return max(4 * self.config.prometheus.scrape_interval_seconds, 2 * self.config.tick_seconds)


def _aligned(metrics: MetricsView) -> MetricsView:
    """All histories up to one end: where a source could not be read lately, its newest points are gaps."""
    views = [metrics.engine_history, *metrics.gateway_history.values()]
    fine = max((view.fine.end for view in views if view.fine), default=0.0)
    coarse = max((view.coarse.end for view in views if view.coarse), default=0.0)

    def align(view: HistoryView) -> HistoryView:
        return HistoryView(view.fine and view.fine.until(fine), view.coarse and view.coarse.until(coarse))

    gateways = {kind: align(view) for kind, view in metrics.gateway_history.items()}
    return replace(metrics, engine_history=align(metrics.engine_history), gateway_history=gateways)


def index_sources(view: MetricsView, config: OperatorConfig) -> Sources:
    """Index a view for the join."""
    metrics = _aligned(view)

    def chosen(kind: GatewayType, role: GatewayRole) -> GatewayCounters:
        return GatewayCounters([g for g in config.gateways if g.type is kind and g.role is role], metrics)

    front = chosen(GatewayType.LITELLM, GatewayRole.FRONT)
    egress = chosen(GatewayType.LITELLM, GatewayRole.EGRESS)
    return Sources(
        config=config,
        metrics=metrics,
        litellm_front=front,
        envoy_front=chosen(GatewayType.ENVOY, GatewayRole.FRONT),
        egress=egress if egress.gateways else front,
        engines=EngineHistory(metrics.engine_history, config.prometheus.labels.namespace),
    )
