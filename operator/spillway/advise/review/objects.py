"""The two sides of a change as resources, and which of them belong to which plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from spillway.api import CapacityLane, CapacityPlan, DataPolicy, LaneType, OverflowMode, RoutingPlane, WorkloadClass

Resource = CapacityPlan | CapacityLane | WorkloadClass


@dataclass(frozen=True, slots=True)
class Objects:
    """Everything that one side of the change holds, by namespace/name."""

    plans: Mapping[str, CapacityPlan] = field(default_factory=dict)
    lanes: Mapping[str, CapacityLane] = field(default_factory=dict)
    classes: Mapping[str, WorkloadClass] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many objects there are."""
        return len(self.plans) + len(self.lanes) + len(self.classes)


@dataclass(frozen=True, slots=True)
class Pair:
    """One object on both sides; None where it is not there."""

    kind: str
    key: str
    before: Resource | None
    after: Resource | None

    @property
    def changed(self) -> bool:
        """Whether its spec differs; metadata is not looked at."""
        if self.before is None or self.after is None:
            return True
        return self.before.spec != self.after.spec


@dataclass(frozen=True, slots=True)
class PlanSide:
    """One plan on one side: what it decides on."""

    plan: CapacityPlan | None
    lanes: Mapping[str, CapacityLane]
    """By name: those of spec.lanes that are there."""
    classes: Mapping[str, WorkloadClass]
    """By namespace/name: those whose planRef names it."""

    def hosted_lanes(self, item: WorkloadClass) -> tuple[CapacityLane, ...]:
        """Hosted lanes that may get the class's prompts: by model, data policy, overflow mode and route."""
        if self.plan is None or item.spec.data_policy is not DataPolicy.ANY:
            return ()
        if self.plan.spec.overflow.mode is OverflowMode.NEVER:
            return ()
        return tuple(lane for lane in self._serving(item) if lane.spec.type is LaneType.HOSTED_REALTIME)

    def fallbacks(self, item: WorkloadClass) -> tuple[CapacityLane, ...]:
        """Of these, the ones that are fast enough for its objective as far as their latency is declared."""
        slo = item.spec.slo
        found = []
        for lane in self.hosted_lanes(item):
            latency = None if lane.spec.hosted is None else lane.spec.hosted.latency
            if slo is not None and latency is not None:
                late = latency.time_to_first_token_ms > slo.time_to_first_token_ms
                if late or latency.inter_token_latency_ms > slo.inter_token_latency_ms:
                    continue
            found.append(lane)
        return tuple(found)

    def own_lanes(self, item: WorkloadClass) -> tuple[CapacityLane, ...]:
        """Self-hosted lanes that may serve the class and may have a replica."""
        return tuple(
            lane
            for lane in self._serving(item)
            if lane.spec.self_hosted is not None and lane.spec.self_hosted.replicas.max > 0
        )

    def _serving(self, item: WorkloadClass) -> Iterator[CapacityLane]:
        if self.plan is None:
            return
        routing = self.plan.spec.routing
        binding = next((b for b in routing.bindings if b.class_ == item.metadata.name), None)
        bound = None if binding is None or routing.plane is RoutingPlane.NONE else binding.backends
        for name, lane in self.lanes.items():
            if set(item.spec.equivalent_models) & set(lane.spec.models) and (bound is None or name in bound):
                yield lane


@dataclass(frozen=True, slots=True)
class PlanPair:
    """One plan on both sides, with everything that belongs to it on either."""

    key: str
    """namespace/name; empty for lanes that no plan names."""
    base: PlanSide
    head: PlanSide
    pairs: tuple[Pair, ...]
    """Plan, lanes, classes; changed or not."""
    base_plans: Mapping[str, PlanSide] = field(default_factory=dict)
    """Every plan that either side holds or a class asks for, as it is on base."""
    head_plans: Mapping[str, PlanSide] = field(default_factory=dict)
    """The same on head."""

    @property
    def changed(self) -> bool:
        """Whether any spec differs."""
        return any(pair.changed for pair in self.pairs)

    @property
    def known(self) -> bool:
        """Whether the plan itself is among the manifests of either side."""
        return self.base.plan is not None or self.head.plan is not None

    @property
    def left(self) -> Mapping[str, WorkloadClass | None]:
        """Classes that it had on base and has no longer, as they are on head; None: removed."""
        gone = [key for key in self.base.classes if key not in self.head.classes]
        on_head = {key: item for side in self.head_plans.values() for key, item in side.classes.items()}
        return {key: on_head.get(key) for key in gone}

    def before(self, key: str) -> tuple[PlanSide, WorkloadClass] | None:
        """A class on base with the plan that it had there; None where it is new."""
        return _found(key, self.base_plans)

    def after(self, key: str) -> tuple[PlanSide, WorkloadClass] | None:
        """A class on head with its plan there; None where it is gone."""
        return _found(key, self.head_plans)


def _found(key: str, sides: Mapping[str, PlanSide]) -> tuple[PlanSide, WorkloadClass] | None:
    return next(((side, side.classes[key]) for side in sides.values() if key in side.classes), None)


NO_PLAN = ""


def plan_pairs(base: Objects, head: Objects) -> tuple[PlanPair, ...]:
    """One for each plan that either side holds or that a class asks for, and one for lanes that no plan names."""
    sides = (base, head)
    keys = {key for side in sides for key in side.plans}
    keys |= {item.plan_key for side in sides for item in side.classes.values()}
    before, after = ({key: _side(key, side) for key in sorted(keys)} for side in sides)
    found = [PlanPair(key, before[key], after[key], _pairs(key, base, head), before, after) for key in sorted(keys)]
    named = {pair.key for each in found for pair in each.pairs if pair.kind == CapacityLane.KIND}
    loose = sorted({key for side in sides for key in side.lanes} - named)
    if loose:
        pairs = tuple(Pair(CapacityLane.KIND, key, base.lanes.get(key), head.lanes.get(key)) for key in loose)
        nothing = PlanSide(None, {}, {})
        found.append(PlanPair(NO_PLAN, nothing, nothing, pairs))
    return tuple(found)


def _pairs(key: str, base: Objects, head: Objects) -> tuple[Pair, ...]:
    before, after = _side(key, base), _side(key, head)
    pairs: list[Pair] = []
    if before.plan is not None or after.plan is not None:
        pairs.append(Pair(CapacityPlan.KIND, key, before.plan, after.plan))
    namespace = key.split("/", maxsplit=1)[0]
    for name in dict.fromkeys((*_names(before), *_names(after))):
        lane_key = f"{namespace}/{name}"
        lane = Pair(CapacityLane.KIND, lane_key, base.lanes.get(lane_key), head.lanes.get(lane_key))
        if lane.before is not None or lane.after is not None:
            pairs.append(lane)
    for class_key in sorted({*before.classes, *after.classes}):
        pairs.append(Pair(WorkloadClass.KIND, class_key, base.classes.get(class_key), head.classes.get(class_key)))
    return tuple(pairs)


def _names(side: PlanSide) -> tuple[str, ...]:
    return () if side.plan is None else side.plan.spec.lanes


def _side(key: str, objects: Objects) -> PlanSide:
    plan = objects.plans.get(key)
    namespace = key.split("/", maxsplit=1)[0]
    names = () if plan is None else plan.spec.lanes
    lanes = {name: lane for name in names if (lane := objects.lanes.get(f"{namespace}/{name}")) is not None}
    return PlanSide(plan, lanes, {k: item for k, item in objects.classes.items() if item.plan_key == key})
