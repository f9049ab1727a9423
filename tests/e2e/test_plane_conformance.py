"""Gateway API on a real Envoy Gateway passes the suite that every routing plane must pass (support/plane_cases.py)."""

from __future__ import annotations

import json
import sys

import pytest

from support import plane_cases
from support.gateways import Lanes
from support.planes import GatewayRig

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]

NOT_HERE = {
    "what_finds_no_room_below_a_cap_spills": "Envoy's circuit breakers answer 503 and try nothing again: with Gateway "
    "API the engine's own queue limit is what refuses, and that case runs",
}
"""Cases that can't be, with the reason."""


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


test_a_split_arrives_and_goes_to_zero_and_back_without_a_loss = (
    plane_cases.a_split_arrives_and_goes_to_zero_and_back_without_a_loss
)
test_a_second_look_finds_nothing_to_do_and_a_diff_has_words = (
    plane_cases.a_second_look_finds_nothing_to_do_and_a_diff_has_words
)
test_what_own_lanes_refuse_spills_and_nothing_else_does = plane_cases.what_own_lanes_refuse_spills_and_nothing_else_does
test_a_lane_that_must_be_emptied_is_emptied_where_the_gateway_spills = (
    plane_cases.a_lane_that_must_be_emptied_is_emptied_where_the_gateway_spills
)
test_a_hosted_lane_with_another_model_never_takes_a_spill = (
    plane_cases.a_hosted_lane_with_another_model_never_takes_a_spill
)
test_what_is_released_is_as_it_was_and_nobody_writes_it = plane_cases.what_is_released_is_as_it_was_and_nobody_writes_it
test_what_is_somebody_elses_is_left = plane_cases.what_is_somebody_elses_is_left
test_one_binding_that_fails_stops_no_other = plane_cases.one_binding_that_fails_stops_no_other
test_weights_that_the_gateway_refuses_give_way_to_those_it_took = (
    plane_cases.weights_that_the_gateway_refuses_give_way_to_those_it_took
)
test_a_status_of_an_older_generation_says_nothing = plane_cases.a_status_of_an_older_generation_says_nothing
test_only_counters_confirm = plane_cases.only_counters_confirm


def test_every_case_of_the_suite_is_here_or_said_why_not() -> None:
    plane_cases.check_complete(sys.modules[__name__], NOT_HERE)


def test_notes_are_json_that_names_the_plan(rig: GatewayRig) -> None:
    plane_cases.at_home(rig)
    rig.move(gpu=20, hosted=80)
    noted = json.loads(rig.route()["metadata"]["annotations"]["spillway.dev/routing"])
    assert noted[rig.rule] == {"plan": f"{rig.lanes.namespace}/main", "good": {"gpu": 100, "hosted": 0}}
