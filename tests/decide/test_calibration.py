"""Promised savings held against what came, and forecasts smoothed where their record says so."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway.decide.calibration import HIGHEST, LOWEST, Calibration, Promise, held_against, promising
from spillway.decide.forecast import Steady, steadied

LEAD, LOOK = 300.0, 60.0


def kept(share: float, hours: float, record: Calibration | None = None) -> Calibration:
    """Hours of promises of $5 an hour, of which this share comes true a lead later."""
    record = record or Calibration(0.0)
    for _ in range(round(3600 * hours / LOOK)):
        now = record.at + LOOK
        record = held_against(record, now, tuple(share * 5.0 for _ in record.due(now)))
        record = promising(record, Promise(now + LEAD, 4, 5.0))
    return record


def test_a_promise_counts_when_its_moment_has_come() -> None:
    record = promising(Calibration(0.0), Promise(LEAD, 4, 5.0))
    assert record.due(LEAD - 1) == ()
    assert [promise.at for promise in record.due(LEAD)] == [LEAD]
    judged = held_against(record, LEAD, (2.0,))
    assert judged.promises == ()
    assert judged.kept / judged.promised == pytest.approx(2.0 / 5.0)


def test_promises_that_are_kept_change_nothing() -> None:
    assert Calibration(0.0).factor == 1.0
    assert kept(1.0, 12).factor == pytest.approx(1.0)


@pytest.mark.parametrize("share", [0.8, 1.2])
def test_what_came_is_the_factor_after_half_a_day(share: float) -> None:
    first, later, last = (kept(share, hours).factor for hours in (1, 6, 48))
    assert abs(first - 1) < abs(later - 1) < abs(last - 1) + 1e-9
    assert last == pytest.approx(share, rel=0.02)
    assert later == pytest.approx(share, rel=0.05)


def test_it_is_bounded_and_forgets() -> None:
    low, high = kept(0.0, 24), kept(9.0, 24)
    assert (low.factor, high.factor) == (LOWEST, HIGHEST)
    assert kept(1.0, 96, low).factor == pytest.approx(1.0, abs=0.01)
    assert len(low.promises) <= LEAD / LOOK + 1


def test_promises_of_nothing() -> None:
    """Demand of 0: nothing is promised and nothing saved."""
    record = Calibration(0.0)
    for look in range(1, 30):
        record = promising(held_against(record, LOOK * look, tuple(0.0 for _ in record.due(LOOK * look))),
                           Promise(LOOK * look + LEAD, 0, 0.0))  # fmt: skip
        assert record.factor == 1.0


def follow(rate_at: Callable[[float], float], hours: float, forecast: Callable[[float], float] | None = None) -> Steady:
    """Looks at a rate, with the last minute's mean as the forecast unless told otherwise."""
    steady = None
    for look in range(round(3600 * hours / LOOK)):
        at = LOOK * look
        made = (forecast or rate_at)(at)
        steady = steadied(steady, at, rate_at(at), made, LEAD)
    assert steady is not None
    return steady


def jumping(spread: float) -> Callable[[float], float]:
    factors = np.random.default_rng(1).lognormal(-spread * spread / 2, spread, 100_000)
    return lambda at: 20.0 * float(factors[int(at // 60)])


def test_noise_from_minute_to_minute_is_smoothed() -> None:
    noisy = jumping(0.15)
    steady = follow(noisy, 12)
    plain, *smooth = steady.errors
    assert min(smooth) < 0.5 * plain
    last = noisy(LOOK * (12 * 60 - 1))
    assert abs(last * math.exp(steady.shift) - 20.0) < 0.3 * abs(last - 20.0) + 0.5
    # Jumps of more than SURPRISE are taken for changes, so noise as large as that is followed after all.
    wild = follow(jumping(0.4), 12).errors
    assert min(wild[1:]) > 0.7 * wild[0]


def test_a_steady_rate_and_a_ramp_are_left_alone() -> None:
    assert follow(lambda _: 20.0, 6).shift == pytest.approx(0.0, abs=1e-6)

    def ramp(at: float) -> float:
        return 20.0 + at / 360

    # The forecast knows the ramp: at the lead and half the ten minutes after it.
    rising = follow(ramp, 6, lambda at: ramp(at + LEAD + 300))
    assert abs(rising.shift) < 0.01


def test_a_jump_is_followed_at_once() -> None:
    noisy = jumping(0.2)
    steady = follow(lambda at: noisy(at) * (1.0 if at < 12 * 3600 else 3.0), 12 + 2 * LOOK / 3600)
    forecast = 3 * noisy(12 * 3600 + LOOK)
    assert forecast * math.exp(steady.shift) > 0.75 * forecast


def test_little_was_judged() -> None:
    assert follow(jumping(0.3), 0.25).shift == 0.0


def test_an_absence_or_a_clock_set_back_starts_anew_with_the_record_kept() -> None:
    steady = follow(jumping(0.3), 6)
    for at in (steady.at + 3600, steady.at - 3600, steady.at):
        fresh = steadied(steady, at, 20.0, 25.0, LEAD)
        assert (fresh.at, fresh.promises, fresh.errors) == (at, (), steady.errors)
        assert fresh.shift == pytest.approx(0.0)


def test_what_is_kept_is_bounded() -> None:
    sizes = [(len(s.marks), len(s.promises)) for s in (follow(jumping(0.3), hours) for hours in (2, 12))]
    assert sizes[0] == sizes[1]
    assert max(sizes[0]) <= (LEAD + 600) / LOOK + 3


@given(st.lists(st.tuples(st.floats(-100, 2000), st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=40))
def test_any_series(looks: list[tuple[float, float, float]]) -> None:
    steady, at = None, 0.0
    for elapsed, rate, forecast in looks:
        at += elapsed
        steady = steadied(steady, at, rate, forecast, LEAD)
        assert math.isfinite(steady.shift)
        low, high = min(steady.smoothed), max(steady.smoothed)
        assert low - 1e-9 <= steady.smoothed[0] + steady.shift <= high + 1e-9
