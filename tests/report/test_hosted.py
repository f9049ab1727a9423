"""What hosted lanes took, as metrics: shares from request counters, tokens and dollars by whom and why."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from report.builders import NOW, lane, snapshot, workload
from report.test_metrics import samples
from spillway.api import CapacityLane, WorkloadClass
from spillway.decide.snapshot import ClassSnapshot, Demand, DemandSource, LaneSnapshot, PlanSnapshot, Reading
from spillway.report.hosted import MOST_TEAMS, OTHER_TEAMS, HostedUse, spill_shares
from spillway.report.metrics import OperatorMetrics

PLAN = "inference/main"


def hosted() -> CapacityLane:
    spec = {"type": "HostedRealtime", "models": ["llama"], "hosted": {"provider": "openai", "model": "llama"}}
    return CapacityLane.parse({"metadata": {"name": "hosted", "namespace": "inference"}, "spec": spec})


def seen(rates: dict[str, float] | None, total: float = 10.0, item: WorkloadClass | None = None) -> PlanSnapshot:
    by_lane = {name: Reading(value, NOW) for name, value in (rates or {}).items()}
    demand = Demand(DemandSource.GATEWAY, Reading(total, NOW), None, None, None, by_lane, ())
    found = ClassSnapshot(item or workload(), None if rates is None else demand)
    return snapshot(classes=(found,), lanes=(LaneSnapshot(lane()), LaneSnapshot(hosted())))


@pytest.mark.parametrize(
    ("rates", "total", "ratio"),
    [
        ({"gpu": 6.0, "hosted": 2.0}, 10.0, 0.25),
        ({"gpu": 6.0, "hosted": 0.0}, 10.0, 0.0),
        # Own lanes whose counters hold other classes, too, are left out: the class's own total stands.
        ({"hosted": 2.0}, 10.0, 0.2),
        ({"hosted": 2.0}, 1.0, 1.0),
        ({"gpu": 6.0}, 10.0, None),
        ({"gpu": 0.0, "hosted": 0.0}, 0.0, None),
        (None, 0.0, None),
    ],
)
def test_share_by_counters(rates: dict[str, float] | None, total: float, ratio: float | None) -> None:
    assert [share.ratio for share in spill_shares(seen(rates, total))] == ([] if ratio is None else [ratio])


def test_a_share_names_the_team_that_the_class_matches() -> None:
    of_team = WorkloadClass.parse(
        {
            "metadata": {"name": "agents", "namespace": "team-a"},
            "spec": workload().spec.to_wire() | {"match": {"team": "research"}},
        }
    )
    (share,) = spill_shares(seen({"gpu": 1.0, "hosted": 1.0}, item=of_team))
    assert (share.class_key, share.team) == ("team-a/agents", "research")


def use(usd: int | None = 4_000_000, **more: Any) -> HostedUse:
    tokens = {"input_tokens": Decimal(1000), "cached_tokens": Decimal(400), "output_tokens": Decimal(50)}
    base = HostedUse(PLAN, "team-a/chat", "research", "hosted", "Spilling", tokens, usd)
    return replace(base, **more)


def hosted_samples(metrics: OperatorMetrics) -> dict[tuple[str, ...], float]:
    """Name and values of the labels class, team, lane, reason and kind."""
    names = ("class", "team", "lane", "reason", "kind")
    return {
        (name, *(dict(labels)[key] for key in names if key in dict(labels))): value
        for (name, labels), value in samples(metrics).items()
        if name.startswith("spillway_hosted_")
    }


def test_tokens_and_dollars_by_whom_and_why() -> None:
    metrics = OperatorMetrics()
    for _ in range(2):
        metrics.hosted.add(use())
    metrics.hosted.add(use(class_key="", team="", reason="HostedOnly", usd=None))
    who = ("team-a/chat", "research", "hosted", "Spilling")
    unknown = ("", "", "hosted", "HostedOnly")
    assert hosted_samples(metrics) == {
        ("spillway_hosted_tokens_total", *who, "input"): 2000,
        ("spillway_hosted_tokens_total", *who, "cached_input"): 800,
        ("spillway_hosted_tokens_total", *who, "output"): 100,
        ("spillway_hosted_usd_total", *who): 8.0,
        ("spillway_hosted_tokens_total", *unknown, "input"): 1000,
        ("spillway_hosted_tokens_total", *unknown, "cached_input"): 400,
        ("spillway_hosted_tokens_total", *unknown, "output"): 50,
    }, "what nobody prices costs nothing that is known"


def test_what_took_nothing_makes_no_series() -> None:
    metrics = OperatorMetrics()
    metrics.hosted.add(use(0, tokens=dict.fromkeys(("input_tokens", "cached_tokens", "output_tokens"), Decimal(0))))
    assert not hosted_samples(metrics)


def test_teams_are_bounded_and_none_of_their_tokens_is_lost() -> None:
    metrics = OperatorMetrics()
    for number in range(2 * MOST_TEAMS):
        metrics.hosted.add(use(team=f"team-{number}"))
    found = {key[2]: value for key, value in hosted_samples(metrics).items() if key[0] == "spillway_hosted_usd_total"}
    assert len(found) == MOST_TEAMS + 1
    assert found[OTHER_TEAMS] == 4.0 * MOST_TEAMS
    metrics.hosted.add(use(team="team-0"))
    assert hosted_samples(metrics)["spillway_hosted_usd_total", "team-a/chat", "team-0", "hosted", "Spilling"] == 8.0


def test_a_plan_that_is_gone_takes_its_series_with_it() -> None:
    metrics = OperatorMetrics()
    metrics.hosted.add(use())
    metrics.hosted.add(use(plan="other/main"))
    metrics.hosted.keep(["other/main"])
    assert {dict(labels)["plan"] for name, labels in samples(metrics) if name.startswith("spillway_hosted_")} == {
        "other/main"
    }
