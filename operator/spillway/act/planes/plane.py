"""The one interface of everything that moves traffic between lanes, and the frozen values that pass through it.

A plane is chosen by ``spec.routing.plane``. One tick of one plan goes: ``read`` what the cluster holds, ``render`` what
it should hold (pure), ``apply`` the difference, and in later ticks ``confirm`` it from counters. What one binding asks
for may be an object of its own (an HTTPRoute), or a part of one configuration of the whole plan (LiteLLM's ConfigMap):
``Wanted`` therefore always holds every binding, and says which of them may be written now.

The order of writes over lanes and routes is the executor's, not the plane's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from spillway.act.litellm.terms import Terms
from spillway.act.writes import Write
from spillway.api import Binding, CapacityLane, CapacityPlan, LaneType, RoutingPlane, WorkloadClass
from spillway.decide.snapshot import Finding, Reading, RouteState
from spillway.kube import Kube, Resource

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the routing of one plan should be now."""

    plan: CapacityPlan
    classes: tuple[WorkloadClass, ...]
    lanes: tuple[CapacityLane, ...]
    weights: Mapping[str, Mapping[str, int]]
    """Binding's class name to lane name to weight, whole percent. A binding that has no entry is left as it is."""
    moving: frozenset[str]
    """Class names whose weights may be written now; those of the others are what the cluster has."""
    frozen: frozenset[str] = frozenset()
    """Class names whose rules must not be moved; they may only go back to weights that the plane has accepted."""
    at: float = 0.0
    """Unix time of the tick, in seconds."""
    in_flight: Mapping[str, int] = field(default_factory=dict)
    """Own lane to the most requests in flight, over all its Ready replicas, where that was decided."""
    terms: Terms | None = None
    """What a proxy that holds limits by itself goes by."""

    @property
    def own(self) -> frozenset[str]:
        """Names of the plan's own lanes."""
        return frozenset(lane.metadata.name for lane in self.lanes if lane.spec.type is LaneType.SELF_HOSTED)

    def bindings(self) -> tuple[Binding, ...]:
        """The bindings that may be written now and have weights."""
        bound = self.plan.spec.routing.bindings
        return tuple(each for each in bound if each.class_ in self.moving and each.class_ in self.weights)

    def class_of(self, binding: Binding) -> WorkloadClass | None:
        """The binding's class; None where the plan has none of that name."""
        return next((each for each in self.classes if each.metadata.name == binding.class_), None)


@dataclass(frozen=True, slots=True)
class Found:
    """What the cluster holds of everything that the plane would write or depends on."""

    objects: Mapping[str, JSON]
    """By "Kind/namespace/name"; what does not exist is left out."""
    unreadable: frozenset[str] = frozenset()
    """Kinds that the operator may not read, or that are not served."""

    def get(self, kind: str, namespace: str, name: str) -> JSON | None:
        """One object, or None where it does not exist."""
        return self.objects.get(f"{kind}/{namespace}/{name}")


class How(StrEnum):
    """How a change is sent."""

    APPLY = "Apply"
    """Server-side apply of the whole object under Spillway's field manager."""
    JSON_PATCH = "JsonPatch"
    """Operations, guarded by ``test``."""
    MERGE_PATCH = "MergePatch"


@dataclass(frozen=True, slots=True)
class Change:
    """One write that brings the cluster nearer to what is wanted."""

    what: str
    """Kind of write, as metrics count it: "route", "policy", "limits", "config", "rollout"."""
    resource: Resource
    kind: str
    namespace: str
    name: str
    how: How
    body: Any
    detail: str
    """One phrase for people, such as "chat: gpu 70%, hosted 30%"."""
    words: tuple[str, ...] = ()
    """What differs, one phrase each."""
    group: str = ""
    """Changes of one group, such as a binding's, depend on each other: after one that fails the rest is not sent."""
    force: bool = True
    """With APPLY: whether fields of other managers are taken over. False for an object that is not there yet."""

    @property
    def subject(self) -> str:
        """Kind/namespace/name."""
        return f"{self.kind}/{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A binding that can't be rendered onto what the cluster holds: it is left as it is."""

    class_name: str
    subject: str
    """Kind/namespace/name of the object concerned."""
    detail: str
    """What was to be written."""
    why: str
    """One clause on the object and the way out."""
    backing_off: bool = False
    """Whether the gateway has refused these weights, so that they are not tried again for a while."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """Everything that would be written, in order, and what would not be and why. Empty where nothing differs."""

    changes: tuple[Change, ...] = ()
    refused: tuple[Refusal, ...] = ()
    findings: tuple[Finding, ...] = ()
    """What is noteworthy beside."""
    waiting: bool = False
    """Whether something differs that may not be written yet: no capacity is removed meanwhile."""


@dataclass(frozen=True, slots=True)
class Move:
    """Weights that were written for one binding, and since when."""

    class_name: str
    weights: Mapping[str, int]
    """By lane name, whole percent."""
    written_at: float
    """Unix time in seconds."""
    before: Mapping[str, int] | None = None
    """The weights that they replaced; None is not known, as after a restart."""
    peaks: Mapping[str, float] = field(default_factory=dict)
    """A lane's highest share, 0 to 1, since counters last showed the weights in place."""
    lowered_at: Mapping[str, float] = field(default_factory=dict)
    """When a lane's share was last lowered, Unix time in seconds; only of lanes that are well below their peak."""


def share_of(weights: Mapping[str, int], lane: str) -> float:
    """The lane's share by these weights, 0 to 1."""
    total = sum(weights.values())
    return weights.get(lane, 0) / total if total > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was observed of one plan's routing in a tick."""

    at: float
    """Unix time of the tick, in seconds."""
    routes: tuple[RouteState, ...]
    requests: Mapping[str, Mapping[str, Reading]]
    """Class name to lane name to requests a second, by counters that hold this class's traffic and no other's."""
    window_seconds: float
    """What the rates are taken over: counters show nothing of a move before that has passed."""
    own: frozenset[str]
    """Names of own lanes."""


class Stage(StrEnum):
    """How far a move has come."""

    WRITTEN = "Written"
    """The apiserver has it."""
    ACCEPTED = "Accepted"
    """The plane says that it has taken it over. That proves translated, not loaded."""
    NOT_ACCEPTED = "NotAccepted"
    """The plane refuses it."""
    CONFIRMED = "Confirmed"
    """Per-lane request counters have moved to the target."""
    NOT_CONFIRMED = "NotConfirmed"
    """Time enough has passed, and counters show something else."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How far one binding's move has come, and by what that is known."""

    class_name: str
    stage: Stage
    reason: str
    """Machine reason, CamelCase."""
    message: str
    """One sentence with its figures."""
    hosted_share: float | None = None
    """Share of the class's requests that hosted lanes served, 0 to 1, by counters; None is not known."""


@dataclass(frozen=True, slots=True)
class Held:
    """An object that Spillway holds and can give back."""

    resource: Resource
    kind: str
    namespace: str
    name: str
    baseline: str
    """What was noted of it before Spillway first wrote it (replicas, weights as JSON); empty where there is no way
    back."""
    plane: RoutingPlane | None = None
    """The plane that holds it; None for a target of scaling."""

    @property
    def subject(self) -> str:
        """Kind/namespace/name."""
        return f"{self.kind}/{self.namespace}/{self.name}"


class Plane(Protocol):
    """One way of moving traffic. Holds no state of its own: every method answers from its arguments."""

    @property
    def name(self) -> RoutingPlane:
        """The value of ``spec.routing.plane`` that chooses it."""

    async def read(self, kube: Kube, wanted: Wanted) -> Found:
        """Everything that ``render`` needs to know of the cluster. Never writes. Raises ``KubeError``."""

    def render(self, wanted: Wanted, found: Found) -> Rendered:
        """What must be written so that the bindings in ``wanted.moving`` have their weights. Pure, never raises for
        what users wrote: a binding that can't be is refused. The same arguments give the same changes."""

    def diff(self, found: Found, rendered: Rendered) -> tuple[str, ...]:
        """What ``rendered`` would change in ``found``, in words; empty where nothing would. Pure."""

    async def apply(self, kube: Kube, rendered: Rendered) -> tuple[Write, ...]:
        """Write the changes in order; one that fails ends its group, and no other. Refusals come back as superseded
        writes. Raises nothing of the apiserver's."""

    async def confirm(
        self, kube: Kube, plan: CapacityPlan, moves: Sequence[Move], evidence: Evidence
    ) -> tuple[Confirmation, ...]:
        """How far each move has come. Only counters confirm; accepted status never does. Never writes; what can't be
        asked now leaves the move where it was."""

    def held(self, kube: Kube, namespaces: Sequence[str]) -> AsyncIterator[Held]:
        """Every object that carries this plane's notes, in these namespaces (none: everywhere), known by the notes
        alone: plans may be gone."""

    async def release(self, kube: Kube, held: Held, *, restore: bool) -> Write:
        """Give one object back, at its baseline or as it is now. Never deletes what carries traffic."""
