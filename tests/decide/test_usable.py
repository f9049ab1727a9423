"""What a lane takes without a cap: against exact chains, and by what must hold anywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway.decide.bursts import Unevenness
from spillway.decide.response import RequestModel
from spillway.decide.usable import HIGHEST_LOAD, Misses, usable

LINEAR = RequestModel(20.0, 25.0, 0.0)
"""Half a second each, however many there are: the number in flight is Poisson."""
PROMPTS = RequestModel(20.0, 25.0, 225.0)
MOST = 64
ALLOWANCE = 0.01
EVEN = Unevenness()


def missing_from(level: int, most: int = MOST) -> Misses:
    """All requests miss that find themselves one of so many on a replica, or more."""
    levels = np.arange(1.0, most + 1)
    return Misses(levels, np.where(levels >= level, 1 / ALLOWANCE, 0.0), 1 / ALLOWANCE)


def takes(request: RequestModel, misses: Misses, replicas: int, uneven: Unevenness = EVEN) -> float:
    return float(usable(request, misses, np.array([float(replicas)]), uneven)[0])


def chain(request: RequestModel, rate: float, replicas: int, level: int) -> float:
    """Share of Poisson arrivals that find ``level`` - 1 or more on each replica: the birth-and-death chain."""
    logs = [0.0]
    for number in range(1, 2 * MOST * replicas):
        each = min(number / replicas, MOST)
        logs.append(logs[-1] + math.log(rate / (replicas * float(request.rate(np.array(each))))))
    chances = np.exp(np.array(logs) - max(logs))
    return float(chances[(level - 1) * replicas :].sum() / chances.sum())


def exact(request: RequestModel, replicas: int, level: int) -> float:
    """The largest rate of which no more than the allowance misses, by that chain."""
    low, high = 0.0, HIGHEST_LOAD * replicas * float(request.rate(np.array(float(MOST))))
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if chain(request, middle, replicas, level) <= ALLOWANCE else (low, middle)
    return low


@pytest.mark.parametrize("request_model", [LINEAR, PROMPTS], ids=["linear", "prompts"])
@pytest.mark.parametrize(("replicas", "level"), [(1, 20), (1, 40), (4, 12), (10, 20), (30, 8)])
def test_it_is_the_chain_that_misses_no_more_than_allowed(
    request_model: RequestModel, replicas: int, level: int
) -> None:
    assert takes(request_model, missing_from(level), replicas) == pytest.approx(
        exact(request_model, replicas, level), rel=0.06
    )


def test_larger_fleets_need_less_headroom() -> None:
    each = [takes(LINEAR, missing_from(12), replicas) / replicas for replicas in (1, 2, 5, 20, 80)]
    assert each == sorted(each)
    assert each[-1] > 1.5 * each[0]


def test_uneven_arrivals_take_headroom() -> None:
    bursts = [takes(LINEAR, missing_from(20), 5, Unevenness(dispersion=d)) for d in (1.0, 2.0, 5.0, 20.0)]
    minutes = [takes(LINEAR, missing_from(20), 5, Unevenness(jitter=j)) for j in (0.0, 0.1, 0.3, 0.6)]
    assert bursts == sorted(bursts, reverse=True)
    assert minutes == sorted(minutes, reverse=True)
    assert bursts[-1] < 0.8 * bursts[0]
    assert minutes[-1] < 0.6 * minutes[0]


def test_what_waits_in_engines_that_are_full_misses() -> None:
    never = Misses(np.arange(1.0, 9.0), np.zeros(8), 0.0)
    full = Misses(np.arange(1.0, 9.0), np.zeros(8), 1 / ALLOWANCE)
    assert takes(LINEAR, never, 2) == pytest.approx(HIGHEST_LOAD * 2 * 16.0, rel=1e-3)
    assert takes(LINEAR, full, 2) < 0.8 * takes(LINEAR, never, 2)


def test_where_a_single_request_misses_someone_must_serve() -> None:
    """As little as a tenth in flight would be too much, and yet requests come: half more than what cannot be helped."""
    levels = np.arange(1.0, MOST + 1)
    slow = Misses(levels, 3.0 + 0.1 * levels, 10.0)
    assert takes(LINEAR, slow, 3) > 0.1 * takes(LINEAR, missing_from(20), 3)


def test_no_replicas_take_nothing() -> None:
    assert usable(LINEAR, missing_from(12), np.array([0.0, 2.0]), EVEN)[0] == 0.0
    assert usable(LINEAR, missing_from(12), np.array([0.0]), EVEN).tolist() == [0.0]


@settings(max_examples=40, deadline=None)
@given(
    st.floats(1, 2000), st.floats(1, 200), st.floats(0, 3000), st.integers(2, 512), st.integers(1, 512),
    st.floats(1, 40), st.floats(0, 1),
)  # fmt: skip
def test_any_lane(
    iterations: float, alpha: float, service: float, most: int, level: int, dispersion: float, jitter: float
) -> None:
    request = RequestModel(iterations, alpha, service)
    counts = np.array([1.0, 2.0, 7.0, 40.0])
    found = usable(request, missing_from(min(level, most), most), counts, Unevenness(dispersion, jitter=jitter))
    assert np.all(np.isfinite(found))
    assert np.all(found >= 0.0)
    assert np.all(np.diff(found) >= -1e-6 * found[1:])
    assert np.all(found <= HIGHEST_LOAD * counts * float(request.rate(np.array(float(most)))) * (1 + 1e-9))
