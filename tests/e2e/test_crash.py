"""SIGKILL after every single write of a tick, then a restart: it converges, and no step is above its maximum."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.kill_proxy import KillProxy
from support.world import World, deployment, http_route, plan

MAX_STEP = 3
MAX_LIVES = 40


@pytest.fixture
def proxy(world: World) -> Iterator[KillProxy]:
    """A killing proxy in front of the apiserver, with the operator's credentials."""
    world.grant()
    assert world.kubeconfig is not None
    made = KillProxy(world.kubeconfig).start()
    yield made
    made.stop()


def start(world: World, proxy: KillProxy, after: int | None) -> None:
    """A new life of the operator that ends with its ``after``-th write."""
    path = proxy.kubeconfig(world.scratch / "proxied.kubeconfig")

    def kill() -> None:
        if world.operator is not None:
            world.operator.kill()

    proxy.arm(after, kill)
    world.start_operator(kubeconfig=path)


def settled_or_killed(world: World, proxy: KillProxy, ticks: int = 2) -> None:
    """Wait for some ticks, or for the kill, after which nobody answers."""
    try:
        world.wait_ticks(ticks)
    except OSError:
        world.wait(proxy.fired.is_set, "nobody answers, so the kill has happened")


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


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("replicas", "demand_rps", "goal"), [(1, 60, 1 + MAX_STEP), (5, 5, 5 - MAX_STEP)])
def test_killed_after_each_write_it_converges_within_its_budget(
    world: World, proxy: KillProxy, replicas: int, demand_rps: float, goal: int
) -> None:
    world.standard(replicas=replicas)
    killed_at = []
    for after in range(1, MAX_LIVES):
        reset(world, replicas)
        world.fleet.demand_rps = demand_rps
        since = world.journal.mark()
        start(world, proxy, after)
        world.wait(lambda: proxy.fired.is_set() or world.replicas() == goal, f"write {after} or the goal")
        if not proxy.fired.is_set():
            # The goal is reached within fewer writes: what comes after are statuses and Events.
            settled_or_killed(world, proxy)
        proxy.disarm()
        if proxy.fired.is_set():
            killed_at.append(proxy.writes[-1])
            start(world, proxy, None)
        world.wait(lambda: world.replicas() == goal, f"convergence after a kill at write {after}", 90)
        world.wait_ticks(2)
        assert world.replicas() == goal
        assert_steps_within_budget(scale_steps(world, since), replicas)
        if any("/scale" in write for write in killed_at) and after >= 6:
            break
    kinds = " ".join(killed_at)
    assert "/scale" in kinds, killed_at
    assert "/deployments/vllm " in kinds + " ", killed_at
    assert "/status" in kinds or "/events" in kinds or "/httproutes" in kinds, killed_at


def test_killed_at_any_moment_under_load_it_comes_back(world: World, proxy: KillProxy, tmp_path: Path) -> None:
    world.standard(replicas=1)
    world.fleet.demand_rps = 35
    start(world, proxy, 1)
    world.wait(proxy.fired.is_set, "the first write")
    start(world, proxy, None)
    world.wait(lambda: world.ready() >= 4 and world.weights()["egress"] == 0, "the same end as without a crash", 120)
