"""A side's gateway can what its plan's plane and overflow mode can, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spillway.decide.snapshot import Actuators
from spillway.simulate import fleet
from spillway.simulate.outcome import Outcome, Served
from spillway.simulate.sides import Ask
from spillway.simulate.sides.gateway import QUEUED_PER_REPLICA, PlanPolicy
from spillway.simulate.sides.side import Side, build_side, doubts_of, read_side
from spillway.simulate.sides.traffic import load_traffic, source_of
from support.sides import Change, binding, trace

LITELLM = {"configMap": "proxy", "deployment": "proxy"}


def side(folder: Path, routing: dict[str, Any], mode: str = "Split", **gpu: Any) -> tuple[Side, Path]:
    change = Change()
    change.head["plan"]["spec"] |= {"routing": routing, "overflow": {"mode": mode}}
    change.head["gpu"]["spec"]["selfHosted"]["replicas"] |= gpu
    path = trace(folder / "t.csv", requests=6000)
    source = source_of(Ask(traffic=path))
    resources = read_side("head", change.documents()[1])
    traffic = load_traffic(source, resources.classes)
    return build_side("head", resources, ({}, {}), source, traffic, None), path


def run(built: Side, path: Path) -> tuple[PlanPolicy, Outcome]:
    source = source_of(Ask(traffic=path))
    workload = load_traffic(source, built.resources.classes).demand.workload(1)
    policy = PlanPolicy(60.0, built.gateway, built.world)
    return policy, fleet.simulate(built.world, workload, built.known, policy, 1)


def bound(plane: str = "GatewayAPI", *lanes: str) -> dict[str, Any]:
    return {"plane": plane, "bindings": [binding("chat", *lanes)]}


@pytest.mark.parametrize(
    ("routing", "mode", "actuators", "moved"),
    [
        (bound(), "Split", Actuators(), True),
        (bound("EnvoyAIGateway"), "Split", Actuators(), True),
        (bound(), "Spill", Actuators(spill=True), True),
        ({"plane": "GatewayAPI", "bindings": []}, "Split", Actuators(), False),
        ({"plane": "LiteLLM", "litellm": LITELLM}, "Spill", Actuators(in_flight_cap=True), True),
        ({"plane": "LiteLLM", "litellm": LITELLM}, "Split", Actuators(), True),
        ({"plane": "None"}, "Split", Actuators(), False),
        (bound(), "Never", Actuators(), True),
    ],
)
def test_what_a_plane_can(
    routing: dict[str, Any], mode: str, actuators: Actuators, moved: bool, tmp_path: Path
) -> None:
    if routing["plane"] == "EnvoyAIGateway":
        routing["bindings"][0]["backends"] = {"gpu": "vllm", "api": "egress"}
    built, _ = side(tmp_path, routing, mode)
    assert built.gateway.actuators == actuators
    assert built.gateway.moved == (moved,)
    hosted = moved and mode != "Never"
    assert bool(built.world.classes[0].hosted) == hosted
    assert built.world.own[0].max_queued == (QUEUED_PER_REPLICA if actuators.spill else None)


def test_weights_alone_move_what_own_gpus_cannot_take(tmp_path: Path) -> None:
    policy, outcome = run(*side(tmp_path, bound(), max=1))
    assert policy.decision is not None
    assert all(lane.in_flight_cap is None for lane in policy.decision.lanes)
    served = outcome.requests.served
    assert np.count_nonzero(served == Served.HOSTED_BY_WEIGHT) > 100
    assert np.count_nonzero(np.isin(served, (Served.HOSTED_BY_CAP, Served.HOSTED_BY_QUEUE))) == 0
    (route,) = policy.decision.routes
    assert set(route.weights) == {"gpu", "api"}


def test_a_spilling_gateway_takes_what_engines_refuse(tmp_path: Path) -> None:
    built, path = side(tmp_path, bound(), "Spill", max=1)
    served = run(built, path)[1].requests.served
    assert np.count_nonzero(served == Served.HOSTED_BY_QUEUE) > 100
    assert any("queue limits are not known" in doubt.text for doubt in doubts_of(built))


def test_a_litellm_front_caps_without_holding(tmp_path: Path) -> None:
    policy, outcome = run(*side(tmp_path, {"plane": "LiteLLM", "litellm": LITELLM}, "Spill", max=1))
    assert policy.decision is not None
    assert any(lane.in_flight_cap is not None for lane in policy.decision.lanes)
    assert np.count_nonzero(outcome.requests.served == Served.HOSTED_BY_CAP) > 100
    assert float(outcome.requests.held_s.max()) == 0.0


@pytest.mark.parametrize("routing", [{"plane": "None"}, {"plane": "GatewayAPI", "bindings": []}])
def test_without_a_route_nothing_is_hosted(routing: dict[str, Any], tmp_path: Path) -> None:
    built, path = side(tmp_path, routing, max=1)
    served = run(built, path)[1].requests.served
    assert set(np.unique(served)) <= {Served.OWN, Served.REJECTED}
    assert any("nothing moves inference/chat to hosted lanes" in doubt.text for doubt in doubts_of(built))


def test_a_class_that_only_hosted_lanes_serve_goes_there(tmp_path: Path) -> None:
    built, path = side(tmp_path, bound("GatewayAPI", "api"))
    served = run(built, path)[1].requests.served
    assert np.count_nonzero(served == Served.OWN) == 0
    assert np.count_nonzero(served == Served.REJECTED) == 0


def test_never_keeps_everything_at_home(tmp_path: Path) -> None:
    built, path = side(tmp_path, bound(), "Never", max=1)
    served = run(built, path)[1].requests.served
    assert set(np.unique(served)) <= {Served.OWN, Served.REJECTED}
