"""What policies say of a change: pass, warn or fail, each with a sentence with figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from spillway.advise.review.ceilings import IF_SERVED, LEAST_SHARE, of_time, over, refused, within
from spillway.advise.review.consequences import short_class
from spillway.advise.review.effect import ClassFigures, Confidence, Effect, SideFigures
from spillway.advise.review.limits import CostLimits, Finding, Limits, Verdict
from spillway.advise.review.members import data, fallback
from spillway.advise.review.objects import PlanPair
from spillway.advise.review.references import references
from spillway.advise.review.values import price
from spillway.advise.review.words import attained, count, exact, interval, signed_percent, signed_usd, unsure, usd
from spillway.api import WorkloadClass

WORST = (Verdict.FAIL, Verdict.WARN, Verdict.PASS, Verdict.SKIP)
MANY_PERCENT = 400
"""A rise from which on its percentage says nothing."""
NOT_ESTIMATED = "not checked: cost and SLO were not estimated"


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """What one policy says of one plan."""

    policy: str
    """Its place in the policy file, such as "monthlyCost.increase"."""
    title: str
    verdict: Verdict
    text: str
    quiet: bool = False
    """Not worth a row where it passes."""


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of them; pass where there is none, or none could be checked."""
    found = [verdict for verdict in verdicts if verdict is not Verdict.SKIP]
    return min(found, key=WORST.index, default=Verdict.PASS)


def check(plan: PlanPair, effect: Effect | None, limits: Limits, *, asked: bool = False) -> tuple[PolicyResult, ...]:
    """All policies on one plan. Without an effect those that rest on the replay are skipped.

    ``asked``: whether there was traffic to replay.
    """
    return (
        _result("dataPolicy", "Data policy", data(plan, limits), "no class's prompts go where they did not go before"),
        _fallback(plan, limits),
        _quiet("references", "References", references(plan, limits), "whatever is named is there"),
        _quiet("notEstimated", "Estimate", _not_estimated(plan, effect, limits, asked), "none is missing"),
        *(_estimated(plan, effect, limits) if effect is not None else _skipped()),
    )


def _quiet(policy: str, title: str, findings: Iterable[Finding], fine: str) -> PolicyResult:
    return replace(_result(policy, title, findings, fine), quiet=True)


def _fallback(plan: PlanPair, limits: Limits) -> PolicyResult:
    found = _result("fallback", "Fallback lanes", fallback(plan, limits), "no class loses its last lane")
    if found.verdict is Verdict.PASS and plan.key and not plan.known:
        return replace(found, verdict=Verdict.SKIP, text="not checked: the plan is not in the manifests")
    return found


def _not_estimated(plan: PlanPair, effect: Effect | None, limits: Limits, asked: bool) -> Iterator[Finding]:
    """Of lanes that no plan names there is nothing to estimate."""
    if effect is not None or not plan.key or not (asked or limits.limits_dollars):
        return
    why = "traffic was given" if asked else "the policy file limits the monthly cost"
    text = f"{why}, but this change has no estimate: cost, budgets, ceilings and SLO are not checked"
    yield limits.not_estimated.verdict, text


def _estimated(plan: PlanPair, effect: Effect, limits: Limits) -> Iterator[PolicyResult]:
    up, down = limits.monthly_cost.increase, limits.monthly_cost.decrease
    for name, given, sign in (("increase", up, 1), ("decrease", down, -1)):
        fine = _cost_fine(effect, given, sign, name)
        yield _result(f"monthlyCost.{name}", f"Cost {name}", _cost(effect, limits, given, sign), fine)
    yield _slo(plan, effect, limits)
    yield _result("budgets", "Class budgets", _budgets(plan, effect, limits), _budgets_fine(plan, effect))
    yield _result("ceilings", "Hosted ceilings", over(plan, effect, limits), within(plan, effect))
    low = effect.confidence is Confidence.LOW
    why = f": {effect.doubts[0].removesuffix('.')}" if effect.doubts else ""
    found = [(limits.confidence.low.verdict, f"low{why}")] if low else []
    yield _result("confidence", "Confidence", found, f"{effect.confidence.value}{why}")


def _slo(plan: PlanPair, effect: Effect, limits: Limits) -> PolicyResult:
    if not effect.head.classes:
        return PolicyResult("slo", "SLO", Verdict.SKIP, "not checked: no class is left on head")
    held = ", ".join(_attainment(each, plan) for each in effect.head.classes)
    return _result("slo", "SLO", [*_missed(plan, effect, limits), *_misses(plan, effect, limits)], f"held: {held}")


def _skipped() -> Iterator[PolicyResult]:
    titles = {
        "monthlyCost.increase": "Cost increase",
        "monthlyCost.decrease": "Cost decrease",
        "slo": "SLO",
        "budgets": "Class budgets",
        "ceilings": "Hosted ceilings",
        "confidence": "Confidence",
    }
    for policy, title in titles.items():
        yield PolicyResult(policy, title, Verdict.SKIP, NOT_ESTIMATED)


def _result(policy: str, title: str, findings: Iterable[Finding], fine: str) -> PolicyResult:
    found = sorted(findings, key=lambda each: WORST.index(each[0]))
    if not found:
        return PolicyResult(policy, title, Verdict.PASS, fine)
    return PolicyResult(policy, title, found[0][0], "; ".join(text for _, text in found))


def _difference(effect: Effect) -> str:
    if effect.new:
        return f"new plan: {usd(effect.difference.value)} a month"
    percent = signed_percent(effect.percent)
    return f"{signed_usd(effect.difference.value)} a month{f' ({percent})' if percent else ''}"


def _cost(effect: Effect, limits: Limits, given: CostLimits, sign: int) -> list[Finding]:
    """Fail limits before warn limits; dollars before percent."""
    amount = exact(effect.difference.value) * sign
    if amount <= 0:
        return []
    percent = None if effect.percent is None else abs(Decimal(str(effect.percent)))
    counts = percent is not None and amount >= limits.monthly_cost.ignore_percent_below_usd
    for verdict, dollars, share in (
        (Verdict.FAIL, given.fail_usd, given.fail_percent),
        (Verdict.WARN, given.warn_usd, given.warn_percent),
    ):
        over = [f"{price(dollars)} a month"] if dollars is not None and amount > dollars else []
        if counts and percent is not None and share is not None and percent > share:
            over.append(f"{share:f}%")
        if over:
            return [(verdict, f"{_difference(effect)} is more than {' and '.join(over)}{_surely(effect, sign)}")]
    return []


def _cost_fine(effect: Effect, given: CostLimits, sign: int, name: str) -> str:
    if exact(effect.difference.value) * sign <= 0:
        return f"no {name}"
    dollars, share = given.warn_usd or given.fail_usd, given.warn_percent or given.fail_percent
    limits = [f"{price(dollars)} a month"] if dollars is not None else []
    limits += [f"{share:f}%"] if share is not None and not effect.new else []
    return (
        f"{_difference(effect)}; the limit is {' or '.join(limits)}" if limits else f"{_difference(effect)}; no limit"
    )


def _surely(effect: Effect, sign: int) -> str:
    if unsure(effect.difference):
        return f"; it may as well be none (95% interval {interval(effect.difference)})"
    return "; is that meant?" if sign < 0 else ""


def _attainment(each: ClassFigures, plan: PlanPair) -> str:
    if not each.requests_per_month:
        return f"{short_class(each.key, plan)} – (no requests)"
    less = f", {IF_SERVED}" if refused(each, plan.head) else ""
    return f"{short_class(each.key, plan)} {attained(each.attainment_percent)} (goal {_objective(each)}{less})"


def _objective(each: ClassFigures) -> str:
    return attained(each.objective_percent)


def _missed(plan: PlanPair, effect: Effect, limits: Limits) -> Iterator[Finding]:
    for each in effect.head.classes:
        if each.held:
            continue
        base = effect.base.of(each.key)
        name = short_class(each.key, plan)
        missed = f"{name} misses its objective: {attained(each.attainment_percent)}, goal {_objective(each)}"
        if base is None or base.held:
            was = "" if base is None else f", held on base with {attained(base.attainment_percent)}"
            yield limits.slo.missed.verdict, missed + was + _held_back(each, plan, effect.head)
        else:
            text = f"{missed}, on base too ({attained(base.attainment_percent)})"
            yield limits.slo.missed_as_before.verdict, text


def _held_back(each: ClassFigures, plan: PlanPair, side: SideFigures) -> str:
    """What stood in the way of a class that misses its objective: its own lanes' most replicas, a spending ceiling."""
    item = plan.head.classes.get(each.key)
    own = [] if item is None else [lane.metadata.name for lane in plan.head.own_lanes(item)]
    found = [
        f"lane {lane.name} has its most replicas and needs more {of_time(lane.at_most_share)}: look at "
        f"raising replicas.max of {lane.name}, or at its GPU pool"
        for lane in side.lanes
        if lane.name in own and lane.at_most_share >= LEAST_SHARE
    ]
    if each.ceiling_share >= LEAST_SHARE:
        effect = "keeps some of it on own GPUs" if own else "would have some of it refused"
        found.append(f"the ceiling of hosted spending {effect} {of_time(each.ceiling_share)}")
    return f" ({'; '.join(found)})" if found else ""


def _misses(plan: PlanPair, effect: Effect, limits: Limits) -> Iterator[Finding]:
    for each in effect.head.classes:
        base = effect.base.of(each.key)
        if base is None or each.misses_per_month <= base.misses_per_month:
            continue
        more = each.misses_per_month - base.misses_per_month
        if more * 100 < float(limits.slo.ignore_misses_below_percent) * each.requests_per_month:
            continue
        percent = None if not base.misses_per_month else 100 * more / base.misses_per_month
        text = _missed_more(short_class(each.key, plan), base, each, percent)
        for verdict, limit in (
            (Verdict.FAIL, limits.slo.fail_more_misses_percent),
            (Verdict.WARN, limits.slo.warn_more_misses_percent),
        ):
            if limit is not None and (percent is None or percent > float(limit)):
                yield verdict, f"{text}; the limit is {limit:f}% more"
                break


def _missed_more(name: str, base: ClassFigures, head: ClassFigures, percent: float | None) -> str:
    """A rise from next to nothing is told as a share of the requests, not as a rise in percent."""
    rise = f" ({signed_percent(percent)})" if percent is not None and percent < MANY_PERCENT else ""
    share = 100 * head.misses_per_month / head.requests_per_month
    return (
        f"{name} misses {count(head.misses_per_month)} requests a month, {share:.2g}% of them, instead of "
        f"{count(base.misses_per_month)}{rise}"
    )


def _budgets(plan: PlanPair, effect: Effect, limits: Limits) -> Iterator[Finding]:
    for each in effect.head.classes:
        item = plan.head.classes.get(each.key)
        budget = None if item is None else _budget(item, effect)
        if item is None or item.spec.budget is None or budget is None:
            continue
        amount, name = exact(each.usd_per_month), short_class(each.key, plan)
        text = f"{name} would cost {usd(each.usd_per_month)} a month of its budget of {usd(float(budget))}"
        before = effect.base.of(each.key)
        if amount > budget:
            base_item = plan.base.classes.get(each.key)
            old = None if base_item is None else _budget(base_item, effect)
            was_over = before is not None and old is not None and exact(before.usd_per_month) > old
            if was_over and before is not None and amount <= exact(before.usd_per_month):
                yield limits.budgets.at_alert.verdict, f"{text}, as on base ({usd(before.usd_per_month)})"
            else:
                yield limits.budgets.exceeded.verdict, text
        elif amount >= budget * item.spec.budget.alert_percent / 100:
            yield limits.budgets.at_alert.verdict, f"{text}: past {item.spec.budget.alert_percent}%, where it warns"


def _budget(item: WorkloadClass, effect: Effect) -> Decimal | None:
    """In US dollars a month; a buffer on the measured month is one on base's estimate."""
    given = item.spec.budget
    if given is None or given.monthly_usd is not None:
        return None if given is None else given.monthly_usd
    before = effect.base.of(item.metadata.key)
    if before is None or given.measured_plus_percent is None:
        return None
    return exact(before.usd_per_month) * (100 + given.measured_plus_percent) / 100


def _budgets_fine(plan: PlanPair, effect: Effect) -> str:
    kept = [
        f"{short_class(each.key, plan)} {usd(each.usd_per_month)} of {usd(float(budget))}"
        for each in effect.head.classes
        if (item := plan.head.classes.get(each.key)) is not None and (budget := _budget(item, effect)) is not None
    ]
    return f"kept: {', '.join(kept)}" if kept else "no class has one"
