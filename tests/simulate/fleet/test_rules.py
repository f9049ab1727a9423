"""What policies see and may do, scaling, hosted lanes and noise, each on a case of its own."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from simulate.fleet.worlds import (
    PATIENT,
    Fixed,
    Scripted,
    class_truth,
    hosted_truth,
    known_nothing,
    lane_truth,
    one_class_world,
    workload,
)
from spillway.simulate.fleet import simulate
from spillway.simulate.outcome import Outcome, Served
from spillway.simulate.policy import Action, LaneOverflow, Observation
from spillway.simulate.spillway.readings import hosted_state
from spillway.simulate.world import StepTable, Workload, World


def steady(rate: float, span: float, inputs: int = 300, outputs: int = 50) -> Workload:
    """Evenly spaced, alike requests."""
    return workload(np.arange(1, int(rate * span)) / rate, inputs, outputs)


def scripted(
    world: World, work: Workload, replicas: dict[float, int], tick_s: float = 15.0
) -> tuple[Outcome, Scripted]:
    """A run with so many replicas from each moment on."""

    def act(seen: Observation) -> Action:
        return Action((replicas[max(at for at in replicas if at <= seen.now)],))

    policy = Scripted(Action((replicas[0.0],)), act, tick_s)
    return simulate(world, work, known_nothing(), policy, 1), policy


@pytest.mark.parametrize("tick", [2.0, 5.0, 10.0, 15.0, 60.0, 180.0])
@pytest.mark.parametrize("lag", [0.0, 15.0, 40.0])
def test_a_policy_sees_nothing_younger_than_the_lag_and_nothing_from_gaps(tick: float, lag: float) -> None:
    world = one_class_world(lane_truth(), metrics_lag_s=lag, duration_s=7200.0, gaps=((600.0, 900.0),))
    policy = Scripted(Action((1,)), lambda seen: Action((1,)), tick)
    out = simulate(world, steady(0.5, 7200.0), known_nothing(), policy, 1)
    assert [seen.now for seen in policy.seen] == [tick * n for n in range(1, math.ceil(7200.0 / tick))]
    assert len(out.decide_s) == len(policy.seen)
    for seen in policy.seen:
        expected = [
            15.0 * n for n in range(1, 481) if seen.now - 3600.0 <= 15.0 * n <= seen.now - lag and not 40 <= n < 60
        ]
        assert [sample.at for sample in seen.samples] == expected
        for sample in seen.samples[-1:]:
            assert sample.classes[0].arrived == pytest.approx(0.5 * sample.at, abs=1)


def test_scaling_out_pays_from_creation_and_serves_from_ready_on() -> None:
    world = one_class_world(lane_truth(startup_mean_s=100.0, startup_sigma=0.0), duration_s=600.0)
    out, policy = scripted(world, steady(4.0, 600.0), {0.0: 1, 60.0: 3})
    assert out.changes == ((60.0, 0, 1, 3),)
    np.testing.assert_allclose(out.replicas.created_s, [0.0, 60.0, 60.0])
    np.testing.assert_allclose(out.replicas.ready_s, [0.0, 160.0, 160.0])
    assert (out.replicas.ended_s >= 600.0).all()
    by_time = {seen.now: seen.counts[0] for seen in policy.seen}
    assert (by_time[75.0].ready, by_time[75.0].starting, by_time[75.0].starting_since) == (1, 2, (60.0, 60.0))
    assert (by_time[165.0].ready, by_time[165.0].starting) == (3, 0)


def test_scaling_in_drops_the_youngest_starting_one_first_then_drains_the_emptiest() -> None:
    world = one_class_world(lane_truth(startup_mean_s=100.0, startup_sigma=0.0), duration_s=600.0)
    work = steady(1.0, 600.0, outputs=800)
    out, policy = scripted(world, work, {0.0: 2, 60.0: 4, 90.0: 3, 120.0: 1})
    ended = out.replicas.ended_s
    assert ended[3] == 90.0
    assert ended[2] == 120.0
    assert np.isinf(out.replicas.ready_s[2:]).all()
    drained = [n for n in (0, 1) if ended[n] < 600.0]
    assert len(drained) == 1
    last = ended[drained[0]]
    assert 135.0 < last < 170.0
    assert np.isclose(out.requests.end_s, last).any()
    counts = {seen.now: seen.counts[0] for seen in policy.seen}
    assert (counts[135.0].ready, counts[135.0].draining) == (1, 1)
    assert (out.requests.served == Served.OWN).all()
    seen = [s.samples[-1] for s in policy.seen if s.now >= 150.0]
    assert all(len(sample.lanes[0].replicas.number) == 1 for sample in seen if sample.at >= 135.0)


def test_a_draining_replica_gets_no_new_work() -> None:
    world = one_class_world(lane_truth(), duration_s=300.0)
    work = workload([10.0, 70.0, 71.0], 100, [4000, 10, 10])
    out, _ = scripted(world, work, {0.0: 1, 60.0: 0})
    assert out.requests.served.tolist() == [Served.OWN, Served.HOSTED_NO_REPLICA, Served.HOSTED_NO_REPLICA]
    assert out.replicas.ended_s[0] == out.requests.end_s[0] > 100.0


def test_stockouts_delay_creation_and_pools_bound_it() -> None:
    lane = lane_truth(startup_mean_s=10.0, startup_sigma=0.0, stockouts=((100.0, 200.0),), pool="h100",
                      gpus_per_replica=2)  # fmt: skip
    world = one_class_world(lane, duration_s=600.0, gpu_pools=(("h100", 9),))
    out, policy = scripted(world, steady(1.0, 600.0), {0.0: 1, 150.0: 3, 300.0: 8})
    np.testing.assert_allclose(out.replicas.created_s, [0.0, 200.0, 200.0, 300.0])
    np.testing.assert_allclose(out.replicas.ready_s, [0.0, 210.0, 210.0, 310.0])
    counts = {seen.now: seen.counts[0] for seen in policy.seen}
    assert counts[165.0].starting_since == (150.0, 150.0)
    assert counts[345.0].desired == 4
    dropped, _ = scripted(world, steady(1.0, 600.0), {0.0: 1, 150.0: 3, 180.0: 1})
    np.testing.assert_allclose(dropped.replicas.created_s[1:], dropped.replicas.ended_s[1:])


def test_startup_is_lognormal_with_the_given_mean_and_common_to_policies() -> None:
    lane = lane_truth(startup_mean_s=200.0, startup_sigma=0.5, max_replicas=4000)
    world = one_class_world(lane, duration_s=60.0)
    out, _ = scripted(world, steady(1.0, 60.0), {0.0: 0, 15.0: 4000})
    other, _ = scripted(world, steady(1.0, 60.0), {0.0: 0, 30.0: 10})
    longer = replace(world, duration_s=20_000.0)
    long, _ = scripted(longer, steady(0.01, 20_000.0), {0.0: 0, 30.0: 4000}, 30.0)
    assert np.isinf(out.replicas.ready_s).any()
    took = long.replicas.ready_s - long.replicas.created_s
    assert took.mean() == pytest.approx(200.0, rel=0.03)
    assert np.log(took).std() == pytest.approx(0.5, rel=0.05)
    np.testing.assert_allclose(other.replicas.created_s, 30.0)
    same = np.isfinite(out.replicas.ready_s)
    np.testing.assert_allclose((out.replicas.ready_s - out.replicas.created_s)[same], took[same])


def test_hosted_latencies_errors_bill_and_common_draws() -> None:
    size = 40_000
    work = workload(np.linspace(0.0, 3000.0, size), 1000, 101)
    lane = hosted_truth(error_rate=0.1)
    world = one_class_world(lane_truth(), hosted=(lane,), cached_share=0.25)
    all_hosted = simulate(world, work, known_nothing(), Fixed(Action((1,), hosted_share=(1.0,))), 4)
    log = all_hosted.requests
    failed = log.served == Served.FAILED
    assert failed.mean() == pytest.approx(0.01, rel=0.15)
    assert (log.hosted_usd[failed] == 0).all()
    np.testing.assert_allclose(log.hosted_usd[~failed], 750 * 2e-6 + 250 * 5e-7 + 101 * 8e-6)
    assert np.median(log.itl_s[~failed]) == pytest.approx(0.015, rel=0.02)
    assert np.quantile(log.itl_s[~failed], 0.99) == pytest.approx(0.03, rel=0.04)
    clean = simulate(
        replace(world, hosted=(hosted_truth(),)), work, known_nothing(), Fixed(Action((1,), hosted_share=(0.3,))), 4
    )
    chosen = clean.requests.served == Served.HOSTED_BY_WEIGHT
    assert chosen.mean() == pytest.approx(0.3, abs=0.01)
    np.testing.assert_allclose(np.median(clean.requests.ttft_s[chosen]), 0.5, rtol=0.03)
    np.testing.assert_allclose(np.quantile(clean.requests.ttft_s[chosen], 0.99), 1.5, rtol=0.06)
    first_try = chosen & ~failed & (log.ttft_s == clean.requests.ttft_s)
    assert first_try.sum() / (chosen & ~failed).sum() == pytest.approx(0.9 / 0.99, abs=0.01)


def test_rate_limits_move_on_to_the_next_lane_and_then_fail() -> None:
    lanes = (hosted_truth(requests_per_minute=10.0), hosted_truth(name="b", tokens_per_minute=3000.0))
    world = one_class_world(lane_truth(), hosted=lanes, classes=(class_truth(own=(), hosted=(0, 1)),), duration_s=120.0)
    work = workload(np.concatenate([np.linspace(0, 30, 50), np.linspace(60, 90, 50)]), 50, 50)
    log = simulate(world, work, known_nothing(), Fixed(Action((0,))), 1).requests
    for half in (slice(0, 50), slice(50, 100)):
        assert log.lane[half].tolist() == [0] * 10 + [1] * 30 + [-1] * 10
        assert (log.served[half][40:] == Served.FAILED).all()
        assert (log.served[half][:40] == Served.HOSTED_NO_REPLICA).all()


def test_an_outage_fails_both_attempts_unless_the_retry_comes_after_it() -> None:
    lane = hosted_truth(outages=((100.0, 200.0),), ttft_p99_s=0.5)
    world = one_class_world(lane_truth(), hosted=(lane,), classes=(class_truth(own=()),), duration_s=300.0)
    work = workload([50.0, 150.0, 199.8, 250.0], 10, 10)
    log = simulate(world, work, known_nothing(), Fixed(Action((0,))), 1).requests
    failed = [served == Served.FAILED for served in log.served]
    assert failed == [False, True, False, False]
    np.testing.assert_allclose(log.ttft_s, [0.5, np.nan, 1.0, 0.5])
    np.testing.assert_allclose(log.end_s[1], 151.0)


def test_what_hosted_lanes_fail_is_counted_by_attempt() -> None:
    """In an outage each request fails twice; who reads the counters sees that none was served."""
    lane = hosted_truth(outages=((300.0, 600.0),), ttft_p99_s=0.5)
    world = one_class_world(lane_truth(), hosted=(lane,), classes=(class_truth(own=()),), duration_s=900.0)
    policy = Scripted(Action((0,)), lambda seen: Action((0,)))
    simulate(world, steady(2.0, 900.0), known_nothing(), policy, 1)
    read = {seen.now: hosted_state(1, 0, seen.samples) for seen in policy.seen if seen.samples}
    before, during, after = read[285.0], read[540.0], read[840.0]
    assert before is not None
    assert during is not None
    assert after is not None
    for state, served, failed in ((before, 2.0, 0.0), (during, 0.0, 4.0), (after, 2.0, 0.0)):
        assert state.requests_per_second is not None
        assert state.errors_per_second is not None
        assert state.requests_per_second.value == pytest.approx(served, abs=0.1)
        assert state.errors_per_second.value == pytest.approx(failed, abs=0.1)


def test_caps_bound_every_replica_and_held_requests_go_by_priority() -> None:
    world = one_class_world(lane_truth(), duration_s=600.0, classes=(PATIENT,))
    policy = Scripted(Action((2,), (LaneOverflow(cap=3),)), lambda seen: Action((2,), (LaneOverflow(cap=3),)))
    out = simulate(world, steady(6.0, 600.0), known_nothing(), policy, 1)
    for seen in policy.seen:
        for sample in seen.samples[-1:]:
            busy = sample.lanes[0].replicas.running + sample.lanes[0].replicas.waiting
            assert (busy <= 3).all()
    assert out.timeline.in_flight.max() == 6
    assert out.requests.held_s.max() > 1.0


def test_noise_keeps_the_mean_and_the_seed() -> None:
    quiet = StepTable(np.array([1.0, 64.0]), np.array([0.0]), np.array([[20.0], [52.0]]), np.array([1000.0]),
                      np.array([80.0]))  # fmt: skip
    noisy = replace(quiet, noise_sigma=0.3)
    work = steady(3.0, 3600.0)
    runs = []
    for table, seed in ((quiet, 1), (noisy, 1), (noisy, 1), (noisy, 2)):
        world = one_class_world(lane_truth(table=table), duration_s=3600.0)
        runs.append(simulate(world, work, known_nothing(), Fixed(Action((2,))), seed).requests)
    assert runs[1].itl_s.mean() == pytest.approx(runs[0].itl_s.mean(), rel=0.01)
    assert runs[1].itl_s.std() > 2 * runs[0].itl_s.std()
    np.testing.assert_array_equal(runs[1].end_s, runs[2].end_s)
    assert not np.array_equal(runs[1].end_s, runs[3].end_s)


def test_starts_with_the_minimum_and_at_least_one_replica_unless_told() -> None:
    for asked, minimum, expected in (((), 0, 1), ((), 3, 3), ((0,), 0, 0), ((0,), 2, 2), ((99,), 0, 20)):
        world = one_class_world(lane_truth(min_replicas=minimum), duration_s=60.0)
        out = simulate(world, steady(1.0, 60.0), known_nothing(), Fixed(Action(asked)), 1)
        assert len(out.replicas.lane) == expected
        assert (out.replicas.ready_s == 0.0).all()


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (Action((1, 2)), "replicas has 2 entries, must have 1"),
        (Action((1,), hosted_share=(1.5,)), "hosted_share must be within 0 and 1"),
        (Action((1,), hold_s=(-1.0,)), "hold_s must be 0 or more"),
        (Action((1,), own_split=((math.nan,),)), "own_split needs 1 finite shares"),
    ],
)
def test_impossible_actions_are_refused(action: Action, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        simulate(one_class_world(lane_truth()), steady(1.0, 60.0), known_nothing(), Fixed(action), 1)


def test_impossible_workloads_are_refused() -> None:
    world = one_class_world(lane_truth())
    for work, says in (
        (workload([2.0, 1.0], 1, 1), "not in order"),
        (workload([1.0, 9999.0], 1, 1), "outside of"),
        (workload([1.0], 0, 1), "less than 1"),
        (workload([1.0], 1, 1, [3]), "class"),
    ):
        with pytest.raises(ValueError, match=says):
            simulate(world, work, known_nothing(), Fixed(Action((1,))), 1)


def test_progress_rises_to_one() -> None:
    seen: list[float] = []
    world = one_class_world(lane_truth(), duration_s=4 * 3600.0)
    simulate(world, steady(0.1, 3600.0), known_nothing(), Fixed(Action((1,))), 1, seen.append)
    assert seen == [0.25, 0.5, 0.75, 1.0]


def test_worlds_without_own_lanes_hosted_lanes_or_requests() -> None:
    world = one_class_world(lane_truth(), duration_s=120.0)
    no_own = replace(world, own=(), classes=(class_truth(own=()),))
    served = simulate(no_own, steady(1.0, 60.0), known_nothing(), Fixed(Action(())), 1).requests.served
    assert (served == Served.HOSTED_NO_REPLICA).all()
    no_hosted = replace(world, hosted=(), classes=(class_truth(hosted=()),))
    served = simulate(no_hosted, steady(1.0, 60.0), known_nothing(), Fixed(Action((1,))), 1).requests.served
    assert (served == Served.OWN).all()
    nothing = simulate(world, steady(1.0, 0.0), known_nothing(), Fixed(Action((2,))), 1)
    assert nothing.requests.served.size == 0
    np.testing.assert_array_equal(nothing.replicas.ended_s, [120.0, 120.0])


def test_what_nothing_will_ever_serve_ends_all_the_same() -> None:
    world = one_class_world(lane_truth(), duration_s=120.0, classes=(PATIENT,))
    out = simulate(world, steady(1.0, 60.0), known_nothing(), Fixed(Action((0,))), 1)
    assert (out.requests.served == Served.REJECTED).all()
    late = one_class_world(lane_truth(startup_mean_s=500.0, startup_sigma=0.0), duration_s=120.0, classes=(PATIENT,))
    served, _ = scripted(late, steady(1.0, 60.0), {0.0: 0, 60.0: 1})
    assert (served.requests.served == Served.OWN).all()
    assert served.replicas.ready_s[0] == 560.0
    assert served.replicas.ended_s[0] == served.requests.end_s.max() > 560.0
