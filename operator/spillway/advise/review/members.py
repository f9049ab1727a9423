"""What the manifests alone tell of classes: where they lose a lane, or themselves go, and who gets their prompts."""

from __future__ import annotations

from collections.abc import Iterator

from spillway.advise.review.consequences import new_providers, providers, short_class
from spillway.advise.review.limits import Finding, Limits
from spillway.advise.review.objects import PlanPair
from spillway.advise.review.takeover import successor, taken_over
from spillway.advise.review.values import joined
from spillway.api import DataPolicy


def fallback(plan: PlanPair, limits: Limits) -> Iterator[Finding]:
    """Only what the manifests tell: prices, routes and health of lanes are the cluster's."""
    yield from _left(plan, limits)
    if not plan.known:
        return
    for key, item in plan.head.classes.items():
        before, name = plan.before(key), short_class(key, plan)
        had_hosted = before is not None and before[0].fallbacks(before[1])
        had_lane = before is not None and (before[0].own_lanes(before[1]) or had_hosted)
        if not plan.head.own_lanes(item) and not plan.head.fallbacks(item):
            if had_lane or before is None:
                lost = "loses its last lane" if before is not None else "has no lane"
                why = f"plan {plan.key} is removed" if plan.head.plan is None else "no lane of the plan may serve it"
                yield limits.fallback.last_lane.verdict, f"{name} {lost}: {why}"
        elif before is not None and had_hosted and not plan.head.fallbacks(item):
            lost = joined(lane.metadata.name for lane in before[0].fallbacks(before[1]))
            why = ", by its data policy" if item.spec.data_policy is DataPolicy.SELF_HOSTED_ONLY else ""
            text = f"{name} loses its last hosted lane ({lost}){why}: when own GPUs are full or starting, it waits"
            yield limits.fallback.last_hosted_lane.verdict, text


def _left(plan: PlanPair, limits: Limits) -> Iterator[Finding]:
    """Classes that go: by themselves, or to a plan that isn't there. Those that another plan gets are told of there."""
    for key, item in plan.left.items():
        name = short_class(key, plan)
        if item is None:
            heir = successor(key, plan)
            where = "its traffic, if it still comes, is planned for by nobody"
            where = where if heir is None else f"class {short_class(heir[0], plan)} has its {heir[1]} now"
            yield limits.fallback.class_removed.verdict, f"class {name} is removed: {where}"
        elif plan.base.plan is not None and plan.head_plans[item.plan_key].plan is None:
            text = f"{name} loses its last lane: it names plan {item.plan_key} (spec.planRef), which is not on head"
            yield limits.fallback.last_lane.verdict, text


def data(plan: PlanPair, limits: Limits) -> Iterator[Finding]:
    """Prompts that may go where they did not go, and those of classes that come."""
    more = new_providers(plan)
    for key, item in plan.head.classes.items():
        if item.spec.data_policy is not DataPolicy.ANY:
            continue
        before, name = plan.before(key), short_class(key, plan)
        reached = providers(plan.head, item).values()
        where = f"may now go to {joined(reached)}" if reached else "may now leave own GPUs"
        taken = taken_over(key, plan)
        if before is not None and before[1].spec.data_policy is DataPolicy.SELF_HOSTED_ONLY:
            yield limits.data_policy.loosened.verdict, f"prompts of {name} {where}"
        elif taken is not None:
            old, what = short_class(taken[0], plan), taken[1]
            text = f"prompts of {name}, which has the {what} that {old} (SelfHostedOnly) had on base, {where}"
            yield limits.data_policy.loosened.verdict, text
        elif key in more:
            text = f"prompts of {name} may now go to {joined(more[key].values())}"
            yield limits.data_policy.new_provider.verdict, text
        elif before is None and reached:
            yield limits.data_policy.new_class.verdict, f"prompts of the new class {name} may go to {joined(reached)}"
