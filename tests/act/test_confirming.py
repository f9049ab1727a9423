"""Only counters confirm: what they show, and what is said while they show nothing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from spillway.act.planes.confirming import confirmations, gone
from spillway.act.planes.plane import Evidence, Move
from spillway.api import CapacityPlan
from spillway.decide.snapshot import Reading, RouteState

WRITTEN = 1_000.0
WINDOW = 60.0


def plan(mode: str = "Split") -> CapacityPlan:
    spec = {"lanes": ["gpu", "hosted"], "overflow": {"mode": mode}}
    return CapacityPlan.parse({"metadata": {"name": "main", "namespace": "ai"}, "spec": spec})


def confirmed(
    weights: Mapping[str, int],
    rates: Mapping[str, float],
    *,
    after: float = 2 * WINDOW,
    accepted: bool | None = True,
    mode: str = "Split",
    exists: bool = True,
) -> tuple[str, str, str]:
    now = WRITTEN + after
    state = RouteState("chat", "chat", None, exists, weights=weights, accepted=accepted)
    readings = {lane: Reading(rate, now) for lane, rate in rates.items()}
    found = Evidence(now, (state,), {"chat": readings}, WINDOW, frozenset({"gpu"}))
    (one,) = confirmations(plan(mode), [Move("chat", weights, WRITTEN)], found)
    return one.stage.value, one.reason, one.message


SPLIT = {"gpu": 70, "hosted": 30}


def test_counters_at_the_target_confirm() -> None:
    stage, reason, message = confirmed(SPLIT, {"gpu": 7.1, "hosted": 2.9})
    assert (stage, reason) == ("Confirmed", "CountersAgree")
    assert message == "by counters chat goes to gpu 71.0%, hosted 29.0%"


@pytest.mark.parametrize(
    ("rates", "after", "expected"),
    [
        ({"gpu": 10.0, "hosted": 0.0}, 2 * WINDOW, ("Accepted", "CountersMoving")),
        ({"gpu": 10.0, "hosted": 0.0}, 5 * WINDOW, ("NotConfirmed", "CountersDisagree")),
        # Rates that reach back to before the write show nothing of it, even where they agree.
        ({"gpu": 7.0, "hosted": 3.0}, 0.5 * WINDOW, ("Accepted", "CountersPending")),
        ({"gpu": 0.0, "hosted": 0.0}, 9 * WINDOW, ("Accepted", "NoTraffic")),
        # Missing is not 0.
        ({"gpu": 7.0}, 9 * WINDOW, ("Accepted", "CountersMissing")),
        ({}, 9 * WINDOW, ("Accepted", "CountersMissing")),
    ],
)
def test_what_counters_do_not_show_is_not_confirmed(
    rates: dict[str, float], after: float, expected: tuple[str, str]
) -> None:
    assert confirmed(SPLIT, rates, after=after)[:2] == expected


def test_few_requests_allow_for_chance_and_many_do_not() -> None:
    few, many = {"gpu": 0.6, "hosted": 0.4}, {"gpu": 600.0, "hosted": 400.0}
    assert confirmed(SPLIT, few)[0] == "Confirmed"
    assert confirmed(SPLIT, many)[0] == "Accepted"


def test_status_alone_never_confirms_and_can_refuse() -> None:
    agreeing = {"gpu": 7.0, "hosted": 3.0}
    assert confirmed(SPLIT, agreeing, accepted=False)[:2] == ("NotAccepted", "GatewayRefused")
    assert confirmed(SPLIT, agreeing, accepted=None)[:2] == ("Written", "GatewayPending")
    assert confirmed(SPLIT, agreeing, exists=False)[:2] == ("Written", "RouteMissing")


def test_a_weight_of_zero_means_nothing_at_all() -> None:
    assert confirmed({"gpu": 0, "hosted": 100}, {"hosted": 10.0})[0] == "Confirmed"
    assert confirmed({"gpu": 0, "hosted": 100}, {"gpu": 1.0, "hosted": 9.0})[0] == "Accepted"


def test_where_the_gateway_spills_no_share_is_expected_of_hosted_lanes() -> None:
    at_home = {"gpu": 100, "hosted": 0}
    assert confirmed(at_home, {"gpu": 6.0, "hosted": 4.0}, mode="Spill")[0] == "Confirmed"
    assert confirmed(at_home, {"gpu": 6.0, "hosted": 4.0})[0] == "Accepted"
    assert confirmed(at_home, {"gpu": 0.0, "hosted": 4.0}, mode="Spill", after=9 * WINDOW)[0] == "NotConfirmed"
    assert confirmed({"gpu": 0, "hosted": 100}, {"gpu": 0.0, "hosted": 4.0}, mode="Spill")[0] == "Confirmed"


def gone_from(
    lane: str,
    weights: Mapping[str, int],
    rates: Mapping[str, float],
    *,
    after: float = 2 * WINDOW,
    lowered: float = WRITTEN,
) -> bool | None:
    now = lowered + after
    readings = {name: Reading(rate, now) for name, rate in rates.items()}
    found = Evidence(now, (), {"chat": readings}, WINDOW, frozenset({"gpu"}))
    return gone(Move("chat", weights, WRITTEN, lowered_at={"gpu": lowered}), lane, found)


def test_a_lanes_traffic_is_away_when_counters_show_no_more_than_its_weight() -> None:
    assert gone_from("gpu", SPLIT, {"gpu": 7.1, "hosted": 2.9}) is True
    assert gone_from("gpu", SPLIT, {"gpu": 3.0, "hosted": 7.0}) is True
    assert gone_from("gpu", SPLIT, {"gpu": 10.0, "hosted": 0.0}) is False
    # Lowered before the last write: counters since then tell, even where the last weights are newer.
    assert gone_from("gpu", SPLIT, {"gpu": 7.0, "hosted": 3.0}, lowered=WRITTEN - WINDOW, after=1.1 * WINDOW) is True


def test_silent_counters_tell_nothing_of_a_lanes_traffic() -> None:
    for rates in ({}, {"gpu": 7.0}, {"gpu": 0.0, "hosted": 0.0}):
        assert gone_from("gpu", SPLIT, rates) is None
    assert gone_from("gpu", SPLIT, {"gpu": 7.0, "hosted": 3.0}, after=0.5 * WINDOW) is None


def test_of_a_weight_of_zero_the_lanes_own_counter_is_enough() -> None:
    empty = {"gpu": 0, "hosted": 100}
    assert gone_from("gpu", empty, {"gpu": 0.0}) is True
    assert gone_from("gpu", empty, {"gpu": 0.1, "hosted": 9.9}) is False
    assert gone_from("gpu", empty, {"gpu": 0.0}, after=0.5 * WINDOW) is None
    assert gone_from("gpu", empty, {"hosted": 9.9}) is None
