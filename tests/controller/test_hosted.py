"""What hosted lanes took since the last tick: once, whose it was, and for the reason that was in force."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from report.builders import decision, plan, route, snapshot
from spillway.config import OperatorConfig
from spillway.controller.hosted import SATURATED, HostedMeter, reason_of
from spillway.decide.decision import ClassDecision, Decision, Reason
from spillway.decide.snapshot import ClassSnapshot, PlanSnapshot, TokenPrice
from spillway.observe.ledger import Counted
from spillway.observe.scope import ClusterView, LaneScope
from spillway.observe.spend import SpendSeries
from spillway.observe.spenders import counted
from spillway.report.hosted import HostedCounters
from support import observed

NOW = 1_800_000_000.0
PRICE = TokenPrice(Decimal("2"), Decimal("0.5"), Decimal("8"), "contract")
CHAT, AGENTS = "inference/chat", "inference/agents"


def config() -> OperatorConfig:
    return observed.config("http://nowhere")


def cluster(*classes: str) -> ClusterView:
    """One plan with a hosted lane, and classes that a LiteLLM egress tells apart by team."""
    lane = LaneScope(observed.hosted_lane("inference"))
    items = [observed.workload("inference", name, match={"team": name}) for name in classes or ("chat", "agents")]
    return observed.cluster(NOW, observed.plan_scope("inference", [lane], items))


def series(output: float, team: str = "chat", instance: str = "a") -> SpendSeries:
    labels = {"instance": instance, "job": "litellm", "model": "gpt-5-nano", "team": "id", "team_alias": team}
    return SpendSeries(labels, {"input_tokens": 0.0, "cached_tokens": 0.0, "output_tokens": output})


def told(view: ClusterView, *found: SpendSeries) -> tuple[Counted, ...]:
    return counted(view, found, config(), lambda lane: PRICE)


def why(code: str, key: str = CHAT) -> tuple[PlanSnapshot, Decision]:
    """A plan in Apply whose binding of the class was decided for this reason."""
    return bound(code, key, "Split")


def bound(code: str, key: str, mode: str, apply: str = "Apply", **more: Any) -> tuple[PlanSnapshot, Decision]:
    name = key.partition("/")[2]
    item = observed.workload("inference", name)
    spec = plan(mode=apply, overflow={"mode": mode}, routing={"plane": "GatewayAPI"})
    made = decision(
        classes=(ClassDecision(key, 1.0, 1.0, reason=Reason(code, "why")),),
        routes=(replace(route({}, {}), class_name=name),),
    )
    return snapshot(plan=spec, classes=(ClassSnapshot(item, None),)), replace(made, **more)


class Watch:
    """The meter, and what it has counted."""

    def __init__(self) -> None:
        self.counters = HostedCounters()
        self.meter = HostedMeter(self.counters)

    def tick(self, view: ClusterView, *found: SpendSeries, at: float = NOW) -> None:
        self.meter.enter(told(view, *found), view, at)

    def usd(self) -> dict[tuple[str, ...], float]:
        """By class, team and reason."""
        _, usd = self.counters.collect()
        return {
            (sample.labels["class"], sample.labels["team"], sample.labels["reason"]): sample.value
            for sample in usd.samples
        }


def test_growth_is_counted_once_by_class_team_and_the_reason_in_force() -> None:
    watch, view = Watch(), cluster()
    watch.tick(view, series(9e9))
    assert watch.usd() == {}, "what was counted before is nobody's"
    watch.meter.decided(*why("Spilling"))
    watch.tick(view, series(9e9 + 1_000_000), series(2_000_000, "agents"))
    watch.meter.decided(*why("HostedOnly"))
    watch.tick(view, series(9e9 + 1_500_000), series(2_000_000, "agents"))
    assert watch.usd() == {
        (CHAT, "chat", "Spilling"): 8.0,
        (AGENTS, "agents", ""): 16.0,
        (CHAT, "chat", "HostedOnly"): 4.0,
    }


def test_a_process_that_begins_anew_counts_from_zero() -> None:
    watch, view = Watch(), cluster()
    watch.tick(view, series(5_000_000))
    watch.tick(view, series(1_000_000))
    watch.tick(view, series(1_000_000), series(1_000_000, instance="b"))
    watch.tick(view, at=NOW + 600)
    watch.tick(view, series(2_000_000), at=NOW + 1200)
    assert watch.usd() == {(CHAT, "chat", ""): 24.0}


def test_a_lane_that_comes_into_a_plan_begins_with_it() -> None:
    watch = Watch()
    watch.tick(observed.cluster(NOW))
    watch.tick(cluster(), series(9e9))
    watch.tick(cluster(), series(9e9 + 1_000_000))
    assert watch.usd() == {(CHAT, "chat", ""): 8.0}


def test_what_cant_be_told_apart_is_nobodys_by_name() -> None:
    watch, view = Watch(), cluster()
    watch.tick(view)
    watch.meter.decided(*why("Spilling"))
    watch.tick(view, series(1_000_000, "None"))
    watch.meter.decided(*why("Spilling", AGENTS))
    watch.tick(view, series(2_000_000, "None"))
    # With one reason for all that it may be, the reason is known.
    assert watch.usd() == {("", "id", ""): 8.0, ("", "id", "Spilling"): 8.0}


@pytest.mark.parametrize(
    ("mode", "code", "apply", "more", "said"),
    [
        ("Split", "Spilling", "Apply", {}, "Spilling"),
        ("Split", "OwnOnly", "Apply", {}, "OwnOnly"),
        ("Spill", "OwnOnly", "Apply", {}, SATURATED),
        ("Spill", "HostedOnly", "Apply", {}, "HostedOnly"),
        ("Split", "Spilling", "Apply", {"held": Reason("HoldBlind", "blind")}, "HoldBlind"),
        # Where Spillway writes no weights nobody knows why.
        ("Split", "Spilling", "Recommend", {}, ""),
        ("Split", "Spilling", "Apply", {"routes": ()}, ""),
    ],
)
def test_reasons(mode: str, code: str, apply: str, more: dict[str, Any], said: str) -> None:
    assert reason_of(*bound(code, CHAT, mode, apply, **more), CHAT) == said


def test_a_plan_that_is_gone_is_forgotten() -> None:
    watch, view = Watch(), cluster()
    watch.tick(view, series(0.0))
    watch.tick(view, series(1_000_000))
    watch.meter.keep([])
    assert watch.usd() == {}
