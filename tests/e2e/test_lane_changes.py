"""Structural proposals in a cluster: made once, kept over kills, told until they end, and never carried out by us."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway.api.basis import basis_hash, basis_of
from spillway.cli.main import main
from support.world import World, own_lane

OBSERVE_SECONDS = 60
"""The shortest that the operator's configuration takes."""
MINIMUM = "/spec/selfHosted/replicas/min"
REPLICA_USD_PER_MONTH = 3 * 730
OURS = ("lanechanges", "capacityplans", "capacitylanes", "workloadclasses")


def changes(world: World) -> dict[str, dict[str, Any]]:
    """LaneChanges by name."""
    path = f"/apis/spillway.dev/v1alpha1/namespaces/{world.namespace}/lanechanges"
    return {item["metadata"]["name"]: item for item in world.reader.get(path)["items"]}


def state(world: World, name: str) -> str:
    return str(changes(world).get(name, {}).get("status", {}).get("state", ""))


def open_ones(world: World) -> list[str]:
    return [name for name in changes(world) if state(world, name) in ("", "Proposed", "Approved")]


def wait_proposal(world: World) -> dict[str, Any]:
    """The one that waits, once there is one."""
    world.wait(lambda: any(state(world, name) == "Proposed" for name in changes(world)), "a proposal", 600)
    (name,) = open_ones(world)
    return changes(world)[name]


def wait_state(world: World, name: str, wanted: str) -> dict[str, Any]:
    world.wait(lambda: state(world, name) == wanted, f"{name} to be {wanted}")
    return changes(world)[name]


def about(world: World, kind: str, reason: str) -> list[str]:
    """Notes of Events of a reason about a kind."""
    found = world.cluster.kubectl("get", "events.events.k8s.io", "-n", world.namespace, "-o", "json")
    return [
        item["note"]
        for item in json.loads(found)["items"]
        if item["regarding"]["kind"] == kind and item["reason"] == reason
    ]


def by_hand(world: World, like: dict[str, Any], name: str, **spec: Any) -> None:
    """A proposal on what is live now, as another operator could have made it."""
    ns = world.namespace
    basis = basis_of(
        [
            CapacityPlan.parse(world.cluster.get("cplan", "main", ns)),
            CapacityLane.parse(world.cluster.get("clane", "gpu", ns)),
            CapacityLane.parse(world.cluster.get("clane", "hosted", ns)),
            WorkloadClass.parse(world.cluster.get("wclass", "chat", ns)),
        ]
    )
    live = {"basis": [each.to_wire() for each in basis], "planHash": basis_hash(basis)}
    body = {
        "apiVersion": like["apiVersion"],
        "kind": like["kind"],
        "metadata": {"name": name, "namespace": ns},
        "spec": like["spec"] | live | spec,
    }
    world.cluster.kubectl("create", "-f", "-", stdin=json.dumps(body))


def assert_lowers(made: dict[str, Any], minimum: int) -> None:
    """The proposal is the lane's minimum lowered, by what its replicas cost."""
    spec = made["spec"]
    assert made["metadata"]["name"].startswith("main-gpu-lower-minimum-")
    assert spec["reason"] == "LowerMinimum"
    assert spec["effect"]["observedSeconds"] >= OBSERVE_SECONDS
    (change,) = spec["change"]
    test, replaced = change["patch"]
    assert (change["kind"], change["name"]) == ("CapacityLane", "gpu")
    assert test == {"op": "test", "path": MINIMUM, "value": minimum}
    assert replaced == {"op": "replace", "path": MINIMUM, "value": replaced["value"]}
    # 5 requests a second, of which a replica serves 10: one would do, and a second is insurance at the most.
    assert 1 <= replaced["value"] <= 2
    most = (minimum - replaced["value"]) * REPLICA_USD_PER_MONTH
    assert 0.8 * most <= -float(spec["effect"]["usdPerMonth"]) <= most + 0.01
    assert made["metadata"]["ownerReferences"][0]["name"] == "main"


def waits(world: World, made: dict[str, Any]) -> None:
    """The plan says that a proposal waits, and is Ready all the same; so is the proposal."""
    name = made["metadata"]["name"]
    world.wait_condition("ApprovalRequired", "True", "ProposalsWait")
    assert name in world.condition("ApprovalRequired")["message"]
    assert world.condition("Ready")["status"] == "True"
    conditions = {each["type"]: each["status"] for each in made["status"]["conditions"]}
    assert conditions == {"Ready": "True", "ApprovalRequired": "True", "Stalled": "False"}
    series = f'spillway_lane_changes{{plan="{world.namespace}/main",state="Proposed"}} 1.0'
    assert series in world.http_get("/metrics")[1]


def not_again(world: World, made: dict[str, Any]) -> None:
    """Neither at the next ticks nor after kills."""
    name = made["metadata"]["name"]
    for _ in range(2):
        world.wait_ticks(4)
        assert world.operator is not None
        world.operator.kill()
        world.start_operator()
        world.wait_ticks(4)
    assert list(changes(world)) == [name]
    assert changes(world)[name]["spec"] == made["spec"]
    for kind in ("LaneChange", "CapacityPlan"):
        assert len(about(world, kind, "LaneChangeProposed")) == 1


def others_end(world: World, made: dict[str, Any]) -> None:
    """One that nobody answered in time, and one that a person rejects."""
    past = (datetime.now(UTC) - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    by_hand(world, made, "late", expiresAt=past)
    assert wait_state(world, "late", "Expired")["status"]["endedAt"]
    by_hand(world, made, "unwanted")
    wait_state(world, "unwanted", "Proposed")
    why = "the peak comes back in May"
    world.cluster.kubectl("annotate", "lchange", "unwanted", "-n", world.namespace, f"spillway.dev/rejected={why}")
    assert why in wait_state(world, "unwanted", "Rejected")["status"]["message"]


def approve_and_patch(world: World, made: dict[str, Any]) -> None:
    """A person approves, and changes the spec with credentials of their own."""
    name, spec = made["metadata"]["name"], made["spec"]
    note = f"spillway.dev/approved={spec['planHash']}"
    world.cluster.kubectl("annotate", "lchange", name, "-n", world.namespace, note)
    wait_state(world, name, "Approved")
    world.wait_condition("ApprovalRequired", "False", "ApprovedNotApplied")
    patch = json.dumps(spec["change"][0]["patch"])
    world.cluster.kubectl("patch", "clane", "gpu", "-n", world.namespace, "--type=json", "-p", patch)
    wait_state(world, name, "Applied")
    assert about(world, "CapacityPlan", "LaneChangeApplied")


def approve(world: World, made: dict[str, Any]) -> None:
    """The whole way: a person's command approves and patches, and the operator sees it done."""
    name = made["metadata"]["name"]
    person = ["--kubeconfig", str(world.cluster.kubeconfig), "-n", world.namespace]
    assert main(["approve", name, "--yes", *person]) == 0
    wait_state(world, name, "Applied")
    assert main(["approve", name, "--yes", *person]) == 0, "twice is harmless"
    assert state(world, name) == "Applied"


def assert_no_spec_was_written(world: World, since: int) -> None:
    """By the operator's account: proposals are made, and statuses written."""
    writes = world.journal.writes(since=since, user=world.user)
    ours = {(each.resource, each.verb) for each in writes if each.resource in OURS and each.subresource != "status"}
    assert ours == {("lanechanges", "create")}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_proposal_is_made_once_and_told_until_it_ends(world: World) -> None:
    world.extra_config = {"proposals": {"observeSeconds": OBSERVE_SECONDS}}
    world.standard(replicas=4)
    world.apply(own_lane(world.namespace, replicas={"min": 4, "max": 8}))
    since = world.journal.mark()
    world.fleet.demand_rps = 5
    world.start_operator()
    world.wait_condition("ApprovalRequired", "False", "NothingProposed")

    first = wait_proposal(world)
    assert_lowers(first, 4)
    waits(world, first)
    not_again(world, first)
    others_end(world, first)

    # A spec changes under it: superseded, and observed anew.
    world.apply(own_lane(world.namespace, replicas={"min": 3, "max": 8}))
    ended = wait_state(world, first["metadata"]["name"], "Superseded")
    assert f"CapacityLane {world.namespace}/gpu was changed since" in ended["status"]["message"]
    world.wait_condition("ApprovalRequired", "False", "NothingProposed")
    second = wait_proposal(world)
    assert_lowers(second, 3)

    approve_and_patch(world, second)
    goal = second["spec"]["change"][0]["patch"][1]["value"]
    world.wait(lambda: world.replicas() == goal, "the lane at its need")

    # Five, as lowering from four is what a person rejected above.
    world.apply(own_lane(world.namespace, replicas={"min": 5, "max": 8}))
    third = wait_proposal(world)
    assert_lowers(third, 5)
    approve(world, third)
    assert_no_spec_was_written(world, since)
