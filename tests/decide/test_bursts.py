"""Short bursts and uneven minutes, told apart from the rates that metrics show."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from spillway.decide.bursts import HIGHEST_DISPERSION, HIGHEST_JITTER, Burst, seen
from spillway.decide.snapshot import Series

STEP, WINDOW = 15.0, 60.0
Floats = NDArray[np.float64]


def rates_of(arrivals: Floats, hours: float) -> Series:
    """Rates over the last minute, read each 15 s, as Prometheus' rate() gives them."""
    counts = np.histogram(arrivals, np.arange(0.0, 3600 * hours + STEP, STEP))[0]
    sums = np.convolve(counts, np.ones(4), "valid") / WINDOW
    return Series(WINDOW, STEP, tuple(sums.tolist()))


def poisson(random: np.random.Generator, rate: float, hours: float, cv: float = 1.0) -> Floats:
    number = int(1.5 * rate * 3600 * hours) + 100
    times = np.cumsum(random.gamma(1 / cv**2, cv**2 / rate, number))
    return times[times < 3600 * hours]


def by_minute(random: np.random.Generator, rate: float, hours: float, factor: Callable[[], float]) -> Floats:
    """Poisson arrivals whose rate changes every minute."""
    minutes = []
    for minute in range(round(60 * hours)):
        number = random.poisson(rate * WINDOW * factor())
        minutes.append(WINDOW * minute + np.sort(random.uniform(0, WINDOW, number)))
    return np.concatenate(minutes)


def looked_at(arrivals: Floats, hours: float) -> Burst:
    burst = seen(None, rates_of(arrivals, hours))
    assert burst is not None
    return burst


@pytest.mark.parametrize("rate", [0.5, 5.0, 80.0])
def test_a_poisson_stream(rate: float) -> None:
    random = np.random.default_rng(1)
    burst = looked_at(poisson(random, rate, 4), 4)
    assert burst.rate == pytest.approx(rate, rel=0.05)
    assert burst.dispersion == pytest.approx(1.0, abs=0.2)
    # Half a unit of dispersion over a minute is taken for jitter at most.
    assert burst.jitter < math.sqrt(0.5 / (WINDOW * rate))


@pytest.mark.parametrize("cv", [2.0, 3.0])
def test_a_renewal_stream_has_the_square_of_its_variation(cv: float) -> None:
    random = np.random.default_rng(2)
    burst = looked_at(poisson(random, 10.0, 8, cv), 8)
    assert burst.dispersion == pytest.approx(cv * cv, rel=0.2)
    assert burst.jitter < 0.07


@pytest.mark.parametrize("spread", [0.2, 0.4])
def test_minutes_that_jump_are_no_bursts(spread: float) -> None:
    random = np.random.default_rng(3)
    sigma = math.sqrt(math.log1p(spread * spread))
    arrivals = by_minute(random, 20.0, 8, lambda: float(random.lognormal(-sigma * sigma / 2, sigma)))
    burst = looked_at(arrivals, 8)
    assert burst.jitter == pytest.approx(spread, rel=0.2)
    # A minute that begins inside a window looks like a burst of the steps at its border.
    assert burst.dispersion < 1.0 + 0.1 * WINDOW * 20.0 * spread**2


def test_how_the_minutes_spread() -> None:
    """Rare spikes and steady unevenness of the same variance are told apart; the mean is kept."""
    random = np.random.default_rng(4)
    spikes = looked_at(by_minute(random, 20.0, 8, lambda: 3.0 if random.uniform() < 0.05 else 1.0), 8)
    swing = looked_at(by_minute(random, 20.0, 8, lambda: 1.4 if random.uniform() < 0.5 else 0.6), 8)
    excess = {}
    for name, burst in (("spikes", spikes), ("swing", swing)):
        factors, weights = burst.spread()
        assert weights.sum() == pytest.approx(1.0)
        assert factors @ weights == pytest.approx(1.0)
        assert math.sqrt(weights @ (factors - 1) ** 2) == pytest.approx(0.4, rel=0.35)
        excess[name] = float(weights @ np.maximum(factors - 1.5, 0.0))
    assert excess["spikes"] > 2 * excess["swing"]


def test_chance_alone_does_not_spread_the_minutes() -> None:
    burst = looked_at(poisson(np.random.default_rng(5), 2.0, 4), 4)
    factors, weights = burst.spread()
    assert math.sqrt(weights @ (factors - 1) ** 2) < 0.05


def test_little_was_seen() -> None:
    """Poisson until proven otherwise."""
    burst = looked_at(np.array([10.0, 20.0, 21.0, 22.0, 70.0, 200.0]), 0.1)
    assert burst.dispersion < 1.6
    factors, weights = burst.spread()
    assert (factors.tolist(), weights.tolist()) == ([1.0], [1.0])


def test_nothing_comes() -> None:
    burst = looked_at(np.empty(0), 1)
    assert (burst.rate, burst.dispersion, burst.jitter) == (0.0, 1.0, 0.0)
    assert burst.spread()[0].tolist() == [1.0]


def test_bounds() -> None:
    wild = np.repeat(np.arange(0.0, 7200.0, 600.0), 5000)
    burst = looked_at(wild, 2)
    assert 1.0 <= burst.dispersion <= HIGHEST_DISPERSION
    assert 0.0 <= burst.jitter <= HIGHEST_JITTER


def test_look_by_look_is_as_good_as_all_at_once() -> None:
    series = rates_of(poisson(np.random.default_rng(6), 10.0, 1, 2.0), 1)
    burst = None
    for end in range(44, len(series.values) + 1, 4):
        part = Series(series.start + STEP * (end - 44), STEP, series.values[end - 44 : end])
        burst = seen(burst, part)
        assert seen(burst, part) is burst  # nothing new
    whole = seen(None, series)
    assert burst is not None
    assert whole is not None
    assert burst.dispersion == pytest.approx(whole.dispersion, rel=0.15)
    # The newest count most.
    assert burst.points < whole.points


def test_what_was_long_ago_is_forgotten() -> None:
    random = np.random.default_rng(7)
    wild = rates_of(poisson(random, 10.0, 4, 3.0), 4)
    calm = rates_of(poisson(random, 10.0, 12), 12)
    burst = seen(None, wild)
    burst = seen(burst, Series(wild.end + STEP, STEP, calm.values))
    assert burst is not None
    assert burst.dispersion < 1.5


def test_gaps_are_left_out() -> None:
    series = rates_of(poisson(np.random.default_rng(8), 10.0, 2), 2)
    values = tuple(None if 100 <= i < 200 else value for i, value in enumerate(series.values))
    burst = seen(None, Series(series.start, STEP, values))
    assert burst is not None
    assert burst.points == len(values) - 8 - 100 - 8
    assert burst.dispersion == pytest.approx(1.0, abs=0.25)
    assert seen(None, Series(0.0, STEP, (None,) * 40)) is not None


def test_what_says_nothing_of_bursts() -> None:
    known = looked_at(poisson(np.random.default_rng(9), 10.0, 1), 1)
    assert seen(known, Series(0.0, 300.0, (10.0,) * 50)) is known  # five minutes are too coarse
    assert seen(None, Series(0.0, 300.0, (10.0,) * 50)) is None
    assert seen(known, Series(9e9, STEP, (10.0,) * 4)) is known  # no window before the last point
    assert seen(known, Series(0.0, STEP, (10.0,) * 20)) is known  # nothing new


def test_another_step_begins_anew() -> None:
    known = looked_at(poisson(np.random.default_rng(10), 10.0, 1, 3.0), 1)
    other = seen(known, Series(known.at, 30.0, (10.0,) * 20))
    assert other is not None
    assert (other.step_seconds, other.points) == (30.0, 12.0)
