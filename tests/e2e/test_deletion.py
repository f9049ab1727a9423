"""Deletion freezes: nothing is unapplied, nothing has a finalizer, ``release`` gives things back."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from support.world import World


def spillway(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, as a person runs it."""
    environment = os.environ | {"KUBECONFIG": str(world.cluster.kubeconfig), "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "spillway.cli.main", *arguments],
        env=environment, capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip


def test_a_plan_deleted_in_the_middle_of_a_scale_in(world: World) -> None:
    world.standard(replicas=1)
    world.start_under(37)
    world.wait(lambda: world.replicas() >= 5 and world.on_own_lanes(), "a large fleet")
    world.cluster.kubectl(
        "patch", "cplan", "main", "-n", world.namespace, "--type=merge",
        "-p", '{"spec":{"guards":{"maxScaleDownPerMinute":1}}}',
    )  # fmt: skip
    top = world.replicas()
    world.fleet.demand_rps = 2
    world.wait(lambda: world.replicas() < top, "the scale-in has begun")
    world.cluster.kubectl("delete", "cplan", "main", "-n", world.namespace, "--wait=true", "--timeout=10s")
    frozen, weights, since = world.replicas(), world.weights(), world.journal.mark()
    world.wait_ticks(5)
    assert (world.replicas(), world.weights()) == (frozen, weights)
    assert world.operator_writes(since) == []


def test_deletion_while_the_operator_is_down(world: World) -> None:
    world.standard(replicas=1)
    world.grow()
    world.stop_operator()
    before = world.replicas()
    for kind, name in (("cplan", "main"), ("clane", "gpu"), ("wclass", "chat")):
        world.cluster.kubectl("delete", kind, name, "-n", world.namespace, "--wait=true", "--timeout=10s")
    since = world.journal.mark()
    world.start_operator()
    world.wait_ticks(4)
    assert world.replicas() == before
    assert world.operator_writes(since) == []


def test_release_keeps_and_restore_brings_back_the_baseline(world: World) -> None:
    world.standard(replicas=1)
    world.grow()
    world.stop_operator()
    # What is left behind by a deleted plan is found as well.
    world.cluster.kubectl("delete", "cplan", "main", "-n", world.namespace)
    before = world.replicas()

    kept = spillway(world, "release", "-n", world.namespace)
    assert kept.returncode == 0, kept.stderr
    assert world.replicas() == before
    text = world.cluster.kubectl(
        "get", "deployment,httproute", "-n", world.namespace, "-o", "json", "--show-managed-fields"
    )
    assert "spillway.dev/" not in text
    assert "spillway-controller" not in text


def test_restore(world: World) -> None:
    world.standard(replicas=1)
    world.grow()
    world.stop_operator()
    world.cluster.kubectl("delete", "cplan", "main", "-n", world.namespace)

    restored = spillway(world, "release", "--restore", "-n", world.namespace, "-o", "json")
    assert restored.returncode == 0, restored.stderr
    assert world.replicas() == 1
    assert world.weights() == {"vllm": 100, "egress": 0}
    assert "vllm" in json.dumps(json.loads(restored.stdout))
    again = spillway(world, "release", "--restore", "-n", world.namespace)
    assert again.returncode == 0, "a second release is harmless"


def test_no_finalizers_and_no_annotations_on_the_resources(world: World) -> None:
    world.standard(replicas=1)
    world.grow()
    for kind in ("cplan", "clane", "wclass"):
        for item in world.cluster.get(kind, namespace=world.namespace)["items"]:
            assert "finalizers" not in item["metadata"]
            assert "kopf" not in json.dumps(item["metadata"])
