"""What is proposed of a record, and what is not; each patch as the apiserver would carry it out."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advise.structural.builders import DAY, hosted_lane, hours, own_lane, plan, workload
from spillway.advise.structural import rules
from spillway.advise.structural.lanes import dispensable, only_own_of
from spillway.advise.structural.rules import Observed, Proposed, propose
from spillway.api import CapacityLane, CapacityPlan, ChangeReason, DataPolicy

THREE_DAYS = 72
OBSERVE = 3 * DAY


def proposed(observed: Observed, observe: int = OBSERVE, of: CapacityPlan | None = None) -> Proposed | None:
    found = propose(of or plan(), [observed], observe)
    return found[0] if found else None


def patched(resource: CapacityLane | CapacityPlan, item: Proposed) -> dict[str, Any]:
    (change,) = item.change
    document = {"spec": resource.spec.to_wire()}
    return dict(jsonpatch.apply_patch(document, [step.to_wire() for step in change.patch])["spec"])


def test_a_minimum_that_kept_more_than_was_needed() -> None:
    lane = own_lane(min=3)
    item = proposed(Observed(lane, hours([1] * THREE_DAYS, {0: 6.0, 1: 6.0, 2: 3.0})))
    assert item is not None
    assert (item.reason, item.lane, item.usd_per_month) == (ChangeReason.LOWER_MINIMUM, "gpu", Decimal(-4380))
    assert item.observed_seconds == OBSERVE
    assert patched(lane, item)["selfHosted"]["replicas"] == {"min": 1, "max": 8}
    assert item.message == (
        "Over 3.0 days of observation 1 replica would have been enough for lane gpu 95% of the time, and its "
        "replicas.min of 3 kept more: with 1 the bill would be about $4,380 a month lower."
    )


@pytest.mark.parametrize(
    "observed",
    [
        Observed(own_lane(min=3), hours([1] * (THREE_DAYS - 1), {1: 6.0})),
        Observed(own_lane(min=3), hours([1] * 60 + [3] * 12, {1: 6.0})),
        Observed(own_lane(min=3), hours([1] * THREE_DAYS, {1: 0.01})),
        Observed(own_lane(min=1), hours([1] * THREE_DAYS)),
        Observed(own_lane(min=0), hours([0] * 71 + [1])),
    ],
    ids=["too short", "a sixth of the time it was needed", "cents", "nothing to lower", "at its need"],
)
def test_no_minimum_is_lowered(observed: Observed) -> None:
    assert proposed(observed) is None


def test_a_lane_that_would_stand_at_0_moves_its_classes() -> None:
    lane = own_lane(min=2)
    record = hours([0] * THREE_DAYS, {0: 4.5, 1: 2.5})
    item = proposed(Observed(lane, record, ("team/chat",)))
    assert item is not None
    assert item.reason is ChangeReason.MOVE_CLASS
    assert patched(lane, item)["selfHosted"]["replicas"]["min"] == 0
    assert "class team/chat would be served by hosted lanes while that is cheaper" in item.message
    shared = proposed(Observed(lane, record))
    assert shared is not None
    assert shared.reason is ChangeReason.LOWER_MINIMUM, "another own lane takes them"


def test_a_maximum_that_held_it_back() -> None:
    lane = own_lane(max=2)
    record = hours([2] * 48 + [4] * 24, {3: 2.0, 4: 3.0, 5: 3.0})
    item = proposed(Observed(lane, record))
    assert item is not None
    assert (item.reason, item.usd_per_month) == (ChangeReason.RAISE_MAXIMUM, Decimal(-2190))
    assert patched(lane, item)["selfHosted"]["replicas"] == {"min": 0, "max": 4}
    assert "held at its replicas.max of 2 for 24.0 hours" in item.message
    assert "$2,190 a month lower" in item.message


def test_a_pool_bounds_what_is_proposed() -> None:
    lane = own_lane(max=2)
    record = hours([4] * THREE_DAYS, {3: 2.0, 4: 3.0})
    item = proposed(Observed(lane, record, room=3))
    assert item is not None
    assert patched(lane, item)["selfHosted"]["replicas"]["max"] == 3
    assert proposed(Observed(lane, record, room=2)) is None


def test_one_burst_is_no_structure() -> None:
    lane = own_lane(max=2)
    saves = {3: 50.0, 4: 50.0}
    assert proposed(Observed(lane, hours([1] * 69 + [4] * 3, saves))) is None
    assert proposed(Observed(lane, hours([1] * 40 + [4] * 2 + [1] * 28 + [4] * 2, saves))) is not None


def test_misses_that_cost_money_to_serve_are_told_as_that() -> None:
    item = proposed(Observed(own_lane(max=2), hours([3] * THREE_DAYS, {3: -3.0})))
    assert item is not None
    assert item.usd_per_month == 2190
    assert "$2,190 a month higher, for requests that nobody serves within their objectives now" in item.message


def owned(lane: CapacityLane, release_usd: str) -> CapacityLane:
    spec = lane.spec.to_wire()
    spec["selfHosted"]["price"] = {
        "usdPerGpuHour": "3",
        "commitment": "Owned",
        "releaseValueUsdPerGpuHour": release_usd,
    }
    return CapacityLane.parse({"metadata": lane.metadata.model_dump(by_alias=True), "spec": spec})


def test_gpus_that_are_paid_for_anyway_must_pay_for_themselves() -> None:
    record = hours([3] * THREE_DAYS, {3: 2.0})
    free, bound = owned(own_lane(max=2), "3"), owned(own_lane(max=2), "0")
    item = proposed(Observed(free, record))
    assert item is not None
    assert item.usd_per_month == -1460
    assert proposed(Observed(bound, record)) is None, "the third GPU costs 3 $/h, and saves 2"
    item = proposed(Observed(bound, hours([3] * THREE_DAYS, {3: 5.0})))
    assert item is not None
    assert item.usd_per_month == -1460


def test_own_gpus_that_a_maximum_of_0_forbids() -> None:
    item = proposed(Observed(own_lane(max=0), hours([2] * THREE_DAYS, {1: 3.0, 2: 5.0}), ("team/chat",)))
    assert item is not None
    assert item.reason is ChangeReason.MOVE_CLASS
    assert "class team/chat would be served by own GPUs while that is cheaper" in item.message


BINDING = {
    "class": "chat",
    "ownership": "Adopted",
    "httpRoute": "chat",
    "rule": "all",
    "backends": {"gpu": "vllm", "spare": "vllm-spare", "hosted": "egress"},
}


BOUND = {"plane": "GatewayAPI", "bindings": [BINDING]}


def test_a_lane_that_nothing_used_goes_with_its_backends() -> None:
    of = plan(lanes=["gpu", "spare", "hosted"], routing={"plane": "GatewayAPI", "bindings": [BINDING]})
    unused = hours([0] * THREE_DAYS, used=False)
    item = proposed(Observed(own_lane("spare"), unused, dispensable=True), of=of)
    assert item is not None
    assert (item.reason, item.usd_per_month) == (ChangeReason.REMOVE_LANE, 0)
    after = patched(of, item)
    assert after["lanes"] == ["gpu", "hosted"]
    assert after["routing"]["bindings"][0]["backends"] == {"gpu": "vllm", "hosted": "egress"}
    CapacityPlan.parse({"metadata": {"name": "main", "namespace": "ai"}, "spec": after})


def test_behind_a_proxy_its_address_goes_too() -> None:
    proxy = {
        "configMap": "litellm",
        "deployment": "litellm",
        "addresses": {"gpu": "http://vllm:8000/v1", "spare": "http://spare:8000/v1"},
    }
    of = plan(lanes=["gpu", "spare"], routing={"plane": "LiteLLM", "litellm": proxy})
    unused = Observed(own_lane("spare"), hours([0] * THREE_DAYS, used=False), dispensable=True)
    item = proposed(unused, of=of)
    assert item is not None
    after = patched(of, item)
    assert after["lanes"] == ["gpu"]
    assert after["routing"]["litellm"]["addresses"] == {"gpu": "http://vllm:8000/v1"}
    made_up = of.spec.routing.model_copy(update={"bindings": plan(routing=BOUND).spec.routing.bindings})
    as_bound = of.model_copy(update={"spec": of.spec.model_copy(update={"routing": made_up})})
    assert proposed(unused, of=as_bound) == item, "bindings that nobody wrote are not patched"


def bound_everywhere() -> CapacityPlan:
    """As many bindings as a plan may have, and a proxy behind the gateway that knows the lane too."""
    bindings = [BINDING | {"class": f"chat-{number}", "rule": f"r{number}"} for number in range(16)]
    proxy = {"configMap": "litellm", "deployment": "litellm", "addresses": {"spare": "http://spare:8000/v1"}}
    routing = {"plane": "GatewayAPI", "bindings": bindings, "litellm": proxy}
    return plan(lanes=["gpu", "spare", "hosted"], routing=routing)


UNUSED = Observed(own_lane("spare"), hours([0] * THREE_DAYS, used=False), dispensable=True)


def test_a_lane_goes_from_as_many_bindings_as_a_plan_may_have() -> None:
    of = bound_everywhere()
    item = proposed(UNUSED, of=of)
    assert item is not None
    assert len(item.change[0].patch) == 2 + 16 * 2 + 2
    after = patched(of, item)
    assert "spare" not in json.dumps(after)
    assert len(after["routing"]["bindings"]) == 16


def test_a_patch_that_no_proposal_holds_is_not_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MOST_STEPS", 35)
    assert proposed(UNUSED, of=bound_everywhere()) is None


@pytest.mark.parametrize(
    "observed",
    [
        Observed(own_lane(), hours([0] * THREE_DAYS, used=False)),
        Observed(own_lane(), hours([0] * THREE_DAYS, used=True), dispensable=True),
        Observed(own_lane(min=1), hours([1] * THREE_DAYS, used=False), dispensable=True),
        Observed(own_lane("elsewhere"), hours([0] * THREE_DAYS, used=False), dispensable=True),
    ],
    ids=["something rests on it", "used", "a minimum", "not of the plan"],
)
def test_no_lane_goes(observed: Observed) -> None:
    assert proposed(observed) is None


def test_the_last_lane_and_the_last_backend_stay() -> None:
    unused = Observed(own_lane(), hours([0] * THREE_DAYS, used=False), dispensable=True)
    assert proposed(unused, of=plan(lanes=["gpu"])) is None
    alone = BINDING | {"backends": {"gpu": "vllm"}}
    assert proposed(unused, of=plan(routing={"plane": "GatewayAPI", "bindings": [alone]})) is None


def test_what_saves_most_comes_first() -> None:
    record = hours([1] * THREE_DAYS, {1: 3.0})
    dear = hours([1] * THREE_DAYS, {1: 9.0})
    found = propose(plan(), [Observed(own_lane("a", min=2), record), Observed(own_lane("b", min=2), dear)], OBSERVE)
    assert [item.lane for item in found] == ["b", "a"]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=80), st.integers(0, 6), st.integers(0, 4), st.floats(-9, 9))
def test_any_patch_is_carried_out_and_keeps_what_was_needed(needed: list[int], low: int, more: int, usd: float) -> None:
    bounds = {"min": low, "max": low + more}
    lane = own_lane(**bounds)
    record = hours(needed, dict.fromkeys(range(10), usd))
    item = proposed(Observed(lane, record), observe=60)
    if item is None:
        return
    after = patched(lane, item)["selfHosted"]["replicas"]
    assert after != bounds
    assert after["min"] <= after["max"]
    assert after["min"] <= low
    assert after["max"] >= low + more
    if after["min"] < low:
        enough = sum(number <= after["min"] for number in needed)
        assert enough >= 0.95 * len(needed)
        assert item.usd_per_month < 0, "a minimum is lowered to save"
    assert len(item.message) <= 1024


CHAT, SECRET = workload(), workload("secret", dataPolicy=DataPolicy.SELF_HOSTED_ONLY.value)
GPU, SPARE, HOSTED = own_lane(), own_lane("spare"), hosted_lane()


def test_which_classes_have_no_other_own_lane() -> None:
    other = own_lane("other", models=("mistral",))
    assert only_own_of(plan(), GPU, [GPU, HOSTED], [CHAT, SECRET]) == ("ai/chat", "ai/secret")
    assert only_own_of(plan(), GPU, [GPU, other, HOSTED], [CHAT]) == ("ai/chat",)
    assert only_own_of(plan(), GPU, [GPU, SPARE, HOSTED], [CHAT]) == ()
    bound = plan(routing={"plane": "GatewayAPI", "bindings": [BINDING | {"backends": {"gpu": "v", "hosted": "e"}}]})
    assert only_own_of(bound, GPU, [GPU, SPARE, HOSTED], [CHAT]) == ("ai/chat",), "its route doesn't name the other"


@pytest.mark.parametrize(
    ("of", "lanes", "classes", "free"),
    [
        (plan(), [GPU, HOSTED], [CHAT], True),
        (plan(), [GPU, SPARE], [CHAT, SECRET], True),
        (plan(), [GPU, HOSTED], [], True),
        (plan(), [GPU, HOSTED], [CHAT, SECRET], False),
        (plan(), [GPU], [CHAT], False),
        (plan(), [GPU, hosted_lane(models=("other",))], [CHAT], False),
        (plan(), [GPU, hosted_lane(limits={"requestsPerMinute": 60})], [CHAT], False),
        (plan(overflow={"mode": "Never"}), [GPU, HOSTED], [CHAT], False),
        (plan(overflow={"mode": "Spill"}), [GPU, HOSTED], [CHAT], False),
        (plan(overflow={"ceilingUsd": {"perMonth": "100"}}), [GPU, HOSTED], [CHAT], False),
        (plan(valueTiers=[{"name": "A", "maxSpillUsdPerHour": "5"}]), [GPU, HOSTED], [CHAT], False),
        (plan(overflow={"ceilingUsd": {"perMonth": "100"}}), [GPU, SPARE, HOSTED], [CHAT], True),
    ],
)
def test_what_rests_on_a_lane_that_nobody_uses(
    of: CapacityPlan, lanes: list[CapacityLane], classes: list[Any], free: bool
) -> None:
    assert dispensable(of, GPU, lanes, classes) is free
