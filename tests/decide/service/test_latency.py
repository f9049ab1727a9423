"""Misses and throughput by requests in flight, against the exact replica kept at that number."""

from __future__ import annotations

import time

import numpy as np
import pytest

from decide.service.closed_loop import CHAT, CODE, LONGEST, OFFICE, TRUTH, Measured, closed_loop
from spillway.decide.service import Coefficients, Lengths, Mix, Stream, itl_miss, throughput
from spillway.decide.service.lengths import Sizes, renewal_dispersion, sum_exceeds

MODEL = Coefficients(
    TRUTH.alpha_ms,
    TRUTH.beta_ms_per_sequence,
    TRUTH.gamma_ms_per_ktoken_kv,
    TRUTH.prefill_ms_per_ktoken,
    TRUTH.max_sequences,
    TRUTH.kv_cache_tokens,
)
SPREAD = Lengths(longest_input=LONGEST, longest_output=LONGEST)
CASES = [
    pytest.param(CODE, 4, (100.0, 150.0), 12_000, id="code-4"),
    pytest.param(CODE, 10, (200.0,), 12_000, id="code-10"),
    pytest.param(OFFICE, 5, (60.0,), 8_000, id="office-5"),
    pytest.param(OFFICE, 12, (100.0,), 12_000, id="office-12"),
    pytest.param(CHAT, 40, (42.0,), 12_000, id="chat-40"),
    pytest.param(CHAT, 60, (50.0,), 12_000, id="chat-60"),
]


@pytest.mark.parametrize(("mix", "in_flight", "slos_ms", "requests"), CASES)
def test_misses_and_throughput_against_the_exact_replica(
    mix: Mix, in_flight: int, slos_ms: tuple[float, ...], requests: int
) -> None:
    real: Measured = closed_loop(mix, in_flight, requests)
    level = np.array([float(in_flight)])
    for slo_ms in slos_ms:
        missed = float(np.mean(real.itl_ms > slo_ms))
        assert 0.005 < missed < 0.06, "not in the region that matters"
        assert itl_miss(MODEL, mix, SPREAD, level, slo_ms)[0] == pytest.approx(missed, rel=0.25)
    assert throughput(MODEL, mix, SPREAD, level)[0] == pytest.approx(real.requests_per_second, rel=0.02)


def test_misses_rise_with_what_is_in_flight() -> None:
    levels = np.arange(1.0, 65.0)
    for mix, slo_ms in ((CODE, 150.0), (OFFICE, 100.0), (CHAT, 45.0)):
        missed = itl_miss(MODEL, mix, SPREAD, levels, slo_ms)
        assert np.all(np.diff(missed) >= -1e-9)
        assert np.all((missed >= 0) & (missed <= 1))


def test_an_objective_out_of_reach_and_one_that_nothing_misses() -> None:
    levels = np.array([1.0, 8.0])
    answers_of_one_token = 0.1
    assert np.all(itl_miss(MODEL, CHAT, SPREAD, levels, 20.0) > 1 - answers_of_one_token)
    assert np.all(itl_miss(MODEL, CHAT, SPREAD, levels, 5_000.0) == 0)


def test_a_class_beside_another_suffers_from_the_others_prompts() -> None:
    alone = itl_miss(MODEL, CHAT, SPREAD, np.array([16.0]), 42.0)
    both = [Stream(0.5, CHAT, SPREAD), Stream(0.5, OFFICE, SPREAD)]
    assert itl_miss(MODEL, CHAT, SPREAD, np.array([16.0]), 42.0, traffic=both)[0] > alone[0] + 0.3
    same = [Stream(0.3, CHAT, SPREAD), Stream(0.7, CHAT, SPREAD)]
    assert itl_miss(MODEL, CHAT, SPREAD, np.array([40.0]), 42.0, traffic=same)[0] == pytest.approx(
        itl_miss(MODEL, CHAT, SPREAD, np.array([40.0]), 42.0)[0], rel=0.1
    )


def test_the_sum_of_prompts_against_drawn_ones() -> None:
    rng = np.random.default_rng(3)
    for rate in (0.3, 2.0, 12.0, 80.0, 300.0):
        counts = rng.poisson(rate, 60_000)
        sizes = np.append(rng.lognormal(-0.32, 0.8, counts.sum()), 0.0)
        sums = np.add.reduceat(sizes, np.minimum(np.cumsum(counts) - counts, counts.sum()))
        sums[counts == 0] = 0.0
        at = np.quantile(sums, [0.9, 0.99])
        found = sum_exceeds(np.full(2, rate), at, Sizes(1.0, 0.8, np.inf))
        assert found == pytest.approx([np.mean(sums > point) for point in at], rel=0.12)


def test_renewals_are_less_scattered_than_poisson_where_lifetimes_are_regular() -> None:
    rng = np.random.default_rng(4)
    lives = np.cumsum(rng.lognormal(-0.32, 0.8, 400_000))
    for stretch in (0.3, 1.0, 3.0):
        counts = np.histogram(lives, np.arange(0.0, lives[-1] - stretch, stretch))[0]
        expected = float(counts.var() / counts.mean())
        assert renewal_dispersion(np.array([stretch]), 0.8)[0] == pytest.approx(expected, rel=0.05)


def test_it_is_cheap() -> None:
    levels = np.arange(1.0, 33.0)
    itl_miss(MODEL, CHAT, SPREAD, levels, 42.0)
    spent = []
    for _ in range(20):
        start = time.process_time()
        itl_miss(MODEL, CHAT, SPREAD, levels, 42.0)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.002
