"""The search for thresholds: what it tries, and what it takes for better."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spillway.simulate.backtest.names import Spill
from spillway.simulate.backtest.tuning import MAX_ROUNDS, Choice, best, proposals
from spillway.simulate.baselines.registry import CATALOGUE
from spillway.simulate.baselines.spill import TUNING_GRID, SpillKind
from spillway.simulate.score import SeedScore

SCORE = SeedScore(
    cost_usd=100.0, cost_with_misses_usd={"0": 100.0, "3": 130.0, "10": 200.0}, gpu_cost_usd=60.0, hosted_cost_usd=40.0,
    gpu_hours=10.0, slo_held=True, slo_attainment=0.99, slo_attainment_by_class={}, spilled_token_share=0.1,
    scale_ups=1, scale_downs=1, direction_changes_per_hour=0.1, deadline_misses=0, decide_ms_p50=1.0,
    decide_ms_p99=2.0, days=(),
)  # fmt: skip


def scored(usd: float, *, held: bool = True, with_misses: float = 0.0) -> SeedScore:
    charged = {"0": usd, "3": usd, "10": with_misses or usd}
    return replace(SCORE, cost_usd=usd, slo_held=held, cost_with_misses_usd=charged)


def choice(number: float) -> Choice:
    return Choice(Spill.CAP, (("cap_share", number),))


def test_holding_the_slo_comes_before_cost_and_in_more_scenarios_before_in_fewer() -> None:
    cheap_but_missed = [[scored(1.0, held=False, with_misses=5.0)], [scored(10.0)]]
    dear_but_held = [[scored(90.0)], [scored(90.0)]]
    assert best({choice(1): cheap_but_missed, choice(2): dear_but_held}) == choice(2)
    held_on_one_seed_only = [[scored(1.0), scored(1.0, held=False)], [scored(1.0)]]
    assert best({choice(1): held_on_one_seed_only, choice(2): dear_but_held}) == choice(2)


def test_among_equals_the_geometric_mean_decides_and_misses_are_charged() -> None:
    assert best({choice(1): [[scored(10.0)], [scored(1000.0)]], choice(2): [[scored(90.0)], [scored(90.0)]]}) == choice(
        2
    )
    missed = {
        choice(1): [[scored(10.0, held=False, with_misses=500.0)]],
        choice(2): [[scored(90.0, held=False, with_misses=100.0)]],
    }
    assert best(missed) == choice(2)


@pytest.mark.parametrize("spill", list(Spill))
def test_the_search_finds_the_best_of_a_separable_grid(spill: Spill) -> None:
    own = CATALOGUE["hpa"].grid[-1]
    rule = TUNING_GRID[SpillKind(spill)][-1]
    wanted = {**own, **rule}

    def cost(candidate: Choice) -> float:
        found = dict(candidate.parameters)
        return 10.0 + sum(found.get(key) != value for key, value in wanted.items())

    evaluated: dict[Choice, list[list[SeedScore]]] = {}
    rounds = 0
    while new := proposals("hpa", spill, evaluated):
        assert not set(new) & set(evaluated)
        evaluated |= {candidate: [[scored(cost(candidate))]] for candidate in new}
        rounds += 1
    assert rounds <= MAX_ROUNDS
    assert dict(best(evaluated).parameters) == wanted
