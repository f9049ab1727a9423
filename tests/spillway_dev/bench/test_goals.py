"""Goals: what is compared with what, on costs made by hand."""

from __future__ import annotations

import math

import pytest

from spillway_dev.bench.first_days import FirstDay
from spillway_dev.bench.goals import Figure, goals
from spillway_dev.bench.speed import Speed
from support.bench_results import entry, result

OWN = [[10.0, 20.0], [12.0, 18.0]]


def times(factor: float) -> list[list[float]]:
    """Spillway's days, all multiplied."""
    return [[factor * usd for usd in seed] for seed in OWN]


def plain(scenario: str, held: bool = True, **costs: float) -> dict[str, object]:
    """Spillway and others at multiples of its cost."""
    names = {"queue": "hpa@tuned", "cap": "hpa@tuned+cap", "hold": "hpa@tuned+hold", "oracle": "hpa@oracle+hold"}
    names |= {"api": "api-only", "static": "static-best", "default": "hpa+hold", "cheaper": "spillway-oracle-both"}
    policies = {"spillway": entry("spillway", OWN, held=held)}
    policies |= {names[key]: entry(names[key], times(factor)) for key, factor in costs.items() if key in names}
    replay = entry("clairvoyant-replay", times(costs["replay"])) if "replay" in costs else None
    return result(scenario, policies, replay)


def figure(figures: list[Figure], words: str) -> Figure:
    (found,) = [each for each in figures if words in each.goal]
    return found


def test_every_ratio_is_of_its_own_rivals() -> None:
    one = plain(
        "a", queue=2.0, cap=1.25, hold=1.1, oracle=1.0, api=4.0, static=1.6, default=0.1, cheaper=0.1, replay=0.8
    )
    two = plain("b", queue=1.0, cap=4.0, hold=0.9, oracle=2.0, api=1.0, static=2.5, replay=1.0)
    found = goals([one, two])
    assert figure(found, "SLO held").measured == "2 of 2"
    queue = figure(found, "queue overflow")
    assert queue.measured == f"{math.sqrt(0.5 * 1.0):.3f}"
    assert queue.met is False
    assert queue.interval == "0.707–0.707", "all days have the same ratio"
    either = figure(found, "queue or cap")
    assert (either.measured, either.met) == (f"{math.sqrt(0.8 * 1.0):.3f}", True)
    assert figure(found, "any actuator").measured == f"{math.sqrt(1.0 * 0.5):.3f}"
    tuned = figure(found, "best `@tuned`, worst")
    assert (tuned.measured, tuned.met) == (f"{1 / 0.9:.3f}", False)
    assert tuned.where == "b against hpa@tuned+hold"
    assert figure(found, "api-only").measured == "1.000"
    assert figure(found, "api-only").met is True
    assert figure(found, "static-best").measured == "0.625"
    assert figure(found, "clairvoyant-replay, geometric").measured == f"{math.sqrt(1.25):.3f}"
    assert figure(found, "clairvoyant-replay, worst").measured == "1.250"


def test_only_who_holds_the_slo_is_compared() -> None:
    one = plain("a", held=False, queue=2.0)
    two = plain("b", queue=2.0, hold=4.0)
    two["policies"]["hpa@tuned"]["slo_held"] = False  # type: ignore[index]
    found = goals([one, two])
    held = figure(found, "SLO held")
    assert (held.measured, held.met, held.where) == ("1 of 2", False, "a (99.00%)")
    queue = figure(found, "queue overflow")
    assert (queue.measured, queue.met) == ("–", None)
    assert queue.where == "a: Spillway missed the SLO; b: no such policy held the SLO"
    tuned = figure(found, "best `@tuned`, worst")
    assert tuned.measured == "0.250"
    assert tuned.met is False, "a scenario in which Spillway missed the SLO does not help"


def test_intervals_are_of_days() -> None:
    other = [[20.0, 20.0], [12.0, 36.0]]
    document = result("a", {"spillway": entry("spillway", OWN), "hpa@tuned": entry("hpa@tuned", other)})
    queue = figure(goals([document]), "queue overflow")
    assert queue.measured == f"{60 / 88:.3f}"
    low, high = map(float, queue.interval.split("–"))
    assert 0.5 <= low < 60 / 88 < high <= 1.0


def test_what_was_not_run_is_not_measured() -> None:
    found = goals([])
    assert {each.met for each in found} == {None}


def test_the_first_day_is_the_worst_wrong_prior() -> None:
    policies = {
        "spillway": entry("spillway", [[130.0]]),
        "spillway-prior-x2": entry("spillway-prior-x2", [[104.0]]),
        "spillway-prior-x0.5": entry("spillway-prior-x0.5", [[108.0]]),
        "spillway-no-prior": entry("spillway-no-prior", [[101.0]]),
    }
    day = FirstDay("a", 5, 100.0, 0.99, result("a-first-day", policies))
    found = figure(goals([], [day]), "first day")
    assert (found.measured, found.met, found.where) == ("1.080", True, "a, spillway-prior-x0.5")
    policies["spillway-no-prior"]["slo_held"] = False
    found = figure(goals([], [day]), "first day")
    assert (found.met, found.where) == (False, "a, spillway-prior-x0.5; the day missed the SLO in a")


@pytest.mark.parametrize(("seconds", "met"), [(59.0, True), (61.0, False)])
def test_speed_is_the_slowest_scenario(seconds: float, met: bool) -> None:
    found = figure(goals([], [], [Speed("a", 5.0, 900.0), Speed("b", seconds, 70.0)]), "CPU seconds")
    assert (found.measured, found.met, found.where) == (f"{seconds:.0f}", met, "b")
