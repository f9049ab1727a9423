"""Puts it together: for each namespace with engines three files, lanes, classes and the plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from spillway.advise.figures import Figure, plain
from spillway.advise.first.classes import ClassDraft, class_notes, class_spec, draft
from spillway.advise.first.demand import span, tokens_per_month
from spillway.advise.first.facts import Found, Workload, World
from spillway.advise.first.lanes import (
    UNKNOWN_GPU,
    HostedLane,
    Names,
    OwnLane,
    gpu_price,
    hosted_lanes,
    manifest,
    own_lane,
)
from spillway.advise.first.plan import MAX_LANES, fleet_cost, plan_notes, plan_spec
from spillway.advise.first.text import comment, document
from spillway.advise.prices import PriceUnknownError

PLAN = "main"
MAX_MODELS = 16
"""Of a lane and of a class."""


@dataclass(frozen=True, slots=True)
class Item:
    """One proposed object, for the summary."""

    kind: str
    namespace: str
    name: str
    about: str
    unknown: tuple[str, ...]
    """What a person has to put in or to check."""
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """File names with their text, in the order in which they are applied."""

    files: tuple[tuple[str, str], ...]
    items: tuple[Item, ...]
    notes: tuple[str, ...]
    """What was seen and not used."""


def compose(world: World) -> Proposal:
    """The proposal; without files where no namespace has an engine that no lane has yet.

    Raises PriceUnknownError, which names every GPU type that nothing prices.
    """
    files: list[tuple[str, str]] = []
    items: list[Item] = []
    notes = list(world.left_out)
    open_namespaces = [_without_taken(found, notes) for found in world.namespaces]
    _require_prices(open_namespaces, world)
    for found in open_namespaces:
        if found.workloads:
            made = _Namespace(found, world)
            files += made.files()
            items += made.items()
            notes += made.problems
    return Proposal(tuple(files), tuple(items), tuple(notes))


def _without_taken(found: Found, notes: list[str]) -> Found:
    for workload in found.workloads:
        if lane := found.taken.get(workload.key):
            notes.append(f"{workload.key} in {found.namespace}: CapacityLane {lane} has it already")
    return replace(
        found, workloads=tuple(_trimmed(each, notes) for each in found.workloads if each.key not in found.taken)
    )


def _trimmed(workload: Workload, notes: list[str]) -> Workload:
    """With no more models than a lane takes."""
    if (more := len(workload.models) - MAX_MODELS) <= 0:
        return workload
    notes.append(f"{workload.key} in {workload.namespace}: a lane takes {MAX_MODELS} models; {more} are left out")
    return replace(workload, models=workload.models[:MAX_MODELS])


def _require_prices(namespaces: Iterable[Found], world: World) -> None:
    kinds = {
        workload.gpu.type if workload.gpu else UNKNOWN_GPU: workload
        for found in namespaces
        for workload in found.workloads
        if gpu_price(workload.gpu, world) is None
    }
    if kinds:
        named = ", ".join(f"{kind} ({each.kind} {each.namespace}/{each.name})" for kind, each in sorted(kinds.items()))
        ways = " ".join(f"--gpu-price {kind}=USD" for kind in sorted(kinds))
        raise PriceUnknownError(f"nothing prices these GPUs: {named}; give dollars a GPU-hour: {ways}")


class _Namespace:
    def __init__(self, found: Found, world: World) -> None:
        self._found, self._world = found, world
        names = Names(found.names)
        self._own = tuple(_priced(each, world, names) for each in found.workloads)
        self._hosted = hosted_lanes(found, names)
        self._classes, problems = draft(found, self._own, self._hosted, names)
        self._plan = Names(found.plans).give(PLAN, "first")
        self._cost = fleet_cost(self._own)
        self.problems = [f"{each} (namespace {found.namespace})" for each in problems]
        if (more := len(self._own) + len(self._hosted) - MAX_LANES) > 0:
            self.problems.append(f"{found.namespace}: a plan takes {MAX_LANES} lanes; {more} are in none")
        self.problems += [
            f"{model.model} at {model.provider} ({model.source}): nobody prices it; no lane for it"
            for model in found.hosted
            if model.price is None
        ]

    def files(self) -> list[tuple[str, str]]:
        """Lanes before classes before the plan: the plan is Ready once all are there."""
        space = self._found.namespace
        return [(f"{space}-lanes.yaml", self._lanes()), (f"{space}-classes.yaml", self._class_file()),
                (f"{space}-plan.yaml", self._plan_file())]  # fmt: skip

    def _head(self, what: str) -> str:
        world = self._world
        source = (
            f"its Prometheus {world.prometheus} over up to {world.days:g} days" if world.prometheus else "no Prometheus"
        )
        lines = [
            *comment(
                f"{what} for namespace {self._found.namespace}: a first proposal by spillway init, {world.at}, from "
                f"{world.context} and {source}. Nothing of it changes anything but Spillway's own status (mode "
                'Recommend). Search for "not known": these are yours to fill in.',
                0,
            ),
            *(
                line
                for gap in world.gaps
                for line in comment(f"Could not be looked at: {gap.what} ({gap.why}). {gap.mend}", 0)
            ),
        ]
        return "\n".join(lines) + "\n\n"

    def _lanes(self) -> str:
        space = self._found.namespace
        specs = [*((lane.name, lane.spec) for lane in self._own), *((lane.name, lane.spec) for lane in self._hosted)]
        parts = [document(manifest("CapacityLane", space, name, spec)) for name, spec in specs]
        return self._head("Where work can run") + "---\n".join(parts)

    def _class_file(self) -> str:
        space, teams = self._found.namespace, self._world.teams
        parts = [
            document(
                manifest("WorkloadClass", space, each.name, class_spec(each, self._plan)), *class_notes(each, teams)
            )
            for each in self._classes
        ]
        return self._head("What the traffic needs") + "---\n".join(parts)

    def _plan_file(self) -> str:
        spec = plan_spec(self._own, self._hosted, self._classes, self._cost)
        notes = [*plan_notes(self._own, self._classes, self._cost, self._world), *self._left_notes()]
        made = document(manifest("CapacityPlan", self._found.namespace, self._plan, spec), *notes)
        return self._head("The contract") + made

    def _left_notes(self) -> list[str]:
        return [f"Not used: {each}." for each in self.problems]

    def items(self) -> list[Item]:
        """For the summary."""
        space = self._found.namespace
        return [
            *(_lane_item(space, lane) for lane in self._own),
            *(_hosted_item(space, lane) for lane in self._hosted),
            *(_class_item(space, each) for each in self._classes),
            Item("CapacityPlan", space, self._plan, _plan_about(self._own, self._classes), (), (self._cost,)),
        ]


def _priced(workload: Workload, world: World, names: Names) -> OwnLane:
    price = gpu_price(workload.gpu, world)
    assert price is not None  # noqa: S101 - _require_prices has seen to it
    return own_lane(workload, price, names)


def _lane_item(space: str, lane: OwnLane) -> Item:
    each = lane.workload
    gpus = each.gpus_per_replica or 1
    kind = each.gpu.type if each.gpu else "GPU of unknown type"
    about = f"{each.key}, {each.replicas} x {gpus} {kind} at ${plain(lane.price.value)} a GPU-hour"
    return Item("CapacityLane", space, lane.name, about, lane.unknown, (lane.price,))


def _hosted_item(space: str, lane: HostedLane) -> Item:
    return Item("CapacityLane", space, lane.name, f"{lane.model.model} at {lane.model.provider}", lane.unknown)


def _class_item(space: str, each: ClassDraft) -> Item:
    month = tokens_per_month(each.counted) if each.counted is not None else None
    about = each.rule.text if each.rule is not None else f"model {each.models[0]}"
    if each.counted is not None and each.counted.requests > 0:
        about += f": {each.counted.requests:,.0f} requests in {span(each.counted.seconds)}"
    unknown = ["latency", "dataPolicy", *(() if each.slo.figures else ("slo",))]
    return Item(
        "WorkloadClass", space, each.name, about, tuple(unknown), (*each.slo.figures, *((month,) if month else ()))
    )


def _plan_about(own: Sequence[OwnLane], classes: Sequence[ClassDraft]) -> str:
    bound = sum(each.binding is not None for each in classes)
    lanes = f"{len(own)} own lane{'s' if len(own) != 1 else ''}"
    return f"mode Recommend, {lanes}, {len(classes)} class{'es' if len(classes) != 1 else ''} ({bound} bound to routes)"
