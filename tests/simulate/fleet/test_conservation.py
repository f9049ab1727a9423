"""Whatever a policy does: every request ends exactly once, and no rule of the gateway is broken."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simulate.fleet.worlds import (
    Scripted,
    class_truth,
    hosted_truth,
    known_nothing,
    lane_truth,
    same,
    workload,
)
from spillway.api import LatencyClass
from spillway.simulate.fleet import simulate
from spillway.simulate.outcome import Outcome, Served
from spillway.simulate.policy import Action, LaneOverflow, Observation
from spillway.simulate.world import Workload, World

SPAN = 600.0
CLASSES = (
    class_truth(key="t/chat", own=(0, 1), hosted=(0, 1)),
    class_truth(key="t/batch", latency=LatencyClass.BACKGROUND, ttft_slo_s=4.0, own=(1,), hosted=(1,)),
    class_truth(key="t/inside", own=(0,), hosted=(), ttft_slo_s=3.0),
    class_truth(key="t/later", latency=LatencyClass.DEFERRABLE, ttft_slo_s=math.inf, deadline_s=200.0, own=(0, 1)),
)
LANES = (
    lane_truth(max_num_seqs=8, max_batched_tokens=512, kv_cache_tokens=6000, startup_mean_s=30.0, max_replicas=6),
    lane_truth(max_num_seqs=16, max_batched_tokens=1024, kv_cache_tokens=4000, startup_mean_s=5.0, max_replicas=6,
               max_queued=4, stockouts=((100.0, 150.0),)),
)  # fmt: skip
HOSTED = (
    hosted_truth(error_rate=0.2, requests_per_minute=30.0, outages=((200.0, 260.0),)),
    hosted_truth(name="other", tokens_per_minute=50_000.0, concurrency=5.0),
)
WORLD = World(CLASSES, LANES, HOSTED, 0.0, 0.0, SPAN, 15.0, gaps=((300.0, 345.0),))


def a_workload(seed: int, rate: float) -> Workload:
    random = np.random.default_rng(seed)
    size = int(random.poisson(rate * SPAN))
    return workload(
        np.sort(random.random(size) * SPAN),
        np.clip(random.lognormal(5.5, 1.0, size), 1, 8000),
        random.geometric(1 / 40, size),
        random.integers(0, len(CLASSES), size),
    )


def wild(seed: int) -> Scripted:
    """A policy that changes everything at every tick."""
    random = np.random.default_rng(seed)

    def act(seen: Observation | None) -> Action:
        def maybe(value: int) -> int | None:
            return None if random.random() < 0.4 else value

        return Action(
            replicas=tuple(int(n) for n in random.integers(0, 8, 2)),
            overflow=tuple(LaneOverflow(maybe(int(random.integers(0, 6))), maybe(int(random.integers(0, 12))))
                           for _ in LANES),
            hold_s=tuple(float(h) for h in random.choice([0.0, 0.5, 5.0, 60.0], len(CLASSES))),
            hosted_share=tuple(float(s) for s in random.choice([0.0, 0.0, 0.3, 1.0], len(CLASSES))),
            own_split=tuple((float(random.random()), 0.5) if random.random() < 0.5 else () for _ in CLASSES),
        )  # fmt: skip

    return Scripted(act(None), act, tick_seconds=float(random.choice([2.0, 5.0, 15.0, 60.0])))


def check(out: Outcome, work: Workload) -> None:
    """What holds for every run."""
    served, log = out.requests.served, out.requests
    assert set(np.unique(served)) <= {int(s) for s in Served}
    assert (log.end_s >= work.arrival_s).all()
    unserved = np.isin(served, (Served.REJECTED, Served.FAILED))
    assert (np.isnan(log.ttft_s) == unserved).all()
    assert (np.isnan(log.itl_s) == (unserved | (work.output_tokens <= 1))).all()
    assert ((log.lane == -1) == unserved).all()
    assert ((log.hosted_usd > 0) == (~unserved & (served != Served.OWN))).all()
    done = ~unserved
    spans = np.where(work.output_tokens > 1, np.nan_to_num(log.itl_s) * (work.output_tokens - 1), 0.0)
    np.testing.assert_allclose(log.end_s[done], (work.arrival_s + log.ttft_s + spans)[done], atol=1e-6)
    assert (log.held_s >= 0).all()
    assert (log.held_s[served == Served.HOSTED_BY_WEIGHT] == 0).all()
    assert (log.held_s <= np.nanmax([log.end_s - work.arrival_s], axis=0) + 1e-9).all()
    inside = work.class_index == 2
    assert np.isin(served[inside], (Served.OWN, Served.REJECTED)).all()
    assert not np.isin(served[~inside], (Served.REJECTED,)).any()
    patience = np.array([c.patience_s for c in CLASSES])[work.class_index]
    waited = served == Served.HOSTED_BY_PATIENCE
    assert (log.ttft_s[waited] > patience[waited]).all()
    rejected = served == Served.REJECTED
    fits = (work.input_tokens + work.output_tokens) <= LANES[0].kv_cache_tokens
    assert ((log.end_s - work.arrival_s)[rejected & fits] >= patience[rejected & fits] - 1e-9).all()
    check_replicas(out)


def check_replicas(out: Outcome) -> None:
    """Replicas are created, get Ready and end in that order; bounds and pools hold; time lines add up."""
    log = out.replicas
    assert (log.ended_s >= log.created_s).all()
    ready = np.isfinite(log.ready_s)
    assert (log.ready_s[ready] >= log.created_s[ready]).all()
    assert (log.ready_s[ready] <= log.ended_s[ready]).all()
    for lane, truth in enumerate(WORLD.own):
        assert out.timeline.desired[:, lane].max() <= truth.max_replicas
        for start, end in truth.stockouts:
            created = log.created_s[(log.lane == lane) & (log.ended_s > log.created_s)]
            assert not ((created >= start) & (created < end)).any()
    assert len(out.timeline.at_s) == SPAN / 15.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.2, 12.0))
def test_every_request_ends_once(seed: int, rate: float) -> None:
    work = a_workload(seed, rate)
    out = simulate(WORLD, work, known_nothing(), wild(seed), seed)
    check(out, work)


def test_the_same_seed_gives_the_same_run_and_another_one_does_not() -> None:
    work = a_workload(3, 5.0)
    runs = [simulate(WORLD, work, known_nothing(), wild(3), seed) for seed in (1, 1, 2)]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_counters_of_the_samples_add_up_to_the_log() -> None:
    work = a_workload(5, 6.0)
    policy = wild(5)
    policy.tick_seconds = 15.0
    world = replace(WORLD, metrics_lag_s=0.0, gaps=())
    out = simulate(world, work, known_nothing(), policy, 5)
    last = policy.seen[-1].samples[-1]
    at = last.at
    assert at == SPAN - 15.0
    log = out.requests
    for index, seen in enumerate(last.classes):
        mine = (work.class_index == index) & (work.arrival_s <= at)
        assert seen.arrived == mine.sum()
        done = mine & (log.end_s <= at) & ~np.isin(log.served, (Served.REJECTED, Served.FAILED))
        assert seen.ended == done.sum()
        assert seen.ended_input_tokens == work.input_tokens[done].sum()
        assert seen.ended_output_tokens == work.output_tokens[done].sum()
        own = done & (log.served == Served.OWN)
        assert seen.own_ended == own.sum()
        truth = CLASSES[index]
        met = own & (log.ttft_s <= truth.ttft_slo_s) & ~(log.itl_s > truth.itl_slo_s)
        met &= log.end_s - work.arrival_s <= truth.deadline_s
        assert seen.own_met == met.sum()
        rejected = mine & (log.served == Served.REJECTED) & (log.end_s <= at)
        assert seen.rejected == rejected.sum()
    for index, lane in enumerate(last.lanes):
        own = (log.served == Served.OWN) & (log.lane == index)
        assert lane.finished == (own & (log.end_s <= at)).sum()
        first = own & (work.arrival_s + log.ttft_s <= at)
        assert lane.ttft.count == first.sum()
        assert lane.ttft.counts.sum() == lane.ttft.count
        np.testing.assert_allclose(lane.ttft.sum_s, (log.ttft_s - log.held_s)[first].sum())
        assert lane.itl.counts.sum() == lane.itl.count
        several = own & (log.end_s <= at) & (work.output_tokens > 1)
        assert lane.tpot.count == several.sum()
        np.testing.assert_allclose(lane.tpot.sum_s, log.itl_s[several].sum())
        assert lane.generation_tokens >= work.output_tokens[own & (log.end_s <= at)].sum()
        assert lane.prompt_tokens >= work.input_tokens[first].sum()
