"""The learned forecast: rhythm, gaps, jumps, ends, blocks; joint over classes; bounded, exact and cheap."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway.decide.codec import codec_of
from spillway.decide.forecast import SAMPLES, ForecastState, paths, quantile, updated
from spillway.decide.forecast.state import MAX_SLOTS
from spillway.decide.snapshot import Series

NOW = 1_800_000_000.0
SEASONS = (86_400, 604_800)
MINUTES = (60.0, 300.0, 900.0, 3600.0)
Rate = Callable[[float], float]


def day(at: float) -> float:
    return 30 - 25 * math.cos(2 * math.pi * at / 86_400)


def office(at: float) -> float:
    return 40.0 if 9 <= at % 86_400 / 3600 < 17 else 0.0


class Watched:
    """A class whose demand is counted every ``step`` seconds, with Poisson noise; only recent points are sent."""

    def __init__(self, rate: Rate, days: float, step: float = 15.0, seed: int = 1, noise: bool = True) -> None:
        self.rate, self.step, self.noise = rate, step, noise
        self.random = np.random.default_rng(seed)
        points = max(1, round(days * 86_400 / step))
        self.now = NOW
        self.values = [self._count(NOW - step * (points - 1 - i)) for i in range(points)]
        self.state = updated(None, [self._series(points)], SEASONS, NOW)

    def _count(self, at: float) -> float | None:
        mean = self.rate(at - self.step / 2)
        if math.isnan(mean):
            return None
        return float(self.random.poisson(mean * self.step)) / self.step if self.noise else mean

    def _series(self, points: int) -> Series:
        recent = self.values[-points:]
        return Series(self.now - self.step * (len(recent) - 1), self.step, tuple(recent))

    def run(self, seconds: float) -> Watched:
        for _ in range(round(seconds / self.step)):
            self.now += self.step
            self.values.append(self._count(self.now))
            self.state = updated(self.state, [self._series(20)], SEASONS, self.now)
        return self

    def rows(self, offsets: tuple[float, ...] = MINUTES) -> np.ndarray:
        return paths({"c": self.state}, self.now, offsets)["c"]

    def at(self, probability: float) -> np.ndarray:
        return quantile(self.rows(), probability)


def after(change: Rate, before: Rate) -> Rate:
    return lambda at: before(at) if at <= NOW else change(at)


def test_rows_are_joint_finite_and_the_same_each_time() -> None:
    first, second = Watched(day, 2), Watched(day, 2)
    assert first.rows().shape == (SAMPLES, len(MINUTES))
    assert np.isfinite(first.rows()).all()
    assert (first.rows() >= 0).all()
    assert (first.rows() == second.rows()).all()
    assert first.state == second.state
    assert second.run(15).state != first.state


@pytest.mark.parametrize("hour", [3, 8, 13, 20])
def test_a_daily_rhythm_is_followed_without_lag(hour: int) -> None:
    shift = NOW % 86_400 - hour * 3600
    seen = Watched(lambda at: day(at - shift), 4, step=60.0)
    for column, offset in enumerate(MINUTES[1:], start=1):
        assert seen.at(0.5)[column] == pytest.approx(day(NOW + offset - shift), rel=0.05)


def test_counting_noise_is_no_change_of_level() -> None:
    seen = Watched(lambda _: 2.0, 1)
    levels = [seen.run(300).at(0.5)[1] for _ in range(40)]
    assert np.mean(levels) == pytest.approx(2.0, rel=0.05)
    assert np.std(levels) < 1.2 * math.sqrt(2.0 / 600)


def test_a_jump_is_believed_within_two_minutes_and_held_uncertain() -> None:
    seen = Watched(after(lambda _: 80.0, lambda _: 20.0), 3)
    seen.run(120)
    assert seen.at(0.5) == pytest.approx([80.0] * 4, rel=0.05)
    assert (seen.at(0.95)[1:] > 100).all()
    assert (seen.at(0.05)[1:] < 70).all()
    seen.run(4 * 3600)
    assert seen.at(0.5) == pytest.approx([80.0] * 4, rel=0.05)
    assert (seen.at(0.95) < 95).all()


@pytest.mark.parametrize("before", [lambda _: 50.0, day])
def test_demand_that_ends_is_gone_within_minutes(before: Rate) -> None:
    seen = Watched(after(lambda _: 0.0, before), 3)
    seen.run(150)
    assert (seen.at(0.5) < 0.02 * before(NOW)).all()
    assert (seen.at(0.95)[:3] < 0.3 * before(NOW)).all()
    seen.run(8 * 3600)
    assert (seen.at(0.5)[:3] < 0.02 * before(NOW)).all()
    assert (seen.at(0.95)[:3] < 0.05 * before(NOW)).all()


def test_gaps_are_no_drops() -> None:
    seen = Watched(after(lambda at: math.nan if at < NOW + 3600 else day(at), day), 3)
    seen.run(3000)
    assert seen.state is not None
    assert seen.state.seen == NOW
    assert seen.at(0.5) == pytest.approx([day(NOW + 3000 + offset) for offset in MINUTES], rel=0.08)
    seen.run(3600)
    assert seen.at(0.5) == pytest.approx([day(NOW + 6600 + offset) for offset in MINUTES], rel=0.08)


def test_the_older_the_last_sample_the_wider_the_band() -> None:
    random = np.random.default_rng(1)
    walk = np.exp(np.cumsum(random.normal(0, 0.05, 432)))
    state = updated(None, [Series(NOW - 600 * 431, 600.0, tuple(walk.tolist()))], SEASONS, NOW)
    fresh, stale = (paths({"c": state}, NOW + age, (600.0,))["c"] for age in (15.0, 3600.0))
    assert np.ptp(quantile(stale, 0.95) - quantile(stale, 0.05)) == 0.0
    assert np.quantile(stale, 0.95) - np.quantile(stale, 0.05) > 1.5 * (
        np.quantile(fresh, 0.95) - np.quantile(fresh, 0.05)
    )


def test_a_daily_block_is_expected_before_it_comes() -> None:
    shift = NOW % 86_400 - 8.5 * 3600
    seen = Watched(lambda at: office(at - shift), 5, step=60.0)
    assert seen.at(0.5)[0] < 1
    assert seen.at(0.5)[3] == pytest.approx(40.0, rel=0.1)


def test_nothing_stays_nothing() -> None:
    seen = Watched(lambda _: 0.0, 1)
    assert seen.at(0.99).max() < 0.01


def test_without_history_the_band_is_wide() -> None:
    rows = paths({"new": None}, NOW, MINUTES, current={"new": 40.0})["new"]
    assert quantile(rows, 0.5) == pytest.approx([40.0] * 4, rel=0.01)
    assert (quantile(rows, 0.9) > 55).all()
    young = Watched(lambda _: 40.0, 600 / 86_400)
    assert young.at(0.5) == pytest.approx([40.0] * 4, rel=0.1)
    assert (young.at(0.9)[1:] > 55).all()
    assert "unknown" not in paths({"unknown": None}, NOW, MINUTES)


def test_nothing_known_gives_no_state() -> None:
    assert updated(None, [], SEASONS, NOW) is None
    assert updated(None, [Series(NOW - 30, 15.0, (None, None, None))], SEASONS, NOW) is None


def test_a_call_without_news_returns_the_same_state() -> None:
    seen = Watched(day, 1)
    assert updated(seen.state, [seen._series(20)], SEASONS, NOW) is seen.state
    later = Series(NOW + 15.0, 15.0, (None, None))
    assert updated(seen.state, [later], SEASONS, NOW + 30) is seen.state


def test_points_of_the_future_are_not_looked_at() -> None:
    series = Series(NOW - 600 * 299, 600.0, tuple(float(i) for i in range(300)))
    early = updated(None, [series], SEASONS, NOW - 6000)
    cut = updated(None, [Series(series.start, 600.0, series.values[:290])], SEASONS, NOW - 6000)
    assert (paths({"c": early}, NOW, MINUTES)["c"] == paths({"c": cut}, NOW, MINUTES)["c"]).all()


def test_read_at_once_or_point_by_point_gives_nearly_the_same() -> None:
    """As after a restart: the coarse series goes far back, the fine one two hours."""
    fine, coarse = (
        Series(NOW - step * (points - 1), step, tuple(day(NOW - step * (points - i - 0.5)) for i in range(points)))
        for step, points in ((15.0, 480), (300.0, 1152))
    )
    restarted = updated(None, [fine, coarse], SEASONS, NOW)
    streamed = None
    for end in range(1, len(coarse.values) + 1):
        now = coarse.start + 300.0 * (end - 1)
        recent = coarse.values[max(0, end - 6) : end]
        streamed = updated(streamed, [Series(now - 300.0 * (len(recent) - 1), 300.0, recent)], SEASONS, now)
    medians = [quantile(paths({"c": s}, NOW, MINUTES)["c"], 0.5) for s in (restarted, streamed)]
    assert medians[0] == pytest.approx(medians[1], rel=0.03)
    assert medians[0] == pytest.approx([day(NOW + offset) for offset in MINUTES], rel=0.03)


def test_a_season_of_six_minutes_is_learned_like_a_day() -> None:
    def rate(at: float) -> float:
        return 60 - 50 * math.cos(2 * math.pi * at / 360)

    series = Series(NOW - 2.0 * 1439, 2.0, tuple(rate(NOW - 2.0 * (1439 - i) - 1.0) for i in range(1440)))
    state = updated(None, [series], (360,), NOW)
    offsets = (5.0, 15.0, 30.0, 60.0, 120.0)
    found = quantile(paths({"c": state}, NOW, offsets)["c"], 0.5)
    assert found == pytest.approx([rate(NOW + offset) for offset in offsets], rel=0.1, abs=2.0)


def test_another_season_starts_anew() -> None:
    seen = Watched(day, 1)
    other = updated(seen.state, [seen._series(2000)], (43_200,), NOW)
    assert other is not None
    assert other.season_seconds == 43_200
    assert len(other.values) < 110


@pytest.mark.parametrize("away", [-86_400.0, 16 * 86_400.0])
def test_a_clock_set_back_or_a_long_absence_starts_anew(away: float) -> None:
    seen = Watched(day, 1)
    now = NOW + away
    later = updated(seen.state, [Series(now - 15.0, 15.0, (7.0, 7.0))], SEASONS, now)
    assert later is not None
    assert later.seen == now
    assert later.values.size <= 1


def test_classes_that_move_together_do_so_in_the_rows() -> None:
    random = np.random.default_rng(5)
    shared, own = np.exp(0.15 * random.standard_normal((2, 1440)))
    series = {"a": 50 * shared, "b": 20 * shared, "c": 30 * own}
    states = {
        key: updated(None, [Series(NOW - 600 * 1439, 600.0, tuple(values.tolist()))], SEASONS, NOW)
        for key, values in series.items()
    }
    rows = paths(states, NOW, (900.0,))
    ranks = {key: np.argsort(np.argsort(r[:, 0])) for key, r in rows.items()}
    assert np.corrcoef(ranks["a"], ranks["b"])[0, 1] > 0.9
    assert abs(np.corrcoef(ranks["a"], ranks["c"])[0, 1]) < 0.3


def test_horizons_that_err_together_do_so_in_the_rows() -> None:
    random = np.random.default_rng(5)
    walk = 50 * np.exp(np.cumsum(random.normal(0, 0.03, 1440)) % 1.0)
    state = updated(None, [Series(NOW - 600 * 1439, 600.0, tuple(walk.tolist()))], SEASONS, NOW)
    rows = paths({"c": state}, NOW, (2100.0, 3900.0))["c"]
    assert np.corrcoef(rows.T)[0, 1] > 0.4


def test_the_state_is_bounded_and_survives_recording() -> None:
    random = np.random.default_rng(2)
    values = 50 * random.lognormal(0, 0.2, 20 * 144)
    state = updated(None, [Series(NOW - 600 * (len(values) - 1), 600.0, tuple(values.tolist()))], SEASONS, NOW)
    assert state is not None
    assert len(state.values) == MAX_SLOTS
    assert state.learned is not None
    parts = [getattr(item, f.name) for item in (state, state.learned) for f in fields(item)]
    assert sum(part.nbytes for part in parts if isinstance(part, np.ndarray)) < 200_000
    codec = codec_of(ForecastState)
    again = codec.decode(codec.encode(state))
    assert again == state
    assert (paths({"c": state}, NOW, MINUTES)["c"] == paths({"c": again}, NOW, MINUTES)["c"]).all()


def test_a_thousand_classes_fit_into_a_minute_of_one_core() -> None:
    seen = Watched(day, 8, step=60.0)
    began = time.process_time()
    calls = 120
    for _ in range(calls):
        seen.run(60)
        seen.rows()
    assert (time.process_time() - began) / calls < 0.030


values = st.one_of(st.none(), st.just(0.0), st.floats(0.0, 1e4), st.floats(0.0, 1e-3))
blocks = st.lists(st.tuples(values, st.integers(1, 60)), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(blocks=blocks, step=st.sampled_from([15.0, 60.0, 300.0, 600.0, 3600.0]), stale=st.floats(0.0, 1e5))
def test_any_history_gives_finite_rows(blocks: list[tuple[float | None, int]], step: float, stale: float) -> None:
    points = [value for value, length in blocks for _ in range(length)]
    series = Series(NOW - step * (len(points) - 1), step, tuple(points))
    state = updated(None, [series], SEASONS, NOW)
    if all(value is None for value in points):
        assert state is None
        return
    rows = paths({"c": state}, NOW + stale, (0.0, 60.0, 900.0, 7200.0, 1e6))["c"]
    assert np.isfinite(rows).all()
    assert (rows >= 0).all()
    assert rows.max() <= 2 * max(value for value in points if value is not None) + 1e-9
