"""Since when weights are in place, what was lowered, and since when a lane stands where it stands."""

from __future__ import annotations

from dataclasses import replace

from spillway.act.moves import LaneMove
from spillway.act.planes.plane import Confirmation, Stage
from spillway.api import CapacityPlan, CapacityPlanStatus, LaneStatus
from spillway.api.status import MoveState
from spillway.controller.moves import Moves, move_statuses
from spillway.decide.snapshot import MetricsHealth, MetricsReason, PlanSnapshot, RouteState
from support.world import plan

AT = 1_800_000_000.0


def snapshot(at: float, weights: dict[str, int]) -> PlanSnapshot:
    state = RouteState("chat", "chat", "all", True, weights=weights)
    health = MetricsHealth(MetricsReason.FOUND, "")
    return PlanSnapshot(at, CapacityPlan.parse(plan("ai")), (), (), (state,), health)


def confirm(moves: Moves, at: float, **weights: int) -> None:
    found = [Confirmation("chat", Stage.CONFIRMED, "CountersAgree", "as asked")]
    moves.confirmed(snapshot(at, weights), found)


def seen(moves: Moves, at: float, **weights: int) -> tuple[float, dict[str, float]]:
    """Since when these weights are in place, and since when each lane has less."""
    (move,) = moves.seen(snapshot(at, weights))
    assert dict(move.weights) == weights
    return move.written_at, dict(move.lowered_at)


def test_a_lane_is_lowered_until_it_has_its_share_back() -> None:
    moves = Moves()
    assert seen(moves, AT, gpu=100, hosted=0) == (AT, {"hosted": AT})
    assert seen(moves, AT + 1, gpu=60, hosted=40) == (AT + 1, {"gpu": AT + 1, "hosted": AT})
    assert seen(moves, AT + 2, gpu=60, hosted=40) == (AT + 1, {"gpu": AT + 1, "hosted": AT})
    # More than before, but what was lowered may still be on its way.
    assert seen(moves, AT + 3, gpu=80, hosted=20) == (AT + 3, {"gpu": AT + 1, "hosted": AT + 3})
    assert seen(moves, AT + 4, gpu=100, hosted=0) == (AT + 4, {"hosted": AT + 4})


def test_what_demand_moves_by_itself_is_not_lowered_but_steps_add_up_and_nothing_is_nothing() -> None:
    moves = Moves()
    seen(moves, AT, gpu=100, hosted=0)
    assert "gpu" not in seen(moves, AT + 1, gpu=96, hosted=4)[1]
    assert seen(moves, AT + 2, gpu=92, hosted=8)[1]["gpu"] == AT + 2
    assert "gpu" not in seen(moves, AT + 3, gpu=97, hosted=3)[1]
    seen(moves, AT + 4, gpu=3, hosted=97)
    confirm(moves, AT + 5, gpu=3, hosted=97)
    assert seen(moves, AT + 6, gpu=0, hosted=100)[1]["gpu"] == AT + 6


def test_what_counters_show_is_lowered_no_more() -> None:
    moves = Moves()
    assert seen(moves, AT, gpu=60, hosted=40)[1] == {"gpu": AT, "hosted": AT}
    confirm(moves, AT + 60, gpu=60, hosted=40)
    assert seen(moves, AT + 60, gpu=60, hosted=40) == (AT, {})
    assert seen(moves, AT + 61, gpu=57, hosted=43) == (AT + 61, {})
    assert seen(moves, AT + 62, gpu=54, hosted=46) == (AT + 62, {"gpu": AT + 62})


def test_after_a_restart_whatever_may_have_been_lowered_counts_as_lowered_now() -> None:
    assert seen(Moves(), AT, gpu=60, hosted=40) == (AT, {"gpu": AT, "hosted": AT})
    assert seen(Moves(), AT, gpu=0, hosted=100) == (AT, {"gpu": AT})


def test_weights_that_say_the_same_in_other_numbers_lower_nothing() -> None:
    moves = Moves()
    seen(moves, AT, gpu=1, hosted=0)
    assert seen(moves, AT + 1, gpu=100, hosted=0)[1] == {"hosted": AT}


def test_a_state_that_goes_on_keeps_its_beginning_across_restarts() -> None:
    move = LaneMove("gpu", MoveState.SHIFTING_AWAY, "WeightsDue", "the lane's share goes")
    first = move_statuses([move], None, AT)
    assert first["gpu"].since == "2027-01-15T08:00:00Z"
    status = CapacityPlanStatus(lanes=(LaneStatus(name="gpu", move=first["gpu"]),))
    later = move_statuses([LaneMove("gpu", MoveState.SHIFTING_AWAY, "CountersPending", "wait")], status, AT + 60)
    assert (later["gpu"].since, later["gpu"].reason) == (first["gpu"].since, "CountersPending")
    other = move_statuses([LaneMove("gpu", MoveState.SCALING_IN, "TrafficAway", "go")], status, AT + 60)
    assert other["gpu"].since == "2027-01-15T08:01:00Z"


def told(at: float, accepted: bool | None, hosted: int = 30) -> PlanSnapshot:
    plan = CapacityPlan.parse({"metadata": {"name": "main", "namespace": "ai", "uid": "u"}, "spec": {"lanes": ["gpu"]}})
    route = RouteState("chat", "chat", None, True, weights={"gpu": 100 - hosted, "hosted": hosted}, accepted=accepted)
    return replace(PlanSnapshot(at, plan, (), (), (), MetricsHealth(MetricsReason.FOUND, "")), routes=(route,))


def since(moves: Moves, *looks: PlanSnapshot) -> list[float]:
    return [moves.seen(each)[0].written_at for each in looks]


def test_weights_count_from_when_they_were_first_seen() -> None:
    found = since(Moves(), told(0, True), told(15, True), told(30, True, 40), told(45, True, 40))
    assert found == [0, 0, 30, 30]


def test_a_rollout_that_takes_minutes_is_not_late_when_it_is_complete() -> None:
    found = since(Moves(), told(0, False), told(300, False), told(315, None), told(330, True))
    assert found == [0, 300, 300, 300]


def test_a_gateway_that_says_nothing_for_a_moment_changes_nothing() -> None:
    assert since(Moves(), told(0, True), told(15, None), told(30, True)) == [0, 0, 0]
