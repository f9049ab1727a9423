"""On real traces the forecast stays better than persistence and the day before, each with its rolling errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from decide.forecast.evaluation import LEADS, Rates, forecast, interval, judge, origins_of, read_rates


@pytest.mark.parametrize(
    ("trace", "least"),
    [("azure2024_code_7d.csv.gz", (0.20, 0.30, 0.36)), ("burstgpt_week1_7d.csv.gz", (0.16, 0.18, 0.15))],
)
def test_skill_and_coverage(repository: Path, trace: str, least: tuple[float, float, float]) -> None:
    rates = read_rates(repository / "examples" / "traces" / trace)
    origins, counted = origins_of(rates)
    made = forecast(rates, origins)
    for lead, bar in zip(LEADS, least, strict=True):
        ((key, rate),) = rates.items()
        judged = judge(rate, origins, counted, made.made[key, lead], lead)
        assert judged is not None
        assert len(judged.loss) > 800
        assert interval([judged], [1.0])[0] > bar
        assert 0.85 <= judged.covered.mean() <= 0.97
        assert judged.covered[judged.steep_seen].mean() >= 0.8


def test_the_reference_is_what_it_says() -> None:
    """A day that repeats exactly is forecast exactly by the day before, so there is nothing to win."""
    values = np.tile(50 + 40 * np.sin(np.arange(144) / 144 * 2 * np.pi), 3)
    rates = {"c": Rates(600.0, values)}
    origins, counted = origins_of(rates)
    rows = np.repeat(rates["c"].window(origins + 615.0)[:, None], 19, axis=1)
    judged = judge(rates["c"], origins, counted, rows, 600.0)
    assert judged is not None
    assert judged.loss.mean() == pytest.approx(0.0, abs=1e-9)
    assert judged.reference.mean() < 0.01
