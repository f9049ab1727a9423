"""Apply: up before saturation, hosted share while pods start, back when warm, down in the trough, to zero and back."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from support.world import World, deployment, hosted_lane, http_route, own_lane, plan, workload


def scale_values(world: World, since: int) -> list[int]:
    """Replicas that the operator wrote, in order, from the audit log's bodies."""
    return [
        int(entry.body["spec"]["replicas"])
        for entry in world.operator_writes(since)
        if entry.subresource == "scale" and entry.ok and entry.body
    ]


def hosted_weights(world: World, since: int) -> list[int]:
    """Hosted weights that the operator wrote, in order (backendRefs[1] of the route)."""
    found = []
    for entry in world.operator_writes(since):
        operations: Any = entry.body if entry.resource == "httproutes" else None
        for operation in operations or []:
            if operation["path"].endswith("/backendRefs/1/weight") and operation["op"] == "add":
                found.append(int(operation["value"]))
    return found


def test_a_rise_and_a_trough(world: World) -> None:
    world.standard(replicas=1)
    world.fleet.demand_rps = 5
    world.start_operator()
    world.wait_condition("MetricsAvailable", "True")
    world.wait_ticks(6)
    since = world.journal.mark()

    # A jump makes cautious: of at most 8 replicas this leaves some.
    world.fleet.demand_rps = 30
    world.wait(lambda: world.replicas() >= 4, "replicas for 30 requests/s")
    world.wait(lambda: world.ready() >= 4, "Ready pods")
    world.wait(lambda: world.weights()["egress"] == 0, "all traffic back on own GPUs")
    # While pods started, their share was hosted; then it came back in steps.
    weights = hosted_weights(world, since)
    assert max(weights) >= 50
    assert weights[-1] == 0
    falling = weights[weights.index(max(weights)) :]
    assert all(before - after <= 20 for before, after in pairwise(falling))

    world.fleet.demand_rps = 5
    world.wait(lambda: world.replicas() <= 2, "next to no replicas in the trough")
    world.wait(lambda: world.weights() == {"vllm": 100, "egress": 0}, "all traffic on own GPUs")
    assert world.condition("Ready")["status"] == "True"


def test_a_ramp_is_met_before_anything_saturates(world: World) -> None:
    world.standard(replicas=1)
    world.fleet.demand_rps = 5
    world.start_operator()
    world.wait(lambda: world.weights()["egress"] == 0 and world.ready() == world.replicas(), "a settled fleet")
    world.wait_ticks(10)

    world.fleet.longest_wait_seconds = 0.0
    world.fleet.ramp(to_rps=30, seconds=50)
    world.wait(lambda: world.fleet.demand_rps == 30 and world.ready() >= 4, "the end of the ramp", 300)
    world.wait(lambda: world.weights()["egress"] == 0, "all traffic on own GPUs")
    # The SLO's time to first token is 2 s: capacity came, or traffic left, before a queue of that length stood.
    assert world.fleet.longest_wait_seconds < 2.0


def test_the_first_write_takes_part_ownership_and_notes_the_baseline(world: World) -> None:
    world.standard(replicas=2)
    world.fleet.demand_rps = 15
    world.start_operator()
    world.wait(lambda: "spillway-controller" in managers(world), "part ownership of spec.replicas")

    meta = world.cluster.get("deployments.apps", "vllm", world.namespace)["metadata"]
    assert meta["annotations"]["spillway.dev/baseline-replicas"] == "2"
    # No replicas in Git from now on: whoever applied them lets go, and the count stays.
    bare = deployment(world.namespace)
    del bare["spec"]["replicas"]
    world.cluster.apply(deployment(world.namespace, replicas=world.replicas()), field_manager="git")
    world.cluster.apply(bare, field_manager="git")
    assert world.replicas() >= 2


def managers(world: World) -> list[str]:
    """Field managers that own spec.replicas through the scale subresource."""
    raw = world.cluster.kubectl(
        "get", "deployment", "vllm", "-n", world.namespace, "--show-managed-fields", "-o", "json"
    )
    fields = json.loads(raw)["metadata"]["managedFields"]
    return [m["manager"] for m in fields if m.get("subresource") == "scale"]


def test_least_loaded_pods_go_first(world: World) -> None:
    world.standard(replicas=4)
    top, since = world.grow(), world.journal.mark()

    world.fleet.demand_rps = 5
    world.wait(lambda: world.replicas() <= 2, "next to no replicas")

    writes = world.operator_writes(since)
    marks = [i for i, entry in enumerate(writes) if entry.resource == "pods"]
    shrinking = [
        i
        for i, entry in enumerate(writes)
        if entry.subresource == "scale" and int(entry.body["spec"]["replicas"]) < top
    ]
    assert marks
    assert marks[0] < shrinking[0], "pods are marked before the scale is written"


def test_to_zero_and_back_with_the_hosted_lane_bridging(world: World) -> None:
    ns = world.namespace
    started = deployment(ns, replicas=1, startup="8s")
    world.apply(started, http_route(ns), hosted_lane(ns), workload(ns), plan(ns))
    world.apply(own_lane(ns, replicas={"min": 0, "max": 8}, startupSeconds=8))
    world.fleet.demand_rps = 8
    world.start_operator()
    world.wait(lambda: "tokensPerSecond" in json.dumps(world.status()), "the tokens per request are known")
    world.wait_ticks(5)
    world.fleet.demand_rps = 0.2

    world.wait(lambda: world.replicas() == 0, "no replica for next to no traffic")
    assert world.weights() == {"vllm": 0, "egress": 100}
    # The weight went away before the capacity did.
    writes = world.operator_writes(0)
    moved = next(i for i, e in enumerate(writes) if e.resource == "httproutes" and e.namespace == ns)
    removed = next(i for i, e in enumerate(writes) if e.subresource == "scale" and e.body["spec"]["replicas"] == 0)
    assert moved < removed

    world.fleet.demand_rps = 22
    world.wait(lambda: world.replicas() >= 3, "replicas again")
    assert world.weights()["egress"] == 100, "hosted carries until pods are Ready and warm"
    world.wait(lambda: world.ready() >= 3 and world.on_own_lanes(), "traffic back on own GPUs")


def test_a_managed_route_is_generated_whole(world: World) -> None:
    ns = world.namespace
    binding = {
        "class": "chat",
        "ownership": "Managed",
        "httpRoute": "chat",
        "gateway": {"name": "gateway"},
        "backends": {"gpu": "vllm:8000", "hosted": "Backend/egress"},
    }
    world.apply(deployment(ns, replicas=1), own_lane(ns), hosted_lane(ns))
    world.apply(workload(ns, match={"header": {"name": "x-class", "value": "chat"}}))
    world.apply(plan(ns, routing={"plane": "GatewayAPI", "bindings": [binding]}))
    world.fleet.demand_rps = 5
    world.start_operator()

    world.wait(lambda: world.cluster.exists("httproutes.gateway.networking.k8s.io", "chat", ns), "the generated route")
    route = world.cluster.get("httproutes.gateway.networking.k8s.io", "chat", ns)
    assert "ownerReferences" not in route["metadata"]
    rule = route["spec"]["rules"][0]
    assert rule["matches"][0]["headers"] == [{"type": "Exact", "name": "x-class", "value": "chat"}]
    assert {ref["name"] for ref in rule["backendRefs"]} == {"vllm", "egress"}
    assert sum(ref["weight"] for ref in rule["backendRefs"]) == 100
    # Deleting the plan leaves the route as it is.
    world.cluster.kubectl("delete", "cplan", "main", "-n", ns)
    world.wait_ticks(3)
    assert world.cluster.get("httproutes.gateway.networking.k8s.io", "chat", ns)["spec"] == route["spec"]
