"""SIGKILL after each kind of write of a tick, then a restart: it converges, and no step is above its maximum."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from spillway_dev.audit import AuditEntry
from support.kill_proxy import KillProxy, When
from support.world import World, deployment, hosted_lane, http_route, own_lane, plan, workload

MAX_STEP = 3
UP_GOAL, DOWN_GOAL = 1 + MAX_STEP, 5 - MAX_STEP


@pytest.fixture
def proxy(world: World) -> Iterator[KillProxy]:
    """A killing proxy in front of the apiserver, with the operator's credentials."""
    world.grant()
    assert world.kubeconfig is not None
    made = KillProxy(world.kubeconfig).start()
    yield made
    made.stop()


def nth(number: int) -> When:
    """The n-th write of a life, whatever it is."""
    return lambda _, count: count == number


def on(resource: str, subresource: str = "") -> When:
    """The first write of a kind."""
    return lambda entry, _: (entry.resource, entry.subresource) == (resource, subresource)


def on_step(entry: AuditEntry, _: int) -> bool:
    """The scale write that changes the count to the goal, not the one that only takes part ownership."""
    return entry.subresource == "scale" and bool(entry.body) and entry.body["spec"]["replicas"] in (UP_GOAL, DOWN_GOAL)


def start(world: World, proxy: KillProxy, when: When | None) -> None:
    """A new life of the operator that ends with a write of its own."""
    path = proxy.kubeconfig(world.scratch / "proxied.kubeconfig")

    def kill() -> None:
        if world.operator is not None:
            world.operator.kill()

    proxy.arm(when, kill)
    world.start_operator(kubeconfig=path)


def reset(world: World, replicas: int, hosted_weight: int = 0) -> None:
    """The world as before the operator's first write: nothing noted, nothing owned, an empty status."""
    ns = world.namespace
    # The life before must not act on the new start: the goal is for the one that is to be killed.
    world.stop_operator()
    for kind, name in (("cplan", "main"), ("deployment", "vllm"), ("httproute", "chat")):
        world.cluster.kubectl("delete", kind, name, "-n", ns, "--ignore-not-found", "--wait=true")
    route = http_route(ns)
    refs = route["spec"]["rules"][0]["backendRefs"]
    refs[0]["weight"], refs[1]["weight"] = 100 - hosted_weight, hosted_weight
    world.cluster.kubectl("create", "-f", "-", stdin=json.dumps(deployment(ns, replicas=replicas)))
    world.cluster.kubectl("create", "-f", "-", stdin=json.dumps(route))
    guards = {
        "maxScaleUpPerMinute": MAX_STEP,
        "maxScaleDownPerMinute": MAX_STEP,
        "scaleDownStabilizationSeconds": 3,
        "manualOverrideSeconds": 20,
    }
    world.apply(plan(ns, guards=guards))
    world.wait(lambda: world.ready() == replicas, "the fleet is back at its start")


def scale_steps(world: World, since: int) -> list[tuple[float, int]]:
    """(time, replicas) of every scale write that the apiserver carried out."""
    return [
        (entry.at.timestamp(), int(entry.body["spec"]["replicas"]))
        for entry in world.operator_writes(since)
        if entry.subresource == "scale" and entry.ok and entry.body
    ]


def assert_steps_within_budget(steps: list[tuple[float, int]], start_replicas: int) -> None:
    """No minute, whatever the number of restarts in it, moves more than the maximum in either direction."""
    before = start_replicas
    changes = []
    for at, replicas in steps:
        changes.append((at, replicas - before))
        before = replicas
    for at, _ in changes:
        minute = [change for when, change in changes if at - 60 < when <= at]
        assert sum(c for c in minute if c > 0) <= MAX_STEP, steps
        assert -sum(c for c in minute if c < 0) <= MAX_STEP, steps


EVERY = [
    *(nth(number) for number in range(1, 5)),
    on("deployments"),
    on_step,
    on("events"),
    on("capacityplans", "status"),
]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("replicas", "demand_rps", "goal", "kills"),
    [(1, 60, UP_GOAL, [*EVERY, on("httproutes")]), (5, 5, DOWN_GOAL, [*EVERY, on("pods")])],
    ids=["up", "down"],
)
def test_killed_after_each_write_it_converges_within_its_budget(
    world: World, proxy: KillProxy, replicas: int, demand_rps: float, goal: int, kills: list[When]
) -> None:
    world.standard(replicas=replicas)
    for number, when in enumerate(kills):
        reset(world, replicas)
        world.fleet.demand_rps = demand_rps
        since = world.journal.mark()
        start(world, proxy, when)
        world.wait(proxy.fired.is_set, f"write number {number} to be killed after")
        start(world, proxy, None)
        world.wait(lambda: world.replicas() == goal, f"convergence after a kill at {proxy.writes[-1:]}")
        world.wait_ticks(2)
        # A machine on which this takes a minute sees the next step: further the same way.
        assert (world.replicas() - goal) * (goal - replicas) >= 0
        assert_steps_within_budget(scale_steps(world, since), replicas)


def test_killed_at_any_moment_under_load_it_comes_back(world: World, proxy: KillProxy, tmp_path: Path) -> None:
    world.standard(replicas=1)
    world.fleet.demand_rps = 22
    start(world, proxy, nth(1))
    world.wait(proxy.fired.is_set, "the first write")
    start(world, proxy, None)
    world.wait(lambda: world.ready() >= 4 and world.on_own_lanes(), "the same end as without a crash", 300)


HELD_BACK = "test/held-back"
ORDER = (
    "ShiftingAway",
    "Draining",
    "ScalingIn",
    "Settled",
    "ScalingOut",
    "WaitingReady",
    "ShiftingIn",
    "Settled",
    "Held",
)


def states(entry: AuditEntry) -> list[str]:
    """Where the lane stands by a write of the plan's status."""
    if (entry.resource, entry.subresource) != ("capacityplans", "status") or not entry.ok or not entry.body:
        return []
    return [lane["move"]["state"] for lane in entry.body["status"].get("lanes", []) if "move" in lane]


def in_state(state: str) -> When:
    """The first status that says that the lane is in this state."""
    return lambda entry, _: state in states(entry)


def let_pods_start(world: World) -> None:
    """Pods wait for this, whatever the machine's speed."""
    for name in world.cluster.kubectl("get", "pods", "-n", world.namespace, "-o", "name").split():
        world.cluster.kubectl("patch", name, "-n", world.namespace, "-p", '{"spec":{"schedulingGates":null}}')


def gateway_says(world: World, accepted: bool) -> None:
    """The route's status, as a gateway would write it."""
    route = world.cluster.get("httproutes.gateway.networking.k8s.io", "chat", world.namespace)
    said = {"status": str(accepted), "reason": "Test", "message": "", "lastTransitionTime": "2026-01-05T09:00:00Z"}
    generation = route["metadata"]["generation"]
    parent = {
        "parentRef": {"name": "gateway"},
        "controllerName": "test/gateway",
        "conditions": [
            {"type": kind, "observedGeneration": generation} | said for kind in ("Accepted", "ResolvedRefs")
        ],
    }
    body = json.dumps({"status": {"parents": [parent]}})
    world.cluster.kubectl(
        "patch", "httproute", "chat", "-n", world.namespace, "--subresource=status", "--type=merge", "-p", body
    )


def own_weight(entry: AuditEntry) -> int | None:
    """What a write of the route gives to own replicas."""
    if entry.resource != "httproutes" or not entry.ok:
        return None
    found = [
        op["value"] for op in entry.body or [] if op["path"].endswith("/backendRefs/0/weight") and op["op"] == "add"
    ]
    return int(found[0]) if found else None


def live_until(world: World, proxy: KillProxy, state: str) -> None:
    """A life that ends with the status that says that the lane is in this state."""
    start(world, proxy, in_state(state))
    world.wait(proxy.fired.is_set, f"a life to end in {state}")


def stands(world: World, state: str) -> bool:
    return bool(world.lane_status().get("move", {}).get("state") == state)


def settled_with_a_gateway(world: World) -> bool:
    """Whether the lane is settled, once a gateway has accepted whatever its weights are now."""
    gateway_says(world, accepted=True)
    return stands(world, "Settled")


def begin_with_one(world: World, proxy: KillProxy) -> None:
    """One replica, and an operator that knows the traffic."""
    ns = world.namespace
    started = deployment(ns, replicas=1)
    started["spec"]["template"]["spec"]["schedulingGates"] = [{"name": HELD_BACK}]
    guards = {"maxScaleUpPerMinute": 60, "maxScaleDownPerMinute": 60, "scaleDownStabilizationSeconds": 0}
    world.apply(started, http_route(ns), hosted_lane(ns), workload(ns), plan(ns, guards=guards))
    # At most one: under load the first rates may read as more than one replica serves.
    world.apply(own_lane(ns, replicas={"min": 0, "max": 1}))
    world.wait(lambda: bool(world.cluster.kubectl("get", "pods", "-n", ns, "-o", "name")), "a pod")
    let_pods_start(world)
    world.wait(lambda: world.ready() == 1, "the first replica")
    world.fleet.demand_rps = 5
    start(world, proxy, None)
    world.wait(lambda: "tokensPerSecond" in json.dumps(world.status()), "the tokens per request are known")
    world.wait_ticks(5)


def go_to_zero(world: World, proxy: KillProxy) -> None:
    """Killed in each state on the way; the replica stays as long as something runs on it, as a stream does here."""
    world.fleet.demand_rps, world.fleet.long_running = 0.2, 1
    live_until(world, proxy, "ShiftingAway")
    live_until(world, proxy, "Draining")
    start(world, proxy, None)
    world.wait_ticks(3)
    assert world.replicas() == 1
    world.fleet.long_running = 0
    live_until(world, proxy, "ScalingIn")
    assert world.replicas() == 0
    # As if the minute were over in which nothing more may be scaled.
    old = json.dumps({"at": "2026-01-05T09:00:00+00:00", "from": 1, "to": 0})
    world.cluster.kubectl(
        "annotate", "deployment/vllm", "-n", world.namespace, "--overwrite", f"spillway.dev/last-scale={old}"
    )
    live_until(world, proxy, "Settled")


def come_back(world: World, proxy: KillProxy) -> int:
    """Killed in each state on the way; returns the mark from which on pods could start."""
    world.apply(own_lane(world.namespace, replicas={"min": 0, "max": 8}))
    world.fleet.demand_rps = 22
    live_until(world, proxy, "ScalingOut")
    live_until(world, proxy, "WaitingReady")
    assert world.weights() == {"vllm": 0, "egress": 100}
    started = proxy.journal.mark()
    let_pods_start(world)
    live_until(world, proxy, "ShiftingIn")
    start(world, proxy, None)
    world.wait(lambda: settled_with_a_gateway(world), "the same end")
    assert world.ready() == world.replicas() >= 1
    assert world.weights()["vllm"] > 0
    return started


def be_refused(world: World, proxy: KillProxy) -> None:
    """Killed while the gateway refuses the route."""
    gateway_says(world, accepted=False)
    live_until(world, proxy, "Held")
    assert world.lane_status()["move"]["reason"] == "GatewayRefused"
    start(world, proxy, None)
    world.wait(lambda: settled_with_a_gateway(world), "the gateway's word ends it")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_in_each_state_of_a_lane_the_next_life_goes_on_in_the_same_order(world: World, proxy: KillProxy) -> None:
    begin_with_one(world, proxy)
    go_to_zero(world, proxy)
    started = come_back(world, proxy)
    be_refused(world, proxy)

    entries = proxy.journal.entries()
    shown = [state for entry in entries for state in states(entry)]
    rest = iter(shown)
    assert all(state in rest for state in ORDER), shown
    removed = [
        i for i, e in enumerate(entries) if e.subresource == "scale" and e.ok and e.body["spec"]["replicas"] == 0
    ]
    assert len(removed) == 1
    # The replica went after its weight, and no weight came before replicas were Ready.
    before = [weight for entry in entries[: removed[0]] if (weight := own_weight(entry)) is not None]
    assert before[-1] == 0
    assert not any(own_weight(entry) for entry in entries[removed[0] : started])
