"""Whether a budget is at risk, and why: one machine reason and one sentence for each. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from spillway.advise.positions import Alert, BudgetPosition, BudgetReason
from spillway.advise.runrate import WEEK_DAYS, ZERO, RunRate
from spillway.advise.words import dollars

UNREACHED_SHARE = Decimal("0.5")
"""A budget of which even the upper end of the projection takes less than this is far too large to warn of anything."""


def alerts(found: BudgetPosition, rate: RunRate | None) -> Iterator[Alert]:
    """Why the budget is at risk, the gravest first; none: it isn't."""
    if found.cap is not None and is_over(found.spent.value, found.cap.value):
        yield Alert(BudgetReason.EXCEEDED, f"{_so_far(found)}{_goes_on(found)}")
    yield from _team_alerts(found)
    if found.cap is None or is_over(found.spent.value, found.cap.value):
        return
    alert = found.alert_share * found.cap.value
    if found.cap.value > 0 and found.spent.value >= alert:
        yield Alert(BudgetReason.ALERT, f"{_so_far(found)}{_goes_on(found)}")
    elif found.shared is not None and found.spent.value + found.shared.value >= alert:
        yield Alert(
            BudgetReason.MAY_BE_OVER, f"{_so_far(found)}, and {dollars(found.shared.value)} may be its own or not"
        )
    if _is_projected_over(found, rate):
        yield Alert(BudgetReason.PROJECTED_OVER, f"{_so_far(found)}{_goes_on(found)}")


def _team_alerts(found: BudgetPosition) -> Iterator[Alert]:
    over = [each for each in found.teams if each.over > 0]
    if not over:
        return
    said = ", ".join(f"{each.team} {dollars(each.spent)} of {dollars(each.cap or ZERO)}" for each in over[:3])
    more = f" and {len(over) - 3} more" if len(over) > 3 else ""
    who = f"class {found.key}: over their caps for {found.at:%Y-%m} on {found.at:%Y-%m-%d}: {said}{more}"
    pool = found.pool
    if pool is None:
        yield Alert(BudgetReason.TEAM_EXCEEDED, f"{who}; there is no overflow pool")
    elif pool.exhausted:
        text = f"the overflow pool of {dollars(pool.size)} is used up, {dollars(pool.drawn)} are over"
        yield Alert(BudgetReason.POOL_EXHAUSTED, f"{who}; {text}")
    elif pool.drawn >= found.alert_share * pool.size:
        text = f"{dollars(pool.balance)} are left of the overflow pool of {dollars(pool.size)}"
        yield Alert(BudgetReason.POOL_LOW, f"{who}; {text}")


def _is_projected_over(found: BudgetPosition, rate: RunRate | None) -> bool:
    """Under a week of full days only if even the band's lower end is over."""
    if found.cap is None or found.projected is None or rate is None:
        return False
    value = found.projected.value if rate.days >= WEEK_DAYS else found.projected.low
    return value is not None and value > found.cap.value


def calm(found: BudgetPosition, rate: RunRate | None) -> Alert:
    """How a budget stands that is not at risk."""
    if found.cap is None:
        text = (
            f"class {found.key}: {dollars(found.spent.value)} spent; no full day is measured yet to take a budget from"
        )
        return Alert(BudgetReason.NOT_MEASURED, text)
    high = None if found.projected is None else found.projected.high
    if rate is not None and rate.days >= WEEK_DAYS and high is not None and high < UNREACHED_SHARE * found.cap.value:
        text = f"{_so_far(found)}; at most {dollars(high)} by the month's end: the budget is more than twice that"
        return Alert(BudgetReason.NEVER_REACHED, text)
    return Alert(BudgetReason.WITHIN, f"{_so_far(found)}{_goes_on(found)}")


def _so_far(found: BudgetPosition) -> str:
    cap = ZERO if found.cap is None else found.cap.value
    # Rounded down: 100% is what is over.
    share = "" if found.used is None else f" ({int(found.used * 100)}%)"
    spent = f"{dollars(found.spent.value)}{share} of the budget of {dollars(cap)}"
    return f"class {found.key}: {spent} for {found.at:%Y-%m} spent by {found.at:%Y-%m-%d}"


def _goes_on(found: BudgetPosition) -> str:
    if found.projected is None or found.projected.low is None or found.projected.high is None:
        return ""
    band = f"{dollars(found.projected.low)} to {dollars(found.projected.high)}"
    when = "" if found.reached_on is None else f"the budget is reached on {found.reached_on}, and "
    return f"; as it goes on {when}the month ends at {dollars(found.projected.value)} ({band})"


def is_over(spent: Decimal, cap: Decimal) -> bool:
    """A cap of 0 is over with the first dollar, any other when it is reached."""
    return spent >= cap if cap > 0 else spent > 0
