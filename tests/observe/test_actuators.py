"""What a plan's gateway is counted on to do: no more than is seen."""

from __future__ import annotations

import pytest

from decide.builders import plan
from spillway.decide.snapshot import Actuators, Finding, Severity
from spillway.observe.actuators import actuators
from spillway.observe.scope import PlanScope, ProxyScope

GATEWAY = {"plane": "GatewayAPI"}


def scope(mode: str, routing: dict[str, object], *reasons: str, proxy: ProxyScope | None = None) -> PlanScope:
    findings = tuple(Finding(Severity.WARNING, reason, "text", "CapacityLane/ai/gpu") for reason in reasons)
    made = plan(overflow={"mode": mode}, routing=routing)
    return PlanScope(plan=made, classes=(), lanes=(), routes=(), findings=findings, proxy=proxy)


def test_a_gateway_that_splits_has_weights() -> None:
    assert actuators(scope("Split", GATEWAY)) == Actuators()
    assert actuators(scope("Never", GATEWAY)) == Actuators()


def test_a_gateway_that_spills_is_counted_on_where_nothing_speaks_against_it() -> None:
    assert actuators(scope("Spill", GATEWAY)) == Actuators(spill=True)
    assert actuators(scope("Spill", GATEWAY, "PriceUnknown")) == Actuators(spill=True)


@pytest.mark.parametrize("reason", ["QueueUnlimited", "QueueLimitUnknown", "SpillPolicyMissing", "SpillUnproven"])
def test_a_gateway_that_may_not_spill_is_not_counted_on(reason: str) -> None:
    assert actuators(scope("Spill", GATEWAY, reason)) == Actuators(spill=False)
