"""Reads plans with what belongs to them. What can't be read beside the plans is said, and left out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import click
from pydantic import ValidationError

from spillway.api import CapacityLane, CapacityPlan, CapacityPlanStatus, LaneChange, WorkloadClass
from spillway.api.names import STOP_ANNOTATION
from spillway.cli.connection import Connection, said
from spillway.cli.view.reporting import silent_seconds
from spillway.kube import CLASSES, DEPLOYMENTS, LANE_CHANGES, LANES, NAMESPACES, PLANS, Items, Kube, KubeError, Resource
from spillway.observe.cluster import is_on

T = TypeVar("T", CapacityLane, WorkloadClass, LaneChange)


@dataclass(frozen=True, slots=True)
class Target:
    """Replicas as the Deployment itself has them."""

    current: int
    ready: int


@dataclass(frozen=True, slots=True)
class PlanSeen:
    """One plan and what belongs to it."""

    plan: CapacityPlan
    now: float
    lanes: Mapping[str, CapacityLane] = field(default_factory=dict)
    """By name."""
    classes: Mapping[str, WorkloadClass] = field(default_factory=dict)
    """By namespace/name."""
    changes: tuple[LaneChange, ...] = ()
    stopped: bool | None = None
    """Whether the namespace's annotation stops the plan; None: not known."""
    targets: Mapping[str, Target] = field(default_factory=dict)
    """By lane: where no status tells replicas."""
    unreadable: str | None = None
    """Why the plan's status can't be read, if it can't."""

    @property
    def status(self) -> CapacityPlanStatus:
        """What the operator last said; empty before it has said anything."""
        return self.plan.status or CapacityPlanStatus()

    @property
    def namespace(self) -> str:
        """The plan's namespace."""
        return self.plan.metadata.namespace

    @property
    def key(self) -> str:
        """namespace/name."""
        return self.plan.metadata.key


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is."""

    plans: tuple[PlanSeen, ...]
    notes: tuple[str, ...] = ()
    """What could not be read, in one sentence each."""


def trouble(error: KubeError, resource: Resource, where: str) -> click.ClickException:
    """One line with the way out."""
    kind = resource.plural
    if error.status == 0:
        return click.ClickException(said(error))
    if error.forbidden:
        command = f"`kubectl auth can-i list {kind}.spillway.dev {where}`"
        return click.ClickException(f"no permission to read {kind}: {error.message}; see {command}")
    if error.not_found:
        return click.ClickException(
            f"this cluster has no {kind}.spillway.dev: Spillway is not installed in it (`spillway crds | kubectl apply"
            " -f -` and the chart), or --context names another cluster"
        )
    return click.ClickException(f"{kind} can't be read: {error.message}")


async def look(connection: Connection, names: Sequence[str] = (), *, now: float | None = None) -> Seen:
    """The plans of these names ([NAMESPACE/]NAME; none: all) in the connection's namespaces.

    Raises click.ClickException with one line where there are none or they can't be read.
    """
    async with await connection.connect() as kube:
        return await look_with(kube, connection.namespaces(), names, time.time() if now is None else now)


async def look_with(kube: Kube, namespaces: Sequence[str], names: Sequence[str], now: float) -> Seen:
    """The same with a client."""
    where = f"-n {namespaces[0]}" if namespaces else "-A"
    elsewhere = [name.partition("/")[0] for name in names if "/" in name]
    wanted_in = () if not namespaces else tuple(dict.fromkeys((*namespaces, *elsewhere)))
    try:
        found = await kube.list_in(PLANS, wanted_in)
    except KubeError as error:
        raise trouble(error, PLANS, where) from error
    chosen = _chosen(found, namespaces, names)
    if not chosen:
        raise click.ClickException(_nothing(namespaces, names))
    notes: list[str] = []
    spaces = tuple(dict.fromkeys(item["metadata"]["namespace"] for item in chosen))
    lanes = await _beside(kube, LANES, spaces, notes)
    classes = await _beside(kube, CLASSES, wanted_in and spaces, notes)
    changes = await _beside(kube, LANE_CHANGES, spaces, notes)
    stops = {space: await _stopped(kube, space, notes) for space in spaces}
    plans = []
    for item in chosen:
        plan, unreadable = _plan(item)
        mine = [lane for raw in lanes if (lane := _parsed(CapacityLane, raw, notes)) is not None]
        space = plan.metadata.namespace
        own = {lane.metadata.name: lane for lane in mine if lane.metadata.namespace == space}
        plans.append(
            PlanSeen(
                plan=plan,
                now=now,
                lanes={name: own[name] for name in plan.spec.lanes if name in own},
                classes=await _classes(kube, plan, classes, notes),
                changes=tuple(_changes(plan, changes, notes)),
                stopped=stops[space],
                targets=await _targets(kube, plan, own, now),
                unreadable=unreadable,
            )
        )
    return Seen(tuple(plans), tuple(dict.fromkeys(notes)))


def _chosen(found: Items, namespaces: Sequence[str], names: Sequence[str]) -> Items:
    ordered = sorted(found, key=lambda item: (item["metadata"]["namespace"], item["metadata"]["name"]))
    if not names:
        return [item for item in ordered if not namespaces or item["metadata"]["namespace"] in namespaces]
    chosen = []
    for name in names:
        space, slash, bare = name.rpartition("/")
        allowed = (space,) if slash else namespaces
        mine = [
            item
            for item in ordered
            if item["metadata"]["name"] == bare and (not allowed or item["metadata"]["namespace"] in allowed)
        ]
        if not mine:
            raise click.ClickException(_nothing((space,) if slash else namespaces, (bare,)))
        chosen += [item for item in mine if item not in chosen]
    return chosen


def _nothing(namespaces: Sequence[str], names: Sequence[str]) -> str:
    where = f"namespace {namespaces[0]}" if namespaces else "any namespace"
    if names:
        return f"no CapacityPlan {names[0]} in {where}; `kubectl get cplan -A` lists all"
    also = "-A looks in all namespaces, " if namespaces else ""
    return f"no CapacityPlan in {where}: {also}`spillway init` writes a first one"


def _plan(item: dict[str, object]) -> tuple[CapacityPlan, str | None]:
    """The plan; with a status that can't be read it is shown without one."""
    try:
        return CapacityPlan.parse(item), None
    except ValidationError as error:
        problem = _first(error)
    try:
        bare = CapacityPlan.parse({key: value for key, value in item.items() if key != "status"})
    except ValidationError as error:
        name = dict(item["metadata"])["name"]  # type: ignore[call-overload]
        raise click.ClickException(
            f"CapacityPlan {name} is none that this version reads: {_first(error)}; is this `spillway` of the"
            " operator's version (`spillway version`)?"
        ) from error
    return (
        bare,
        f"its status can't be read by this version ({problem}); take the `spillway` of the operator's version",
    )


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def _parsed(kind: type[T], item: dict[str, object], notes: list[str]) -> T | None:
    try:
        return kind.model_validate(item)
    except ValidationError as error:
        metadata = dict(item["metadata"])  # type: ignore[call-overload]
        notes.append(f"{kind.KIND} {metadata['namespace']}/{metadata['name']} can't be read: {_first(error)}")
        return None


async def _beside(kube: Kube, resource: Resource, namespaces: Sequence[str], notes: list[str]) -> Items:
    try:
        return await kube.list_in(resource, namespaces)
    except KubeError as error:
        notes.append(f"{resource.plural} can't be read, so they are left out: {error.message}")
        return []


async def _stopped(kube: Kube, namespace: str, notes: list[str]) -> bool | None:
    try:
        found = await kube.find(NAMESPACES, None, namespace)
    except KubeError as error:
        notes.append(f"whether namespace {namespace} is stopped is not known: {error.message}")
        return None
    annotations = ((found or {}).get("metadata") or {}).get("annotations") or {}
    return is_on(annotations.get(STOP_ANNOTATION))


async def _classes(kube: Kube, plan: CapacityPlan, listed: Items, notes: list[str]) -> dict[str, WorkloadClass]:
    """The plan's classes; those of other namespaces by the names that its status tells."""
    found = {}
    for raw in listed:
        made = _parsed(WorkloadClass, raw, notes)
        if made is not None and made.plan_key == plan.metadata.key:
            found[made.metadata.key] = made
    for told in () if plan.status is None else plan.status.classes:
        if f"{told.namespace}/{told.name}" in found or told.namespace == plan.metadata.namespace:
            continue
        try:
            raw_class = await kube.find(CLASSES, told.namespace, told.name)
        except KubeError:
            continue  # its objective alone is missing then
        made = None if raw_class is None else _parsed(WorkloadClass, raw_class, notes)
        if made is not None:
            found[made.metadata.key] = made
    return found


def _changes(plan: CapacityPlan, listed: Items, notes: list[str]) -> Iterable[LaneChange]:
    for raw in listed:
        if raw["metadata"]["namespace"] != plan.metadata.namespace:
            continue
        made = _parsed(LaneChange, raw, notes)
        if made is None or made.spec.plan_ref.name != plan.metadata.name:
            continue
        if made.metadata.generation == 1:
            yield made
        else:
            name = made.metadata.key
            notes.append(f"LaneChange {name} was changed after it was proposed, so it is left out; delete it")


async def _targets(kube: Kube, plan: CapacityPlan, lanes: Mapping[str, CapacityLane], now: float) -> dict[str, Target]:
    """Replicas by the Deployments themselves, where the status does not tell them (any more)."""
    if plan.status is not None and silent_seconds(plan.status, now) is None:
        return {}
    found = {}
    for name in plan.spec.lanes:
        own = lanes[name].spec.self_hosted if name in lanes else None
        if own is None or own.target_ref.kind != "Deployment":
            continue
        try:
            raw = await kube.find(DEPLOYMENTS, plan.metadata.namespace, own.target_ref.name)
        except KubeError:
            continue  # a help only
        if raw is not None:
            spec, status = raw.get("spec") or {}, raw.get("status") or {}
            found[name] = Target(int(spec.get("replicas", 1)), int(status.get("readyReplicas", 0)))
    return found
