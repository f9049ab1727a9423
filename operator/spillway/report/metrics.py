"""The operator's own Prometheus metrics, on a registry of their own.

Figures of plans, lanes and classes are collected from the last published reports, so that the series of a deleted
object end with it. Object names are single labels (``plan="namespace/name"``), which no scrape relabels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from spillway import __version__
from spillway.api import CapacityPlanStatus
from spillway.api.status import ConditionStatus, MoveState
from spillway.decide.decision import ClassDecision, Decision, LaneDecision
from spillway.decide.snapshot import Spent
from spillway.report.budgets import BUDGET_DEFINITIONS, Positions, budget_samples
from spillway.report.hosted import HostedCounters, SpillShare
from spillway.report.lane_changes import DEFINITION, UNKNOWN, PlanChanges, change_samples

TICK_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What is exported of one plan."""

    decision: Decision
    status: CapacityPlanStatus
    spent: Spent | None = None
    ceilings: tuple[tuple[str, float], ...] = ()
    """By period."""
    spill: tuple[SpillShare, ...] = ()
    budgets: Positions = field(default_factory=dict)
    changes: PlanChanges = UNKNOWN


class OperatorMetrics:
    """Counters of the operator's own work, and the figures of the last published reports."""

    def __init__(self) -> None:
        # A second series for each counter, which nobody reads.
        disable_created_metrics()
        self.registry = CollectorRegistry()
        self._plans = _PlanCollector()
        self.registry.register(self._plans)
        self.hosted = HostedCounters()
        self.registry.register(self.hosted)
        ProcessCollector(registry=self.registry)
        registry = self.registry
        self._ticks = Counter("spillway_ticks", "Ticks by result (completed, failed).", ["result"], registry=registry)
        self._tick_seconds = Histogram(
            "spillway_tick_duration_seconds", "How long a tick took.", buckets=TICK_BUCKETS, registry=registry
        )
        self._last_tick = Gauge(
            "spillway_last_tick_timestamp_seconds", "Unix time of the last completed tick.", registry=registry
        )
        self._writes = Counter(
            "spillway_writes", "Writes to the apiserver by kind and result.", ["kind", "result"], registry=registry
        )
        self._read_failures = Counter(
            "spillway_prometheus_read_failures", "Reads from Prometheus that failed.", registry=registry
        )
        build = Gauge("spillway_build_info", "1, with the operator's version.", ["version"], registry=registry)
        build.labels(version=__version__).set(1)
        for result in ("completed", "failed"):
            self._ticks.labels(result=result)

    def tick_completed(self, duration_seconds: float, now: float) -> None:
        """A tick went through; ``now`` is Unix time in seconds."""
        self._ticks.labels(result="completed").inc()
        self._tick_seconds.observe(duration_seconds)
        self._last_tick.set(now)

    def tick_failed(self, duration_seconds: float) -> None:
        """A tick broke off."""
        self._ticks.labels(result="failed").inc()
        self._tick_seconds.observe(duration_seconds)

    def wrote(self, kind: str, result: str) -> None:
        """One write, such as ("Scale", "ok") or ("HTTPRoute", "conflict")."""
        self._writes.labels(kind=kind, result=result).inc()

    def prometheus_read_failed(self) -> None:
        """One read from Prometheus failed."""
        self._read_failures.inc()

    def publish(self, reports: Sequence[PlanReport]) -> None:
        """Replace what is exported of plans, lanes and classes; what is not in ``reports`` vanishes."""
        self._plans.reports = tuple(reports)

    def render(self) -> bytes:
        """The exposition in Prometheus' text format."""
        return generate_latest(self.registry)


class _PlanCollector(Collector):
    """Figures of the last reports, built when they are scraped."""

    def __init__(self) -> None:
        self.reports: tuple[PlanReport, ...] = ()

    def collect(self) -> Iterator[Metric]:
        families = _families()
        for report in self.reports:
            _plan(report, families)
            for lane in report.decision.lanes:
                _lane(report.decision.plan_key, lane, families)
            for each in report.decision.classes:
                _class(report.decision.plan_key, each, families)
            for share in report.spill:
                labels = (report.decision.plan_key, share.class_key, share.team)
                _set(families, "spillway_spill_ratio", labels, share.ratio)
            for name, its_labels, value in budget_samples(report.decision.plan_key, report.budgets):
                _set(families, name, its_labels, value)
        yield from families.values()


_Families = dict[str, GaugeMetricFamily]

_DEFINITIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "spillway_plan_usd_per_hour",
        "US dollars an hour by basis (billed, allocated, static, expected, hosted).",
        ("plan", "basis"),
    ),
    (
        "spillway_plan_saving_usd_per_hour",
        "Static fleet minus billed, US dollars an hour; negative: Spillway costs more.",
        ("plan",),
    ),
    ("spillway_plan_gpus", "GPUs by state (current, recommended).", ("plan", "state")),
    (
        "spillway_plan_bound_saving_usd_per_hour",
        "US dollars an hour saved if a bound were wider: by one replica (lane/, pool/), one dollar an hour (ceiling,"
        " tier/), 1,000 tokens a minute (tokens-per-minute/).",
        ("plan", "bound"),
    ),
    (
        "spillway_plan_spent_usd",
        "What hosted lanes have cost in the running period (hour, day, month), US dollars.",
        ("plan", "period"),
    ),
    ("spillway_plan_ceiling_usd", "Ceilings on hosted dollars by period (hour, day, month).", ("plan", "period")),
    ("spillway_plan_condition", "1 where the condition is True, else 0.", ("plan", "type")),
    (
        "spillway_lane_replicas",
        "Replicas by state (current, ready, desired before guards, recommended after them).",
        ("plan", "lane", "state"),
    ),
    (
        "spillway_lane_utilization_ratio",
        "GPU utilization by figure (allocated, busy, effective, load, saturation).",
        ("plan", "lane", "figure"),
    ),
    (
        "spillway_lane_move",
        "1 for the state in which the lane is in the safe order, else 0.",
        ("plan", "lane", "state"),
    ),
    ("spillway_lane_usd_per_hour", "What the lane costs now, US dollars an hour.", ("plan", "lane")),
    ("spillway_lane_usd_per_mtok", "What the lane's tokens cost now, US dollars per million.", ("plan", "lane")),
    ("spillway_lane_spill_ratio", "Share of the plan's requests that the hosted lane gets.", ("plan", "lane")),
    (
        "spillway_lane_replica_requests_per_second",
        "Requests a second that one replica serves within the SLO.",
        ("plan", "lane"),
    ),
    ("spillway_class_requests_per_second", "Demand, requests a second.", ("plan", "class")),
    ("spillway_class_tokens_per_second", "Demand, input and output tokens a second.", ("plan", "class")),
    (
        "spillway_class_forecast_requests_per_second",
        "Forecast demand at the start-up lead by quantile, requests a second.",
        ("plan", "class", "quantile"),
    ),
    ("spillway_class_hosted_ratio", "Share of the class that hosted lanes should get.", ("plan", "class")),
    (
        "spillway_spill_ratio",
        "Share of the class's requests that hosted lanes serve now, by their counters; team: of the class's match.",
        ("plan", "class", "team"),
    ),
    ("spillway_class_attainment_ratio", "Share of own-GPU requests that met the SLO.", ("plan", "class")),
    ("spillway_class_usd_per_hour", "Dollars that the class causes, US dollars an hour.", ("plan", "class")),
    *BUDGET_DEFINITIONS,
    DEFINITION,
)


def _families() -> _Families:
    return {name: GaugeMetricFamily(name, text, labels=list(labels)) for name, text, labels in _DEFINITIONS}


def _set(families: _Families, name: str, labels: Sequence[str], value: float | None) -> None:
    """A missing value is a missing series, never 0."""
    if value is not None:
        families[name].add_metric(list(labels), value)


def _set_each(families: _Families, name: str, labels: Sequence[str], pairs: Iterable[tuple[str, float | None]]) -> None:
    for last, value in pairs:
        _set(families, name, (*labels, last), value)


def _plan(report: PlanReport, families: _Families) -> None:
    key, costs, totals = report.decision.plan_key, report.decision.costs, report.status.totals
    bases = ("billed", "allocated", "static", "expected", "hosted")
    _set_each(families, "spillway_plan_usd_per_hour", (key,), ((basis, getattr(costs, basis)) for basis in bases))
    _set(families, "spillway_plan_saving_usd_per_hour", (key,), costs.saving)
    _set_each(families, "spillway_plan_bound_saving_usd_per_hour", (key,), report.decision.bound_savings.items())
    if (spent := report.spent) is not None:
        periods = (("hour", spent.hour_usd), ("day", spent.day_usd), ("month", spent.month_usd))
        _set_each(families, "spillway_plan_spent_usd", (key,), periods)
    _set_each(families, "spillway_plan_ceiling_usd", (key,), report.ceilings)
    if totals:
        gpus = (("current", totals.gpus), ("recommended", totals.recommended_gpus))
        _set_each(families, "spillway_plan_gpus", (key,), gpus)
    for lane in report.status.lanes:
        if lane.move is not None:
            states = ((state.value, float(state is lane.move.state)) for state in MoveState)
            _set_each(families, "spillway_lane_move", (key, lane.name), states)
    for labels, number in change_samples(key, report.changes):
        _set(families, DEFINITION[0], labels, number)
    conditions = ((each.type, float(each.status is ConditionStatus.TRUE)) for each in report.status.conditions)
    _set_each(families, "spillway_plan_condition", (key,), conditions)


def _lane(plan: str, lane: LaneDecision, families: _Families) -> None:
    labels = (plan, lane.name)
    states = ("current", "ready", "desired", "recommended")
    _set_each(families, "spillway_lane_replicas", labels, ((state, getattr(lane, state)) for state in states))
    figures = ("allocated", "busy", "effective", "load", "saturation")
    used = lane.utilization
    _set_each(families, "spillway_lane_utilization_ratio", labels, ((name, getattr(used, name)) for name in figures))
    _set(families, "spillway_lane_usd_per_hour", labels, lane.usd_per_hour)
    _set(families, "spillway_lane_usd_per_mtok", labels, lane.usd_per_mtok)
    _set(families, "spillway_lane_spill_ratio", labels, lane.spill_share)
    _set(families, "spillway_lane_replica_requests_per_second", labels, lane.replica_requests_per_second)


def _class(plan: str, each: ClassDecision, families: _Families) -> None:
    labels = (plan, each.key)
    _set(families, "spillway_class_requests_per_second", labels, each.requests_per_second)
    _set(families, "spillway_class_tokens_per_second", labels, each.tokens_per_second)
    _set_each(families, "spillway_class_forecast_requests_per_second", labels, each.forecast.items())
    _set(families, "spillway_class_hosted_ratio", labels, each.hosted_share)
    _set(families, "spillway_class_attainment_ratio", labels, each.attainment)
    _set(families, "spillway_class_usd_per_hour", labels, each.usd_per_hour)
