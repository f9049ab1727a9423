"""``spillway release`` on a real apiserver: finds what Spillway holds, restores it, touches nothing else."""

from __future__ import annotations

import json

import pytest

from spillway.cli.main import main
from support.world import World


def release(world: World, *arguments: str) -> int:
    return main(["release", "--kubeconfig", str(world.cluster.kubeconfig), "-n", world.namespace, *arguments])


def held(world: World) -> None:
    """A Deployment that the operator has scaled up from one replica; the operator is gone."""
    world.standard(replicas=1)
    world.fleet.demand_rps = 25
    world.start_operator()
    world.wait(lambda: world.replicas() > 1, "the operator to scale up")
    world.stop_operator()


def test_release_finds_lists_restores_and_is_done(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    held(world)
    scaled = world.replicas()
    assert release(world, "--restore", "--dry-run", "-o", "json") == 0
    rows = {row["object"]: (row["result"], row["detail"]) for row in json.loads(capsys.readouterr().out)}
    assert rows[f"Deployment/{world.namespace}/vllm"] == ("held", "would go back to 1 replica")
    assert world.replicas() == scaled

    assert release(world, "nothing") == 1
    assert "Spillway holds no nothing" in capsys.readouterr().err
    assert release(world, "--restore", "deployments/vllm") == 0
    assert "released" in capsys.readouterr().out
    assert world.replicas() == 1
    assert release(world) == 0
    capsys.readouterr()
    assert release(world, "--no-color") == 0
    assert capsys.readouterr().out == "Spillway holds nothing here.\n"
