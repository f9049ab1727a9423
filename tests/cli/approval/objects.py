"""A plan, its lanes and its class, proposals on them, and an apiserver that holds them and takes patches."""

from __future__ import annotations

import asyncio
import copy
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any, Self

import jsonpatch
import pytest

from spillway.cli.connection import Connection
from spillway.cli.main import main
from spillway.kube import CLASSES, LANE_CHANGES, LANES, PLANS, Items, Kube, KubeError, Resource
from support.lane_changes import LOWER, change_on, lane_change
from support.world import hosted_lane, own_lane, plan, workload

Json = dict[str, Any]
NS = "inference"
FLUX = {"kustomize.toolkit.fluxcd.io/name": "inference", "kustomize.toolkit.fluxcd.io/namespace": "flux"}
LOWER_OTHER: tuple[Json, ...] = (LOWER[0], LOWER[1] | {"value": 7})
"""On the same state, and so with the same hash, as LOWER; another value."""
WRONG_TEST: tuple[Json, ...] = (LOWER[0] | {"value": 5}, LOWER[1])
BELOW_A_SCALAR: tuple[Json, ...] = ({"op": "replace", "path": "/spec/selfHosted/replicas/min/x", "value": 0},)
Write = tuple[str, str]
"""Plural and name."""


class Cluster(Kube):
    """What an apiserver would answer; ``before`` and ``after`` happen around each write that is stored."""

    def __init__(self) -> None:
        super().__init__(None)
        self.objects: dict[Write, Json] = {}
        self.writes: list[Write] = []
        self.before: Callable[[Write], Any] = lambda write: None
        self.after: Callable[[Write], Any] = lambda write: None
        for resource, made in (
            (PLANS, plan(NS)), (PLANS, plan(NS, "night")), (LANES, own_lane(NS)), (LANES, hosted_lane(NS)),
            (CLASSES, workload(NS)),
        ):  # fmt: skip
            self.put(resource, made)

    async def __aenter__(self) -> Self:
        return self

    async def close(self) -> None:
        await asyncio.sleep(0)

    def put(self, resource: Resource, made: Json, uid: str = "") -> Json:
        """Create an object, or make it anew."""
        name = made["metadata"]["name"]
        meta = made["metadata"] | {"uid": uid or f"{resource.plural}-{name}", "generation": 1, "resourceVersion": "1"}
        self.objects[(resource.plural, name)] = copy.deepcopy(made | {"metadata": meta})
        return self.objects[(resource.plural, name)]

    def propose(self, name: str, patch: Sequence[Json] = LOWER, uid: str = "") -> Json:
        """A proposal to patch the lane "gpu", on what is there."""
        wanted = (("capacityplans", "main"), ("capacitylanes", "gpu"), ("capacitylanes", "hosted"))
        basis = [self.objects[each] for each in (*wanted, ("workloadclasses", "chat"))]
        made = lane_change(name, NS, basis, [change_on("CapacityLane", NS, "gpu", patch)])
        return self.put(LANE_CHANGES, made, uid)

    @property
    def lane(self) -> Json:
        """The lane "gpu"."""
        return self.objects[("capacitylanes", "gpu")]

    @property
    def minimum(self) -> int:
        """Of the lane's replicas."""
        return int(self.lane["spec"]["selfHosted"]["replicas"]["min"])

    def notes(self, name: str) -> Json:
        """Annotations of a proposal."""
        found: Json = self.objects[("lanechanges", name)]["metadata"].get("annotations") or {}
        return found

    async def get(self, resource: Resource, namespace: str | None, name: str, subresource: str | None = None) -> Json:
        try:
            return copy.deepcopy(self.objects[(resource.plural, name)])
        except KeyError:
            raise KubeError(404, "NotFound", f"{resource.plural} {name!r} not found") from None

    async def list_in(self, resource: Resource, namespaces: Sequence[str]) -> Items:
        return [copy.deepcopy(each) for (plural, _), each in self.objects.items() if plural == resource.plural]

    async def whoami(self) -> str:
        return "alice"

    async def json_patch(
        self, resource: Resource, namespace: str | None, name: str, operations: Items,
        *, field_manager: str = "", dry_run: bool = False,
    ) -> Json:  # fmt: skip
        def made(item: Json) -> Json:
            try:
                return dict(jsonpatch.apply_patch(item, operations))
            except jsonpatch.JsonPatchException as error:
                raise KubeError(409, "Conflict", "it changed since it was read") from error

        return await self._store((resource.plural, name), made, dry_run)

    async def merge_patch(
        self, resource: Resource, namespace: str | None, name: str, body: Json,
        *, subresource: str | None = None, field_manager: str = "", dry_run: bool = False,
    ) -> Json:  # fmt: skip
        def made(item: Json) -> Json:
            return item | {"spec": item["spec"] | body["spec"]}

        return await self._store((resource.plural, name), made, dry_run)

    async def _store(self, write: Write, made: Callable[[Json], Json], dry_run: bool) -> Json:
        if not dry_run:
            await _happen(self.before, write)
        before = self.objects[write]
        after = made(copy.deepcopy(before))
        if dry_run:
            return after
        after["metadata"]["generation"] += before["spec"] != after["spec"]
        after["metadata"]["resourceVersion"] += "1"
        self.objects[write] = after
        self.writes.append(write)
        await _happen(self.after, write)
        return after


async def _happen(what: Callable[[Write], Any], write: Write) -> None:
    found = what(write)
    if found is not None:
        await found


def interrupt_at(write: Write, *, answered: bool) -> Callable[[Write], Any]:
    """Ctrl-C at a write; ``answered``: once its answer is there, else while it is waited for."""

    async def pressed() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        if not answered:
            await asyncio.sleep(60)

    return lambda found: pressed() if found == write else None


def unanswered_at(write: Write) -> Callable[[Write], Any]:
    """No answer to a write."""

    async def lost() -> None:
        raise KubeError(0, "Unreachable", "the apiserver did not answer: timed out")

    return lambda found: lost() if found == write else None


def run(monkeypatch: pytest.MonkeyPatch, cluster: Cluster, *arguments: str) -> int:
    """One command against it."""

    async def connect(_: Connection) -> Kube:
        return cluster

    monkeypatch.setattr(Connection, "connect", connect)
    return main([*arguments, "-n", NS])


def answering(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], str]) -> None:
    """Somebody at a terminal, who does this at a question."""

    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: answer())


def lines(text: str) -> list[str]:
    """But for the empty one, by which click ends the terminal's "^C"."""
    return [line for line in text.splitlines() if line]
