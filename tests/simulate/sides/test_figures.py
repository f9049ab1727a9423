"""A run's figures add up, and survive being kept."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from spillway.simulate import fleet
from spillway.simulate.outcome import Outcome, Served
from spillway.simulate.score import score
from spillway.simulate.sides import Ask
from spillway.simulate.sides.figures import RunFigures, figures_of
from spillway.simulate.sides.gateway import PlanPolicy
from spillway.simulate.sides.side import build_side, read_side
from spillway.simulate.sides.traffic import load_traffic, source_of
from spillway.simulate.world import Workload, World
from support.sides import Change, another_class, binding, trace

Run = tuple[World, Workload, Outcome, RunFigures]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    change = Change()
    change.head["code"] = another_class("code")
    change.head["plan"]["spec"]["routing"]["bindings"].append(binding("code", "api"))
    change.head["gpu"]["spec"]["selfHosted"]["replicas"]["max"] = 1
    path: Path = trace(tmp_path_factory.mktemp("t") / "t.csv", "chat", "code", requests=6000)
    source = source_of(Ask(traffic=path))
    resources = read_side("head", change.documents()[1])
    traffic = load_traffic(source, resources.classes)
    side = build_side("head", resources, ({}, {}), source, traffic, None)
    workload = traffic.demand.workload(1)
    outcome = fleet.simulate(side.world, workload, side.known, PlanPolicy(60.0, side.gateway, side.world), 1)
    return side.world, workload, outcome, figures_of(side.world, workload, outcome)


def test_dollars_of_lanes_and_of_classes_are_those_of_the_score(run: Run) -> None:
    world, workload, outcome, figures = run
    whole = score(world, workload, outcome)
    assert sum(figures.days_usd) == pytest.approx(whole.cost_usd)
    assert figures.gpu_usd + figures.hosted_usd == pytest.approx(whole.cost_usd)
    assert figures.lanes["gpu"].usd == pytest.approx(whole.gpu_cost_usd)
    assert figures.lanes["api"].usd == pytest.approx(whole.hosted_cost_usd)
    assert sum(each.usd for each in figures.classes.values()) == pytest.approx(whole.cost_usd)
    assert figures.lanes["gpu"].gpu_seconds == pytest.approx(2 * figures.lanes["gpu"].replica_seconds)
    assert figures.lanes["gpu"].gpu_seconds / 3600 == pytest.approx(whole.gpu_hours)


def test_every_scored_request_is_in_one_lane_or_nowhere(run: Run) -> None:
    world, workload, outcome, figures = run
    scored = world.scored(workload.arrival_s)
    nowhere = np.isin(outcome.requests.served[scored], (Served.REJECTED, Served.FAILED))
    in_lanes = sum(lane.requests for lane in figures.lanes.values())
    assert in_lanes + np.count_nonzero(nowhere) == np.count_nonzero(scored)
    assert sum(each.requests for each in figures.classes.values()) == np.count_nonzero(scored)
    assert sum(each.hosted_requests for each in figures.classes.values()) == figures.lanes["api"].requests


def test_a_class_that_never_ran_on_own_gpus_pays_for_none(run: Run) -> None:
    _, workload, outcome, figures = run
    code = figures.classes["inference/code"]
    assert code.hosted_requests == code.requests - np.count_nonzero(
        (outcome.requests.served == Served.FAILED) & (workload.class_index == 1) & run[0].scored(workload.arrival_s)
    )
    assert figures.classes["inference/chat"].usd > figures.lanes["gpu"].usd > 0
    assert code.usd < figures.hosted_usd


def test_the_peak_is_of_replicas_at_the_same_time(run: Run) -> None:
    world, _, outcome, figures = run
    log = outcome.replicas
    moments = np.arange(world.warmup_s, world.duration_s, 5.0)
    at_once = ((log.created_s[:, None] <= moments) & (log.ended_s[:, None] > moments)).sum(axis=0)
    peak = figures.lanes["gpu"].replicas_peak
    assert int(at_once.max()) <= peak <= int(at_once.max()) + 1
    assert figures.lanes["gpu"].replica_seconds <= peak * figures.scored_seconds * 1.05
    assert 0 < figures.lanes["gpu"].busy_batch <= 256


def test_figures_survive_json(run: Run) -> None:
    assert RunFigures.parse(json.loads(json.dumps(asdict(run[3])))) == run[3]
