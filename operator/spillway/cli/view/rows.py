"""Lanes and classes of plans as rows: status and, where it is silent, the Deployments. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spillway.api import ClassStatus, LaneStatus, UtilizationStatus, WorkloadClass
from spillway.api.common import decimal_text
from spillway.cli.view.world import PlanSeen

NO_UTILIZATION = UtilizationStatus()


@dataclass(frozen=True, slots=True)
class LaneRow:
    """One lane; None is not known. Figures are the status' decimal texts."""

    plan: str
    """namespace/name."""
    name: str
    type: str | None
    current: int | None
    ready: int | None
    recommended: int | None
    utilization: UtilizationStatus
    usd_per_hour: str | None
    usd_per_mtok: str | None
    hosted_percent: str | None
    """Hosted lanes: share of the plan's requests."""

    @property
    def load(self) -> str | None:
        """Demand over what the Ready replicas serve."""
        return self.utilization.load

    def document(self) -> dict[str, Any]:
        """For programs; docs/kubectl.md names the keys."""
        figures = self.utilization
        return {
            "plan": self.plan,
            "name": self.name,
            "type": self.type,
            "current": self.current,
            "ready": self.ready,
            "recommended": self.recommended,
            "utilization": {
                "allocated": figures.allocated,
                "busy": figures.busy,
                "effective": figures.effective,
                "load": figures.load,
                "saturation": figures.saturation,
            },
            "usdPerHour": self.usd_per_hour,
            "usdPerMTok": self.usd_per_mtok,
            "hostedPercent": self.hosted_percent,
        }


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class; None is not known."""

    plan: str
    namespace: str
    name: str
    requests_per_second: str | None
    tokens_per_second: int | None
    attainment_percent: str | None
    objective_percent: str | None
    hosted_percent: str | None
    usd_per_hour: str | None
    spent_usd: str | None
    cap_usd: str | None

    def document(self) -> dict[str, Any]:
        """For programs; docs/kubectl.md names the keys."""
        return {
            "plan": self.plan,
            "namespace": self.namespace,
            "name": self.name,
            "requestsPerSecond": self.requests_per_second,
            "tokensPerSecond": self.tokens_per_second,
            "attainmentPercent": self.attainment_percent,
            "objectivePercent": self.objective_percent,
            "hostedPercent": self.hosted_percent,
            "usdPerHour": self.usd_per_hour,
            "spentUsd": self.spent_usd,
            "capUsd": self.cap_usd,
        }


def lane_rows(seen: PlanSeen) -> list[LaneRow]:
    """The plan's lanes in the order of its spec; those that nothing is told of with their names alone."""
    told = {lane.name: lane for lane in seen.status.lanes}
    names = dict.fromkeys((*seen.plan.spec.lanes, *told))
    return [_lane(seen, name, told.get(name, LaneStatus(name=name))) for name in names]


def _lane(seen: PlanSeen, name: str, lane: LaneStatus) -> LaneRow:
    spec, target = seen.lanes.get(name), seen.targets.get(name)
    return LaneRow(
        plan=seen.key,
        name=name,
        type=None if spec is None else spec.spec.type.value,
        current=lane.current if target is None else target.current,
        ready=lane.ready if target is None else target.ready,
        recommended=lane.recommended,
        utilization=lane.utilization or NO_UTILIZATION,
        usd_per_hour=lane.usd_per_hour,
        usd_per_mtok=lane.usd_per_m_tok,
        hosted_percent=lane.spill_percent,
    )


def class_rows(seen: PlanSeen) -> list[ClassRow]:
    """The plan's classes that its status tells, then those that only refer to it."""
    told = {f"{each.namespace}/{each.name}": each for each in seen.status.classes}
    rows = [_class(seen, each, seen.classes.get(key)) for key, each in told.items()]
    for key, each in seen.classes.items():
        if key not in told:
            bare = ClassStatus(name=each.metadata.name, namespace=each.metadata.namespace)
            rows.append(_class(seen, bare, each))
    return rows


def _class(seen: PlanSeen, each: ClassStatus, spec: WorkloadClass | None) -> ClassRow:
    slo = None if spec is None else spec.spec.slo
    return ClassRow(
        plan=seen.key,
        namespace=each.namespace,
        name=each.name,
        requests_per_second=each.requests_per_second,
        tokens_per_second=each.tokens_per_second,
        attainment_percent=each.attainment_percent,
        objective_percent=None if slo is None else decimal_text(slo.attainment_percent),
        hosted_percent=each.spill_percent,
        usd_per_hour=each.usd_per_hour,
        spent_usd=None if each.budget is None else each.budget.spent_usd,
        cap_usd=None if each.budget is None else each.budget.cap_usd,
    )
