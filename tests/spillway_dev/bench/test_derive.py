"""Scenarios made from others run by themselves, and differ by what was asked for alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from spillway.simulate.backtest.store import Store
from spillway.simulate.scenario import load_scenario
from spillway_dev.bench.derive import Change, derive, span
from spillway_dev.bench.facts import facts_of
from spillway_dev.bench.regimes import change
from spillway_dev.bench.settings import EXAMPLES, FULL, QUICK, SCENARIOS
from support.scenario_files import Files


def test_nothing_changed_is_the_same_requests_and_world(tmp_path: Path) -> None:
    source = Files().write(tmp_path / "s")
    original = load_scenario(source)
    made = load_scenario(derive(source, Change("again"), tmp_path / "d" / "deep"))
    assert made.name == "again"
    assert made.requests_hash(made.workload(1)) == original.requests_hash(original.workload(1))
    assert repr(made.world.own) == repr(original.world.own)
    assert made.world.hosted == original.world.hosted
    assert made.known.plan == original.known.plan


def test_each_change_is_seen(tmp_path: Path) -> None:
    files = Files()
    files.scenario["truth"]["gpu"]["stockOuts"] = [[60, 120], [2000, 2500]]
    files.scenario["hosted"]["api"]["outages"] = [[1700, 1900]]
    source = files.write(tmp_path / "s")
    asked = Change(
        "x",
        offset_s=1800.0,
        warmup_s=300.0,
        duration_s=99_999.0,
        demand_factor=0.5,
        hosted_price_factor=2.0,
        startup_s=30.0,
        max_replicas=70,
    )
    made, original = load_scenario(derive(source, asked, tmp_path / "d")), load_scenario(source)
    assert (made.world.warmup_s, made.world.duration_s) == (300.0, original.world.duration_s - 1800.0)
    assert made.world.own[0].startup_mean_s == 30.0
    assert made.known.own[0].resource.spec.self_hosted.startup_seconds == 30  # type: ignore[union-attr]
    assert (made.world.own[0].max_replicas, made.world.own[0].min_replicas) == (70, 1)
    assert made.world.own[0].stockouts == ((200.0, 700.0),)
    assert made.world.hosted[0].outages == ((0.0, 100.0),)
    for field in ("usd_per_input_token", "usd_per_cached_input_token", "usd_per_output_token"):
        assert getattr(made.world.hosted[0], field) == pytest.approx(2 * getattr(original.world.hosted[0], field))
    later = original.workload(1)
    rest = (later.arrival_s >= 1800.0).sum()
    assert made.workload(1).size == pytest.approx(rest / 2, rel=0.15)


def test_an_unchanged_file_is_not_written_again(tmp_path: Path) -> None:
    source = Files().write(tmp_path / "s")
    path = derive(source, Change("x"), tmp_path / "d")
    before = path.stat().st_mtime_ns
    derive(source, Change("x"), tmp_path / "d")
    assert path.stat().st_mtime_ns == before


def test_a_span_that_scores_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves nothing"):
        span({"durationSeconds": 100.0}, Change("x", warmup_s=50.0, duration_s=50.0))


def test_a_price_ratio_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    """The map sets hosted prices by the ratio at the scenario's own: measured again, it is the wanted one."""
    source = Files().write(tmp_path / "s")
    store = Store(tmp_path / "cache")
    first = facts_of(load_scenario(source), 1, store)
    made = derive(source, Change("x", hosted_price_factor=4.0 / first.price_ratio), tmp_path / "d")
    assert facts_of(load_scenario(made), 1, store).price_ratio == pytest.approx(4.0, rel=1e-3)
    assert facts_of(load_scenario(source), 1, store) == first


def test_cells_have_names_of_their_own() -> None:
    regimes = [*FULL.maps, *QUICK.maps]
    cells = {
        (change(regime, fleet, factor, startup, ratio, 1.0).name, startup, ratio)
        for regime in regimes
        for fleet, factor in regime.fleets
        for startup in regime.startups_s
        for ratio in regime.ratios
    }
    assert len({name for name, _, _ in cells}) == len({(name, s, r) for name, s, r in cells})


@pytest.mark.parametrize("name", [*SCENARIOS, *(f"faults/{fault}" for fault in FULL.faults)])
def test_scenarios_of_the_benchmark_are_there(name: str) -> None:
    text = (EXAMPLES / f"{name}.yaml").read_text()
    assert f"{{name: {name.rpartition('/')[2]}}}" in text
