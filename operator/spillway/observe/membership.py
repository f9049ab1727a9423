"""Which classes and lanes are really a plan's own: tenancy and conflicts, resolved purely.

The oldest wins (then the lower UID); the other says who has it. Whatever is wrong with one object never touches
another plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from spillway.api import CapacityLane, CapacityPlan, LaneType, WorkloadClass
from spillway.api.plan import AllowedFrom
from spillway.api.references import (
    Dangling,
    Reason,
    lane_missing,
    namespace_refused,
    of_bindings,
    of_tiers,
    plan_missing,
)
from spillway.decide.snapshot import Finding, Severity

Findings = dict[str, list[Finding]]


def subject(resource: CapacityPlan | CapacityLane | WorkloadClass) -> str:
    """ "Kind/namespace/name": how findings name an object."""
    return f"{resource.KIND}/{resource.metadata.namespace}/{resource.metadata.name}"


def error(about: str, reason: str, message: str) -> Finding:
    """A finding that makes Ready False."""
    return Finding(Severity.ERROR, reason, message, about)


def warning(about: str, reason: str, message: str) -> Finding:
    """A finding that is only reported."""
    return Finding(Severity.WARNING, reason, message, about)


def _finding(found: Dangling) -> Finding:
    """A tier that is not there leaves the class its own value; whatever else is not there is an error."""
    tell = warning if found.reason is Reason.TIER_NOT_FOUND else error
    return tell(subject(found.about), found.reason.value, found.message)


@dataclass(frozen=True, slots=True)
class Members:
    """A plan's own objects."""

    plan: CapacityPlan
    classes: tuple[WorkloadClass, ...]
    lanes: tuple[CapacityLane, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Memberships:
    """All plans' members, and what is wrong with single objects."""

    plans: tuple[Members, ...]
    object_findings: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)
    object_plans: Mapping[str, str] = field(default_factory=dict)


def _age_key(resource: CapacityPlan | CapacityLane | WorkloadClass) -> tuple[str, str]:
    return (resource.metadata.creation_timestamp, resource.metadata.uid)


def target_key(lane: CapacityLane) -> str | None:
    """What identifies a lane's target: two lanes with the same one are in conflict."""
    if lane.spec.self_hosted is None:
        return None
    ref = lane.spec.self_hosted.target_ref
    group = ref.api_version.rpartition("/")[0]
    return f"{group}/{ref.kind}/{lane.metadata.namespace}/{ref.name}"


def allows(plan: CapacityPlan, namespace: str, namespace_labels: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether the plan accepts classes of that namespace. Unknown labels are no match."""
    allowed = plan.spec.allowed_classes
    if allowed.from_ is AllowedFrom.SAME or allowed.namespace_selector is None:
        return namespace == plan.metadata.namespace
    labels = namespace_labels.get(namespace, {})
    return all(labels.get(key) == value for key, value in allowed.namespace_selector.match_labels.items())


def _class_members(
    plans: Mapping[str, CapacityPlan],
    classes: Iterable[WorkloadClass],
    namespace_labels: Mapping[str, Mapping[str, str]],
    findings: Findings,
) -> dict[str, list[WorkloadClass]]:
    members: dict[str, list[WorkloadClass]] = {}
    for resource in classes:
        about, key = subject(resource), resource.plan_key
        plan = plans.get(key)
        if plan is None:
            findings.setdefault(about, []).append(_finding(plan_missing(resource)))
        elif not allows(plan, resource.metadata.namespace, namespace_labels):
            findings.setdefault(about, []).append(_finding(namespace_refused(resource)))
        else:
            members.setdefault(key, []).append(resource)
    return members


@dataclass(slots=True)
class _Claims:
    """Who has which lane and target, oldest plan first."""

    lanes: dict[str, str] = field(default_factory=dict)
    targets: dict[str, tuple[str, str]] = field(default_factory=dict)

    def take(self, plan: CapacityPlan, lane: CapacityLane) -> Finding | None:
        """Claim the lane and its target for the plan, or say who has it."""
        about = subject(plan)
        holder = self.lanes.get(lane.metadata.key)
        if holder is not None:
            return error(about, "LaneConflict", f"lane {lane.metadata.key} belongs to plan {holder}, which is older")
        target = target_key(lane)
        if target is not None and target in self.targets:
            other_lane, other_plan = self.targets[target]
            message = (
                f"lane {lane.metadata.key}: its target is already scaled by lane {other_lane} of plan {other_plan}; "
                "one target has one lane"
            )
            return error(about, "TargetConflict", message)
        self.lanes[lane.metadata.key] = plan.metadata.key
        if target is not None:
            self.targets[target] = (lane.metadata.key, plan.metadata.key)
        return None


def _lane_members(
    plan: CapacityPlan, lanes: Mapping[str, CapacityLane], claims: _Claims, broken: Mapping[str, Sequence[Finding]]
) -> tuple[list[CapacityLane], list[Finding]]:
    members: list[CapacityLane] = []
    findings: list[Finding] = []
    about = subject(plan)
    for name in plan.spec.lanes:
        key = f"{plan.metadata.namespace}/{name}"
        lane = lanes.get(key)
        if lane is None:
            invalid = broken.get(f"CapacityLane/{key}")
            if invalid:
                findings.append(error(about, "LaneInvalid", f"lane {name} is invalid: {invalid[0].message}"))
            else:
                findings.append(_finding(lane_missing(plan, name)))
            continue
        conflict = claims.take(plan, lane)
        if conflict:
            findings.append(conflict)
        else:
            members.append(lane)
    return members, findings


def ambiguous_bindings(members: Iterable[Members]) -> dict[tuple[str, str], str]:
    """Why a binding's rule can't be moved, by (plan key, class): classes of several namespaces have that name."""
    found: dict[tuple[str, str], str] = {}
    for each in members:
        names = [c.metadata.name for c in each.classes]
        for binding in each.plan.spec.routing.bindings:
            if names.count(binding.class_) > 1:
                message = f"binding {binding.class_}: several classes of the plan have this name: rename one"
                found[each.plan.metadata.key, binding.class_] = message
    return found


def _unserved(classes: Sequence[WorkloadClass], lanes: Sequence[CapacityLane]) -> list[Finding]:
    served = {model for lane in lanes for model in lane.spec.models}
    findings = []
    for resource in classes:
        if not served & set(resource.spec.equivalent_models):
            models = ", ".join(resource.spec.equivalent_models)
            message = f"class {resource.metadata.key}: no lane of the plan serves {models}"
            findings.append(error(subject(resource), "NoLaneServesClass", message))
    return findings


def _unsupported(lanes: Sequence[CapacityLane]) -> list[Finding]:
    return [
        warning(subject(lane), "Unsupported", f"lane {lane.metadata.name}: type {lane.spec.type} is not used yet")
        for lane in lanes
        if lane.spec.type in (LaneType.FLEX, LaneType.BATCH)
    ]


def resolve(
    plans: Sequence[CapacityPlan],
    lanes: Sequence[CapacityLane],
    classes: Sequence[WorkloadClass],
    namespace_labels: Mapping[str, Mapping[str, str]],
    broken: Mapping[str, Sequence[Finding]],
) -> Memberships:
    """Sort lanes and classes to their plans. ``broken``: findings of objects that could not be read."""
    alive = sorted((p for p in plans if not p.metadata.deletion_timestamp), key=_age_key)
    plans_by_key = {p.metadata.key: p for p in alive}
    lanes_by_key = {lane.metadata.key: lane for lane in lanes if not lane.metadata.deletion_timestamp}
    ordered = sorted((c for c in classes if not c.metadata.deletion_timestamp), key=_age_key)
    findings: Findings = {about: list(found) for about, found in broken.items()}
    class_members = _class_members(plans_by_key, ordered, namespace_labels, findings)
    claims, members = _Claims(), list[Members]()
    owners: dict[str, str] = {}
    for plan in alive:
        own_lanes, problems = _lane_members(plan, lanes_by_key, claims, broken)
        own_classes = class_members.get(plan.metadata.key, [])
        problems += [_finding(each) for each in (*of_bindings(plan, own_classes), *of_tiers(plan, own_classes))]
        problems += _unserved(own_classes, own_lanes) + _unsupported(own_lanes)
        members.append(Members(plan, tuple(own_classes), tuple(own_lanes), tuple(problems)))
        owners |= {subject(lane): plan.metadata.key for lane in own_lanes}
        owners |= {subject(resource): plan.metadata.key for resource in own_classes}
        for problem in problems:
            if problem.subject != subject(plan):
                findings.setdefault(problem.subject, []).append(problem)
    return Memberships(tuple(members), {about: tuple(found) for about, found in findings.items()}, owners)
