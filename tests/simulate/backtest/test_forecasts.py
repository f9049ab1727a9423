"""What Spillway forecast stands in its time line at the moment that it is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spillway.simulate.backtest.jobs import Job, do
from spillway.simulate.scenario import load_scenario
from support.scenario_files import BINS, Files

STEP_S = 3600.0


@pytest.fixture(scope="module")
def timeline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two hours: one request a second in the first, three in the second."""
    files = Files()
    files.scenario["time"] = {"warmupSeconds": 600, "durationSeconds": 7200}
    rates = [1] * 6 + [3] * 6
    files.trace = BINS + "".join(
        f"{600 * i},code,{600 * rate},{600_000 * rate},{30_000 * rate}\n" for i, rate in enumerate(rates)
    )
    scenario = load_scenario(files.write(tmp_path_factory.mktemp("forecasts")))
    document = do(Job("spillway", 1), scenario.world, scenario.known_to(1), scenario.workload(1))
    found: dict[str, Any] = document["timeline"]
    return found


def test_bands_are_as_long_as_the_time_line_and_in_order(timeline: dict[str, Any]) -> None:
    line = timeline["forecast"]["inference/chat"]
    assert line["lead_s"] == 60 + 30
    assert {len(line[name]) for name in ("q10", "q50", "q90")} == {len(timeline["at_s"])}
    known = [each for each in zip(line["q10"], line["q50"], line["q90"], strict=True) if None not in each]
    assert len(known) > 0.8 * len(timeline["at_s"])
    assert all(0 <= low <= middle <= high for low, middle, high in known)


def test_a_forecast_stands_at_the_moment_that_it_is_for(timeline: dict[str, Any]) -> None:
    line, at_s = timeline["forecast"]["inference/chat"], timeline["at_s"]
    # The first samples are seen at 30 s, and a plan is made for 90 s later.
    first = next(at for at, value in zip(at_s, line["q50"], strict=True) if value is not None)
    assert 60 <= first <= 240
    before = [value for at, value in zip(at_s, line["q50"], strict=True) if 1800 <= at < STEP_S]
    assert sum(before) / len(before) == pytest.approx(1, rel=0.15)
    # Nobody could know of the step, so what was forecast before it for the moments after it stays low.
    late = [value for at, value in zip(at_s, line["q50"], strict=True) if at >= STEP_S + 1500 and value is not None]
    assert sum(late) / len(late) == pytest.approx(3, rel=0.15)


def test_a_baseline_forecasts_nothing(tmp_path: Path) -> None:
    scenario = load_scenario(Files().write(tmp_path))
    document = do(Job("api-only", 1), scenario.world, scenario.known_to(1), scenario.workload(1))
    assert "forecast" not in document["timeline"]
