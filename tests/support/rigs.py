"""What the conformance suite asks of every routing plane.

A rig is one namespace with an own lane ("gpu") and a hosted one ("hosted") behind a real gateway, a plan that binds
class "chat" to both, and the product's plane. Another plane joins with a rig of its own, and with a file of tests that
names the cases of plane_cases.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from spillway.act.planes.plane import Confirmation, Found, Held, Plane, Rendered
from spillway.act.writes import Write
from spillway.api import CapacityPlan
from spillway.decide.snapshot import RouteState
from spillway.kube import Kube
from spillway_dev.cluster import Cluster
from spillway_dev.upstreams import Load, LoadReport

Object = dict[str, Any]
Weights = Mapping[str, Mapping[str, int]]
"""Class name to lane name to whole percent."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is asked of a gateway, and how long it may take."""

    clients: int
    """Requests in flight at most."""
    enough: int
    """Requests that a split is measured by."""
    points: float
    """Of a 70/30 split, four standard deviations at so many requests."""
    some: int
    """Requests of which none may arrive at a weight of 0."""
    patience_seconds: float
    """For a change to be in force."""


class Rig(Protocol):
    """One plane with all that it needs."""

    models: Mapping[str, str]
    """The model that each lane serves; the class asks for what "gpu" serves at first."""
    cap: int | None
    """Most requests in flight on "gpu" in Spill mode, where the plane holds one; None for no limit to speak of."""
    at: float
    """The operator's clock, Unix time in seconds."""
    pace: Pace
    difference: tuple[str, ...]
    """How it words a move from all at home to 60 and 40."""
    pending: tuple[bool | None, str]
    """What is observed and said of what is written and not taken over."""
    not_owned: tuple[str, ...]
    """Why it leaves what is somebody else's; one of them."""
    baseline: Mapping[str, int] | None
    """Weights that a release restores; None where there is no way back, and those of now are kept."""
    kept: bool
    """Whether it keeps its notes when it is released."""

    @property
    def plane(self) -> Plane:
        """The product's."""

    def plan(self) -> CapacityPlan:
        """The plan."""

    def plan_with_another(self, works: bool) -> CapacityPlan:
        """The plan with a second class, "other", that can be served or can't."""

    def look(self, **weights: int) -> tuple[Found, Rendered]:
        """What the cluster holds, and what would be written."""

    def look_at(self, weights: Weights, plan: CapacityPlan | None = None) -> tuple[Found, Rendered]:
        """The same of several classes."""

    def write(self, weights: Weights, plan: CapacityPlan | None = None) -> tuple[Write, ...]:
        """One tick's writes."""

    def put(self, **weights: int) -> None:
        """Write as often as the operator's ticks would until nothing is due."""

    def settled(self) -> None:
        """Wait until what is written is taken over."""

    def move(self, **weights: int) -> None:
        """Both."""

    def left_out(self, rendered: Rendered) -> set[str]:
        """Classes that could not be rendered."""

    def observed(self) -> RouteState:
        """The class's route as the operator observes it."""

    def counters(self) -> dict[str, int]:
        """Requests by lane so far, as engines and egress count them."""

    def confirm(self, weights: Mapping[str, int], before: Mapping[str, int], seconds: float) -> Confirmation:
        """How far these weights have come, by what was counted since ``before``, over a window that is now over."""

    def held(self) -> list[Held]:
        """What the plane holds in this namespace."""

    def release(self, held: Held, restore: bool) -> Write:
        """Give it back."""

    def weights(self) -> dict[str, int]:
        """The weights as they are written, by lane."""

    def content(self) -> Object:
        """What carries traffic, as it is written."""

    def version(self) -> int:
        """Which generation of it is written."""

    def traces(self) -> list[str]:
        """What on it tells of Spillway."""

    def taken_by_somebody(self) -> None:
        """Before anything is written: it is somebody else's, or serves something else."""

    def lose_hosted(self) -> None:
        """The hosted lane's backend is deleted, and the gateway notices."""

    def restore_hosted(self) -> None:
        """It is there again."""

    def gateway_away(self) -> AbstractContextManager[None]:
        """Nobody takes over what is written, and every status stands still."""

    def set_local(self, **settings: Any) -> None:
        """Change how own engines answer."""

    def load(self) -> Load:
        """Requests without a pause, for as long as a test may need them."""

    def send(self, requests: int, concurrency: int = 1, **body: object) -> LoadReport:
        """Send requests and wait for all."""


def ask(cluster: Cluster, what: Callable[[Kube], Awaitable[T]]) -> T:
    """Run with an administrator's client of the apiserver."""

    async def run() -> T:
        async with await Kube.connect(str(cluster.kubeconfig)) as kube:
            return await what(kube)

    return asyncio.run(run())


def traces(meta: Object) -> list[str]:
    """Notes and ownership of Spillway's on an object."""
    managers = {entry["manager"] for entry in meta.get("managedFields") or []} & {"spillway-controller"}
    return [*managers, *(key for key in meta.get("annotations") or {} if key.startswith("spillway.dev/"))]
