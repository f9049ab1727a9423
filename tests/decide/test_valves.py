"""Caps and holds from a latency model and objectives."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulate.fleet.worlds import hosted_truth, known_nothing, lane_truth, one_class_world, workload
from spillway.decide.service import Coefficients, Mix
from spillway.decide.service.latency import itl_miss, ttft_miss
from spillway.decide.service.lengths import Lengths
from spillway.decide.valves import HOSTED_TAIL, HOSTED_TTFT_MS, Objective, Opening, opening, streams
from spillway.simulate.arrivals import ArrivalOptions, lengths
from spillway.simulate.fleet import simulate
from spillway.simulate.outcome import Served
from spillway.simulate.policy import Action, Known, LaneOverflow, Observation

LARGE = Coefficients(25.0, 0.25, 0.02, 80.0, 256.0, 450_000.0)
SPREAD = Lengths(longest_input=16_000, longest_output=16_000)
CODE, OFFICE, CHAT = Mix(2300, 20), Mix(7500, 200), Mix(2400, 320)


def objective(mix: Mix = OFFICE, **changes: float | None) -> Objective:
    made = Objective(mix, SPREAD, 1.0, 4000.0, 100.0, 0.02, 500.0)
    return replace(made, **changes)  # type: ignore[arg-type]


def opened(mix: Mix = OFFICE, model: Coefficients = LARGE, **changes: float | None) -> Opening:
    return opening(model, {"c": objective(mix, **changes)})


def falls(caps: list[float]) -> bool:
    return all(a >= b for a, b in itertools.pairwise(caps)) and caps[0] > caps[-1]


@pytest.mark.parametrize("mix", [CODE, OFFICE, CHAT], ids=["code", "office", "chat"])
def test_the_cap_falls_as_the_objective_tightens(mix: Mix) -> None:
    assert falls([opened(mix, itl_ms=ms).valve.cap for ms in (200.0, 120.0, 80.0, 60.0, 40.0, 28.0)])
    assert falls([opened(mix, allowance=share).valve.cap for share in (0.15, 0.05, 0.02, 0.005, 0.001)])


def test_the_cap_falls_with_the_time_to_first_token() -> None:
    caps = [opened(CODE, itl_ms=None, ttft_ms=ms).valve.cap for ms in (6000.0, 3000.0, 2000.0, 1300.0)]
    assert falls(caps)


def test_the_cap_is_where_misses_reach_the_allowance() -> None:
    for mix in (CODE, OFFICE, CHAT):
        item = objective(mix)
        cap = opened(mix).valve.cap
        around = np.array([math.floor(cap), math.floor(cap) + 3.0])
        traffic = streams({"c": item})
        missed = itl_miss(LARGE, mix, SPREAD, around, 100.0, traffic=traffic)
        missed += ttft_miss(LARGE, mix, SPREAD, around, 4000.0, traffic=traffic)
        assert missed[0] <= 0.02
        assert missed[1] > 0.02 or cap > 0.9 * kv_bound(mix)


def test_a_cap_between_two_whole_ones() -> None:
    """It moves with the allowance instead of jumping: two levels are mixed in time."""
    caps = [opened(CODE, allowance=share).valve.cap for share in np.geomspace(0.01, 0.05, 25)]
    assert any(abs(cap - round(cap)) > 0.1 for cap in caps)
    assert max(b - a for a, b in itertools.pairwise(caps)) < 0.5


def kv_bound(mix: Mix) -> float:
    """Level by the cache alone."""
    return opened(mix, ttft_ms=None, itl_ms=None).valve.cap


@settings(max_examples=25, deadline=None)
@given(st.floats(100, 9000), st.floats(10, 1500), st.floats(0.1, 1.0), st.integers(30_000, 200_000))
def test_what_is_in_flight_fits_the_cache(inputs: float, outputs: float, sigma: float, cache: int) -> None:
    """Requests in flight are met in proportion to their output: longer ones than those that arrive. At the cap all
    that they will hold is rarely more than the cache: 2.3% of a normal sum, up to 6% of a skewed one."""
    spread = Lengths(sigma, sigma)
    item = Objective(Mix(inputs, outputs), spread, 1.0, None, None, 0.5, None)
    made = opening(replace(LARGE, kv_cache_tokens=float(cache), max_sequences=1e6), {"c": item}).valve.cap
    random = np.random.default_rng(0)
    mean_log = math.log(outputs) - sigma * sigma / 2 + sigma * sigma  # length-biased lognormal
    number, draws = int(made), 2000
    held = np.exp(random.normal(mean_log, sigma, (draws, number))).sum(axis=1)
    held += np.exp(random.normal(math.log(inputs) - sigma * sigma / 2, sigma, (draws, number))).sum(axis=1)
    assert number == 1 or (held > cache).mean() < 0.065


def test_measured_tokens_in_flight_lower_the_cap_and_never_raise_it() -> None:
    items = {"c": objective(CHAT, ttft_ms=None, itl_ms=None)}
    plain = opening(LARGE, items).valve.cap
    assert opening(LARGE, items, held_tokens=100.0).valve.cap == plain
    assert opening(LARGE, items, held_tokens=2 * 450_000 / plain).valve.cap < 0.6 * plain


@dataclass
class Watching:
    """A constant fleet that keeps what it saw."""

    action: Action
    name: str = "watching"
    tick_seconds: float = 15.0
    waiting: list[float] = field(default_factory=list)
    usage: list[float] = field(default_factory=list)

    def start(self, known: Known) -> Action:
        return self.action

    def act(self, seen: Observation) -> Action:
        for sample in seen.samples[-1:]:
            self.waiting += sample.lanes[0].replicas.waiting.tolist()
            self.usage += sample.lanes[0].replicas.kv_usage.tolist()
        return self.action


def test_a_lane_bound_by_its_cache_does_not_queue_in_the_engine() -> None:
    """Far beyond what one replica takes, with a cache of two fifths: what is over the cap waits for nothing."""
    model = replace(LARGE, kv_cache_tokens=60_000.0)
    cap = int(opening(model, {"c": objective(CHAT, itl_ms=None)}).valve.cap)
    assert 5 <= cap < 20
    random, size = np.random.default_rng(3), 6000
    arrivals = np.cumsum(random.exponential(1 / 3.0, size))
    options = ArrivalOptions(length_sigma=0.8, length_cap=16_000)
    tokens = [lengths(mean, size, options, random) for mean in (CHAT.input_tokens, CHAT.output_tokens)]
    lane = lane_truth(startup_mean_s=1.0, startup_sigma=0.0, kv_cache_tokens=60_000)
    world = one_class_world(lane, hosted=(hosted_truth(),), duration_s=float(arrivals[-1]) + 1.0)
    policy = Watching(Action((1,), (LaneOverflow(cap=cap),), (2.0,)))
    out = simulate(world, workload(arrivals, *tokens), known_nothing(), policy, 1)
    assert (out.requests.served == Served.HOSTED_BY_CAP).mean() > 0.3
    settled = len(policy.usage) // 20
    assert np.mean(policy.usage[settled:]) > 0.5
    assert np.mean(np.array(policy.waiting[settled:]) > 2) < 0.05


def test_a_hold_leaves_time_for_the_hosted_lane() -> None:
    for ttft in (1000.0, 2000.0, 4000.0, 15_000.0):
        for hosted in (100.0, 500.0, 1500.0, None):
            tail = HOSTED_TAIL * (HOSTED_TTFT_MS if hosted is None else hosted)
            hold = opened(CHAT, ttft_ms=ttft, hosted_ttft_ms=hosted).hold_seconds["c"]
            assert 0.0 <= hold <= 0.8 * ttft / 1000
            assert hold == 0.0 or 1000 * hold + tail <= ttft + 1.0
    assert opened(CHAT, ttft_ms=4000.0).hold_seconds["c"] > 2.0
    assert opened(CHAT, ttft_ms=1400.0, hosted_ttft_ms=None).hold_seconds["c"] == 0.0


def test_the_fewer_may_come_late_from_there_the_shorter_the_hold() -> None:
    """Of lognormal first tokens with that p50 and p99, no more than the share come after the objective."""
    holds = [opened(CHAT, ttft_ms=3000.0, hosted_late=late).hold_seconds["c"] for late in (0.05, 0.01, 0.002, 0.0005)]
    assert falls(holds)
    random = np.random.default_rng(0)
    sigma = math.log(HOSTED_TAIL) / NormalDist().inv_cdf(0.99)
    for late in (0.05, 0.01, 0.002):
        hold = opened(CHAT, ttft_ms=3000.0, hosted_late=late).hold_seconds["c"]
        first = 500.0 * np.exp(sigma * random.standard_normal(400_000))
        assert (1000 * hold + first > 3000.0).mean() <= 1.1 * late


def test_a_hold_leaves_time_for_the_own_lane() -> None:
    made = opened(CODE)
    hold_ms = 1000 * made.hold_seconds["c"]
    at_cap = np.array([made.valve.cap])
    traffic = streams({"c": objective(CODE)})
    assert hold_ms > 0
    assert ttft_miss(LARGE, CODE, SPREAD, at_cap, 4000.0 - hold_ms, traffic=traffic)[0] <= 0.02
    slow = opened(CODE, replace(LARGE, prefill_ms_per_ktoken=400.0))
    assert slow.hold_seconds["c"] < made.hold_seconds["c"]


@pytest.mark.parametrize("ttft", [None, math.inf])
def test_nothing_is_held_without_an_objective(ttft: float | None) -> None:
    made = opened(CHAT, ttft_ms=ttft, itl_ms=None)
    assert made.hold_seconds == {"c": 0.0}
    assert made.reachable
    assert made.valve.cap > 50  # what fits


def test_an_objective_that_a_single_request_misses() -> None:
    made = opened(CHAT, itl_ms=20.0)
    assert not made.reachable
    assert made.valve.cap == 1.0


def test_the_tightest_class_sets_the_cap_and_each_has_its_own_hold() -> None:
    strict, loose = objective(CHAT, itl_ms=60.0), objective(CHAT, itl_ms=300.0, ttft_ms=15_000.0)
    both = opening(LARGE, {"strict": strict, "loose": loose})
    assert both.valve.cap == pytest.approx(opening(LARGE, {"strict": strict}).valve.cap, rel=0.02)
    assert both.valve.cap < opening(LARGE, {"loose": loose}).valve.cap
    assert both.hold_seconds["strict"] < both.hold_seconds["loose"]
    assert both.hold_seconds["strict"] < both.valve.hold_seconds < both.hold_seconds["loose"]


def test_a_class_that_sends_nothing_now_is_not_forgotten() -> None:
    idle = objective(CHAT, itl_ms=40.0, requests_per_second=0.0)
    busy = objective(CHAT, itl_ms=300.0, requests_per_second=50.0)
    assert opening(LARGE, {"busy": busy, "idle": idle}).valve.cap < 0.7 * opening(LARGE, {"busy": busy}).valve.cap
    assert min(stream.share for stream in streams({"busy": busy, "idle": idle})) > 0
    assert opening(LARGE, {"idle": replace(idle, requests_per_second=0.0)}).valve.cap > 1  # nobody sends


@settings(max_examples=60, deadline=None)
@given(
    st.builds(Mix, st.floats(0, 20_000), st.floats(0.1, 4000)),
    st.floats(1, 20_000), st.floats(1, 1000), st.floats(1e-4, 0.5), st.one_of(st.none(), st.floats(0, 9000)),
    st.builds(
        Coefficients, st.floats(0.1, 500), st.floats(0, 20), st.floats(0, 5), st.floats(0, 2000), st.floats(1, 1024),
        st.one_of(st.none(), st.floats(100, 1e6)),
    ),
)  # fmt: skip
def test_any_lane_and_objective(
    mix: Mix, ttft: float, itl: float, allowance: float, hosted: float | None, model: Coefficients
) -> None:
    made = opening(model, {"c": Objective(mix, Lengths(), 1.0, ttft, itl, allowance, hosted)})
    assert 1.0 <= made.valve.cap <= max(1.0, round(model.max_sequences))
    assert 0.0 <= made.valve.hold_seconds <= 0.8 * ttft / 1000
    assert made.hold_seconds["c"] == pytest.approx(made.valve.hold_seconds)
