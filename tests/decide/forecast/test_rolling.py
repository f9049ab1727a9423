"""Forecasts: level, rhythm, gaps, jumps, and on real traces better than persistence and yesterday."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from decide.builders import NOW, curve, steady
from spillway.decide.forecast import SAMPLES, Forecaster
from spillway.decide.snapshot import Series


def sine(period: float, low: float = 10.0, high: float = 100.0, phase: float = 0.0):  # type: ignore[no-untyped-def]
    return lambda at: low + (high - low) * (1 - math.cos(2 * math.pi * (at - NOW) / period + phase)) / 2


def test_a_constant_stays() -> None:
    made = Forecaster([steady(40.0)], [360], NOW, 40.0).at(10.0)
    assert made.mean == pytest.approx(40.0)
    assert made.quantile(0.99) == pytest.approx(40.0)
    assert made.samples.shape == (SAMPLES,)


@pytest.mark.parametrize("horizon", [5.0, 20.0, 60.0, 120.0])
@pytest.mark.parametrize("phase", [0.0, math.pi / 2, math.pi, 3 * math.pi / 2])
def test_a_rhythm_is_followed_without_lag(horizon: float, phase: float) -> None:
    rate = sine(360, phase=phase)
    made = Forecaster([curve(rate, 480, 2.0)], [360], NOW).at(horizon)
    assert made.quantile(0.5) == pytest.approx(rate(NOW + horizon), rel=0.05, abs=1.0)


def test_today_may_be_larger_than_yesterday() -> None:
    rate = sine(360, phase=math.pi / 2)

    def grown(at: float) -> float:
        return rate(at) * (1.5 if at > NOW - 300 else 1.0)

    made = Forecaster([curve(grown, 480, 2.0)], [360], NOW).at(30.0)
    assert made.mean == pytest.approx(grown(NOW + 30), rel=0.15)


def test_lag_of_the_measurement_is_made_up_for() -> None:
    rate = sine(360, phase=math.pi / 2)
    late = curve(lambda at: rate(at - 4.0), 480, 2.0)
    made = Forecaster([late], [360], NOW, lag_seconds=4.0).at(10.0)
    assert made.quantile(0.5) == pytest.approx(rate(NOW + 10), rel=0.03)


def test_a_day_is_seen_in_the_coarse_series_at_the_level_of_the_fine_one() -> None:
    rate = sine(86400, phase=math.pi / 2)
    coarse, fine = curve(rate, 4320, 300.0), curve(lambda at: 1.2 * rate(at), 480, 15.0)
    made = Forecaster([fine, coarse], [86400, 604800], NOW).at(3600.0)
    assert made.mean == pytest.approx(1.2 * rate(NOW + 3600), rel=0.05)


def test_gaps_are_no_drops() -> None:
    full = curve(sine(360), 480, 2.0)
    holed = Series(full.start, full.step_seconds, tuple(None if i % 5 == 0 else v for i, v in enumerate(full.values)))
    ends = Series(full.start, full.step_seconds, (*holed.values[:-3], None, None, None))
    assert Forecaster([holed], [360], NOW).at(10.0).mean == pytest.approx(sine(360)(NOW + 10), abs=3)
    assert Forecaster([ends], [360], NOW, 10.0).at(10.0).mean < 20


def test_without_history_the_band_is_wide() -> None:
    made = Forecaster([], [360], NOW, 40.0).at(60.0)
    assert made.quantile(0.5) == pytest.approx(40.0, rel=0.01)
    assert made.quantile(0.9) > 55
    short = Forecaster([steady(40.0, points=5)], [360], NOW, 40.0).at(60.0)
    assert short.quantile(0.9) > 55


def test_nothing_known_is_an_error() -> None:
    made = Forecaster([], [360], NOW, None)
    assert not made.known
    with pytest.raises(ValueError, match="nothing to forecast from"):
        made.at(10.0)
    assert not Forecaster([Series(NOW - 20, 2.0, (None,) * 10)], [360], NOW).known


def test_nothing_is_a_forecast_too() -> None:
    made = Forecaster([steady(0.0)], [360], NOW, 0.0).at(10.0)
    assert made.quantile(0.99) == 0.0


def test_a_jump_is_taken_over() -> None:
    made = Forecaster([curve(lambda at: 80.0 if at > NOW - 20 else 20.0, 480, 2.0)], [360], NOW).at(6.0)
    assert made.quantile(0.9) > 70


def _trace(path: Path) -> list[float]:
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return [float(row["requests"]) / 600 for row in rows]


def test_on_a_real_trace_it_beats_persistence_and_yesterday(repository: Path) -> None:
    """Two days of code completion in 10-minute bins, half an hour ahead, over the second day."""
    rates = _trace(repository / "examples" / "traces" / "azure2024_code_2d.csv")
    ahead, day = 3, 144
    errors: dict[str, list[float]] = {"made": [], "persistence": [], "yesterday": []}
    covered = []
    for now in range(day + 36, len(rates) - ahead):
        past, actual = rates[: now + 1], rates[now + ahead]
        history = Series(0.0, 600.0, tuple(past))
        made = Forecaster([history], [86400], history.end, past[-1]).at(1800.0)
        errors["made"].append(abs(made.quantile(0.5) - actual))
        errors["persistence"].append(abs(past[-1] - actual))
        errors["yesterday"].append(abs(rates[now + ahead - day] - actual))
        covered.append(actual <= made.quantile(0.9))
    mean = {name: float(np.mean(values)) for name, values in errors.items()}
    assert mean["made"] < 0.9 * mean["persistence"]
    assert mean["made"] < mean["yesterday"]
    assert 0.75 <= np.mean(covered) <= 0.99
