"""The first sentence of a review: its dollars and its objectives."""

from __future__ import annotations

from spillway.advise.review.ceilings import IF_SERVED, refused
from spillway.advise.review.consequences import class_names, short_class
from spillway.advise.review.effect import Effect
from spillway.advise.review.review import PlanReview
from spillway.advise.review.values import counted, joined
from spillway.advise.review.words import attained, exact, signed_percent, unsure, usd
from spillway.report.diff.words import title

STEADY_PERCENT = 1.0
"""A difference below this that the interval can't tell from none is called none."""


def headline(plan: PlanReview) -> str:
    """One sentence with what matters most."""
    if plan.effect is None:
        return f"{counted(len(plan.changes), 'change')} to {title(plan)}; cost and SLO not estimated"
    slo, dropped = _slo_words(plan.effect, plan), _dropped(plan.effect, plan)
    if dropped:
        slo = slo.replace("all classes", "all other classes")
    return f"{_cost_words(plan.effect)}; {slo}{dropped}"


def _cost_words(effect: Effect) -> str:
    base, head = effect.base.usd_per_month.value, effect.head.usd_per_month.value
    if effect.new:
        return f"New plan: {usd(head)} a month"
    sides, percent = f"{usd(base)} -> {usd(head)}", signed_percent(effect.percent)
    if not exact(effect.difference.value):
        return f"Monthly estimate stays at {usd(head)}"
    small = effect.percent is not None and abs(effect.percent) < STEADY_PERCENT
    if unsure(effect.difference) and small:
        return f"Monthly estimate stays about the same: {sides}"
    way = "increases" if effect.difference.value > 0 else "decreases"
    share = f" ({percent})" if percent else ""
    return f"Monthly estimate {way} by {usd(abs(effect.difference.value))}{share}: {sides}"


def _slo_words(effect: Effect, plan: PlanReview) -> str:
    missed = [each for each in effect.head.classes if not each.held]
    if not effect.head.classes:
        return "no class is served"
    if not missed:
        return _held_words(effect, plan)
    texts = []
    for each in missed:
        before = effect.base.of(each.key)
        again = "" if before is None or before.held else ", as before"
        share = f"{attained(each.attainment_percent)}, goal {attained(each.objective_percent)}"
        texts.append(f"{short_class(each.key, plan.pair)} ({share}{again})")
    return f"SLO missed by {joined(texts)}"


def _held_words(effect: Effect, plan: PlanReview) -> str:
    """Classes without requests hold nothing; those over a ceiling only in a replay, which refuses nothing."""
    served = [each for each in effect.head.classes if each.requests_per_month]
    if not served:
        return "no class has requests"
    everyone = len(served) == len(effect.head.classes)
    held = "SLO held by all classes" if len(effect.head.classes) > 1 else "SLO held"
    held += "" if everyone else " with requests"
    doubtful = [short_class(each.key, plan.pair) for each in served if refused(each, plan.pair.head)]
    if not doubtful:
        return held
    return f"{held}, {f'{joined(doubtful)} only ' if len(served) > 1 else ''}{IF_SERVED} at the ceiling"


def _dropped(effect: Effect, plan: PlanReview) -> str:
    """Where a saving is no saving: the traffic of classes that only base has isn't replayed any more."""
    gone = [each.key for each in effect.base.classes if effect.head.of(each.key) is None]
    return f"; traffic of {class_names(gone, plan.pair)} is no longer in the figures" if gone else ""
