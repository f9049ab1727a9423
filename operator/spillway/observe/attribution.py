"""Whose traffic is whose within one plan: every counter is given to one class at most, so that nothing counts twice.

A class that a front gateway counts has its own demand. The others share what engines and egress count: a counter that
several classes may claim goes, whole, to the oldest of them; the rest of them have no demand of their own and are
``Ambiguous``. Nothing is split by guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spillway.api import WorkloadClass
from spillway.config import GatewayType
from spillway.decide.snapshot import Confidence, Demand, Finding, Reading, Severity
from spillway.observe.claims import (
    Unit,
    by_age,
    gateway_rows,
    hosted_units,
    may_go_hosted,
    own_units,
    rule_of,
    served,
)
from spillway.observe.counters import GatewayRow, Sources
from spillway.observe.demand import Counted, Grids, Mix, counted_by_engines, counted_by_gateway, mix_of, to_demand
from spillway.observe.lanes import HostedLane, OwnLane, combine
from spillway.observe.metrics import HistoryView
from spillway.observe.scope import PlanScope
from spillway.observe.tenancy import may_claim


@dataclass(frozen=True, slots=True)
class Attributed:
    """The plan's classes' demand, with what had to be said about it."""

    demand: Mapping[str, Demand]
    confidence: Mapping[str, Confidence]
    findings: tuple[Finding, ...]
    gateway_rows: Mapping[str, tuple[GatewayRow, ...]] = field(default_factory=dict)
    """The rows that each class counts as its own."""


def attribute(plan: PlanScope, own: Sequence[OwnLane], hosted: Sequence[HostedLane], sources: Sources) -> Attributed:
    """Give each of the plan's counters to a class."""
    return _Attribution(plan, own, hosted, sources).run()


class _Attribution:
    def __init__(self, plan: PlanScope, own: Sequence[OwnLane], hosted: Sequence[HostedLane], sources: Sources) -> None:
        self._plan, self._own, self._hosted, self._sources = plan, own, hosted, sources
        self._classes = by_age(plan.classes)
        fine = sources.metrics.engine_history.fine
        self._own_units = own_units(own, self._classes, fine.step_seconds if fine else 1.0)
        self._hosted_units = hosted_units(hosted, self._classes)
        self._units = (*self._own_units, *self._hosted_units)
        self._counted: dict[str, Counted] = {}
        self._rows: dict[str, tuple[GatewayRow, ...]] = {}
        self._ambiguous: dict[str, str] = {}
        """Class key to what its traffic can't be told from."""
        self._gateway_counted: set[str] = set()

    def run(self) -> Attributed:
        """Gateways first, then engines and egress for the rest."""
        self._by_gateways()
        for item in self._classes:
            key = item.metadata.key
            if key not in self._gateway_counted and key not in self._ambiguous:
                self._by_engines(item)
        demand = {
            item.metadata.key: to_demand(self._counted[item.metadata.key], self._mix(item), self._by_lane(item))
            for item in self._classes
            if item.metadata.key in self._counted
        }
        confidence = {
            item.metadata.key: Confidence.AMBIGUOUS if item.metadata.key in self._ambiguous else Confidence.OWN
            for item in self._classes
        }
        return Attributed(demand, confidence, tuple(self._findings()), self._rows)

    def _by_gateways(self) -> None:
        claimed: dict[int, str] = {}
        for item in self._classes:
            key = item.metadata.key
            rows = gateway_rows(item, self._plan, self._sources)
            mine = tuple(row for row in rows if id(row) not in claimed)
            others = {claimed[id(row)] for row in rows if id(row) in claimed}
            counted = counted_by_gateway(mine, self._grids(rows[0].gateway.type)) if mine else None
            if rows and not mine:
                self._gateway_counted.add(key)
            elif counted is not None:
                self._gateway_counted.add(key)
                self._counted[key] = counted
                self._rows[key] = mine
                claimed |= {id(row): key for row in mine}
            else:
                continue
            for other in others:
                self._ambiguous[key] = other
                self._ambiguous.setdefault(other, key)

    def _grids(self, kind: GatewayType | None) -> Grids:
        view = (
            self._sources.metrics.engine_history
            if kind is None
            else self._sources.metrics.gateway_history.get(kind, HistoryView())
        )
        return Grids(view.fine, view.coarse)

    def _by_engines(self, item: WorkloadClass) -> None:
        key = item.metadata.key
        claimed = [unit for unit in self._units if key in unit.claimants]
        rivals = {c for unit in claimed for c in unit.claimants} - self._gateway_counted
        mine = [unit for unit in claimed if self._heir(unit) == key]
        if claimed and not mine:
            self._ambiguous[key] = next(heir for unit in claimed if (heir := self._heir(unit)))
            return
        if len(rivals) > 1:
            self._ambiguous[key] = min(rivals - {key})
        zero_at = self._idle_at(item)
        if zero_at is None and self._blind(item):
            return
        known = self._known_others(mine)
        if known:
            self._ambiguous.setdefault(key, min(known))
        counted = counted_by_engines(mine, [self._counted[k] for k in known], zero_at, self._grids(None))
        if counted is not None:
            self._counted[key] = counted

    def _heir(self, unit: Unit) -> str | None:
        """The class that the whole unit is counted for: the oldest that no gateway counts."""
        return next((key for key in unit.claimants if key not in self._gateway_counted), None)

    def _known_others(self, units: Sequence[Unit]) -> list[str]:
        """Classes that a gateway counts and whose traffic is within these units only: it can be taken away."""
        inside = {id(unit) for unit in units}
        found = {
            key for unit in units for key in unit.claimants if key in self._counted and key in self._gateway_counted
        }
        return sorted(key for key in found if all(id(unit) in inside for unit in self._units if key in unit.claimants))

    def _lanes_of(self, item: WorkloadClass) -> list[OwnLane]:
        return [lane for lane in self._own if served(item, lane.scope.resource.spec.models)]

    def _idle_at(self, item: WorkloadClass) -> float | None:
        """When the class's own capacity is known to serve nothing: none of its lanes has a Ready or reporting pod."""
        lanes = self._lanes_of(item)
        if any(lane.engines or any(pod.ready for pod in lane.target.pods) for lane in lanes):
            return None
        able = [lane for lane in self._hosted if may_go_hosted(item, lane.scope.resource.spec.models)]
        counted = any(item.metadata.key in unit.claimants and unit.requests for unit in self._hosted_units)
        seen = counted or any(lane.state.requests_per_second is not None for lane in able)
        return self._sources.metrics.at if seen else None

    def _blind(self, item: WorkloadClass) -> bool:
        """Whether a lane of the class has Ready pods and no readings: the rest would be too small a sum."""
        return any(
            not any(unit.requests for unit in self._own_units if unit.lane == lane.name)
            and any(pod.ready for pod in lane.target.pods)
            for lane in self._lanes_of(item)
        )

    def _mix(self, item: WorkloadClass) -> Mix:
        key = item.metadata.key
        rows = self._rows.get(key, ())
        if rows and rows[0].gateway.type is GatewayType.LITELLM:
            found = mix_of(self._grids(GatewayType.LITELLM).fine, [row.fine for row in rows])
            if found.output_tokens is not None:
                return found
        own = [unit.fine for unit in self._own_units if key in unit.claimants]
        found = mix_of(self._grids(None).fine, own)
        if found.output_tokens is not None:
            return found
        hosted = [unit.fine for unit in self._hosted_units if key in unit.claimants]
        return mix_of(self._grids(GatewayType.LITELLM).fine, hosted)

    def _by_lane(self, item: WorkloadClass) -> dict[str, Reading]:
        """Requests a second on each lane whose counters hold this class's traffic and no other's."""
        key = item.metadata.key
        found: dict[str, Reading] = {}
        names = dict.fromkeys(unit.lane for unit in self._units if key in unit.claimants)
        for name in names:
            units = [unit for unit in self._units if unit.lane == name and unit.requests is not None]
            if all(self._is_only(key, unit) for unit in units):
                reading = combine([(u.requests.value, u.requests.at) for u in units if u.requests], sum)
                if reading is not None:
                    found[name] = reading
        for lane in self._hosted:
            able = [c for c in self._classes if may_go_hosted(c, lane.scope.resource.spec.models)]
            if lane.name not in names and able == [item] and lane.state.requests_per_second is not None:
                found[lane.name] = lane.state.requests_per_second
        return found

    def _is_only(self, key: str, unit: Unit) -> bool:
        if unit.claimants == (key,):
            return True
        # What can't be told apart is counted as one: then its lanes are, too.
        return self._heir(unit) == key and not set(unit.claimants) & self._gateway_counted

    def _findings(self) -> list[Finding]:
        found = []
        for item in self._classes:
            key = item.metadata.key
            subject = f"WorkloadClass/{key}"
            if (other := self._ambiguous.get(key)) is not None:
                found.append(Finding(Severity.WARNING, "AttributionAmbiguous", self._why(key, other), subject))
            if self._is_denied(item):
                message = (
                    f"WorkloadClass {key}: the operator's gateways give no traffic of its match to namespace "
                    f"{item.metadata.namespace}; have gateways[].tenants of the operator's configuration list it"
                )
                found.append(Finding(Severity.WARNING, "TenantNotAllowed", message, subject))
            if self._lacks_rule(item):
                message = (
                    f"WorkloadClass {key}: spec.match.routeRule is no rule that the plan binds; add a binding to "
                    f"spec.routing.bindings of the plan"
                )
                found.append(Finding(Severity.WARNING, "RouteRuleUnknown", message, subject))
        return found

    def _why(self, key: str, other: str) -> str:
        if key in self._counted and other in self._counted:
            rest = "its demand is what the engines count beyond that class"
        elif key in self._counted:
            rest = f"both are counted as {key}"
        else:
            rest = f"both are counted as {other}"
        return (
            f"WorkloadClass {key}: its traffic cannot be told from that of {other} and {rest}; "
            "give each class a match that a gateway counts"
        )

    def _is_denied(self, item: WorkloadClass) -> bool:
        match = item.spec.match
        gateways = self._sources.litellm_front.gateways
        if not gateways or not (match.model or match.team):
            return False
        return not may_claim(gateways, {item.metadata.namespace}, match.model, match.team)

    def _lacks_rule(self, item: WorkloadClass) -> bool:
        wanted = item.spec.match.route_rule
        return (
            wanted is not None and bool(self._sources.envoy_front.gateways) and rule_of(item, self._plan.routes) is None
        )
