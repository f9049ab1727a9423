"""The document: every section from what was run, and nothing of what was not."""

from __future__ import annotations

from pathlib import Path

import pytest

from spillway.simulate.backtest.store import Store
from spillway_dev.bench.document import Findings, document
from spillway_dev.bench.facts import Facts
from spillway_dev.bench.first_days import FirstDay
from spillway_dev.bench.regimes import Cell, Fleet
from spillway_dev.bench.runs import Bench, best_tuned
from spillway_dev.bench.settings import FULL, QUICK, SECTIONS
from spillway_dev.bench.speed import Speed
from spillway_dev.bench.stages import untuned
from spillway_dev.bench.tables import losses, others, variants
from support.bench_results import entry, result
from support.scenario_files import Files

OWN = [[10.0, 20.0], [12.0, 18.0]]
FACTS = Facts("a", 2_500_000, 2400.0, 320.0, 4.1, 12.3, 13.0, 7.7, 240.0, 64.0, 2.0, 86_400.0, 604_800.0)


def whole() -> dict[str, object]:
    policies = {
        "spillway": entry("spillway", OWN),
        "hpa@tuned": entry("hpa@tuned", [[40.0]], held=False, attained=0.9),
        "hpa@tuned+cap": entry("hpa@tuned+cap", [[36.0, 0.0], [36.0, 0.0]]),
        "keda-queue@tuned+hold": entry("keda-queue@tuned+hold", [[27.0, 0.0], [27.0, 0.0]]),
        "static-best": entry("static-best", [[45.0, 0.0], [45.0, 0.0]]),
        "spillway-no-hold": entry("spillway-no-hold", [[33.0, 0.0], [33.0, 0.0]]),
    }
    return result("a", policies, entry("clairvoyant-replay", [[25.0, 0.0], [25.0, 0.0]]))


def cell(ratio: float, usd: float, held: bool = True) -> Cell:
    policies = {"spillway": entry("spillway", [[usd]], held=held, attained=0.95 + 0.05 * held)}
    policies |= {"api-only": entry("api-only", [[10.0]]), "static-best": entry("static-best", [[20.0]], held=False)}
    return Cell("a", "small", 240.0, ratio, result("a-small", policies))


def test_all_that_was_run_is_in_it() -> None:
    fleet = Fleet("a", "small", 2.0, 5.0, 1000, (cell(1.0, 8.0), cell(4.0, 12.0), cell(15.0, 9.0, held=False)))
    day = FirstDay("a", 5, 100.0, 0.985, result("a-first-day", {"spillway": entry("spillway", [[103.0]])}))
    found = Findings(
        FULL,
        SECTIONS,
        [FACTS],
        [whole()],
        [whole()],
        [fleet],
        [whole()],
        [day],
        [Speed("a", 41.0, 50.0)],
        pages={"a": "p.html"},
    )
    text = document(found)
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "Scenarios", "Goals", "Costs by scenario", "What each part is worth", "The first day", "Regime map", "Faults",
        "Where Spillway loses", "Speed", "Commands",
    ]  # fmt: skip
    assert "| a | 2.50 | 2,400 / 320 | 4.1 | 12.3 | 13.0 | $7.70 | $64 | 2.00 | 240 s | 24 + 144 h |" in text
    assert "### a ([page](p.html))" in text
    assert "| hpa | – | – | – | (1.333, 89.00%) | 1.200 | – |" in text, "its one seed against Spillway's on that seed"
    assert "| 240 s | api-only | 0.80 | 1.20 | (0.90) |" in text
    assert "| 240 s | static-best | 0.40* | 0.60* | (0.45)* |" in text
    assert "| a, day 5 | $100, 98.50% | 1.030 | – | – | – |" in text
    assert "| a | 41 | 50 |" in text
    assert "spillway backtest a.yaml" in text
    assert "Not run this time" not in text


def test_what_was_not_run_is_said_or_left_out() -> None:
    text = document(Findings(QUICK, ("scenarios",), [FACTS], [whole()]))
    assert "A quick look" in text
    assert "**Not run this time**: variants, map, faults, first-day, speed." in text
    for heading in ("What each part is worth", "Regime map", "Faults", "The first day", "Speed"):
        assert f"## {heading}" not in text
    assert "None:" not in text


def test_losses_are_all_listed() -> None:
    text = losses([whole()], [cell(1.0, 8.0), cell(4.0, 12.0), cell(15.0, 9.0, held=False)])
    assert text.splitlines() == [
        "- **a**: cheaper than Spillway: keda-queue@tuned+hold (by 1.111).",
        "- **a, small fleet, start-up 240 s, price ratio 4**: cheaper than Spillway: api-only (by 1.200).",
        "- **a, small fleet, start-up 240 s, price ratio 15**: Spillway missed the SLO (94.00%).",
    ]
    assert losses([result("b", {"spillway": entry("spillway", OWN)})]).startswith("None:")


def test_the_best_of_each_rule_stands_beside_hindsight() -> None:
    names = [line.split("|")[1].strip() for line in others(whole()).splitlines()[2:]]
    assert names == [
        "**spillway**", "clairvoyant-replay", "keda-queue@tuned+hold", "hpa@tuned+cap", "static-best", "bound",
    ]  # fmt: skip
    assert "(" not in variants([whole()]).splitlines()[2]
    assert variants([whole(), result("b", {"spillway": entry("spillway", OWN)})]).count("---:") == 1


def test_what_was_never_tuned_is_named() -> None:
    policies = {name: entry(name, OWN) for name in ("spillway", "hpa@tuned+cap", "hpa+hold", "nobody@tuned+cap")}
    assert untuned(result("a", policies)) == ["nobody@tuned+cap"]
    assert "run with their defaults**: x, y." in document(Findings(QUICK, SECTIONS, untuned=["x", "y"]))


def test_hindsight_is_sought_where_tuning_came_nearest() -> None:
    assert best_tuned(whole(), 2) == [("keda-queue", "hold"), ("hpa", "cap")]
    assert best_tuned(whole(), 9)[-1] == ("hpa", "queue")


class Silent:
    """Nobody listens."""

    def planned(self, runs: int, kept: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def finished(self, label: str, error: str | None) -> None:
        pass


def test_a_small_scenario_from_the_file_to_the_document(tmp_path: Path) -> None:
    files = Files()
    files.scenario["seeds"] = [1, 2]
    path = files.write(tmp_path / "s")
    bench = Bench(Store(tmp_path / "cache"), 1, Silent(), tmp_path / "out")
    made = bench.compare(path, ["spillway", "api-only"], ["hpa@tuned", "static-peak@tuned+cap"], 2)
    assert {"spillway", "api-only", "hpa@tuned", "hpa@tuned+hold", "static-peak@tuned+cap"} <= set(made["policies"])
    for name, policy in made["policies"].items():
        complete = len(policy["seeds"]) == 2
        assert complete or (not policy["slo_held"] and "@tuned" in name)
        for seed in policy["seeds"]:
            assert sum(day["cost_usd"] for day in seed["days"]) == pytest.approx(seed["cost_usd"])
    text = document(Findings(FULL, SECTIONS, results=[made]))
    assert "| 1. SLO held, every scenario and seed |" in text
    assert str(tmp_path) not in text
