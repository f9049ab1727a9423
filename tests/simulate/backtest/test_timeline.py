"""Time lines: what is billed and hosted adds up to the dollars of the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spillway.simulate.backtest.jobs import Job, prepared
from spillway.simulate.backtest.names import Spill
from spillway.simulate.backtest.timeline import timeline_of
from spillway.simulate.backtest.tuning import Choice
from spillway.simulate.fleet import simulate
from spillway.simulate.scenario import load_scenario
from support.scenario_files import Files


def test_a_time_line_adds_up(tmp_path: Path) -> None:
    files = Files()
    files.scenario["billing"] = {"nodeReleaseSeconds": 30}
    scenario = load_scenario(files.write(tmp_path))
    workload = scenario.workload(1)
    job = Job("hpa", 1, Choice(Spill.CAP, (("spill_threshold", 4.0),)))
    _, _, policy = prepared(job, scenario.world, scenario.known, workload)
    outcome = simulate(scenario.world, workload, scenario.known, policy, 1)
    made = timeline_of(scenario.world, workload, outcome)
    width_h = (made["at_s"][1] - made["at_s"][0]) / 3600.0

    log = outcome.replicas
    alive = np.clip(np.minimum(log.ended_s + 30.0, 3600.0) - log.created_s, 0.0, None)
    billed = 7.7 * float(alive.sum()) / 3600.0 + float(outcome.requests.hosted_usd.sum())
    assert sum(made["usd_per_hour"]) * width_h == pytest.approx(billed, rel=1e-3)
    assert outcome.requests.hosted_usd.sum() > 0
    seconds = width_h * 3600.0
    assert sum(made["arrived_per_s"]["inference/chat"]) * seconds == pytest.approx(workload.size, rel=1e-3)
    hosted = np.count_nonzero((outcome.requests.served >= 1) & (outcome.requests.served <= 5))
    assert sum(made["hosted_per_s"]["inference/chat"]) * seconds == pytest.approx(hosted, rel=0.02)
    lengths = {len(made["at_s"]), len(made["ready"]["gpu"]), len(made["desired"]["gpu"]), len(made["usd_per_hour"])}
    assert lengths == {60}
