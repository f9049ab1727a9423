"""LiteLLM as a plan's only gateway, end to end: written, rolled out, loaded, and moved only when it is worth it."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
import yaml

from spillway.act.litellm.steady import SPACING_SECONDS
from support.chat import chat
from support.proxies import CONFIG_MAP
from support.proxy_world import ProxyWorld, Traffic, proxy_world
from support.world import workload

__all__ = ["proxy_world"]

pytestmark = pytest.mark.timeout(900)


def wanted_percent(world: ProxyWorld) -> float:
    """Of the class, for hosted lanes, as decided."""
    return float(world.status()["classes"][0].get("spillPercent") or 0)


async def test_a_proxy_is_configured_and_moved_by_rollouts(proxy_world: ProxyWorld) -> None:
    world = proxy_world
    world.deploy()
    world.start_operator()
    world.wait_rolled_out()
    world.wait_condition("Ready", "True")
    answers = await world.clients.ask([chat("chat", 3)] * 20, 4)
    assert Counter((answer.status, answer.lane) for answer in answers) == {(200, "gpu"): 20}

    # More than the engine takes: weights are wanted that no rollout is spent on so soon.
    async with Traffic(world, clients=24, tokens=20) as traffic:
        first = world.written()
        await asyncio.to_thread(world.wait_condition, "OverflowActive", "True", None, 120)
        await asyncio.to_thread(world.wait_ticks, 5)
        assert (world.written(), world.configurations()) == (first, 1)
        await asyncio.to_thread(world.wait, lambda: wanted_percent(world) >= 10, "a share worth writing", 120)
        world.later(SPACING_SECONDS)
        await asyncio.to_thread(world.wait, lambda: world.written() != first, "another configuration", 60)
        weights = world.noted()["weights"]["chat"]
        assert weights["hosted"] >= 5
        await asyncio.to_thread(world.wait_rolled_out)
        before = Counter(traffic.answers)
        await asyncio.to_thread(world.wait, lambda: (traffic.answers - before).total() > 600, "600 answers", 240)
        since = traffic.answers - before
    share = 100 * since[200, "hosted"] / since.total()
    assert set(traffic.answers) <= {(200, "gpu"), (200, "hosted")}, traffic.answers
    # A random split of 600 is within 6 points of its weights but for once in some hundred.
    assert share == pytest.approx(weights["hosted"], abs=8)
    assert world.configurations() == 2
    # The first pod may have started between the writing and its rollout.
    assert world.proxies.started <= 3


async def test_a_class_that_must_stay_is_kept_at_once(proxy_world: ProxyWorld) -> None:
    world = proxy_world
    world.deploy()
    world.start_operator()
    world.wait_rolled_out()
    # As if half of it went to the hosted lane since just now.
    noted = world.noted() | {"weights": {"chat": {"gpu": 50, "hosted": 50}}}
    world.note(noted)
    world.later(SPACING_SECONDS)
    world.wait(lambda: "chat@hosted" in world.config_map()["data"]["config.yaml"], "a hosted deployment", 60)
    world.apply(workload(world.namespace, match={"model": "chat"}, dataPolicy="SelfHostedOnly"))
    world.wait(lambda: "chat@hosted" not in world.config_map()["data"]["config.yaml"], "none", 60)
    world.wait_rolled_out()
    world.gpu_set(fail_status=503)
    before = world.paid.counters()
    answers = await world.clients.ask([chat("chat")] * 20, 4)
    assert {answer.status for answer in answers} == {503}
    assert world.paid.counters() == before


def test_somebody_elses_configuration_is_left_alone(proxy_world: ProxyWorld) -> None:
    world = proxy_world
    world.deploy()
    own = {"config.yaml": "model_list: []\n"}
    meta = {"name": CONFIG_MAP, "namespace": world.namespace}
    world.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": own})
    world.start_operator()
    world.wait_condition("Ready", "False", "ProxyProblem")
    assert "holds data that somebody else wrote" in world.condition("Ready")["message"]
    world.wait_ticks(3)
    assert world.config_map()["data"] == own
    assert world.configurations() == 0


def test_the_examples_are_enough(proxy_world: ProxyWorld, repository: Path) -> None:
    """As docs/routing.md says, but for nodes that play kubelets and where the engine is."""
    world = proxy_world
    world.start_engine()
    for path in sorted((repository / "examples/routing/litellm").glob("*.yaml")):
        text = path.read_text().replace("namespace: inference", f"namespace: {world.namespace}")
        for document in yaml.safe_load_all(text):
            if document["kind"] == "Deployment":
                world.play_kubelet(document)
            if document["kind"] == "CapacityPlan":
                document["spec"]["routing"] = world.routing()
            world.apply(document)
    world.start_operator()
    world.wait_rolled_out()
    world.wait_condition("Ready", "True")
    answers = asyncio.run(world.clients.ask([chat("chat", 3)] * 10, 2))
    assert Counter((answer.status, answer.lane) for answer in answers) == {(200, "gpu"): 10}
