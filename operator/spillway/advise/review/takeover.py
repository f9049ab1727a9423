"""Whether a class of head gets the traffic that another class had on base, as a renamed class does."""

from __future__ import annotations

from spillway.advise.review.objects import PlanPair, PlanSide
from spillway.api import Binding, DataPolicy, WorkloadClass

Home = tuple[PlanSide, WorkloadClass]


def taken_over(key: str, plan: PlanPair) -> tuple[str, str] | None:
    """A class whose prompts stayed on own GPUs on base, and what of it the class of head has now; None: no such.

    The match or the route has to have been another's before and has to be nobody else's now; backends tell something of
    a class that comes where another goes.
    """
    for home in plan.base_plans.values():
        for old, was in home.classes.items():
            strict = was.spec.data_policy is DataPolicy.SELF_HOSTED_ONLY
            if strict and (what := _taken(key, old, plan)):
                return old, what
    return None


def successor(old: str, plan: PlanPair) -> tuple[str, str] | None:
    """The class of the plan's head that has the traffic of a class of base now, and what of it; None: no such."""
    return next(((key, what) for key in plan.head.classes if (what := _taken(key, old, plan))), None)


def _taken(key: str, old: str, plan: PlanPair) -> str:
    was, after, item = plan.before(old), plan.after(old), plan.head.classes[key]
    if key == old or was is None:
        return ""
    if after is not None and after[0].plan is None and was[0].plan is not None:
        after = None  # Whose plan is gone, or mistyped, is as good as gone itself.
    return _shared(was, (plan.head, item), plan.before(key), after)


def _shared(was: Home, now: Home, before: Home | None, after: Home | None) -> str:
    """``was``: the other class on base; ``after``: on head. ``now``: the class on head; ``before``: on base."""
    match = was[1].spec.match
    if now[1].spec.match == match and not any(each and each[1].spec.match == match for each in (before, after)):
        return "match"
    route = _route(was)
    if route and _route(now) == route and not any(each and _route(each) == route for each in (before, after)):
        return "httpRoute"
    backends = _backends(was)
    if before is None and after is None and backends and backends.items() <= _backends(now).items():
        return "backends"
    return ""


def _binding(home: Home) -> Binding | None:
    side, item = home
    if side.plan is None or not side.plan.spec.routing.plane.has_routes:
        return None
    return next((each for each in side.plan.spec.routing.bindings if each.class_ == item.metadata.name), None)


def _route(home: Home) -> tuple[str, str, str | None] | None:
    binding, plan = _binding(home), home[0].plan
    return None if binding is None or plan is None else (plan.metadata.namespace, binding.http_route, binding.rule)


def _backends(home: Home) -> dict[str, str]:
    binding = _binding(home)
    return {} if binding is None else dict(binding.backends)
