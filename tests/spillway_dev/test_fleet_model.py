"""The fleet in virtual time: routing by weight, pods that come and go, the score and the bill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spillway.simulate.replica import Request
from spillway_dev.fleet.config import FleetConfig, FleetError, draw_requests, load_config
from spillway_dev.fleet.model import FleetModel, ReplicaView
from spillway_dev.fleet.replay import at_least, constant_views, run_static, smallest_static
from spillway_dev.fleet.score import Scorer

LANE, CLASS = "gpu-h100", "coding-agents"
LOCAL, EGRESS = "vllm-coder", "egress"


@pytest.fixture(scope="session")
def config(repository: Path) -> FleetConfig:
    return load_config(repository / "examples/demo/fleet.yaml")


def steady(count: int, per_second: float = 10.0, tokens_in: int = 500, tokens_out: int = 20) -> list[Request]:
    return [Request(i, i / per_second, CLASS, tokens_in, tokens_out) for i in range(count)]


def fleet_of(config: FleetConfig, requests: list[Request], replicas: int, **weights: int) -> FleetModel:
    fleet = FleetModel(config, requests, config.service_rng())
    fleet.set_weights(CLASS, weights or {LOCAL: 1})
    fleet.set_replicas(LANE, constant_views("pod", replicas))
    return fleet


def drain(fleet: FleetModel) -> None:
    for _ in range(10_000):
        if fleet.exhausted:
            return
        fleet.advance(fleet.now_s + 0.5)
    raise AssertionError("requests are still under way")


def test_weights_split_requests(config: FleetConfig) -> None:
    fleet = fleet_of(config, steady(2000, 50), 4, **{LOCAL: 75, EGRESS: 25})
    drain(fleet)
    score = fleet.ledger.classes[CLASS]
    assert score.requests == 2000
    assert score.hosted_requests == pytest.approx(500, rel=0.12)
    price = config.hosted[0]
    usd = score.hosted_requests * (500 * price.input_usd_per_m_tok + 20 * price.output_usd_per_m_tok) / 1e6
    assert score.hosted_usd == pytest.approx(usd)


def test_fewest_in_flight_balances(config: FleetConfig) -> None:
    fleet = fleet_of(config, steady(900, 30), 3)
    drain(fleet)
    served = [engine.pod.metrics.succeeded for _, engine in fleet.engines() if engine.pod.metrics]
    assert sum(served) == 900
    assert max(served) - min(served) < 90


@pytest.mark.parametrize(
    ("weights", "code"), [(None, "4"), ({LOCAL: 0, EGRESS: 0}, "5"), ({LOCAL: 1}, "5"), ({"other": 1}, "5")]
)
def test_what_cannot_be_routed_fails(config: FleetConfig, weights: dict[str, int] | None, code: str) -> None:
    fleet = FleetModel(config, steady(5), config.service_rng())
    fleet.set_weights(CLASS, weights)
    drain(fleet)
    score = fleet.ledger.classes[CLASS]
    assert (score.requests, score.failed, score.met) == (5, 5, 0)
    by_class = dict(line for family in fleet.gateway.envoy() for line in family.lines if "_xx" in family.name)
    failed = sum(value for series, value in by_class.items() if f'class="{code}"' in series)
    assert failed == (5 if weights is not None else 0)


def test_a_fallback_lane_takes_what_own_replicas_refuse(config: FleetConfig) -> None:
    traffic = config.classes[0].model_copy(update={"fallback_lane": "hosted"})
    fleet = fleet_of(config.model_copy(update={"classes": (traffic,)}), steady(20), 0)
    drain(fleet)
    assert fleet.ledger.classes[CLASS].hosted_requests == 20


def test_a_terminating_pod_gets_nothing_new_and_finishes_what_it_runs(config: FleetConfig) -> None:
    fleet = fleet_of(config, steady(400, 20, 500, 200), 2)
    fleet.advance(5.0)
    first, second = constant_views("pod", 2)
    running = {engine.pod.view.pod: engine.replica.in_flight for _, engine in fleet.engines()}
    assert running[first.pod] > 0
    fleet.set_replicas(LANE, [replace(first, terminating=True), second])
    fleet.advance(6.0)
    after = {engine.pod.view.pod: engine.replica.in_flight for _, engine in fleet.engines()}
    assert after[first.pod] <= running[first.pod]
    fleet.set_replicas(LANE, [second])
    drain(fleet)
    score = fleet.ledger.classes[CLASS]
    assert (score.requests, score.failed) == (400, 0)
    (gone,) = fleet.lanes[LANE].released
    assert gone.released_s is not None
    assert 6.0 < gone.released_s < fleet.now_s


def test_gpus_are_paid_from_creation_to_the_last_answer(config: FleetConfig) -> None:
    fleet = FleetModel(config, [], config.service_rng())
    view = ReplicaView("a", "a", "node", ready=False, terminating=False)
    fleet.advance(10.0)
    fleet.set_replicas(LANE, [view])
    fleet.advance(15.0)
    fleet.set_replicas(LANE, [replace(view, ready=True)])
    fleet.advance(40.0)
    fleet.set_replicas(LANE, [])
    fleet.advance(60.0)
    assert fleet.lanes[LANE].gpu_seconds(0.0, 60.0) == pytest.approx(30.0)
    assert fleet.lanes[LANE].gpu_seconds(20.0, 30.0) == pytest.approx(10.0)


def test_a_pod_serves_only_once_it_is_ready(config: FleetConfig) -> None:
    fleet = FleetModel(config, steady(50), config.service_rng())
    fleet.set_weights(CLASS, {LOCAL: 1})
    fleet.set_replicas(LANE, [ReplicaView("a", "a", "node", ready=False, terminating=False)])
    fleet.advance(2.05)
    assert fleet.ledger.classes[CLASS].failed == 21
    fleet.set_replicas(LANE, [ReplicaView("a", "a", "node", ready=True, terminating=False)])
    drain(fleet)
    assert fleet.ledger.classes[CLASS].failed == 21


def test_requests_before_the_day_are_served_but_not_scored(config: FleetConfig) -> None:
    requests = [Request(i, i - 10.0, CLASS, 100, 5) for i in range(20)]
    fleet = FleetModel(config, requests, config.service_rng(), start_s=-10.0)
    fleet.set_weights(CLASS, {LOCAL: 1})
    fleet.set_replicas(LANE, constant_views("pod", 1))
    drain(fleet)
    assert fleet.ledger.classes[CLASS].requests == 10
    assert sum(e.pod.metrics.succeeded for _, e in fleet.engines() if e.pod.metrics) == 20


def test_how_often_the_fleet_is_advanced_changes_nothing(config: FleetConfig) -> None:
    requests = [r for r in draw_requests(config) if 0 <= r.arrival_s < 60]
    results = []
    for step_s in (0.02, 0.7):
        fleet = fleet_of(config, requests, 5, **{LOCAL: 80, EGRESS: 20})
        while fleet.now_s < 90:
            fleet.advance(fleet.now_s + step_s)
        score = fleet.ledger.classes[CLASS]
        results.append((score.requests, score.met, score.hosted_requests))
    assert results[0] == results[1]


def test_requests_come_from_the_seed_alone(config: FleetConfig) -> None:
    assert draw_requests(config) == draw_requests(config)
    other = draw_requests(config.model_copy(update={"seed": config.seed + 1}))
    assert other != draw_requests(config)
    day = config.demand.day_seconds
    assert -day <= other[0].arrival_s < 0 < other[-1].arrival_s < day


def test_the_demo_day_needs_a_fleet_of_the_promised_size(config: FleetConfig) -> None:
    requests = draw_requests(config)
    best = smallest_static(config, requests, start_s=-20.0)
    assert best is not None
    assert 10 <= best.replicas <= 16
    assert best.held
    assert not run_static(config, requests, best.replicas - 1, -20.0).held
    lane = config.lanes[0]
    hours = best.replicas * config.demand.day_seconds / 3600
    assert best.gpu_usd == pytest.approx(hours * lane.usd_per_gpu_hour)


def test_no_fleet_is_large_enough_for_an_impossible_slo(config: FleetConfig) -> None:
    traffic = config.classes[0].model_copy(update={"ttft_ms": 1.0})
    requests = [r for r in draw_requests(config) if 0 <= r.arrival_s < 20]
    assert smallest_static(config.model_copy(update={"classes": (traffic,)}), requests, 0.0, most=4) is None


def test_score_rates_look_back_a_few_seconds(config: FleetConfig) -> None:
    fleet = fleet_of(config, steady(600, 20), 3, **{LOCAL: 50, EGRESS: 50})
    scorer = Scorer(fleet)
    for second in range(1, 21):
        fleet.advance(float(second))
        scorer.mark()
    score = scorer.score()
    assert score["rates"]["requests_per_second"] == pytest.approx(20, rel=0.05)
    assert score["rates"]["spilled_share"] == pytest.approx(0.5, abs=0.15)
    assert score["lanes"][LANE]["ready"] == 3
    assert not score["finished"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("demandScale: 0.55", "demandScale: -1", "demand.demandScale"),
        ("egress: hosted}", "egress: nowhere}", "lanes that don't exist: \\['nowhere'\\]"),
        ("seed: 1", "seed: 1\ntypo: 2", "typo"),
        ("seed: 1", "seed: [", "not valid YAML"),
    ],
)
def test_a_wrong_configuration_says_where(repository: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (repository / "examples/demo/fleet.yaml").read_text()
    assert old in text
    path = tmp_path / "fleet.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(FleetError, match=message) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_a_repeated_day_is_served_and_not_scored(config: FleetConfig) -> None:
    short = config.adjusted(day_seconds=120)
    requests = [Request(i, i * 10.0, CLASS, 100, 5) for i in range(12)]
    fleet = FleetModel(short, requests, short.service_rng(), repeat=True)
    fleet.set_weights(CLASS, {LOCAL: 1})
    fleet.set_replicas(LANE, constant_views("pod", 1))
    fleet.advance(299.0)
    score = Scorer(fleet).score()
    assert score["finished"]
    assert score["classes"][CLASS]["requests"] == 12
    assert sum(e.pod.metrics.succeeded for _, e in fleet.engines() if e.pod.metrics) == 12 + 12 + 6


def test_a_fleet_as_good_as_a_given_attainment(config: FleetConfig) -> None:
    requests = [r for r in draw_requests(config) if 150 <= r.arrival_s < 230]
    target = run_static(config, requests, 11, 0.0)
    good = at_least(target.attainment, target.token_attainment)
    found = smallest_static(config, requests, 0.0, good)
    assert found is not None
    assert found.replicas <= 11
    assert good(found)
