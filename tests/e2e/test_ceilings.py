"""Ceilings in a cluster: spent by the egress' own counters, kept over restarts, and nothing more goes out."""

from __future__ import annotations

import json
import re

import pytest

from spillway.decide.reasons import Code
from support.scripted_fleet import INPUT_TOKENS, OUTPUT_TOKENS
from support.world import World, own_lane, plan

LEDGER = "spillway-ledger"
LAG_SECONDS = 20
"""The last scrape, the last tick and what they take on a busy machine; the operator was away for longer."""
REQUEST_USD = (1.00 * INPUT_TOKENS + 4.00 * OUTPUT_TOKENS) / 1e6
"""At the hosted lane's contract price; see `support.world.hosted_lane`."""


def metric(world: World, line: str) -> float:
    _, text = world.http_get("/metrics")
    return next((float(each.rsplit(" ", 1)[1]) for each in text.splitlines() if each.startswith(line)), -1.0)


def spent(world: World) -> float:
    """This month's dollars, as the operator tells them."""
    return metric(world, f'spillway_plan_spent_usd{{period="month",plan="{world.namespace}/main"}}')


def hosted(world: World) -> dict[str, float]:
    """Dollars by the reason for which they were spent on the class, since the operator began."""
    _, text = world.http_get("/metrics")
    who = f'class="{world.namespace}/chat",lane="hosted",plan="{world.namespace}/main"'
    found = re.findall(rf'^spillway_hosted_usd_total{{{re.escape(who)},reason="(\w*)",team="(.*)"}} (.+)$', text, re.M)
    assert all(team == world.namespace for _, team, _ in found), "as the egress labels it"
    return {reason: float(usd) for reason, _, usd in found}


def truth(world: World) -> float:
    """What the egress really served, in dollars."""
    return world.fleet.hosted_requests * REQUEST_USD


def with_ceiling(world: World, per_day: str) -> None:
    overflow = {"mode": "Split", "ceilingUsd": {"perDay": per_day}}
    world.apply(plan(world.namespace, overflow=overflow))


def test_spending_is_counted_over_kills_and_stops_at_the_ceiling(world: World) -> None:
    world.standard(replicas=1)
    world.apply(own_lane(world.namespace, replicas={"min": 1, "max": 1}))
    with_ceiling(world, "1000")
    world.fleet.demand_rps = 60  # one replica serves 10
    operator = world.start_operator()
    world.wait(lambda: world.weights()["egress"] > 50, "overflow")
    world.wait(lambda: spent(world) > 0.5, "half a dollar")
    world.wait_condition("BudgetAtRisk", "False", "WithinCeilings")

    # The same dollars by whom and why, for the first of them was counted when the operator had begun.
    world.wait(lambda: sum(hosted(world).values()) > 0.5, "half a dollar, told by reason")
    assert sum(hosted(world).values()) <= spent(world) + REQUEST_USD
    assert "Spilling" in hosted(world)
    assert hosted(world).keys() <= {code.value for code in Code}
    share = f'spillway_spill_ratio{{class="{world.namespace}/chat",plan="{world.namespace}/main",team=""}}'
    world.wait(lambda: 0.5 < metric(world, share) <= 1.0, "the share by counters")

    # Killed between two writes of the ledger, and away for a while: all of it is there.
    operator.kill()
    since = truth(world)
    world.wait(lambda: truth(world) > since + 0.5, "half a dollar that nobody saw")
    world.start_operator()
    world.wait(lambda: spent(world) > since + 0.4, "it is counted")
    before, now, after = truth(world), spent(world), truth(world)
    rate = 60 * REQUEST_USD
    assert before - LAG_SECONDS * rate <= now <= after, "every dollar once, but for the last scrapes"

    # Less than what is spent: nothing more goes out, whatever waits.
    with_ceiling(world, "1")
    world.wait(lambda: world.weights()["egress"] == 0, "nothing to hosted lanes")
    world.wait_condition("BudgetAtRisk", "True", "CeilingReached")
    world.wait(lambda: world.fleet.hosted_share == 0, "the last hosted request")
    stopped = truth(world)
    world.wait_ticks(6)
    assert truth(world) == stopped

    # A plan that is made anew has not spent less.
    world.cluster.kubectl("delete", "cplan", "main", "-n", world.namespace)
    with_ceiling(world, "1")
    world.wait(lambda: spent(world) == pytest.approx(stopped, abs=1e-3), "the same dollars")
    world.wait_ticks(3)
    assert world.weights()["egress"] == 0
    assert truth(world) == stopped
    kept = world.cluster.get("configmap", LEDGER, world.namespace)["data"]
    assert json.loads(kept[f"{world.namespace}.json"])["microUsd"]["month"]
