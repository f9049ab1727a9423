"""Scaling a real Deployment: preconditions, marks and notes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from spillway.act.scale import mark_pods, scale_lane
from spillway.act.writes import Outcome, Write
from spillway.api import CapacityLane
from spillway.api.names import BASELINE_ANNOTATION, DELETION_COST_ANNOTATION, LAST_SCALE_ANNOTATION, MARK_ANNOTATION
from spillway.decide.decision import LaneDecision, Reason
from spillway.kube import DEPLOYMENTS, PODS, Kube, Resource
from spillway_dev.cluster import Cluster
from spillway_dev.processes import wait_until
from support.world import deployment, own_lane

SELECTOR = "app=vllm"
AT = 1_800_000_000.0


@pytest.fixture
async def kube(cluster: Cluster) -> AsyncIterator[Kube]:
    async with await Kube.connect(str(cluster.kubeconfig)) as connected:
        yield connected


@pytest.fixture
def target(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """A Deployment of three pods, of which Spillway knows nothing yet."""
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(deployment(namespace, replicas=3)))
    wait_until(lambda: len(pods(cluster, namespace)) == 3, "three pods", 120)
    # What the deployment controller still writes would count as somebody else's change.
    wait_until(lambda: settled(cluster.get("deployments.apps", "vllm", namespace)), "a settled Deployment", 60)
    versions = [""]

    def at_rest() -> bool:
        versions.append(cluster.get("deployments.apps", "vllm", namespace)["metadata"]["resourceVersion"])
        return versions[-1] == versions[-2]

    wait_until(at_rest, "a Deployment that nobody writes", 60, interval_seconds=1.0)
    return cluster.get("deployments.apps", "vllm", namespace)


def settled(found: dict[str, Any]) -> bool:
    status = found.get("status", {})
    seen = status.get("observedGeneration") == found["metadata"]["generation"]
    complete = any(c["reason"] == "NewReplicaSetAvailable" for c in status.get("conditions", ()))
    counts = {status.get(f"{state}Replicas") for state in ("ready", "updated", "available")}
    return seen and complete and counts == {3}


def pods(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    answer = cluster.kubectl("get", "pods", "-n", namespace, "-l", SELECTOR, "-o", "json")
    items: list[dict[str, Any]] = json.loads(answer)["items"]
    return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]


def lane(namespace: str) -> CapacityLane:
    return CapacityLane.parse(own_lane(namespace))


def decided(current: int, recommended: int, *going: str) -> LaneDecision:
    reason = Reason("Test", "Because.")
    return LaneDecision("gpu", current, current, recommended, recommended, reason, writable=True, pods_to_remove=going)


def outcome(writes: list[Write]) -> tuple[Outcome, str]:
    return writes[-1].outcome, writes[-1].error


def owners(found: dict[str, Any]) -> list[str]:
    return [
        entry["manager"]
        for entry in found["metadata"].get("managedFields", [])
        if "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})
    ]


async def current(kube: Kube, namespace: str) -> dict[str, Any]:
    return await kube.get(DEPLOYMENTS, namespace, "vllm")


async def test_a_step_up_notes_baseline_and_step_and_owns_the_count(
    kube: Kube, namespace: str, target: dict[str, Any]
) -> None:
    writes = await scale_lane(kube, lane(namespace), decided(3, 5), target["metadata"]["uid"], AT)
    assert [(write.kind, write.outcome) for write in writes] == [
        ("annotation", Outcome.WRITTEN),
        ("scale", Outcome.WRITTEN),
    ]
    found = await current(kube, namespace)
    notes = found["metadata"]["annotations"]
    assert (found["spec"]["replicas"], owners(found)) == (5, ["spillway-controller"])
    assert notes[BASELINE_ANNOTATION] == "3"
    assert json.loads(notes[LAST_SCALE_ANNOTATION]) == {"at": "2027-01-15T08:00:00.000+00:00", "from": 3, "to": 5}

    await scale_lane(kube, lane(namespace), decided(5, 6), target["metadata"]["uid"], AT)
    assert (await current(kube, namespace))["metadata"]["annotations"][BASELINE_ANNOTATION] == "3"


async def test_part_ownership_is_no_step(kube: Kube, namespace: str, target: dict[str, Any]) -> None:
    uid = target["metadata"]["uid"]
    await scale_lane(kube, lane(namespace), decided(3, 4), uid, AT)
    before = (await current(kube, namespace))["metadata"]["annotations"]
    writes = await scale_lane(kube, lane(namespace), decided(4, 4), uid, AT + 60)
    assert [write.kind for write in writes] == ["scale"]
    assert (await current(kube, namespace))["metadata"]["annotations"] == before


async def test_a_count_that_a_person_changed_meanwhile_is_left(
    kube: Kube, cluster: Cluster, namespace: str, target: dict[str, Any]
) -> None:
    cluster.kubectl("scale", "deployment/vllm", "--replicas=7", "-n", namespace)
    writes = await scale_lane(kube, lane(namespace), decided(3, 5), target["metadata"]["uid"], AT)
    assert outcome(writes) == (Outcome.SUPERSEDED, "it has 7 replicas, not 3")
    assert (
        "annotations" not in (await current(kube, namespace))["metadata"]
        or BASELINE_ANNOTATION not in (await current(kube, namespace))["metadata"]["annotations"]
    )


async def test_a_target_of_the_same_name_is_not_the_same_target(
    kube: Kube, namespace: str, target: dict[str, Any]
) -> None:
    assert target["metadata"]["uid"]
    writes = await scale_lane(kube, lane(namespace), decided(3, 5), "another-uid", AT)
    assert outcome(writes) == (Outcome.SUPERSEDED, "it was deleted or replaced")
    assert (await current(kube, namespace))["spec"]["replicas"] == 3


async def test_a_target_that_is_gone_or_of_no_kind_is_superseded(kube: Kube, namespace: str) -> None:
    writes = await scale_lane(kube, lane(namespace), decided(3, 5), "u", AT)
    assert writes[-1].outcome is Outcome.SUPERSEDED
    nowhere = own_lane(namespace, targetRef={"apiVersion": "nobody.example/v1", "kind": "Thing", "name": "x"})
    writes = await scale_lane(kube, CapacityLane.parse(nowhere), decided(3, 5), "u", AT)
    assert outcome(writes) == (Outcome.SUPERSEDED, "its kind is no longer served")


class Busy(Kube):
    """A client during whose scale writes somebody else writes first, a number of times."""

    meddle: Any = None
    times = 0

    async def apply(self, resource: Resource, *arguments: Any, **options: Any) -> dict[str, Any]:
        if options.get("subresource") == "scale" and self.times > 0:
            self.times -= 1
            await self.meddle()
        return await super().apply(resource, *arguments, **options)


async def busy(cluster: Cluster, times: int, change: dict[str, Any], namespace: str) -> Busy:
    connected = await Busy.connect(str(cluster.kubeconfig))
    assert isinstance(connected, Busy)
    connected.times = times

    async def meddle() -> None:
        change["metadata"]["annotations"]["n"] = str(connected.times)
        await connected.merge_patch(DEPLOYMENTS, namespace, "vllm", change)

    connected.meddle = meddle
    return connected


# Once is another's: the deployment controller may write beside.
@pytest.mark.parametrize(("times", "expected"), [(1, Outcome.WRITTEN), (3, Outcome.SUPERSEDED)])
async def test_other_writes_meanwhile_are_looked_at_again_but_not_for_ever(
    cluster: Cluster, namespace: str, target: dict[str, Any], times: int, expected: Outcome
) -> None:
    async with await busy(cluster, times, {"metadata": {"annotations": {}}}, namespace) as kube:
        writes = await scale_lane(kube, lane(namespace), decided(3, 5), target["metadata"]["uid"], AT)
        assert writes[-1].outcome is expected
        assert (await current(kube, namespace))["spec"]["replicas"] == (5 if expected is Outcome.WRITTEN else 3)


async def test_a_count_changed_between_note_and_scale_is_left(
    cluster: Cluster, namespace: str, target: dict[str, Any]
) -> None:
    change = {"metadata": {"annotations": {}}, "spec": {"replicas": 9}}
    async with await busy(cluster, 1, change, namespace) as kube:
        writes = await scale_lane(kube, lane(namespace), decided(3, 5), target["metadata"]["uid"], AT)
        assert outcome(writes) == (Outcome.SUPERSEDED, "it has 9 replicas, not 3")
        assert (await current(kube, namespace))["spec"]["replicas"] == 9


async def test_the_marked_pod_goes(kube: Kube, cluster: Cluster, namespace: str, target: dict[str, Any]) -> None:
    names = sorted(pod["metadata"]["name"] for pod in pods(cluster, namespace))
    writes = await scale_lane(kube, lane(namespace), decided(3, 2, names[1]), target["metadata"]["uid"], AT)
    assert [write.kind for write in writes] == ["annotation", "pod-deletion-cost", "scale"]
    wait_until(lambda: len(pods(cluster, namespace)) == 2, "two pods", 120)
    assert sorted(pod["metadata"]["name"] for pod in pods(cluster, namespace)) == [names[0], names[2]]


async def test_marks_of_before_are_taken_off_and_other_peoples_are_not(
    kube: Kube, cluster: Cluster, namespace: str, target: dict[str, Any]
) -> None:
    assert target
    names = sorted(pod["metadata"]["name"] for pod in pods(cluster, namespace))
    await kube.merge_patch(PODS, namespace, names[2], {"metadata": {"annotations": {DELETION_COST_ANNOTATION: "50"}}})
    await mark_pods(kube, namespace, SELECTOR, names[:1])
    assert len(await mark_pods(kube, namespace, SELECTOR, names[:1])) == 0
    await mark_pods(kube, namespace, SELECTOR, names[1:2])
    costs = {
        pod["metadata"]["name"]: (pod["metadata"].get("annotations") or {}).get(DELETION_COST_ANNOTATION)
        for pod in await kube.list(PODS, namespace, label_selector=SELECTOR)
    }
    assert costs == {names[0]: None, names[1]: "-1000", names[2]: "50"}
    marked = [p for p in pods(cluster, namespace) if MARK_ANNOTATION in (p["metadata"].get("annotations") or {})]
    assert [pod["metadata"]["name"] for pod in marked] == [names[1]]
