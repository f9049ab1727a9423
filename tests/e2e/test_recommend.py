"""Recommend and Observe: nothing is written but the operator's own statuses, Events, ledger and observations."""

from __future__ import annotations

from support.world import OWN_CONFIG_MAPS, World


def test_recommend_shows_what_it_would_do_and_writes_nothing_else(world: World) -> None:
    world.standard(replicas=1, mode="Recommend")
    since = world.journal.mark()
    world.fleet.demand_rps = 45
    world.start_operator()

    world.wait(lambda: (world.lane_status().get("recommended") or 0) >= 4, "a recommendation of at least 4 replicas")
    world.wait_condition("Ready", "True")
    world.wait_condition("RecommendationAvailable", "True")
    world.wait_ticks(5)

    assert world.replicas() == 1
    assert world.weights() == {"vllm": 100, "egress": 0}
    writes = world.journal.writes(since=since, user=world.user)
    own = {"capacityplans", "capacitylanes", "workloadclasses"}
    assert writes
    others = [w for w in writes if (w.resource, w.name) not in OWN_CONFIG_MAPS and w.resource != "events"]
    assert [w for w in others if w.resource not in own or w.subresource != "status"] == []


def test_recommend_rbac_cannot_scale_even_if_the_plan_says_apply(world: World) -> None:
    world.grant(mode="recommend")
    world.standard(replicas=1, mode="Apply")
    since = world.journal.mark()
    world.fleet.demand_rps = 45
    world.start_operator()

    world.wait(lambda: (world.lane_status().get("recommended") or 0) >= 4, "a recommendation of at least 4 replicas")
    world.wait_ticks(3)

    assert world.replicas() == 1
    attempts = world.operator_writes(since)
    assert attempts, "it tried, and RBAC refused"
    assert all(not entry.ok for entry in attempts)


def test_observe_reports_costs_and_recommends_nothing(world: World) -> None:
    world.standard(replicas=2, mode="Observe")
    world.fleet.demand_rps = 5
    world.start_operator()

    world.wait(lambda: "totals" in world.status(), "totals in status")
    world.wait_condition("MetricsAvailable", "True", "MetricsFound")

    assert world.status()["totals"]["billedUsdPerHour"] == "6.00"
    assert "recommended" not in world.lane_status()
    assert world.replicas() == 2
