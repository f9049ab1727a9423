"""Handing a target over, from Git and back to an HPA, in the order that docs/operations.md gives."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spillway_dev.cluster import KubectlError
from support.world import World, deployment, hosted_lane, http_route, own_lane, plan, workload


def bare(namespace: str) -> dict[str, Any]:
    """The Deployment without replicas."""
    made = deployment(namespace)
    del made["spec"]["replicas"]
    return made


def resources(world: World, mode: str = "Apply") -> None:
    ns = world.namespace
    world.apply(http_route(ns), own_lane(ns), hosted_lane(ns), workload(ns), plan(ns, mode=mode))


def scaled_up(world: World) -> int:
    return world.grow()


def test_replicas_leave_a_server_side_applied_manifest(world: World) -> None:
    world.cluster.apply(deployment(world.namespace, replicas=1), field_manager="git")
    resources(world)
    grown = scaled_up(world)
    # Git can no longer write the count by accident ...
    stale = json.dumps(deployment(world.namespace, replicas=1))
    with pytest.raises(KubectlError, match="spillway-controller"):
        world.cluster.kubectl("apply", "--server-side", "--field-manager=git", "-f", "-", stdin=stale)
    # ... and letting go of it changes nothing.
    world.cluster.kubectl(
        "apply", "--server-side", "--field-manager=git", "-f", "-", stdin=json.dumps(bare(world.namespace))
    )
    assert world.replicas() == grown


def test_replicas_leave_a_client_side_applied_manifest(world: World) -> None:
    world.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(deployment(world.namespace, replicas=1)))
    resources(world)
    grown = scaled_up(world)
    path = world.scratch / "bare.json"
    path.write_text(json.dumps(bare(world.namespace)))
    # Without this step, kubectl would take the missing field for a deletion, and the count would fall to 1.
    world.cluster.kubectl("apply", "set-last-applied", "-f", str(path))
    world.cluster.kubectl("apply", "-f", str(path))
    assert world.replicas() == grown


def test_back_to_an_hpa(world: World) -> None:
    world.cluster.apply(bare(world.namespace), field_manager="git")
    resources(world)
    grown = scaled_up(world)
    # 1. Spillway stops writing, 2. lets go, 3. the HPA comes.
    world.cluster.kubectl(
        "patch", "cplan", "main", "-n", world.namespace, "--type=merge", "-p", '{"spec":{"mode":"Recommend"}}'
    )
    world.wait_ticks(2)
    since = world.journal.mark()
    hpa = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "back", "namespace": world.namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"},
            "minReplicas": grown + 1,
            "maxReplicas": grown + 2,
        },
    }
    world.apply(hpa)
    world.wait(lambda: world.replicas() == grown + 1, "the HPA scales it")
    world.wait_condition("Ready", "False")
    world.wait_ticks(3)
    assert world.operator_writes(since) == []
    assert world.replicas() == grown + 1
