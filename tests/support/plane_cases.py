"""What every routing plane must do, on its real gateway: one suite, a rig for each plane.

A plane's file of tests takes each case under its name, as `test_x = plane_cases.x`, or says why it can't be.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from types import ModuleType

import pytest

from spillway.act.planes.plane import Stage
from spillway.act.writes import Outcome
from spillway_dev.processes import wait_until
from spillway_dev.upstreams import Load, LoadReport
from support.rigs import Rig

WAIT_SECONDS = 400.0


def at_home(rig: Rig) -> None:
    rig.move(gpu=100, hosted=0)
    wait_until(lambda: rig.send(1).served_by == {"gpu": 1}, "the gateway answers", 60)


def arrive(rig: Rig, load: Load, share: float) -> None:
    """Wait until nearly this share of fresh requests is served by own lanes: 0 and 100 must become exact."""
    close = 15 if 0 < share < 100 else 0
    limit = rig.pace.patience_seconds
    wait_until(lambda: abs(load.wait_for(100, limit).share("gpu") - share) <= close, f"{share:g}% on own lanes", limit)


def next_ones(load: Load, requests: int) -> LoadReport:
    before = load.report()
    load.wait_for(requests, WAIT_SECONDS)
    return load.report().since(before)


def a_split_arrives_and_goes_to_zero_and_back_without_a_loss(rig: Rig) -> None:
    at_home(rig)
    with rig.load() as load:
        assert next_ones(load, rig.pace.some).served_by.keys() == {"gpu"}
        rig.move(gpu=70, hosted=30)
        arrive(rig, load, 70)
        measured = next_ones(load, rig.pace.enough)
        assert measured.share("gpu") == pytest.approx(70, abs=rig.pace.points)
        rig.move(gpu=0, hosted=100)
        arrive(rig, load, 0)
        assert next_ones(load, rig.pace.some).served_by.keys() == {"hosted"}
        rig.move(gpu=100, hosted=0)
        arrive(rig, load, 100)
        assert next_ones(load, rig.pace.some).served_by.keys() == {"gpu"}
    report = load.report()
    assert report.failed == 0, report.errors
    assert report.ok == report.sent


def a_second_look_finds_nothing_to_do_and_a_diff_has_words(rig: Rig) -> None:
    at_home(rig)
    found, rendered = rig.look(gpu=100, hosted=0)
    assert (rendered.changes, rendered.refused) == ((), ())
    assert rig.plane.diff(found, rendered) == ()
    found, rendered = rig.look(gpu=60, hosted=40)
    words = "; ".join(rig.plane.diff(found, rendered))
    assert [phrase for phrase in rig.difference if phrase not in words] == [], words
    # Looking has written nothing.
    assert rig.weights() == {"gpu": 100, "hosted": 0}


def what_own_lanes_refuse_spills_and_nothing_else_does(spilling: Rig) -> None:
    rig = spilling
    at_home(rig)
    assert rig.send(300, rig.pace.clients).served_by == {"gpu": 300}
    # Observed as it shares traffic out: the weight that lets it spill is no share.
    assert rig.observed().weights == {"gpu": 100, "hosted": 0}
    rig.set_local(limit=0, refuse_status=503)
    first = rig.send(1)
    assert (first.failed, dict(first.served_by)) == (0, {"hosted": 1}), first.errors
    rig.set_local(limit=None)
    with rig.load() as load:
        for limit, share in ((0, 0.0), (None, 100.0), (0, 0.0)):
            rig.set_local(limit=limit)
            arrive(rig, load, share)
    report = load.report()
    assert report.failed == 0, report.errors


def a_lane_that_must_be_emptied_is_emptied_where_the_gateway_spills(spilling: Rig) -> None:
    rig = spilling
    at_home(rig)
    with rig.load() as load:
        rig.move(gpu=0, hosted=100)
        arrive(rig, load, 0)
        assert next_ones(load, rig.pace.some).served_by.keys() == {"hosted"}
        rig.move(gpu=100, hosted=0)
        arrive(rig, load, 100)
        assert next_ones(load, rig.pace.some).served_by.keys() == {"gpu"}
    report = load.report()
    assert report.failed == 0, report.errors


def what_finds_no_room_below_a_cap_spills(spilling: Rig) -> None:
    rig = spilling
    rig.cap = 2
    at_home(rig)
    rig.set_local(token_seconds=0.3)
    report = rig.send(12, 12, max_tokens=30)
    assert (report.failed, dict(report.served_by)) == (0, {"gpu": 2, "hosted": 10}), report.errors


def a_hosted_lane_with_another_model_never_takes_a_spill(spilling: Rig) -> None:
    rig = spilling
    rig.models = {"gpu": "m", "hosted": "another"}
    at_home(rig)
    before = rig.counters()["hosted"]
    rig.set_local(limit=0)
    assert dict(rig.send(20).statuses) == {503: 20}
    assert rig.counters()["hosted"] == before


def what_is_released_is_as_it_was_and_nobody_writes_it(rig: Rig) -> None:
    rig.put(gpu=100, hosted=0)
    rig.put(gpu=40, hosted=60)
    (held,) = rig.held()
    written = rig.release(held, restore=True)
    assert written.ok, written.error
    # What carries traffic is never deleted, and what was generated has no earlier state.
    assert rig.weights() == (rig.baseline or {"gpu": 40, "hosted": 60})
    if rig.kept:
        return
    assert rig.held() == []
    assert rig.traces() == []


def what_is_somebody_elses_is_left(rig: Rig) -> None:
    rig.taken_by_somebody()
    before = rig.content()
    (written,) = rig.write({"chat": {"gpu": 50, "hosted": 50}})
    assert written.outcome is Outcome.SUPERSEDED
    assert any(why in written.error for why in rig.not_owned), written.error
    assert rig.content() == before
    assert rig.observed().problem is not None


@pytest.mark.parametrize("works", [True, False])
def one_binding_that_fails_stops_no_other(rig: Rig, works: bool) -> None:
    plan = rig.plan_with_another(works)
    both = {"other": {"gpu": 50, "hosted": 50}, "chat": {"gpu": 30, "hosted": 70}}

    def written() -> bool:
        failed = [each for each in rig.write(both, plan) if each.outcome is Outcome.FAILED]
        assert failed == []
        _, rendered = rig.look_at(both, plan)
        assert rig.left_out(rendered) == (set() if works else {"other"})
        return not rendered.changes

    # The gateway writes statuses at the same time: a write that meets one is done again.
    wait_until(written, "all that can be is written", 60)
    assert rig.weights() == {"gpu": 30, "hosted": 70}


def weights_that_the_gateway_refuses_give_way_to_those_it_took(rig: Rig) -> None:
    """The hosted lane's backend is gone: what went there fails, until the last good weights are back."""
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
    rig.restore_hosted()
    rig.at += 301.0
    rig.move(gpu=70, hosted=30)
    assert rig.weights() == {"gpu": 70, "hosted": 30}


def a_status_of_an_older_generation_says_nothing(rig: Rig) -> None:
    at_home(rig)
    assert rig.observed().accepted is True
    before = rig.version()
    with rig.gateway_away():
        wait_until(lambda: not rig.write({"chat": {"gpu": 10, "hosted": 90}}), "written", 30)
        assert rig.version() > before
        accepted, reason = rig.pending
        assert rig.observed().accepted is accepted
        found = rig.confirm({"gpu": 10, "hosted": 90}, rig.counters(), 10.0)
        assert (found.stage, found.reason) == (Stage.WRITTEN, reason)
    rig.settled()
    assert rig.observed().accepted is True


def only_counters_confirm(rig: Rig) -> None:
    rig.move(gpu=50, hosted=50)
    # Accepted, and not a request has come.
    quiet = rig.confirm({"gpu": 50, "hosted": 50}, rig.counters(), 10.0)
    assert (quiet.stage, quiet.reason) == (Stage.ACCEPTED, "NoTraffic")
    wait_until(lambda: "hosted" in rig.send(20, 4).served_by, "loaded", 60)
    requests = rig.pace.enough // 4
    before, began = rig.counters(), time.monotonic()
    assert rig.send(requests, rig.pace.clients).failed == 0
    seconds = time.monotonic() - began
    found = rig.confirm({"gpu": 50, "hosted": 50}, before, seconds)
    assert found.stage is Stage.CONFIRMED, found.message
    assert found.hosted_share == pytest.approx(0.5, abs=2 / math.sqrt(requests))
    # The same counters do not confirm what nobody sees, whatever the status says.
    wrong = rig.confirm({"gpu": 90, "hosted": 10}, before, seconds)
    assert rig.observed().accepted is True
    assert wrong.stage is Stage.ACCEPTED
    assert wrong.reason == "CountersMoving"
    assert "hosted 10%" in wrong.message


CASES = (
    a_split_arrives_and_goes_to_zero_and_back_without_a_loss,
    a_second_look_finds_nothing_to_do_and_a_diff_has_words,
    what_own_lanes_refuse_spills_and_nothing_else_does,
    a_lane_that_must_be_emptied_is_emptied_where_the_gateway_spills,
    what_finds_no_room_below_a_cap_spills,
    a_hosted_lane_with_another_model_never_takes_a_spill,
    what_is_released_is_as_it_was_and_nobody_writes_it,
    what_is_somebody_elses_is_left,
    one_binding_that_fails_stops_no_other,
    weights_that_the_gateway_refuses_give_way_to_those_it_took,
    a_status_of_an_older_generation_says_nothing,
    only_counters_confirm,
)


def check_complete(tests: ModuleType, not_here: Mapping[str, str]) -> None:
    """Every case is a test of this module, or stands in ``not_here`` with the reason why it can't be."""
    here = {case.__name__ for case in CASES if getattr(tests, f"test_{case.__name__}", None) is case}
    assert here.isdisjoint(not_here)
    assert here | set(not_here) == {case.__name__ for case in CASES}
    assert all(not_here.values())
