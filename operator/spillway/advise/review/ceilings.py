"""Ceilings of hosted spending: how near a change comes to them, and what that leaves of an objective.

A replay serves what a gateway would refuse, so a class that only hosted lanes serve looks better than it would fare.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from spillway.advise.review.consequences import short_class
from spillway.advise.review.effect import HOURS_PER_MONTH, ClassFigures, Effect, SideFigures
from spillway.advise.review.limits import Finding, Limits
from spillway.advise.review.objects import PlanPair, PlanSide
from spillway.advise.review.words import exact, rough, usd

HOURS_PER_DAY = 24
LEAST_SHARE = 0.001
"""Of the time; what binds more rarely isn't told."""
MORE_OFTEN = 0.01
"""Of the time: a ceiling that is reached so much more often than on base is the change's doing."""
REFUSED_FROM = 0.01
"""Of the time over a ceiling, from which on an objective is held only if nothing is refused."""
IF_SERVED = "if nothing is refused"


def refused(each: ClassFigures | None, side: PlanSide) -> bool:
    """Whether a gateway would refuse some of the class at a ceiling, which the replay serves."""
    return refused_share(each, side) >= REFUSED_FROM


def refused_share(each: ClassFigures | None, side: PlanSide) -> float:
    """Share of the time, 0 to 1, in which a ceiling is reached and the class has no own lane to stay on."""
    item = None if each is None else side.classes.get(each.key)
    return 0.0 if each is None or item is None or side.own_lanes(item) else each.ceiling_share


def of_time(share: float) -> str:
    """Such as "16% of the time"."""
    return f"{rough(share)} of the time"


def over(plan: PlanPair, effect: Effect, limits: Limits) -> Iterator[Finding]:
    """What is over a ceiling or near one, on average; and ceilings that are reached more often than on base."""
    for ceiling, spent, per in _terms(plan, effect.head):
        text = f"hosted lanes would take {usd(float(spent))} {per} of the ceiling of {usd(float(ceiling))}"
        if spent > ceiling:
            yield limits.ceilings.exceeded.verdict, f"{text}: traffic beyond it finds no hosted lane"
        elif spent and spent >= ceiling * limits.ceilings.near_percent / 100:
            yield limits.ceilings.near.verdict, f"{text}: more than {limits.ceilings.near_percent:f}%"
    for each in effect.head.classes:
        before = effect.base.of(each.key)
        share = each.ceiling_share
        if share >= MORE_OFTEN + (0.0 if before is None else before.ceiling_share):
            was = "" if before is None else f" instead of {rough(before.ceiling_share)}"
            yield limits.ceilings.near.verdict, f"{_at_ceiling(each.key, plan)} {of_time(share)}{was}"


def within(plan: PlanPair, effect: Effect) -> str:
    """The sentence where nothing was found: by how much ceilings are kept, and how often they are reached."""
    terms = ", ".join(
        f"{usd(float(spent))} of {usd(float(most))} {per}" for most, spent, per in _terms(plan, effect.head)
    )
    reached = _reached(plan, effect)
    if not terms:
        hosted = f"the plan has none; hosted lanes would take {usd(effect.head.hosted_usd_per_month)} a month"
        return f"{hosted}; a ceiling is {reached}" if reached else hosted
    return f"{reached}; {terms}" if reached else f"kept: {terms}"


def _reached(plan: PlanPair, effect: Effect) -> str:
    """How often a ceiling keeps the class that meets it most from hosted lanes; empty where that is hardly ever."""
    most = max(effect.head.classes, key=lambda each: each.ceiling_share, default=None)
    if most is None or most.ceiling_share < LEAST_SHARE:
        return ""
    before = effect.base.of(most.key)
    was = 0.0 if before is None else before.ceiling_share
    now = f"reached {of_time(most.ceiling_share)} (class {short_class(most.key, plan)})"
    if before is None:
        return now
    if rough(was) == rough(most.ceiling_share):
        return f"{now}, as on base"
    return f"{now} instead of {rough(was)} on base"


def _at_ceiling(key: str, plan: PlanPair) -> str:
    item, name = plan.head.classes.get(key), short_class(key, plan)
    if item is not None and plan.head.own_lanes(item):
        return f"a ceiling keeps some of {name} on own GPUs"
    return f"what {name} asks for is over a ceiling, which the gateway would refuse,"


def _terms(plan: PlanPair, head: SideFigures) -> Iterator[tuple[Decimal, Decimal, str]]:
    """Ceiling, hosted dollars, and of what time."""
    if plan.head.plan is None:
        return
    given = plan.head.plan.spec.overflow.ceiling_usd
    month = exact(head.hosted_usd_per_month)
    hours = Decimal(str(HOURS_PER_MONTH))
    if given.per_month is not None:
        yield given.per_month, month, "a month"
    if given.per_day is not None:
        yield given.per_day, month / hours * HOURS_PER_DAY, "a day on average"
    if given.per_hour is not None:
        yield given.per_hour, month / hours, "an hour on average"
