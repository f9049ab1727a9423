"""How far a move of LiteLLM's has come: only counters confirm it, and not before every pod has loaded it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from spillway.act.planes.litellm import LiteLLM
from spillway.act.planes.plane import Confirmation, Evidence, Move
from spillway.api import CapacityPlan
from spillway.decide.snapshot import Reading, RouteState
from spillway.kube import Kube

WRITTEN, WINDOW = 1_000.0, 60.0
SPLIT = {"gpu": 70, "hosted": 30}
AGREEING = {"gpu": 7.0, "hosted": 3.0}


def plan(mode: str = "Split") -> CapacityPlan:
    proxy = {"configMap": "litellm-config", "deployment": "litellm", "addresses": {"gpu": "http://vllm/v1"}}
    routing = {"plane": "LiteLLM", "litellm": proxy}
    spec = {"lanes": ["gpu", "hosted"], "routing": routing, "overflow": {"mode": mode}}
    return CapacityPlan.parse({"metadata": {"name": "main", "namespace": "ai"}, "spec": spec})


async def confirmed(
    weights: Mapping[str, int],
    rates: Mapping[str, float],
    *,
    after: float = 2 * WINDOW,
    accepted: bool | None = True,
    exists: bool = True,
    mode: str = "Split",
) -> Confirmation:
    now = WRITTEN + after
    state = RouteState("chat", "litellm-config", None, exists, weights=weights, accepted=accepted)
    readings = {lane: Reading(rate, now) for lane, rate in rates.items()}
    found = Evidence(now, (state,), {"chat": readings}, WINDOW, frozenset({"gpu"}))
    # It asks nobody.
    (one,) = await LiteLLM().confirm(Kube(None), plan(mode), [Move("chat", weights, WRITTEN)], found)
    return one


async def test_counters_at_the_target_confirm() -> None:
    found = await confirmed(SPLIT, AGREEING)
    assert (found.stage, found.reason) == ("Confirmed", "CountersAgree")
    assert found.message == "by counters chat goes to gpu 70.0%, hosted 30.0%"
    assert found.hosted_share == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("accepted", "exists", "expected"),
    [
        (True, False, ("Written", "ConfigMissing", "no configuration is written for chat yet")),
        (
            False,
            True,
            (
                "Written",
                "RolloutPending",
                "not every pod of the proxy has loaded the configuration in ConfigMap litellm-config",
            ),
        ),
        (
            None,
            True,
            (
                "Accepted",
                "LoadedUnknown",
                "the proxy's pods don't tell Prometheus what they have loaded: scrape them with namespace and pod",
            ),
        ),
    ],
)
async def test_having_written_confirms_nothing_even_where_counters_agree(
    accepted: bool | None, exists: bool, expected: tuple[str, str, str]
) -> None:
    found = await confirmed(SPLIT, AGREEING, after=99 * WINDOW, accepted=accepted, exists=exists)
    assert (found.stage, found.reason, found.message) == expected


@pytest.mark.parametrize(
    ("rates", "after", "expected"),
    [
        ({"gpu": 10.0, "hosted": 0.0}, 5 * WINDOW, ("NotConfirmed", "CountersDisagree")),
        ({"gpu": 10.0, "hosted": 0.0}, 2 * WINDOW, ("Accepted", "CountersMoving")),
        (AGREEING, 0.5 * WINDOW, ("Accepted", "CountersPending")),
        ({"gpu": 0.0, "hosted": 0.0}, 9 * WINDOW, ("Accepted", "NoTraffic")),
        ({"gpu": 7.0}, 9 * WINDOW, ("Accepted", "CountersMissing")),
        ({}, 9 * WINDOW, ("Accepted", "CountersMissing")),
    ],
)
async def test_loading_it_confirms_nothing_either(
    rates: Mapping[str, float], after: float, expected: tuple[str, str]
) -> None:
    found = await confirmed(SPLIT, rates, after=after)
    assert (found.stage, found.reason) == expected


async def test_what_disagrees_is_told_with_its_figures() -> None:
    found = await confirmed(SPLIT, {"gpu": 10.0, "hosted": 0.0}, after=9 * WINDOW)
    assert found.message == (
        "by counters chat goes to gpu 100.0%, hosted 0.0%, but its weights say gpu 70%, hosted 30%"
    )


async def test_where_the_proxy_spills_no_share_is_expected_of_hosted_lanes() -> None:
    at_home, away = {"gpu": 100, "hosted": 0}, {"gpu": 0, "hosted": 100}
    assert (await confirmed(at_home, {"gpu": 6.0, "hosted": 4.0}, mode="Spill")).stage == "Confirmed"
    assert (await confirmed(at_home, {"gpu": 6.0, "hosted": 4.0})).stage == "Accepted"
    late = await confirmed(at_home, {"gpu": 0.0, "hosted": 4.0}, mode="Spill", after=9 * WINDOW)
    assert late.stage == "NotConfirmed"
    assert (await confirmed(away, {"gpu": 0.0, "hosted": 4.0}, mode="Spill")).stage == "Confirmed"
    assert (await confirmed(away, {"gpu": 1.0, "hosted": 9.0}, mode="Spill", after=9 * WINDOW)).stage == "NotConfirmed"
