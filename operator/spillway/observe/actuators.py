"""What a plan's routing plane can do beside scaling, as far as it is seen to be able to."""

from __future__ import annotations

from spillway.api import OverflowMode
from spillway.decide.snapshot import Actuators
from spillway.observe.litellm import is_front
from spillway.observe.scope import PlanScope
from spillway.observe.spill import POLICY_MISSING, QUEUE_UNKNOWN, QUEUE_UNLIMITED, UNPROVEN, spills

UNARMED = frozenset({POLICY_MISSING, QUEUE_UNKNOWN, QUEUE_UNLIMITED, UNPROVEN})


def actuators(scope: PlanScope) -> Actuators:
    """Of the plan. A gateway of which it isn't certain that it spills is not counted on."""
    plan, proxy = scope.plan, scope.proxy
    if spills(plan):
        return Actuators(spill=not any(finding.reason in UNARMED for finding in scope.findings))
    caps = is_front(plan) and plan.spec.overflow.mode is OverflowMode.SPILL
    return Actuators(in_flight_cap=caps and proxy is not None and proxy.problem is None)
