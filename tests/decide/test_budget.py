"""The error budget: what it allows, which way it moves, and where it settles."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway.decide.budget import (
    CORRECTION_SECONDS,
    HIGHEST,
    HOSTED_PART,
    LEAST_LATE,
    LOWEST,
    MOST_LATE,
    MOST_MISSES,
    SETTLING_SECONDS,
    START_REQUESTS,
    TARGET_SHARE,
    ErrorBudget,
    spent,
)

ATTAINMENT = 0.99
TARGET = TARGET_SHARE * 0.01


def settled(start: float = 0.0) -> ErrorBudget:
    budget = spent(None, start, ATTAINMENT, 0.0, 0.0)
    return spent(budget, start + SETTLING_SECONDS, ATTAINMENT, 0.0, 0.0)


def after(
    budget: ErrorBudget, hours: float, missed: Callable[[ErrorBudget], float], rate: float = 100.0, tick: float = 60.0
) -> ErrorBudget:
    """The budget after hours in which this share of the requests misses."""
    for _ in range(round(3600 * hours / tick)):
        budget = spent(budget, budget.at + tick, ATTAINMENT, rate, rate * missed(budget))
    return budget


def test_it_begins_with_the_budget_itself() -> None:
    assert settled().allowance(ATTAINMENT) == pytest.approx(0.01)
    assert settled().missed_share(ATTAINMENT) == pytest.approx(TARGET)


def test_the_first_look_and_the_time_before_any_cap_only_take_the_time() -> None:
    budget = spent(None, 1000.0, ATTAINMENT, 100.0, 90.0)
    assert (budget.at, budget.since, budget.total, budget.missed) == (1000.0, 1000.0, 0.0, 0.0)
    later = spent(budget, 1000.0 + SETTLING_SECONDS - 1, ATTAINMENT, 100.0, 90.0)
    assert (later.total, later.missed, later.allowance(ATTAINMENT)) == (0.0, 0.0, pytest.approx(0.01))
    assert later.at == 1000.0 + SETTLING_SECONDS - 1
    last = spent(later, later.at + 60.0, ATTAINMENT, 100.0, 1.0)
    assert last.total == pytest.approx(6000.0)  # only the time since the last look


def test_fewer_misses_than_meant_open_and_more_close() -> None:
    none = after(settled(), 1, lambda _: 0.0)
    few = after(settled(), 1, lambda _: 0.6 * TARGET)
    on_target = after(settled(), 1, lambda _: TARGET)
    many = after(settled(), 1, lambda _: 2 * TARGET)
    allowed = [budget.allowance(ATTAINMENT) for budget in (none, few, on_target, many)]
    assert allowed == sorted(allowed, reverse=True)
    assert allowed[2] == pytest.approx(0.01)
    assert allowed[0] > 1.3 * allowed[2] > 1.3 * 1.3 * allowed[3]


def test_how_fast_it_moves() -> None:
    """d(log allowance)/dt = (target - missed/total)/target, once far more came than what is assumed."""
    budget = after(settled(), 0.5, lambda _: 0.0, rate=1e6)
    assert budget.log_allowance == pytest.approx(1800 / CORRECTION_SECONDS, rel=0.02)
    # Downwards no faster, however many were missed, until too many are missed at a time.
    assert after(settled(), 0.5, lambda _: 0.03, rate=1e6).log_allowance == pytest.approx(-1800 / CORRECTION_SECONDS)


def test_far_too_many_at_a_time_close_fast() -> None:
    slow, fast = after(settled(), 0.25, lambda _: 0.04), after(settled(), 0.25, lambda _: 0.06)
    assert slow.log_allowance == pytest.approx(-900 / CORRECTION_SECONDS, rel=0.3)
    assert fast.log_allowance < slow.log_allowance - 0.9


def test_an_outage_is_not_the_caps_doing() -> None:
    """A quarter of an hour in which all is missed counts for four budgets; the allowance is back within hours."""
    outage = after(after(settled(), 12, lambda _: TARGET), 0.25, lambda _: 1.0)
    assert outage.missed / outage.total < 0.01
    recovered = after(outage, 6, lambda budget: min(TARGET, budget.allowance(ATTAINMENT)))
    assert outage.allowance(ATTAINMENT) < 0.4 * 0.01
    assert recovered.allowance(ATTAINMENT) > 0.45 * 0.01


def test_little_traffic_says_little() -> None:
    quiet = after(settled(), 3, lambda _: 4 * 0.01, rate=0.01)
    busy = after(settled(), 3, lambda _: 4 * 0.01, rate=100.0)
    assert START_REQUESTS > 10 * 0.01 * 3600 * 3
    assert quiet.allowance(ATTAINMENT) > 0.7 * 0.01
    assert busy.allowance(ATTAINMENT) < 0.3 * 0.01


def test_what_was_long_ago_is_forgotten() -> None:
    bad = after(settled(), 6, lambda _: 0.03)
    assert bad.missed_share(ATTAINMENT) > 2 * TARGET
    good = after(bad, 30, lambda _: TARGET)
    assert good.missed_share(ATTAINMENT) == pytest.approx(TARGET, rel=0.05)


@pytest.mark.parametrize("wrong", [0.2, 0.5, 2.0, 5.0])
def test_a_wrong_latency_model_is_corrected(wrong: float) -> None:
    """The lane misses ``wrong`` times what its cap allows: half a day later the objective is met, and not by far."""
    budget = after(settled(), 36, lambda b: wrong * b.allowance(ATTAINMENT))
    assert wrong * budget.allowance(ATTAINMENT) == pytest.approx(TARGET, rel=0.15)
    assert budget.missed_share(ATTAINMENT) == pytest.approx(TARGET, rel=0.25)


def test_a_long_absence_is_one_short_step() -> None:
    """An operator that was away for a day does not jump by a day's correction on the rates of one moment."""
    budget = spent(settled(), SETTLING_SECONDS + 86_400.0, ATTAINMENT, 1e4, 0.0)
    assert budget.log_allowance <= 600 / CORRECTION_SECONDS + 1e-9


def test_a_clock_set_back_changes_nothing() -> None:
    budget = after(settled(), 1, lambda _: 0.0)
    back = spent(budget, budget.at - 600.0, ATTAINMENT, 100.0, 50.0)
    assert (back.total, back.missed) == (budget.total, budget.missed)
    assert back.log_allowance == budget.log_allowance


@given(
    st.lists(st.tuples(st.floats(0, 90_000), st.floats(0, 1e5), st.floats(0, 1)), max_size=30),
    st.sampled_from([0.5, 0.9, 0.99, 0.99999]),
)
def test_bounds(looks: list[tuple[float, float, float]], attainment: float) -> None:
    budget, now = None, 0.0
    for elapsed, rate, missed in looks:
        now += elapsed
        budget = spent(budget, now, attainment, rate, rate * missed)
        assert math.log(LOWEST) <= budget.log_allowance <= math.log(HIGHEST)
        assert 0.0 < budget.allowance(attainment) <= MOST_MISSES
        assert 0.0 <= budget.missed_share(attainment) <= 4.0 * (1.0 - attainment) + 1e-9
        assert budget.at == now


def test_the_more_is_hosted_the_less_of_it_may_come_late() -> None:
    """What comes late from hosted lanes stays a tenth of the error budget, whatever share they serve."""
    shares = (0.0, 0.02, 0.2, 0.5, 1.0)
    budgets = []
    for share in shares:
        budget = settled()
        for _ in range(120):
            budget = spent(budget, budget.at + 60.0, ATTAINMENT, 1e4, 0.0, hosted_per_second=1e4 * share)
        budgets.append(budget)
    late = [budget.late_share(ATTAINMENT) for budget in budgets]
    assert late[0] == late[1] == MOST_LATE
    assert late == sorted(late, reverse=True)
    for share, of_hosted in zip(shares[2:], late[2:], strict=True):
        assert share * of_hosted == pytest.approx(HOSTED_PART * 0.01, rel=0.01)
    assert budgets[-1].late_share(0.99999) == LEAST_LATE
