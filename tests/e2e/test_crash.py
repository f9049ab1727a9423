"""SIGKILL after each kind of write of a tick, then a restart: it converges, and no step is above its maximum."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from spillway_dev.audit import AuditEntry
from support.kill_proxy import KillProxy, When
from support.world import World, deployment, http_route, plan

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
