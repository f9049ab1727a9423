"""Each product's formulas on hand-computed cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from simulate.baselines.builders import (
    class_sample,
    counts,
    facts,
    histogram,
    known,
    lane_sample,
    own_lane,
    replicas,
    sample,
    seen,
    workload_class,
)
from spillway.simulate.baselines.aibrix import ApaLane, Cooldown, KpaLane, apa_wanted
from spillway.simulate.baselines.dynamo import SlaLane, replicas_for
from spillway.simulate.baselines.dynamo_load import Engines, latency_step, throughput_step
from spillway.simulate.baselines.facts import lane_facts
from spillway.simulate.baselines.keda_slo import DEFAULTS, wanted
from spillway.simulate.baselines.knative import KnativeLane
from spillway.simulate.baselines.predictors import ArimaPredictor, ConstantPredictor
from spillway.simulate.baselines.profile import Mix, Service, replicas_for_peak
from spillway.simulate.baselines.registry import parameters_of, scaler
from spillway.simulate.baselines.signals import quantile
from spillway.simulate.baselines.wva_model import START, Filter
from spillway.simulate.baselines.wva_queue import Coefficients, ReplicaQueue, first_form, newer_form
from spillway.simulate.baselines.wva_saturation import SaturationV1, SaturationV2
from spillway.simulate.policy import ITL_BUCKETS_S, TTFT_BUCKETS_S

MIX = Mix(1000.0, 100.0)
SERVICE = Service(20.0, 0.5, 0.0, 100.0, 100, 100_000.0)
# With MIX each sequence adds 0.5 + 100 * 10/1000 = 1.5 ms to an iteration.


def acting(name: str, *steps: tuple[float, object, int, int], **parameters: float) -> list[int]:
    """Replicas of the one lane after each (now, lane sample, desired, ready)."""
    tried = scaler(name, parameters)
    tried.start(known())
    result, samples = [], []
    for now, lane, desired, ready in steps:
        samples.append(sample(now - 15.0, lane))  # type: ignore[arg-type]
        result.append(tried.act(seen(now, samples, counts(desired, ready)))[0])
    return result


def test_hpa_on_the_queue_of_all_replicas() -> None:
    quiet, busy = replicas([1, 1], [0, 1]), replicas([1, 1], [3, 4])
    # 7 waiting against a Value of 1 are r = 7 times 2 Ready; up by 4 at most.
    steps = [(15.0, lane_sample(quiet), 2, 2), (30.0, lane_sample(busy), 2, 2)]
    assert acting("hpa", *steps) == [2, 6]


def test_hpa_on_running_requests() -> None:
    lane = lane_sample(replicas([30, 30]))
    assert acting("hpa", (15.0, lane, 2, 2), waiting_total=0.0, running_per_replica=16.0) == [4]


def test_keda_queue_shares_the_queue_by_all_replicas() -> None:
    # 18 over 5 are 4; starting ones count in the average: 18/(5*4) = 0.9 is within the tolerance.
    lane = lane_sample(replicas([9, 9], [9, 9]))
    assert acting("keda-queue", (15.0, lane, 2, 2)) == [4]
    assert acting("keda-queue", (15.0, lane, 4, 2)) == [4]


def test_keda_queue_llmd_waits_five_minutes_on_the_way_up() -> None:
    lane = lane_sample(replicas([20.0]))
    got = acting("keda-queue-llmd", *((15.0 * n, lane, 1, 1) for n in range(1, 23)))
    assert got.index(2) == 20  # 300 s after the first recommendation, which was the count itself.


def test_keda_guard_subtracts_what_starts() -> None:
    lane = lane_sample(replicas([60.0, 60.0]))
    # Demand 7.5; of 5 replicas 3 start: max(7.5 - 3, 5) = 5.
    assert acting("keda-queue-guard", (15.0, lane, 5, 2)) == [5]
    assert acting("keda-queue-guard", (15.0, lane, 5, 5)) == [8]


def test_keda_tokens() -> None:
    # The chunk of 8192 takes 20 + 819.2 ms: 9,761.7 tokens a second, 14,642.5 in 1.5 s. 40 prompts of 1,000 are 3.
    old = lane_sample(replicas([1.0]), finished=0.0)
    new = lane_sample(replicas([1.0], [40.0]), finished=10.0, tokens=(10_000.0, 1000.0))
    assert acting("keda-queue-tokens", (15.0, old, 1, 1), (30.0, new, 1, 1)) == [1, 3]


@pytest.mark.parametrize(
    ("stress", "n", "ready", "corrected", "expected"),
    [
        (0.55, 4, 4, True, 4),
        (0.56, 4, 4, True, 5),  # ceil(4 * 0.018)
        (1.1, 4, 4, True, 8),
        (1.1, 4, 2, True, 4),  # 1.1 * 0.5 / 0.55 = 1
        (0.8, 4, 1, True, 4),  # 0.8 * 0.25 would ask for 4 + ceil(4 * -0.636) = 2.
        (0.8, 4, 1, False, 2),
        (0.40, 4, 4, True, 4),
        (0.39, 4, 4, True, 4),  # floor(4 * 0.025)
        (0.20, 4, 4, True, 2),
        (0.0, 4, 4, True, 0),
    ],
)
def test_keda_slo_formula(stress: float, n: int, ready: int, corrected: bool, expected: int) -> None:
    assert wanted(stress, n, ready, DEFAULTS, corrected=corrected) == expected


def test_keda_slo_on_histograms() -> None:
    # All TTFT in (2.5, 5]: P90 = 4.75 s against 3 s is 1.583, mean with the stress of 0 before: 0.79.
    old = lane_sample(replicas([1.0]))
    new = lane_sample(replicas([1.0]), ttft=histogram(TTFT_BUCKETS_S, {13: 100.0}))
    got = acting("keda-slo", (15.0, old, 4, 4), (30.0, new, 4, 4), (45.0, new, 4, 4), (60.0, new, 6, 6))
    # 0.79 asks for 4 + ceil(4*0.439) = 6, 1.06 for 8; the window of 30 s keeps the count until 45 s, then takes the
    # lowest. At 60 s 18 are asked for, 8 is the window's lowest, and 4 more than a minute ago are allowed: 8.
    assert got == [4, 4, 6, 8]


def test_quantile_is_promqls() -> None:
    nothing = histogram(ITL_BUCKETS_S)
    assert quantile(ITL_BUCKETS_S, nothing, nothing, 0.9) is None
    two = histogram(ITL_BUCKETS_S, {0: 50.0, 2: 50.0})
    assert quantile(ITL_BUCKETS_S, nothing, two, 0.9) == pytest.approx(0.025 + 0.025 * 0.8)
    assert quantile(ITL_BUCKETS_S, nothing, histogram(ITL_BUCKETS_S, {19: 1.0}), 0.9) == 80.0


def saturation(*lanes: tuple[str, int]) -> SaturationV2:
    """Variants by (price, maximum): 8 tokens of capacity in 10 of the profile."""
    own = [
        own_lane(f"l{i}", usd=usd, highest=top, profile=PROFILE_10) for i, (usd, top) in enumerate(lanes or [("2", 50)])
    ]
    return SaturationV2(lane_facts(known(own)), parameters_of("wva-saturation"))


PROFILE_10 = {
    "alphaMs": "20",
    "betaMsPerSequence": "0.5",
    "prefillMsPerKToken": "100",
    "maxSequences": 100,
    "kvCacheTokens": 10,
}


def test_wva_v2_up_and_down() -> None:
    v2 = saturation()
    # 8 a replica. Demand 34 over 0.85 are 40: 5 replicas.
    assert v2.allocate(34.0, {0: 4}) == {0: 5}
    # Demand 14 over 0.70 are 20: 16 of 40 are too many, 2 whole replicas.
    assert v2.allocate(14.0, {0: 5}) == {0: 3}
    assert v2.allocate(30.0, {0: 5}) == {0: 5}
    assert v2.allocate(0.0, {0: 5}) == {0: 1}


def test_wva_v2_takes_the_cheapest_first_and_the_dearest_away() -> None:
    v2 = saturation(("5", 50), ("2", 3))
    assert v2.allocate(34.0, {0: 1, 1: 1}) == {0: 2, 1: 3}
    assert v2.allocate(14.0, {0: 3, 1: 2}) == {0: 1, 1: 2}


def test_wva_v2_learns_capacity_where_a_queue_is() -> None:
    v2 = SaturationV2((facts(),), parameters_of("wva-saturation"))
    old = sample(0.0, lane_sample(replicas([1.0, 1.0])))
    lane = lane_sample(replicas([50, 50], [5, 0], [0.5, 0.3]), finished=10.0, tokens=(10_000.0, 1000.0))
    v2.decide(seen(75.0, [old, sample(60.0, lane)], counts(2)), sample(60.0, lane))
    # k1 = 80,000; k2 = the 50,000 in use where 5 waited. D = 80,000 + 5 * 1,100 over 0.85 = 100,588: 3 replicas.
    assert v2.decide(seen(75.0, [old, sample(60.0, lane)], counts(2)), sample(60.0, lane)) == {0: 3}


def test_wva_v2_capacity_by_batch_before_any_queue() -> None:
    v2 = SaturationV2((facts(),), parameters_of("wva-saturation"))
    variant = v2._variants[0]
    assert variant.tokens() == pytest.approx(80_000.0)
    variant.mix = Mix(1000.0, 50.0)
    # min(8192 * 50/1050, 100) = 100 sequences, 1,025 each: 102,500, so k1; with 10 out it is 81.1 * 1,005.
    assert variant.tokens() == pytest.approx(80_000.0)
    variant.mix = Mix(1000.0, 5.0)
    assert variant.tokens() == pytest.approx(8192.0 * 5.0 / 1005.0 * 1002.5)


def test_wva_v1_steps() -> None:
    v1 = SaturationV1((facts(),), parameters_of("wva-saturation-v1"))
    assert v1.step([0.71, 0.71], [0, 0]) == 1  # spare 0.09
    assert v1.step([0.5, 0.5], [2.5, 2.5]) == 1  # spare 2.5
    assert v1.step([0.9, 0.9], [0, 0]) == 1  # none is free
    assert v1.step([0.4, 0.4], [0, 0]) == 0  # at 0.8 on one there is no spare
    assert v1.step([0.3, 0.3], [0, 0]) == -1
    assert v1.step([0.1], [0]) == 0


def test_wva_v1_holds_while_replicas_start() -> None:
    v1 = SaturationV1((facts(),), parameters_of("wva-saturation-v1"))
    full = sample(15.0, lane_sample(replicas([9, 9], kv=[0.9, 0.9])))
    assert v1.decide(seen(30.0, [full], counts(3, 2)), full) == {0: 3}
    assert v1.decide(seen(30.0, [full], counts(2)), full) == {0: 3}


def test_replica_queue_is_mm1k_where_batching_does_not_help() -> None:
    # N = 1, 1 ms a token, no prompt: mu = 10/s, K = 11.
    one = ReplicaQueue(newer_form(Coefficients(1.0, 0.0, 0.0), Mix(1.0, 99.0)), 99.0, 1)
    assert one.rates[0] == pytest.approx(10.0)
    rho, states = 0.5, np.arange(12)
    weights = rho**states / np.sum(rho**states)
    got = one.steady(5.0)
    assert got.throughput == pytest.approx(5.0 * (1.0 - weights[-1]))
    in_queue = float(np.sum(weights[2:] * (states[2:] - 1)))
    assert got.ttft_ms == pytest.approx(1000.0 * in_queue / got.throughput + 1.0)


def test_replica_queue_highest_rate_is_where_an_objective_binds() -> None:
    queue = ReplicaQueue(newer_form(Coefficients.declared(SERVICE, MIX), MIX), MIX.output_tokens, 64)
    rate = queue.highest_rate(3.0, 0.05)
    assert queue.steady(rate).itl_ms == pytest.approx(50.0, rel=1e-3)
    assert queue.highest_rate(3.0, 0.06) > rate
    assert queue.highest_rate(0.001, 0.05) < 0.01


def test_wva_model_divides_the_arrivals() -> None:
    tried = scaler("wva-model")
    tried.start(known())
    mix = (1000.0, 100.0)
    lane = lane_sample(replicas([10.0]))
    samples = [
        sample(0.0, lane, classes=[class_sample(0.0)]),
        sample(60.0, lane, classes=[class_sample(1800.0, mix=mix)]),
    ]
    # 30 requests a second; a replica holds an ITL of 100 ms up to 5.178: 5.8. The HPA adds four at most.
    assert tried.act(seen(75.0, samples, counts(1))) == (5,)
    assert tried.act(seen(90.0, samples, counts(5))) == (6,)


def test_the_first_form_of_the_latencies() -> None:
    latencies = first_form(Service(20.0, 0.5, 10.0, 100.0, 100, math.inf), MIX)
    # At 1,050 tokens held beta is 0.5 + 10.5 ms; 1,000 prompt tokens are 100 ms for each in the batch.
    assert latencies.decode(np.array([4.0])) == pytest.approx([64.0])
    assert latencies.prefill(np.array([4.0])) == pytest.approx([420.0])
    queue = ReplicaQueue(latencies, 100.0, 4)
    assert queue.rates[3] == pytest.approx(4.0 / (0.420 + 100 * 0.064))


def test_the_filter_learns_the_profile_and_rejects_what_cannot_be() -> None:
    learned = Filter()
    assert learned.state.tolist() == list(START)
    truth = Coefficients(12.0, 0.08, 0.00002)
    random = np.random.default_rng(1)
    for _ in range(200):
        n = float(random.uniform(5, 80))
        latencies = newer_form(truth, MIX)
        at = np.array([n])
        learned.update(float(latencies.prefill(at)[0]), float(latencies.decode(at)[0]), n, MIX)
    alpha, beta, gamma = (float(value) for value in learned.state)
    got = newer_form(Coefficients(alpha, beta, gamma), MIX).decode(np.array([10.0, 60.0]))
    assert got == pytest.approx(newer_form(truth, MIX).decode(np.array([10.0, 60.0])), rel=0.05)
    assert not learned.update(1e6, 1.0, 10.0, MIX)


@pytest.mark.parametrize(
    ("usage", "n", "expected"), [(0.55, 4, 4), (0.6, 4, 5), (1.5, 4, 8), (0.44, 4, 4), (0.1, 5, 2)]
)
def test_apa_formula(usage: float, n: int, expected: int) -> None:
    assert apa_wanted(usage, 0.5, n) == expected


def test_apa_as_written_grows_while_replicas_start_and_corrected_does_not() -> None:
    lane = facts()
    written, corrected = ApaLane(lane, 0.5, corrected=False), ApaLane(lane, 0.5, corrected=True)
    # 4 Ready at 0.75: 6 replicas. With 6 asked for and 4 Ready still:
    assert written.loop(0.0, 0.75, counts(4)) == 6 == corrected.loop(0.0, 0.75, counts(4))
    assert written.loop(10.0, 0.75, counts(6, 4)) == 9
    assert corrected.loop(10.0, 0.75, counts(6, 4)) == 6


def test_cooldown_by_maximum_and_as_written_by_minimum() -> None:
    for minimum, expected in ((False, 5), (True, 2)):
        cooldown = Cooldown(minimum=minimum)
        assert cooldown.settle(0.0, 8, 8) == 8
        assert cooldown.settle(100.0, 8, 2) == (2 if minimum else 8)
        assert cooldown.settle(290.0, 8, 5) == (2 if minimum else 8)
        assert cooldown.settle(310.0, 8, 3) == expected


def test_kpa_as_written_forgets_the_replicas() -> None:
    lane = facts()
    written, corrected = KpaLane(lane, 0.5, corrected=False), KpaLane(lane, 0.5, corrected=True)
    # 0.8 over 0.5 are ceil(1.6) = 2, not below floor(8/2) = 4; corrected: ceil(1.6 * 8) = 13.
    assert written.loop(0.0, 0.8, 0.8, counts(8)) == 4
    assert corrected.loop(0.0, 0.8, 0.8, counts(8)) == 13


def test_kpa_panic_keeps_its_highest() -> None:
    kpa = KpaLane(facts(), 0.5, corrected=True)
    # Stable 0.2: ceil(0.4 * 10) = 5; panic 0.8: 16; 16/5 > 2.
    assert kpa.loop(0.0, 0.2, 0.8, counts(10)) == 16
    assert kpa.loop(10.0, 0.2, 0.3, counts(16)) == 16


def test_knative() -> None:
    lane = facts()
    kpa = KnativeLane(lane, parameters_of("knative-kpa"))
    # The limit is the profile's 100 sequences: 70 each.
    assert kpa.tick(2.0, 140.0, 2) == 2
    assert kpa.tick(4.0, 210.0, 2) == 3  # Mean 175.
    # Panic over 6 s at 4 or more of 2: (140 + 210 + 700)/3 = 350 are 5 of 2.
    assert kpa.tick(6.0, 700.0, 2) == 5
    assert [kpa.tick(float(now), 0.0, 5) for now in range(8, 66, 2)] == [5] * 29


def test_knative_leaves_panic_after_the_stable_window() -> None:
    kpa = KnativeLane(facts(), parameters_of("knative-kpa"))
    assert kpa.tick(2.0, 700.0, 1) == 10
    got = [kpa.tick(2.0 + 2.0 * step, 70.0, 10) for step in range(1, 40)]
    # Above 60 s below the threshold: half of the 10 Ready ones is the lowest at once.
    assert got[:29] == [10] * 29
    assert got[-1] == 5


def test_knative_never_scales_up_for_nothing() -> None:
    kpa = KnativeLane(facts(), parameters_of("knative-kpa"))
    assert [kpa.tick(2.0 * n, 0.0, 1) for n in range(1, 40)] == [0] * 39


def test_dynamo_formula() -> None:
    # ITL 95 ms: (95 - 20)/1.5 = 50 sequences; 50/(100 * 0.095) = 5.263 requests a second a replica.
    assert SERVICE.largest_batch(MIX, 0.095) == 50
    assert replicas_for(SERVICE, MIX, 20.0, ttft_s=3.0, itl_s=0.095) == 4
    assert replicas_for(SERVICE, MIX, 22.0, ttft_s=3.0, itl_s=0.095) == 5
    # TTFT 0.165 s leaves 165 - 100 - 20 = 45 ms: 30 sequences.
    assert SERVICE.largest_batch(MIX, 0.095, 0.165) == 30
    # KV: 100,000 over 1,050 are 95.
    assert SERVICE.largest_batch(MIX, 10.0) == 95
    assert replicas_for_peak(SERVICE, MIX, 20.0, itl_s=0.095) == 4


def test_dynamo_sla_predicts_and_corrects() -> None:
    scene = known([own_lane()], [workload_class(itl_ms=95)])
    lane = lane_facts(scene)[0]
    parameters = parameters_of("dynamo-sla", {"arima": 0.0})
    mix = (1000.0, 100.0)

    def run(itl_mean_s: float) -> int:
        planner = SlaLane(scene, lane, parameters, "dynamo-sla")
        engines = replicas([40.0])
        first = sample(0.0, lane_sample(engines), classes=[class_sample(to_lane=(0, 0))])
        later = lane_sample(
            engines,
            itl=histogram(ITL_BUCKETS_S, {4: 100.0}, itl_mean_s),
            ttft=histogram(TTFT_BUCKETS_S, {9: 10.0}, 0.18),
        )
        second = sample(180.0, later, classes=[class_sample(3960.0, mix=mix, to_lane=(3960, 0))])
        return planner.decide(seen(195.0, [first, second], counts(1)), second)

    # 22 a second; expected ITL at 40 is 80 ms. Measured as expected: 5. At 1.25 times it ITL must be 76 ms:
    # 37 sequences, 37/(100 * 0.0755) = 4.90 a second: 5. At twice it 47.5 ms: 18, 18/(100*0.047) = 3.83: 6.
    assert run(0.080) == 5
    assert run(0.100) == 5
    assert run(0.160) == 6


def test_predictors() -> None:
    constant, arima = ConstantPredictor(), ArimaPredictor()
    for value in (0.0, 4.0):
        constant.add(value)
        arima.add(value)
    assert constant.predict() == 4.0 == arima.predict()
    rising, noisy = ArimaPredictor(), ArimaPredictor()
    random = np.random.default_rng(3)
    change, level, errors, naive = 0.0, 100.0, [], []
    for step in range(300):
        rising.add(10.0 + 2.0 * step)
        change = 0.7 * change + float(random.normal())
        level += change
        if step > 60:
            errors.append(abs(noisy.predict() - level))
            naive.append(abs(change))
        noisy.add(level)
    assert rising.predict() == pytest.approx(10.0 + 2.0 * 300, rel=0.02)
    # On differences that carry on it beats the last value.
    assert np.mean(errors) < 0.9 * np.mean(naive)


def engines(running: list[float], waiting: list[float], kv: list[float]) -> Engines:
    nothing = np.zeros(len(running))
    return Engines(np.array(running), np.array(waiting), nothing, np.array(kv))


@pytest.mark.parametrize(
    ("running", "waiting", "kv", "expected"),
    [
        ([60.0, 60.0], [0.0, 0.0], [0.5, 0.5], 1),  # 20 + 1.5 * 60 = 110 ms
        ([60.0, 50.0], [0.0, 0.0], [0.5, 0.5], 0),  # 95 ms is within: not all.
        ([10.0, 10.0], [29.0, 29.0], [0.1, 0.1], 1),  # 2.9 + 0.1 + 0.02 s
        ([19.0, 19.0], [0.0, 0.0], [0.4, 0.4], -1),  # 38 on one: 77 ms < 80
        ([21.0, 21.0], [0.0, 0.0], [0.4, 0.4], 0),  # 42 on one: 83 ms
        ([10.0, 10.0], [0.0, 0.0], [0.6, 0.3], 0),  # 1.2 of the cache
        ([10.0, 10.0], [12.0, 0.0], [0.3, 0.3], 0),  # 1.2 s, twice, against 0.8 * 2.9 = 2.32 s
        ([1.0], [0.0], [0.0], 0),
        ([], [], [], 0),
    ],
)
def test_dynamo_load_steps(running: list[float], waiting: list[float], kv: list[float], expected: int) -> None:
    got = latency_step(engines(running, waiting, kv), SERVICE, MIX, ttft_s=3.0, itl_s=0.1, down_share=0.8)
    assert got == expected


def test_dynamo_throughput_steps() -> None:
    def step(kv: list[float], waiting: list[float]) -> int:
        return throughput_step(engines([1.0] * len(kv), waiting, kv), 100_000.0, MIX, up_at=1.0, down_at=0.6)

    assert step([0.9, 0.2], [10.0, 0.0]) == 1  # 0.9 + 10 * 1,100/100,000 = 1.01
    assert step([0.9, 0.2], [9.0, 0.0]) == 0
    assert step([0.59, 0.2], [0.0, 0.0]) == -1


def test_dynamo_load_holds_while_scaling_and_moves_once_for_a_sample() -> None:
    tried = scaler("dynamo-load")
    tried.start(known())
    mix = (1000.0, 100.0)
    old = sample(0.0, lane_sample(replicas([60, 60])), classes=[class_sample(0.0)])
    new = sample(60.0, lane_sample(replicas([60, 60])), classes=[class_sample(10.0, mix=mix)])
    assert tried.act(seen(75.0, [old, new], counts(2)))[0] == 3
    assert tried.act(seen(80.0, [old, new], counts(3, 2)))[0] == 3
    assert tried.act(seen(85.0, [old, new], counts(3)))[0] == 3
