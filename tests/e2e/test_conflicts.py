"""Wrong or conflicting manifests: a clear condition, nothing else harmed, other plans go on."""

from __future__ import annotations

import json
from typing import Any

from support.world import World, deployment, hosted_lane, own_lane, plan, workload


def message(world: World, name: str = "main") -> str:
    return str(world.condition("Ready", name).get("message"))


def not_ready(world: World, reason: str, name: str = "main") -> None:
    world.wait(lambda: world.condition("Ready", name).get("status") == "False", f"plan {name} not Ready")
    world.wait(lambda: reason in json.dumps(world.condition("Ready", name)), f"{reason} told")


def test_a_missing_lane_is_named_and_the_others_go_on(world: World) -> None:
    world.standard(replicas=1, lanes=["gpu", "hosted", "absent"])
    world.fleet.demand_rps = 25
    world.start_operator()
    not_ready(world, "absent")
    world.wait(lambda: world.replicas() >= 3, "the lane that exists is still scaled")


def test_a_missing_target(world: World) -> None:
    world.standard(replicas=1)
    world.cluster.kubectl("delete", "deployment", "vllm", "-n", world.namespace)
    world.start_operator()
    not_ready(world, "vllm")
    world.wait(
        lambda: "does not exist" in str(world.condition("Ready", "gpu", "capacitylanes").get("message")),
        "the lane says so too",
    )


def test_a_binding_to_a_missing_class(world: World) -> None:
    world.standard(replicas=1)
    world.cluster.kubectl("delete", "wclass", "chat", "-n", world.namespace)
    world.start_operator()
    not_ready(world, "chat")
    assert world.weights() == {"vllm": 100, "egress": 0}


def test_a_class_that_no_plan_allows(world: World) -> None:
    world.standard(replicas=1)
    other = world.cluster.create_namespace(f"{world.namespace}-b")
    try:
        world.extra_config = {"namespaces": [world.namespace, other]}
        world.grant()
        world.cluster.kubectl(
            "create", "rolebinding", "both", "-n", other, "--clusterrole=cluster-admin",
            f"--serviceaccount={world.namespace}:spillway",
        )  # fmt: skip
        intruder = workload(other, name="intruder", planRef={"name": "main", "namespace": world.namespace})
        world.cluster.apply(intruder)
        world.start_operator()

        def told() -> bool:
            found: dict[str, Any] = world.cluster.get("wclass", "intruder", other).get("status") or {}
            return "does not allow" in json.dumps(found)

        world.wait(told, "the class says why it is not served")
        world.wait_condition("Ready", "True")
        assert "intruder" not in json.dumps(world.status().get("classes"))
    finally:
        world.cluster.delete_namespace(other)


def test_two_plans_on_one_lane_the_older_keeps_it(world: World) -> None:
    world.standard(replicas=1)
    world.start_operator()
    world.wait_condition("Ready", "True")
    world.apply(plan(world.namespace, name="late", lanes=["gpu"], routing={"plane": "None"}))
    not_ready(world, "main", name="late")
    assert world.condition("Ready")["status"] == "True"
    # When the older one goes, the other takes over.
    world.cluster.kubectl("delete", "cplan", "main", "-n", world.namespace)
    world.wait(lambda: world.condition("Ready", "late").get("status") == "True", "the late plan has the lane now")


def test_two_lanes_on_one_target(world: World) -> None:
    world.standard(replicas=1)
    world.start_operator()
    world.wait_condition("Ready", "True")
    world.apply(own_lane(world.namespace, name="gpu-too"))
    world.apply(plan(world.namespace, name="late", lanes=["gpu-too"], routing={"plane": "None"}))
    not_ready(world, "one target has one lane", name="late")
    assert world.condition("Ready")["status"] == "True"


def test_an_hpa_on_the_target_is_left_alone(world: World) -> None:
    world.standard(replicas=2)
    hpa = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "other", "namespace": world.namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"},
            "minReplicas": 2,
            "maxReplicas": 3,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
                }
            ],
        },
    }
    world.apply(hpa)
    world.fleet.demand_rps = 55
    since = world.journal.mark()
    world.start_operator()
    not_ready(world, "HorizontalPodAutoscaler/other")
    world.wait_ticks(3)
    assert [entry for entry in world.operator_writes(since) if entry.subresource == "scale"] == []

    # The hand-over: the HPA goes, and Spillway takes the target from the count that it finds.
    world.cluster.kubectl("delete", "hpa", "other", "-n", world.namespace)
    world.wait_condition("Ready", "True")
    world.wait(lambda: world.replicas() >= 6, "scaled by Spillway now")


def test_a_controller_owned_target_is_refused(world: World) -> None:
    world.standard(replicas=1)
    owner = world.cluster.get("deployments.apps", "vllm", world.namespace)["metadata"]
    made = deployment(world.namespace, name="owned")
    made["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm", "uid": owner["uid"], "controller": True}
    ]
    world.apply(made, own_lane(world.namespace, target="owned"))
    world.start_operator()
    not_ready(world, "Deployment/vllm")


def test_a_price_that_nobody_knows(world: World) -> None:
    world.standard(replicas=1)
    lane = hosted_lane(world.namespace)
    lane["spec"]["hosted"] = {"provider": "openai", "model": "no-such-model-2099"}
    world.cluster.kubectl("delete", "clane", "hosted", "-n", world.namespace)
    world.apply(lane)
    world.fleet.demand_rps = 45
    world.start_operator()
    not_ready(world, "no-such-model-2099")
    world.wait(lambda: world.replicas() >= 5, "own GPUs carry it all")
    assert world.weights()["egress"] == 0, "a lane that nobody prices gets no traffic"


def test_a_persons_scale_is_respected_and_ends(world: World) -> None:
    world.standard(replicas=2)
    world.fleet.demand_rps = 15
    world.start_operator()
    world.wait(lambda: "spillway.dev/baseline-replicas" in json.dumps(world.deployment()), "Spillway has the target")
    world.wait_ticks(2)
    person = world.person()
    world.cluster.kubectl("scale", "deployment/vllm", "--replicas=6", "-n", world.namespace, kubeconfig=person)

    world.wait_condition("ManualOverride", "True")
    world.wait_ticks(5)
    assert world.replicas() == 6
    world.wait_condition("ManualOverride", "False")
    world.wait(lambda: world.replicas() < 6, "Spillway decides again after manualOverrideSeconds")


def test_max_below_current_brings_it_down_and_min_above_max_is_refused(world: World) -> None:
    world.standard(replicas=5)
    world.fleet.demand_rps = 45
    world.start_operator()
    world.wait_condition("MetricsAvailable", "True")
    lane = own_lane(world.namespace, replicas={"min": 1, "max": 3})
    world.apply(lane)
    world.wait(lambda: world.replicas() == 3, "max obeyed")
    refused = world.cluster.kubectl(
        "patch", "clane", "gpu", "-n", world.namespace, "--type=merge",
        "-p", '{"spec":{"selfHosted":{"replicas":{"min":9}}}}', check=False,
    )  # fmt: skip
    assert refused == ""
    assert world.replicas() == 3
