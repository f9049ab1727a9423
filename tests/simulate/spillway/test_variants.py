"""Variants of Spillway: each differs from the shipped one by what its name says, and by nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spillway.api import DataPolicy, OverflowMode, RoutingPlane
from spillway.api.plan import Routing
from spillway.decide.decision import Decision, Reason, RouteDecision
from spillway.simulate.backtest.jobs import Job, do, prepared, score_of
from spillway.simulate.fleet import simulate
from spillway.simulate.outcome import Outcome, Served
from spillway.simulate.policy import LaneCounts, Observation
from spillway.simulate.scenario import Scenario, load_scenario
from spillway.simulate.spillway import VARIANTS, SpillwayPolicy
from spillway.simulate.spillway.foresight import AHEAD_STEPS, announcement, future
from spillway.simulate.spillway.readings import EPOCH
from spillway.simulate.spillway.routes import Routes
from spillway.simulate.world import Workload
from support.scenario_files import Files


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return load_scenario(Files().write(tmp_path_factory.mktemp("s")))


@pytest.fixture(scope="module")
def workload(scenario: Scenario) -> Workload:
    return scenario.workload(1)


def run(name: str, scenario: Scenario, workload: Workload) -> tuple[SpillwayPolicy, Outcome]:
    world, known, policy = prepared(Job(name, 1), scenario.world, scenario.known, workload)
    assert isinstance(policy, SpillwayPolicy)
    return policy, simulate(world, workload, known, policy, 1)


def test_as_it_ships_it_is_told_what_the_scenario_says(scenario: Scenario, workload: Workload) -> None:
    world, known, _ = prepared(Job("spillway", 1), scenario.world, scenario.known, workload)
    assert world is scenario.world
    assert known == scenario.known
    policy, outcome = run("spillway", scenario, workload)
    (lane,) = [each for each in policy.snapshot.lanes if each.target is not None]  # type: ignore[union-attr]
    assert lane.engine is not None
    assert lane.engine.samples
    assert policy.snapshot is not None
    assert policy.snapshot.classes[0].announced is None
    assert policy.decision is not None
    assert policy.decision.lanes[0].in_flight_cap is not None
    assert len(outcome.requests.served) == workload.size


@pytest.mark.parametrize(("name", "factor"), [("spillway-prior-x2", 2), ("spillway-no-learning-x0.5", 0.5)])
def test_a_wrong_profile_is_wrong_by_its_factor(name: str, factor: float, scenario: Scenario) -> None:
    _, known = VARIANTS[name].setting(scenario.world, scenario.known)
    spec = known.own[0].resource.spec.self_hosted
    assert spec is not None
    assert spec.profile is not None
    assert float(spec.profile.alpha_ms) == 25 * factor
    assert float(spec.profile.beta_ms_per_sequence) == 0.25 * factor
    assert float(spec.profile.prefill_ms_per_k_token) == 80 * factor
    assert spec.price == scenario.known.own[0].resource.spec.self_hosted.price  # type: ignore[union-attr]


def test_the_true_profile_is_the_lanes_truth(scenario: Scenario) -> None:
    own = (replace(scenario.world.own[0], alpha_ms=31.5, max_num_seqs=77),)
    _, known = VARIANTS["spillway-oracle-service"].setting(replace(scenario.world, own=own), scenario.known)
    profile = known.own[0].resource.spec.self_hosted.profile  # type: ignore[union-attr]
    assert profile is not None
    assert (float(profile.alpha_ms), profile.max_sequences, profile.kv_cache_tokens) == (31.5, 77, 100_000)


def test_without_learning_the_belief_stays_where_it_was(scenario: Scenario, workload: Workload) -> None:
    policy, _ = run("spillway-no-learning-x2", scenario, workload)
    (belief,) = policy.memory.services.values()
    assert belief.samples == 0
    assert belief.coefficients.alpha_ms == 50
    taught, _ = run("spillway-prior-x2", scenario, workload)
    (belief,) = taught.memory.services.values()
    assert belief.samples > 0
    assert belief.coefficients.alpha_ms != 50


def test_without_spill_no_request_is_hosted(scenario: Scenario, workload: Workload) -> None:
    world, known = VARIANTS["spillway-no-spill"].setting(scenario.world, scenario.known)
    assert known.plan.spec.overflow.mode is OverflowMode.NEVER
    assert scenario.known.plan.spec.overflow.mode is not OverflowMode.NEVER
    assert [c.hosted for c in world.classes] == [()]
    _, outcome = run("spillway-no-spill", scenario, workload)
    assert set(np.unique(outcome.requests.served)) <= {Served.OWN, Served.REJECTED}
    assert outcome.requests.hosted_usd.sum() == 0
    document = do(Job("spillway-no-spill", 1), scenario.world, scenario.known, workload)
    assert score_of(document).hosted_cost_usd == 0


def test_what_the_gateway_has_not_is_not_used(scenario: Scenario, workload: Workload) -> None:
    policy, outcome = run("spillway-no-hold", scenario, workload)
    assert policy.decision is not None
    assert policy.decision.lanes[0].in_flight_cap is not None
    assert outcome.requests.held_s.max() == 0
    policy, outcome = run("spillway-no-cap", scenario, workload)
    assert policy.decision is not None
    assert policy.decision.lanes[0].in_flight_cap is None
    assert Served.HOSTED_BY_CAP not in outcome.requests.served


def test_foresight_is_the_demand_that_comes(scenario: Scenario, workload: Workload) -> None:
    policy, _ = run("spillway-oracle-forecast", scenario, workload)
    assert policy.snapshot is not None
    told = policy.snapshot.classes[0].announced
    assert told is not None
    assert policy.snapshot.at >= told.start
    rates = future(workload, 1, scenario.world.duration_s)[0]
    assert rates[:60].sum() * 60 == pytest.approx(workload.size)
    seen = announcement(rates, 630.0)
    assert (seen.start, len(seen.values)) == (EPOCH + 600.0, AHEAD_STEPS)
    third = np.count_nonzero((workload.arrival_s >= 720) & (workload.arrival_s < 780))
    assert seen.values[2] == pytest.approx(third / 60)
    assert seen.values[-1] == pytest.approx(rates[49:59].mean()), "after the end as before it"


def test_without_caps_weights_move_traffic(scenario: Scenario, workload: Workload) -> None:
    policy, outcome = run("spillway-no-cap", scenario, workload)
    assert policy.snapshot is not None
    assert policy.snapshot.plan.spec.routing.plane is RoutingPlane.GATEWAY_API
    assert dict(policy.snapshot.routes[0].weights).keys() == {"gpu", "api"}
    shares = {seen.hosted_share for seen in policy.decision.classes}  # type: ignore[union-attr]
    assert shares != {None}
    hosted = np.isin(outcome.requests.served, (Served.HOSTED_BY_WEIGHT, Served.HOSTED_NO_REPLICA))
    assert np.count_nonzero(outcome.requests.served != Served.OWN) == np.count_nonzero(hosted)


def test_rules_begin_at_home_and_take_what_is_decided(scenario: Scenario) -> None:
    confidential = scenario.known.classes[0].model_copy(
        update={
            "metadata": scenario.known.classes[0].metadata.model_copy(update={"name": "legal"}),
            "spec": scenario.known.classes[0].spec.model_copy(update={"data_policy": DataPolicy.SELF_HOSTED_ONLY}),
        }
    )
    routes = Routes((scenario.known.classes[0], confidential), ["a", "b", "c"], ["api"])
    assert [dict(state.weights) for state in routes.states()] == [
        {"a": 34, "b": 33, "c": 33, "api": 0},
        {"a": 34, "b": 33, "c": 33},
    ]
    weights = {"a": 50, "b": 10, "c": 0, "api": 40}
    written = RouteDecision("chat", "chat", "chat", {}, weights, Reason("Spilling", "."), writable=True)
    kept = RouteDecision("legal", "legal", "legal", {}, {"a": 0, "b": 0, "c": 100}, Reason("Held", "."))
    routes.write(replace(decided(scenario), routes=(written, kept)))
    assert routes.hosted_share("chat") == 0.4
    assert dict(routes.states()[1].weights) == {"a": 34, "b": 33, "c": 33}


def decided(scenario: Scenario) -> Decision:
    _, known, policy = prepared(Job("spillway", 1), scenario.world, scenario.known, scenario.workload(1))
    assert isinstance(policy, SpillwayPolicy)
    policy.start(known)
    policy.act(Observation(30.0, (), (LaneCounts(1, 1, 0, (), 0),)))
    assert policy.decision is not None
    return policy.decision


def test_a_class_that_a_plan_binds_has_the_bindings_lanes_alone(scenario: Scenario) -> None:
    plan = scenario.known.plan
    binding = {
        "class": "chat",
        "ownership": "Managed",
        "httpRoute": "chat",
        "gateway": {"name": "gateway"},
        "backends": {"api": "egress:80"},
    }
    routing = Routing.model_validate({"plane": "GatewayAPI", "bindings": [binding]})
    bound = plan.model_copy(update={"spec": plan.spec.model_copy(update={"routing": routing})})
    routes = Routes(scenario.known.classes, ["gpu"], ["api"], bound)
    assert [dict(state.weights) for state in routes.states()] == [{"api": 100}]
    assert routes.hosted_share("chat") == 1.0
    assert [dict(s.weights) for s in Routes(scenario.known.classes, ["gpu"], ["api"], plan).states()] == [
        {"gpu": 100, "api": 0}
    ]
