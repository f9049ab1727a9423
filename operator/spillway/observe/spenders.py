"""Whose the egress' token counters are: each series with its lane, classes, team, value tiers and price."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from spillway.api import CapacityLane, WorkloadClass
from spillway.config import GatewayConfig, OperatorConfig
from spillway.decide.snapshot import TokenPrice
from spillway.observe.claims import may_go_hosted, narrowed
from spillway.observe.counters import GatewayRow
from spillway.observe.lanes import is_own
from spillway.observe.ledger import Counted
from spillway.observe.queries import egress_gateways
from spillway.observe.readings import Labels, is_of
from spillway.observe.scope import ClusterView, LaneScope, PlanScope
from spillway.observe.spend import SpendSeries
from spillway.observe.tenancy import allowed_rows

Price = Callable[[CapacityLane], TokenPrice | None]


def counted(
    cluster: ClusterView, series: Iterable[SpendSeries], config: OperatorConfig, price: Price
) -> tuple[Counted, ...]:
    """The series that are a plan's hosted lanes', each with its lane, classes, team, tiers and price."""
    known = tuple(series)
    return tuple(each for plan in cluster.plans for each in _plan_counted(plan, known, config, price))


def _plan_counted(
    plan: PlanScope, series: tuple[SpendSeries, ...], config: OperatorConfig, price: Price
) -> Iterator[Counted]:
    namespaces = {plan.plan.metadata.namespace, *(item.metadata.namespace for item in plan.classes)}
    siblings = [scope for scope in plan.lanes if scope.resource.spec.hosted is not None]
    for scope in siblings:
        hosted = scope.resource.spec.hosted
        if hosted is None:
            continue
        names = (hosted.model, f"{hosted.provider}/{hosted.model}")
        able = [item for item in plan.classes if may_go_hosted(item, scope.resource.spec.models)]
        for gateway in egress_gateways(config):
            for each in series:
                if each.labels.get("model") in names and is_of(gateway, each.labels):
                    row = GatewayRow(gateway, each.labels)
                    if allowed_rows([row], namespaces) and is_own(row, scope, siblings):
                        found = _counted(gateway, each, scope, narrowed(able, row), price)
                        yield replace(found, plan=plan.plan.metadata.key)


def _counted(
    gateway: GatewayConfig, series: SpendSeries, scope: LaneScope, classes: Sequence[WorkloadClass], price: Price
) -> Counted:
    tiers = {item.spec.value_tier for item in classes if item.spec.value_tier}
    name = ",".join((gateway.name, *(f"{key}={text}" for key, text in sorted(series.labels.items()) if text)))
    return Counted(
        series=name,
        lane=scope.key,
        tiers=tuple(sorted(tiers)),
        tokens=series.tokens,
        price=price(scope.resource),
        classes=tuple(item.metadata.key for item in classes),
        team=_team(series.labels),
    )


def _team(labels: Labels) -> str:
    """The team's name, else its id; LiteLLM writes "None" where a key has no team."""
    named = (labels.get("team_alias", ""), labels.get("team", ""))
    return next((text for text in named if text not in ("", "None")), "")
