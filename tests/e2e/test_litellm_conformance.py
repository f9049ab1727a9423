"""LiteLLM as the only gateway passes the suite that every routing plane must pass (support/plane_cases.py).

Real proxies behind one Deployment, shared by all cases: each change of weights is a rollout of many seconds.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator

import pytest

from spillway.act.writes import Outcome
from spillway_dev.cluster import Cluster
from support import plane_cases
from support.litellm_rig import CHAT, LiteLLMRig

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]

NOT_HERE = {
    "weights_that_the_gateway_refuses_give_way_to_those_it_took": "LiteLLM refuses no weights, and looks no name up: "
    "pods of a configuration that can't start leave those of before in place, as every rollout does. A proxy "
    "that is missing is a case of this file",
}
"""Cases that can't be, with the reason."""


@pytest.fixture(scope="module")
def world(gpu_nodes: Cluster) -> Iterator[LiteLLMRig]:
    namespace = gpu_nodes.create_namespace(f"proxy-{uuid.uuid4().hex[:8]}")
    made = LiteLLMRig(gpu_nodes, namespace)
    yield made
    made.close()
    gpu_nodes.delete_namespace(namespace)


@pytest.fixture
def rig(world: LiteLLMRig) -> LiteLLMRig:
    """It shares out by weights."""
    world.prepare("Split")
    return world


@pytest.fixture
def spilling(world: LiteLLMRig) -> LiteLLMRig:
    """It spills by itself."""
    world.prepare("Spill")
    return world


# In an order that needs the fewest rollouts.
test_a_second_look_finds_nothing_to_do_and_a_diff_has_words = (
    plane_cases.a_second_look_finds_nothing_to_do_and_a_diff_has_words
)
test_a_split_arrives_and_goes_to_zero_and_back_without_a_loss = (
    plane_cases.a_split_arrives_and_goes_to_zero_and_back_without_a_loss
)
test_a_status_of_an_older_generation_says_nothing = plane_cases.a_status_of_an_older_generation_says_nothing
test_only_counters_confirm = plane_cases.only_counters_confirm
test_what_is_somebody_elses_is_left = plane_cases.what_is_somebody_elses_is_left


def test_a_proxy_that_is_missing_is_told_and_nothing_is_written(rig: LiteLLMRig) -> None:
    before = rig.written()
    rig.deployment = "gone"
    (written,) = rig.write({CHAT: {"gpu": 50, "hosted": 50}})
    assert written.outcome is Outcome.SUPERSEDED
    assert written.error == f"Deployment {rig.namespace}/gone does not exist"
    problem = f"Deployment {rig.namespace}/gone does not exist: create it, or mend spec.routing.litellm"
    assert rig.observed().problem == problem
    assert rig.written() == before


test_one_binding_that_fails_stops_no_other = plane_cases.one_binding_that_fails_stops_no_other
test_what_is_released_is_as_it_was_and_nobody_writes_it = plane_cases.what_is_released_is_as_it_was_and_nobody_writes_it
test_what_own_lanes_refuse_spills_and_nothing_else_does = plane_cases.what_own_lanes_refuse_spills_and_nothing_else_does
test_a_lane_that_must_be_emptied_is_emptied_where_the_gateway_spills = (
    plane_cases.a_lane_that_must_be_emptied_is_emptied_where_the_gateway_spills
)
test_what_finds_no_room_below_a_cap_spills = plane_cases.what_finds_no_room_below_a_cap_spills
test_a_hosted_lane_with_another_model_never_takes_a_spill = (
    plane_cases.a_hosted_lane_with_another_model_never_takes_a_spill
)


def test_every_case_of_the_suite_is_here_or_said_why_not() -> None:
    plane_cases.check_complete(sys.modules[__name__], NOT_HERE)
