"""The join: the cluster's half and Prometheus' half of a tick become one frozen Snapshot. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from spillway.api import CapacityPlan
from spillway.config import OperatorConfig
from spillway.decide.snapshot import (
    ClassSnapshot,
    Finding,
    LaneSnapshot,
    PlanSnapshot,
    Severity,
    Snapshot,
    Spent,
    TokenPrice,
)
from spillway.observe.actuators import actuators
from spillway.observe.attainment import attainment
from spillway.observe.attribution import Attributed, attribute
from spillway.observe.claims import served
from spillway.observe.counters import Sources, index_sources
from spillway.observe.health import plan_health
from spillway.observe.lanes import HostedLane, OwnLane, gpu_state, hosted_lane, own_lane
from spillway.observe.litellm import with_loaded
from spillway.observe.metrics import MetricsView
from spillway.observe.prices import PriceBook
from spillway.observe.scope import ClusterView, LaneScope, PlanScope


@dataclass(frozen=True, slots=True)
class _Observed:
    """One plan's lanes and classes with their counters."""

    scope: PlanScope
    own: tuple[OwnLane, ...]
    hosted: tuple[HostedLane, ...]
    attributed: Attributed


class SpentBook(Protocol):
    """What plans have spent."""

    def spent(self, plan: CapacityPlan, now: float) -> Spent | None:
        """In the running hour, day and month; None where that is not known."""

    def findings(self, plan: CapacityPlan) -> tuple[Finding, ...]:
        """Why it is not known."""


def build_snapshot(
    cluster: ClusterView,
    metrics: MetricsView,
    config: OperatorConfig,
    now: float,
    prices: PriceBook,
    book: SpentBook | None = None,
) -> Snapshot:
    """Join one tick's views. ``now`` is Unix time in seconds."""
    sources = index_sources(metrics, config)
    observed = [_observe(plan, sources) for plan in cluster.plans]
    shared = _claimed_twice(observed)
    plans = tuple(
        _with_spending(
            _plan_snapshot(each, shared.get(each.scope.plan.metadata.key, ()), cluster, sources, now, prices), book
        )
        for each in observed
    )
    return Snapshot(at=now, plans=plans)


def _with_spending(snapshot: PlanSnapshot, book: SpentBook | None) -> PlanSnapshot:
    if book is None:
        return snapshot
    findings = (*snapshot.findings, *book.findings(snapshot.plan))
    return replace(snapshot, spent=book.spent(snapshot.plan, snapshot.at), findings=findings)


def _observe(plan: PlanScope, sources: Sources) -> _Observed:
    own = tuple(found for scope in plan.lanes if (found := own_lane(scope, sources)) is not None)
    namespaces = {plan.plan.metadata.namespace, *(item.metadata.namespace for item in plan.classes)}
    siblings = [scope for scope in plan.lanes if scope.resource.spec.hosted is not None]
    hosted = tuple(
        lane for scope in siblings if (lane := hosted_lane(scope, siblings, namespaces, sources)) is not None
    )
    return _Observed(plan, own, hosted, attribute(plan, own, hosted, sources))


def _plan_snapshot(
    observed: _Observed,
    shared: Sequence[Finding],
    cluster: ClusterView,
    sources: Sources,
    now: float,
    prices: PriceBook,
) -> PlanSnapshot:
    scope, attributed = observed.scope, observed.attributed
    lanes, lane_findings = [], []
    for lane in scope.lanes:
        quote = prices.quote(lane.resource, now)
        lane_findings += [quote.finding] if quote.finding else []
        lanes.append(_lane_snapshot(lane, observed, cluster, sources, quote.price))
    for own in observed.own:
        lane_findings += own.findings
    unread = [
        Finding(Severity.WARNING, "MetricsPartlyUnavailable", text, f"CapacityPlan/{scope.plan.metadata.key}")
        for text in sources.metrics.warnings
    ]
    return PlanSnapshot(
        at=now,
        plan=scope.plan,
        classes=tuple(
            ClassSnapshot(
                resource=item,
                demand=attributed.demand.get(item.metadata.key),
                attribution=attributed.confidence[item.metadata.key],
                attainment=attainment(
                    item, [lane for lane in observed.own if served(item, lane.scope.resource.spec.models)], sources
                ),
            )
            for item in scope.classes
        ),
        lanes=tuple(lanes),
        routes=with_loaded(scope.routes, scope.proxy, sources.metrics.proxies),
        actuators=actuators(scope),
        metrics=plan_health(scope.classes, observed.own, attributed.demand, attributed.confidence, sources),
        findings=(*scope.findings, *lane_findings, *attributed.findings, *shared, *unread),
        stopped=scope.stopped,
        tick_seconds=sources.config.tick_seconds,
        scrape_seconds=sources.config.prometheus.scrape_interval_seconds,
    )


def _lane_snapshot(
    scope: LaneScope, observed: _Observed, cluster: ClusterView, sources: Sources, price: TokenPrice | None
) -> LaneSnapshot:
    own = next((lane for lane in observed.own if lane.scope is scope), None)
    hosted = next((lane for lane in observed.hosted if lane.scope is scope), None)
    return LaneSnapshot(
        resource=scope.resource,
        target=own.target if own else scope.target,
        engine=own.state if own else None,
        gpu=gpu_state(own, cluster, sources) if own else None,
        hosted=hosted.state if hosted else None,
        token_price=price,
        pool_gpus=scope.pool_gpus,
        pool_gpus_others=scope.pool_gpus_others,
        startup_seconds_observed=scope.startup_seconds_observed,
    )


def _claimed_twice(observed: Sequence[_Observed]) -> dict[str, list[Finding]]:
    """Gateway series that several plans count as their own: said to each, because no plan can see the other."""
    claims: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for each in observed:
        plan = each.scope.plan.metadata.key
        for key, rows in each.attributed.gateway_rows.items():
            for row in rows:
                claims[id(row)].append((plan, f"WorkloadClass/{key}"))
        for lane in each.hosted:
            for row in lane.rows:
                claims[id(row)].append((plan, f"CapacityLane/{lane.scope.key}"))
    found: dict[str, dict[str, Finding]] = defaultdict(dict)
    for owners in claims.values():
        for plan, subject in owners:
            other = next(((p, s) for p, s in owners if p != plan and s[:3] == subject[:3]), None)
            if other is not None:
                found[plan][subject] = _shared(subject, other)
    return {plan: list(findings.values()) for plan, findings in found.items()}


def _shared(subject: str, other: tuple[str, str]) -> Finding:
    kind, _, name = subject.partition("/")
    message = (
        f"{kind} {name}: its gateway series are also counted for {other[1].replace('/', ' ', 1)} of plan {other[0]}; "
        "tell them apart by team or model, and list both in gateways[].tenants of the operator's configuration"
    )
    return Finding(Severity.WARNING, "AttributionAmbiguous", message, subject)
