"""Budgets in a cluster: what a class costs is counted by class and team, kept over restarts, and told in time."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from spillway.observe.accounts import Accounts
from spillway.observe.ledger import Ledger, to_text
from support.scripted_fleet import INPUT_TOKENS, OUTPUT_TOKENS
from support.world import World, own_lane, workload

LEDGER = "spillway-ledger"
LAG_SECONDS = 20
"""The last scrape, the last tick and what they take on a busy machine; the operator was away for longer."""
REQUEST_USD = (1.00 * INPUT_TOKENS + 4.00 * OUTPUT_TOKENS) / 1e6
"""At the hosted lane's contract price; see `support.world.hosted_lane`."""
DEMAND_RPS = 60
PLENTY = "100000"


def figures(world: World) -> dict[tuple[str, str], float]:
    """Series of the class's budget: name without prefix, and the label beside plan and class."""
    _, text = world.http_get("/metrics")
    found = {}
    for name, labels, value in re.findall(r"^spillway_((?:budget|team)_\w+){(.*)} (\S+)$", text, re.M):
        pairs = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        assert pairs.pop("plan") == f"{world.namespace}/main"
        assert pairs.pop("class") == f"{world.namespace}/chat"
        found[name, next(iter(pairs.values()), "")] = float(value)
    return found


def hosted(world: World) -> float:
    return figures(world).get(("budget_spent_part_usd", "hosted"), -1.0)


def budget(world: World, monthly_usd: str, cap_usd: str, pool_usd: str | None = None) -> None:
    """The egress labels all of the class with one team, the namespace's name."""
    terms: dict[str, Any] = {
        "monthlyUsd": monthly_usd,
        "teamCaps": [{"team": world.namespace, "monthlyUsd": cap_usd}],
    }
    if pool_usd is not None:
        terms["overflowPoolUsd"] = pool_usd
    world.apply(workload(world.namespace, budget=terms))


def of_class(world: World) -> dict[str, Any]:
    """The class's own condition."""
    status = world.cluster.get("wclass", "chat", world.namespace).get("status", {})
    return next((each for each in status.get("conditions", []) if each["type"] == "BudgetAtRisk"), {})


def wait_class(world: World, status: str, reason: str) -> None:
    world.wait(
        lambda: (of_class(world).get("status"), of_class(world).get("reason")) == (status, reason), f"{status} {reason}"
    )


def warnings(world: World) -> list[str]:
    """Reasons of the Warnings about the class, each as often as it was told."""
    found = world.cluster.kubectl("get", "events.events.k8s.io", "-n", world.namespace, "-o", "json")
    return sorted(
        item["reason"]
        for item in json.loads(found)["items"]
        if item["regarding"]["kind"] == "WorkloadClass" and item["type"] == "Warning"
    )


def truth(world: World) -> float:
    """What the egress really served, in dollars."""
    return world.fleet.hosted_requests * REQUEST_USD


def test_a_budget_warns_by_class_and_team_and_stops_nothing(world: World) -> None:
    world.standard(replicas=1)
    world.apply(own_lane(world.namespace, replicas={"min": 1, "max": 1}))
    budget(world, PLENTY, "0.50", PLENTY)
    world.fleet.demand_rps = DEMAND_RPS  # one replica serves 10
    operator = world.start_operator()

    # Beyond its cap the team draws from the pool, and nobody is alarmed: that is what the pool is for.
    world.wait(lambda: hosted(world) > 1.0, "a dollar")
    seen = figures(world)
    spent = seen["team_spent_usd", world.namespace]
    assert abs(seen["budget_pool_balance_usd", ""] - (float(PLENTY) - (spent - 0.5))) < 1e-4
    assert seen["team_cap_usd", world.namespace] == 0.5
    wait_class(world, "False", "WithinBudget")
    world.wait_condition("BudgetAtRisk", "False", "WithinBudgets")

    # Its own GPU is a part of what it costs, beside the hosted dollars.
    world.wait(lambda: figures(world).get(("budget_spent_part_usd", "own"), 0.0) > 0.001, "the GPU's dollars")
    seen = figures(world)
    parts = seen["budget_spent_part_usd", "hosted"] + seen["budget_spent_part_usd", "own"]
    assert abs(seen["budget_spent_usd", ""] - parts) < 1e-4

    # A pool that is gone.
    budget(world, PLENTY, "0.50", "0.25")
    wait_class(world, "True", "OverflowPoolExhausted")
    world.wait_condition("BudgetAtRisk", "True", "OverflowPoolExhausted")
    assert figures(world)["budget_pool_balance_usd", ""] == 0.0
    assert f"class {world.namespace}/chat: over their caps" in of_class(world)["message"]

    # Killed, and away for a while: every dollar is there, once.
    operator.kill()
    since = truth(world)
    world.wait(lambda: truth(world) > since + 0.5, "half a dollar that nobody saw")
    world.start_operator()
    world.wait(lambda: hosted(world) > since + 0.4, "it is counted")
    before, now, after = truth(world), hosted(world), truth(world)
    assert before - LAG_SECONDS * DEMAND_RPS * REQUEST_USD <= now <= after
    assert figures(world)["budget_spent_part_usd", "own"] > seen["budget_spent_part_usd", "own"]

    # The class's own budget: told, and nothing is stopped by it.
    budget(world, "1", PLENTY)
    wait_class(world, "True", "BudgetExceeded")
    world.wait_condition("BudgetAtRisk", "True", "BudgetExceeded")
    assert figures(world)["budget_at_risk", "BudgetExceeded"] == 1
    assert world.weights()["egress"] > 50
    still = truth(world)
    world.wait(lambda: truth(world) > still, "hosted lanes go on")
    shown = world.cluster.get("cplan", "main", world.namespace)["status"]["classes"][0]["budget"]
    assert (shown["reason"], shown["capUsd"]) == ("BudgetExceeded", "1.00")

    # Each reason once, however many ticks it held.
    world.wait_ticks(4)
    assert warnings(world) == ["BudgetExceeded", "OverflowPoolExhausted"]

    # Raised, and taken away.
    budget(world, PLENTY, PLENTY)
    wait_class(world, "False", "WithinBudget")
    world.wait_condition("BudgetAtRisk", "False", "WithinBudgets")
    assert not [name for name, _ in figures(world) if name == "budget_at_risk"]
    world.cluster.kubectl(
        "patch", "wclass", "chat", "-n", world.namespace, "--type=json", '-p=[{"op":"remove","path":"/spec/budget"}]'
    )
    world.wait(lambda: not of_class(world), "no condition without a budget")
    world.wait_condition("BudgetAtRisk", "False", "NoCeiling")
    assert figures(world) == {}


def seeded(world: World, daily_usd: int, spent_usd: int, months: dict[date, int]) -> str:
    """A ledger that has counted for half a year, as it is kept."""
    now = datetime.now(UTC)
    key, micro = f"{world.namespace}/chat", 1_000_000
    days = [(now - timedelta(days=back)).date().isoformat() for back in range(1, 15)]
    lines = {
        "day": {day: {key: {"hosted": daily_usd * micro}} for day in days},
        "month": {f"{month:%Y-%m}": {key: {"hosted": usd * micro}} for month, usd in months.items()}
        | {f"{now:%Y-%m}": {key: {"hosted": spent_usd * micro}}},
        "team": {f"{now:%Y-%m}": {key: {"growth": spent_usd * micro}}},
    }
    begun = (now - timedelta(days=200)).timestamp()
    return to_text(Ledger(begun, now.timestamp(), accounts=Accounts(begun, lines)))


def test_months_and_days_that_were_counted_give_a_budget_and_a_projection(world: World) -> None:
    last = datetime.now(UTC).date().replace(day=1) - timedelta(days=1)
    before = last.replace(day=1) - timedelta(days=1)
    months = {before.replace(day=1): 80, last.replace(day=1): 120}
    page = seeded(world, daily_usd=100_000, spent_usd=100, months=months)
    world.standard(replicas=1)
    world.cluster.kubectl(
        "create", "configmap", LEDGER, "-n", world.namespace, f"--from-literal={world.namespace}.json={page}"
    )
    # A mean month of 66.67 (nothing three months ago), and a half more: 100.00, which is spent.
    world.apply(workload(world.namespace, budget={"measuredPlusPercent": 50}))
    world.start_operator()
    wait_class(world, "True", "BudgetExceeded")
    assert abs(figures(world)["budget_cap_usd", ""] - 100) < 1e-6

    # A hundred thousand a day, and no more than a few dollars left: said before it happens, with the day.
    terms = {"monthlyUsd": "105", "alertPercent": 100}
    world.apply(workload(world.namespace, budget=terms))
    wait_class(world, "True", "ProjectedOverBudget")
    assert f"reached on {datetime.now(UTC).date()}" in of_class(world)["message"]
    seen = figures(world)
    low, expected, high = (seen["budget_projected_usd", bound] for bound in ("low", "expected", "high"))
    assert 105 < low <= expected <= high
    assert seen["team_spent_usd", "growth"] == 100
    world.wait_condition("BudgetAtRisk", "True", "ProjectedOverBudget")
