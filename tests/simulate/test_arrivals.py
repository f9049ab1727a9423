"""Realised requests keep the trace's rates, burstiness and token totals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway.simulate.arrivals import (
    ArrivalOptions,
    capped_lognormal_mu,
    lengths,
    realise,
    renewal_arrivals,
    requests_hash,
    thinned_cv,
    to_requests,
)
from spillway.simulate.traces import BinSeries, BinTrace


def trace(requests: list[float], tokens_in: float = 1000.0, tokens_out: float = 20.0) -> BinTrace:
    counts = np.array(requests, dtype=np.float64)
    nothing = np.full(len(counts), np.nan)
    return BinTrace(0.0, 60.0, (BinSeries("code", counts, counts * tokens_in, counts * tokens_out, nothing),))


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_counts_and_tokens_follow_the_trace_and_the_scale() -> None:
    made = realise(trace([2000, 0, 4000]), ArrivalOptions(demand_scale=0.5), rng())
    per_bin = np.bincount((made.arrival_s // 60).astype(int), minlength=3)
    assert per_bin.tolist() == [1000, 0, 2000]
    assert made.input_tokens.mean() == pytest.approx(1000, rel=0.05)
    assert made.output_tokens.mean() == pytest.approx(20, rel=0.05)
    assert (np.diff(made.arrival_s) >= 0).all()


def test_fractions_are_rounded_stochastically() -> None:
    made = realise(trace([0.25] * 4000), ArrivalOptions(), rng())
    assert len(made.arrival_s) == pytest.approx(1000, rel=0.1)


def test_length_scale_trades_requests_for_length() -> None:
    made = realise(trace([6000]), ArrivalOptions(length_scale=2.0), rng())
    assert len(made.arrival_s) == 3000
    assert made.input_tokens.mean() == pytest.approx(2000, rel=0.05)


def test_a_gap_is_interpolated_for_the_load() -> None:
    made = realise(trace([1000, math.nan, 3000]), ArrivalOptions(), rng())
    per_bin = np.bincount((made.arrival_s // 60).astype(int), minlength=3)
    assert per_bin[1] == 2000


@pytest.mark.parametrize("cv", [0.5, 1.0, 3.0])
def test_inter_arrival_times_have_the_asked_variation(cv: float) -> None:
    gaps = np.diff(renewal_arrivals(20_000, 1000.0, cv, rng()))
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.1)


@given(cv=st.floats(0, 10), count=st.integers(0, 50), seed=st.integers(0, 9))
def test_arrivals_stay_inside_their_bin(cv: float, count: int, seed: int) -> None:
    times = renewal_arrivals(count, 10.0, cv, rng(seed))
    assert len(times) == count
    assert ((times >= 0) & (times < 10.0 + 1e-9)).all()


def test_thinning_pulls_the_variation_towards_poisson() -> None:
    assert thinned_cv(3.0, 0.25) == pytest.approx(math.sqrt(1 + 0.25 * 8))
    assert thinned_cv(50.0, 1.0) == 10.0
    assert thinned_cv(2.0, 4.0) == 2.0


@given(mean=st.floats(1.5, 15_000), sigma=st.floats(0.05, 1.5))
def test_the_capped_lognormal_keeps_its_mean(mean: float, sigma: float) -> None:
    mu = capped_lognormal_mu(mean, sigma, 16_000.0)
    edge = (math.log(16_000) - mu) / sigma

    def phi(x: float) -> float:
        return 0.5 * math.erfc(-x / math.sqrt(2))

    kept = math.exp(mu + sigma**2 / 2) * phi(edge - sigma) + 16_000 * (1 - phi(edge))
    assert kept == pytest.approx(mean, rel=1e-6)


def test_lengths_are_at_least_one_and_at_most_the_cap() -> None:
    drawn = lengths(900.0, 5000, ArrivalOptions(length_cap=1000, length_sigma=2.0), rng())
    assert drawn.min() >= 1
    assert drawn.max() <= 1000
    assert drawn.mean() == pytest.approx(900, rel=0.02)
    assert (lengths(5000.0, 3, ArrivalOptions(length_cap=1000), rng()) == 1000).all()


def test_same_seed_same_requests() -> None:
    first, again, other = (realise(trace([500, 500]), ArrivalOptions(), rng(seed)) for seed in (1, 1, 2))
    assert requests_hash(first) == requests_hash(again) != requests_hash(other)


def test_unnamed_trace_classes_are_dropped() -> None:
    made = realise(trace([100]), ArrivalOptions(), rng())
    assert to_requests(made, {"chat": "chat"}) == []
    requests = to_requests(made, {"code": "coding-agents"}, {"coding-agents": 1})
    assert len(requests) == 100
    assert {(r.class_name, r.priority) for r in requests} == {("coding-agents", 1)}
