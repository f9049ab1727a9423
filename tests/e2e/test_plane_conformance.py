"""What every routing plane must do, on its real gateway: one suite, a rig for each plane."""

from __future__ import annotations

import json
import time

import pytest

from spillway.act.planes.plane import Stage
from spillway.act.writes import Outcome
from spillway_dev.processes import wait_until
from spillway_dev.upstreams import Load, LoadOptions, LoadReport
from support.gateways import Lanes
from support.planes import GatewayRig

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]

# Of a 70/30 split, 2 points are four standard deviations at this many requests.
ENOUGH = 8_000
# What is asked of a weight of 0: nothing at all arrives.
SOME = 500


@pytest.fixture(params=["Managed", "Adopted"])
def rig(lanes: Lanes, request: pytest.FixtureRequest) -> GatewayRig:
    """A plane that shares out by weights, with all at home."""
    made = GatewayRig(lanes, request.param)
    made.prepare()
    return made


@pytest.fixture(params=["Managed", "Adopted"])
def spilling(lanes: Lanes, request: pytest.FixtureRequest) -> GatewayRig:
    """A plane that lets the gateway spill."""
    made = GatewayRig(lanes, request.param, mode="Spill")
    made.prepare()
    return made


def under_load(rig: GatewayRig, concurrency: int = 8) -> Load:
    return Load(rig.url, LoadOptions(concurrency, max_requests=200_000, max_seconds=400, headers=dict(rig.headers)))


def at_home(rig: GatewayRig) -> None:
    rig.move(gpu=100, hosted=0)
    wait_until(lambda: rig.send(1).served_by == {"gpu": 1}, "the gateway answers", 60)


def arrive(load: Load, share: float) -> None:
    """Wait until nearly this share of fresh requests is served by own lanes: 0 and 100 must become exact."""
    close = 15 if 0 < share < 100 else 0
    wait_until(lambda: abs(load.wait_for(100).share("gpu") - share) <= close, "moved", 60)


def next_ones(load: Load, requests: int) -> LoadReport:
    before = load.report()
    load.wait_for(requests)
    return load.report().since(before)


def test_a_split_arrives_and_goes_to_zero_and_back_without_a_loss(rig: GatewayRig) -> None:
    at_home(rig)
    with under_load(rig) as load:
        assert next_ones(load, SOME).served_by.keys() == {"gpu"}
        rig.move(gpu=70, hosted=30)
        arrive(load, 70)
        assert next_ones(load, ENOUGH).share("gpu") == pytest.approx(70, abs=2)
        rig.move(gpu=0, hosted=100)
        arrive(load, 0)
        assert next_ones(load, SOME).served_by.keys() == {"hosted"}
        rig.move(gpu=100, hosted=0)
        arrive(load, 100)
        assert next_ones(load, SOME).served_by.keys() == {"gpu"}
    report = load.report()
    assert report.failed == 0, report.errors
    assert report.ok == report.sent


def test_a_second_look_finds_nothing_to_do_and_a_diff_has_words(rig: GatewayRig) -> None:
    at_home(rig)
    found, rendered = rig.look(gpu=100, hosted=0)
    assert (rendered.changes, rendered.refused) == ((), ())
    assert rig.plane.diff(found, rendered) == ()
    found, rendered = rig.look(gpu=60, hosted=40)
    words = "; ".join(rig.plane.diff(found, rendered))
    assert "gpu 100 -> 60" in words
    assert "hosted 0 -> 40" in words
    # Looking has written nothing.
    assert rig.weights() == {"gpu": 100, "hosted": 0}


def test_what_own_lanes_refuse_spills_and_nothing_else_does(spilling: GatewayRig) -> None:
    rig = spilling
    at_home(rig)
    assert rig.send(300, 8).served_by == {"gpu": 300}
    # Observed as it shares traffic out: the weight that lets it spill is no share.
    assert rig.observed().weights == {"gpu": 100, "hosted": 0}
    rig.lanes.set_local(limit=0, refuse_status=503)
    first = rig.send(1)
    assert (first.failed, dict(first.served_by)) == (0, {"hosted": 1}), first.errors
    rig.lanes.set_local(limit=None)
    with under_load(rig, 6) as load:
        for limit, share in ((0, 0.0), (None, 100.0), (0, 0.0)):
            rig.lanes.set_local(limit=limit)
            arrive(load, share)
    report = load.report()
    assert report.failed == 0, report.errors


def test_a_lane_that_must_be_emptied_is_emptied_where_the_gateway_spills(spilling: GatewayRig) -> None:
    rig = spilling
    at_home(rig)
    with under_load(rig) as load:
        rig.move(gpu=0, hosted=100)
        arrive(load, 0)
        assert next_ones(load, SOME).served_by.keys() == {"hosted"}
        rig.move(gpu=100, hosted=0)
        arrive(load, 100)
        assert next_ones(load, SOME).served_by.keys() == {"gpu"}
    report = load.report()
    assert report.failed == 0, report.errors


def test_a_hosted_lane_with_another_model_never_takes_a_spill(spilling: GatewayRig) -> None:
    rig = spilling
    rig.models = {"gpu": "m", "hosted": "another"}
    at_home(rig)
    rig.lanes.set_local(limit=0)
    assert dict(rig.send(20).statuses) == {503: 20}
    assert rig.counters()["hosted"] == 0


def test_a_released_rule_is_as_it_was_and_nobody_writes_it(rig: GatewayRig) -> None:
    at_home(rig)
    rig.move(gpu=40, hosted=60)
    (held,) = rig.held()
    written = rig.release(held, restore=True)
    assert written.ok, written.error
    if rig.ownership == "Managed":
        # What carries traffic is never deleted, and has no earlier state.
        assert rig.weights() == {"gpu": 40, "hosted": 60}
        return
    assert rig.weights() == {"gpu": 1, "hosted": 0}
    assert rig.held() == []
    meta = rig.route()["metadata"]
    assert not [key for key in meta.get("annotations") or {} if key.startswith("spillway.dev/")]
    assert "spillway-controller" not in {entry["manager"] for entry in meta["managedFields"]}


def test_what_is_somebody_elses_is_left(rig: GatewayRig) -> None:
    rig.taken_by_somebody()
    before = rig.route()
    (written,) = rig.write({"chat": {"gpu": 50, "hosted": 50}})
    assert written.outcome is Outcome.SUPERSEDED
    assert "it is not Spillway's" in written.error or "also sends traffic to canary" in written.error
    assert rig.route()["spec"] == before["spec"]
    assert rig.observed().problem is not None


@pytest.mark.parametrize("works", [True, False])
def test_one_binding_that_fails_stops_no_other(rig: GatewayRig, works: bool) -> None:
    plan = rig.plan(rig.another_binding(works))
    both = {"other": {"gpu": 50, "hosted": 50}, "chat": {"gpu": 30, "hosted": 70}}

    def written() -> bool:
        writes = {each.subject.rpartition("/")[2]: each.outcome for each in rig.write(both, plan)}
        if not works:
            assert writes["other"] is Outcome.SUPERSEDED
            writes.pop("other")
        return not writes

    # The gateway writes statuses at the same time: a write that meets one is done again.
    wait_until(written, "all that can be is written", 30)
    assert rig.weights() == {"gpu": 30, "hosted": 70}


def test_weights_that_the_gateway_refuses_give_way_to_those_it_took(rig: GatewayRig) -> None:
    """The hosted Backend is gone: what went there fails, until the last good weights are back."""
    at_home(rig)
    rig.move(gpu=70, hosted=30)
    rig.lose_hosted()
    state = rig.observed()
    assert state.accepted is False
    assert "Backend egress, which does not exist" in str(state.problem)
    frozen = {"chat": dict(state.weights)}

    def back() -> bool:
        rig.write(frozen)
        return rig.weights() == {"gpu": 100, "hosted": 0}

    wait_until(back, "the last good weights are back", 30)
    wait_until(lambda: rig.send(100, 4).served_by == {"gpu": 100}, "all is served at home", 60)
    # They are not tried again at once, and are after a while.
    (written,) = rig.write({"chat": {"gpu": 70, "hosted": 30}})
    assert "next try in" in written.error
    assert rig.weights() == {"gpu": 100, "hosted": 0}
    rig.lanes.cluster.apply(rig.hosted_backend())
    rig.lanes.settled()
    rig.at += 301.0
    rig.move(gpu=70, hosted=30)
    assert rig.weights() == {"gpu": 70, "hosted": 30}


def test_a_status_of_an_older_generation_says_nothing(rig: GatewayRig) -> None:
    at_home(rig)
    assert rig.observed().accepted is True
    before = rig.route()["metadata"]["generation"]
    with rig.gateway_away():
        wait_until(lambda: not rig.write({"chat": {"gpu": 10, "hosted": 90}}), "written", 30)
        assert rig.route()["metadata"]["generation"] > before
        assert rig.observed().accepted is None
        found = rig.confirm({"gpu": 10, "hosted": 90}, rig.counters(), 10.0)
        assert (found.stage, found.reason) == (Stage.WRITTEN, "GatewayPending")
    rig.lanes.settled()
    assert rig.observed().accepted is True


def test_only_counters_confirm(rig: GatewayRig) -> None:
    at_home(rig)
    rig.move(gpu=50, hosted=50)
    # Accepted, and not a request has come.
    quiet = rig.confirm({"gpu": 50, "hosted": 50}, rig.counters(), 10.0)
    assert (quiet.stage, quiet.reason) == (Stage.ACCEPTED, "NoTraffic")
    wait_until(lambda: "hosted" in rig.send(20, 4).served_by, "loaded", 60)
    before, began = rig.counters(), time.monotonic()
    assert rig.send(2000, 8).failed == 0
    seconds = time.monotonic() - began
    found = rig.confirm({"gpu": 50, "hosted": 50}, before, seconds)
    assert found.stage is Stage.CONFIRMED, found.message
    assert found.hosted_share == pytest.approx(0.5, abs=0.05)
    # The same counters do not confirm what nobody sees, whatever the status says.
    wrong = rig.confirm({"gpu": 90, "hosted": 10}, before, seconds)
    assert rig.observed().accepted is True
    assert wrong.stage is Stage.ACCEPTED
    assert wrong.reason == "CountersMoving"
    assert "hosted 10%" in wrong.message


def test_notes_are_json_that_names_the_plan(rig: GatewayRig) -> None:
    at_home(rig)
    rig.move(gpu=20, hosted=80)
    noted = json.loads(rig.route()["metadata"]["annotations"]["spillway.dev/routing"])
    assert noted[rig.rule] == {"plan": f"{rig.lanes.namespace}/main", "good": {"gpu": 100, "hosted": 0}}
