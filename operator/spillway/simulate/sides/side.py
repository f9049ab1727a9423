"""One side of a change as something that can be run: its documents checked, its world built, its gateway found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from spillway.advise.review.effect import Confidence
from spillway.api import CapacityLane, CapacityPlan, Mode, OverflowMode, RoutingPlane
from spillway.simulate.policy import Known
from spillway.simulate.scenario.build import build_known, build_world
from spillway.simulate.scenario.manifests import Resources, resources_of
from spillway.simulate.sides.ask import Measured
from spillway.simulate.sides.doubts import Doubt
from spillway.simulate.sides.gateway import QUEUED_PER_REPLICA, Gateway, gateway_of, reachable
from spillway.simulate.sides.traffic import Source, Traffic
from spillway.simulate.sides.truths import Truths, truths_of
from spillway.simulate.world import World


@dataclass(frozen=True, slots=True)
class Side:
    """Everything that a run of one side rests on."""

    name: str
    """base or head."""
    resources: Resources
    world: World
    known: Known
    gateway: Gateway
    truths: Truths

    @property
    def keys(self) -> tuple[str, ...]:
        """Classes, in the world's order."""
        return tuple(item.metadata.key for item in self.resources.classes)


def read_side(name: str, documents: Sequence[Mapping[str, Any]]) -> Resources:
    """The documents of one plan, checked. Raises ScenarioError."""
    return resources_of([(name, dict(document)) for document in documents], name, gateway=True)


def lanes_of(resources: Resources) -> dict[str, CapacityLane]:
    """Every lane by name."""
    return {lane.metadata.name: lane for lane in (*resources.own, *resources.hosted)}


def build_side(
    name: str,
    resources: Resources,
    both: tuple[Mapping[str, CapacityLane], Mapping[str, CapacityLane]],
    source: Source,
    traffic: Traffic,
    measured: Callable[[CapacityLane], Measured | None] | None,
) -> Side:
    """Raises ScenarioError. `both`: the base's and the head's lanes."""
    truths = truths_of(resources.own, resources.hosted, both, source, measured)
    pools = {lane.spec.self_hosted.gpu.pool for lane in resources.own if lane.spec.self_hosted is not None}
    file = source.file.model_copy(
        update={
            "truth": dict(truths.own),
            "hosted": dict(truths.hosted),
            "gpu_pools": {pool: gpus for pool, gpus in source.file.gpu_pools.items() if pool in pools},
        }
    )
    keys = [item.metadata.key for item in resources.classes]
    world = build_world(file, resources, traffic.of(keys), source.folder, name)
    gateway = gateway_of(resources.plan, world, [item.metadata.name for item in resources.classes])
    world = replace(reachable(world, gateway), gaps=traffic.gaps)
    return Side(name, resources, world, build_known(file, resources, world), gateway, truths)


def doubts_of(side: Side) -> list[Doubt]:
    """What of the side's plan a replay can't show."""
    plan = side.resources.plan
    spec, key = plan.spec, plan.metadata.key
    found = [Doubt(f"{_said(text)}.", Confidence.HIGH) for text in side.resources.warnings]
    if spec.paused:
        found.append(Doubt(f"CapacityPlan {key} is paused: the figures are of a plan that isn't."))
    elif spec.mode is not Mode.APPLY:
        text = f"CapacityPlan {key} is in mode {spec.mode}: the figures assume that its recommendations are followed."
        found.append(Doubt(text))
    still = [
        item.metadata.key
        for item, truth, moved in zip(side.resources.classes, side.world.classes, side.gateway.moved, strict=True)
        if truth.own and not moved
    ]
    if still and side.resources.hosted and spec.overflow.mode is not OverflowMode.NEVER:
        why = "routing.plane is None" if spec.routing.plane is RoutingPlane.NONE else "routing has no binding of it"
        text = f"CapacityPlan {key}: {why}, so nothing moves {', '.join(still)} to hosted lanes: replicas alone change."
        found.append(Doubt(text, Confidence.HIGH))
    if side.gateway.actuators.spill and any(truth.max_queued_per_replica is None for truth in side.truths.own.values()):
        text = (
            f"CapacityPlan {key}: engines' queue limits are not known, taken as {QUEUED_PER_REPLICA} waiting a replica."
        )
        found.append(Doubt(text))
    if side.gateway.caps or side.gateway.actuators.spill:
        text = f"CapacityPlan {key}: its gateway is taken as set up and able to spill."
        found.append(Doubt(text, Confidence.HIGH))
    return found


def mode_doubt(base: CapacityPlan, head: CapacityPlan) -> list[Doubt]:
    """A change that the replay can't show: whether decisions are carried out at all."""
    one, two = (base.spec.mode, base.spec.paused), (head.spec.mode, head.spec.paused)
    if one == two:
        return []
    paused = ("paused" if one[1] else "not paused", "paused" if two[1] else "not paused")
    what = f"mode {base.spec.mode} to {head.spec.mode}" if one[0] != two[0] else " to ".join(paused)
    text = (
        f"CapacityPlan {head.metadata.key} goes from {what}: both sides are replayed as if decisions were carried out, "
        "so what that brings is not in the figures."
    )
    return [Doubt(text, Confidence.LOW)]


def _said(warning: str) -> str:
    """A loader's warning as a sentence, without the side's name before it."""
    text = warning.partition(": ")[2] if warning.startswith(("base: ", "head: ")) else warning
    return text.replace("in the backtest yet", "in a replay")
