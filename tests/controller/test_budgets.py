"""Budgets of a tick: rates of own GPUs go in, positions come out; what nothing counts is not known."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from report.builders import decision, plan
from spillway.advise.positions import BudgetPosition, BudgetReason
from spillway.api import WorkloadClass
from spillway.config import OperatorConfig
from spillway.controller.budgets import budgeted, own_rates, positions, positions_or_unknown, team_caps
from spillway.controller.ledger import LedgerKeeper
from spillway.decide.decision import ClassDecision, Decision
from spillway.decide.snapshot import (
    ClassSnapshot,
    LaneSnapshot,
    MetricsHealth,
    MetricsReason,
    PlanSnapshot,
    TokenPrice,
)
from spillway.kube import Kube
from spillway.observe.accounts import OwnRate
from spillway.observe.ledger import Counted
from spillway_dev.cluster import Cluster
from support import observed

NOW = 1_800_000_000.0
PRICE = TokenPrice(Decimal(1), Decimal(1), Decimal(1), "contract")
HEALTH = MetricsHealth(MetricsReason.FOUND, "12 series", NOW)
CHAT, PRIVATE = "inference/chat", "inference/private"


@pytest.fixture
async def kube(cluster: Cluster) -> AsyncIterator[Kube]:
    async with await Kube.connect(str(cluster.kubeconfig)) as connected:
        yield connected


@pytest.fixture
def ledger(kube: Kube, namespace: str) -> LedgerKeeper:
    config = {"prometheus": {"url": "http://p"}, "operatorNamespace": namespace}
    return LedgerKeeper(kube, OperatorConfig.model_validate(config))


def chat(**spec: Any) -> WorkloadClass:
    return observed.workload("inference", "chat", budget={"monthlyUsd": "100"}, **spec)


def private() -> WorkloadClass:
    return observed.workload("inference", "private", dataPolicy="SelfHostedOnly", budget={"monthlyUsd": "10"})


def seen(at: float, *items: WorkloadClass) -> PlanSnapshot:
    """A plan with an own and a hosted lane."""
    lanes = (LaneSnapshot(observed.own_lane("inference")), LaneSnapshot(observed.hosted_lane("inference")))
    classes = tuple(ClassSnapshot(item, None) for item in items)
    return PlanSnapshot(at, plan(lanes=["gpu", "hosted"]), classes, lanes, (), HEALTH)


def decided(**own_usd_per_hour: float | None) -> Decision:
    classes = tuple(
        ClassDecision(f"inference/{name}", 1.0, 1.0, usd_per_hour=9.0, own_usd_per_hour=usd)
        for name, usd in own_usd_per_hour.items()
    )
    return replace(decision(), classes=classes)


def tokens(million: float) -> Counted:
    return Counted("a", "inference/hosted", (), {"input_tokens": million * 1e6}, PRICE, classes=(CHAT,), team="growth")


def dollars(found: BudgetPosition | None) -> list[Decimal]:
    """Hosted and own."""
    assert found is not None
    return [part.value for part in found.spent.inputs]


async def test_own_and_hosted_dollars_of_a_tick(ledger: LedgerKeeper) -> None:
    items = (chat(), private(), observed.workload("inference", "free"))
    await ledger.enter([tokens(5)], ["inference"], NOW)
    positions(seen(NOW, *items), decided(chat=3.6, private=36.0), ledger, {})
    await ledger.enter([tokens(45)], ["inference"], NOW + 15)
    found = positions(seen(NOW + 15, *items), decided(chat=3.6, private=None), ledger, {})
    assert found.keys() == {CHAT, PRIVATE}, "of classes with budgets"
    assert dollars(found[CHAT]) == [40, Decimal("0.015")]
    assert dollars(found[PRIVATE]) == [0, 0]
    await ledger.enter([tokens(120)], ["inference"], NOW + 30)
    found = positions(seen(NOW + 30, *items), decided(chat=0.0, private=36.0), ledger, {})
    assert dollars(found[CHAT]) == [115, Decimal("0.015")]
    assert dollars(found[PRIVATE]) == [0, Decimal("0.3")], "the gap is counted when it is known again, once"
    position = found[CHAT]
    assert position is not None
    assert position.standing.reason is BudgetReason.EXCEEDED


async def test_before_the_ledger_is_read_nothing_is_known(ledger: LedgerKeeper) -> None:
    assert positions(seen(NOW, chat()), decided(chat=1.0), ledger, {}) == {CHAT: None}


async def test_a_budget_that_can_not_be_told_stops_nothing(
    ledger: LedgerKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    items = (chat(), observed.workload("inference", "free"))
    await ledger.enter([tokens(5)], ["inference"], NOW)
    positions(seen(NOW, *items), decided(chat=3.6), ledger, {})
    broken = decided(chat=float("nan"))
    with pytest.raises(ValueError, match="NaN"):
        positions(seen(NOW + 15, *items), broken, ledger, {})
    assert positions_or_unknown(seen(NOW + 15, *items), broken, ledger, {}) == {CHAT: None}
    assert "inference/main: where its budgets stand could not be told" in caplog.text


async def test_without_an_egress_only_what_stays_on_own_gpus_is_known(ledger: LedgerKeeper) -> None:
    items = (chat(), private())
    for tick in range(3):
        at = NOW + 15 * tick
        await ledger.enter(None, ["inference"], at)
        found = positions(seen(at, *items), decided(chat=36.0, private=36.0), ledger, {})
    assert found[CHAT] is None, "its hosted dollars are not known"
    assert dollars(found[PRIVATE]) == [0, Decimal("0.3")]
    snapshot = seen(NOW, *items)
    assert ledger.spent(snapshot.plan, NOW) is None, "ceilings stay closed"
    # Somebody begins to count: what is there already is nobody's.
    await ledger.enter([tokens(500)], ["inference"], NOW + 45)
    found = positions(seen(NOW + 45, *items), decided(chat=0.0, private=0.0), ledger, {})
    assert dollars(found[CHAT]) == [0, Decimal("0.3")]
    await ledger.enter([tokens(503)], ["inference"], NOW + 60)
    spent = ledger.spent(snapshot.plan, NOW + 60)
    assert spent is not None
    assert spent.month_usd == 3.0
    # And stops again, and begins: nothing that was counted is lost, nothing counted that nobody saw.
    await ledger.enter(None, ["inference"], NOW + 75)
    await ledger.enter([tokens(900)], ["inference"], NOW + 90)
    again = ledger.spent(snapshot.plan, NOW + 90)
    assert again is not None
    assert again.month_usd == 3.0


def test_all_of_a_class_that_is_matched_by_its_team_is_that_teams() -> None:
    teamed = observed.workload("inference", "agents", match={"team": "growth"})
    rates = own_rates(seen(NOW, chat(), teamed), decided(chat=1.0, agents=2.0, gone=None))
    assert rates == (OwnRate(CHAT, 1.0), OwnRate("inference/agents", 2.0, "growth"), OwnRate("inference/gone", None))


def test_caps_and_namespaces_of_a_cluster() -> None:
    caps = [{"team": "growth", "monthlyUsd": "1"}, {"team": "search", "monthlyUsd": "2"}]
    capped = observed.workload("inference", "chat", budget={"monthlyUsd": "10", "teamCaps": caps})
    free = observed.workload("other", "free")
    plans = (observed.plan_scope("inference", [], [capped]), observed.plan_scope("other", [], [free]))
    view = replace(observed.cluster(NOW, plans[0]), plans=plans)
    assert team_caps(view) == {CHAT: frozenset({"growth", "search"})}
    assert budgeted(view) == {"inference"}
