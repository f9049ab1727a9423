"""What the Gateway API plane renders: spill policies, the way back from a refusal, and nothing where nothing is due."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from spillway.act.planes.plane import Found, How, Rendered, Wanted
from spillway.act.planes.registry import PLANES
from spillway.api import CapacityLane, CapacityPlan, RoutingPlane, WorkloadClass

JSON = dict[str, Any]
PLANE = PLANES[RoutingPlane.GATEWAY_API]
AT = 1_000_000.0


def plan(mode: str = "Spill", **binding: Any) -> CapacityPlan:
    content: JSON = {"class": "chat", "ownership": "Managed", "httpRoute": "chat", "gateway": {"name": "gw"}}
    content["backends"] = {"gpu": "Backend/vllm", "hosted": "Backend/egress"}
    spec = {"lanes": ["gpu", "hosted"], "overflow": {"mode": mode}}
    spec["routing"] = {"plane": "GatewayAPI", "bindings": [content | binding]}
    return CapacityPlan.parse({"metadata": {"name": "main", "namespace": "ai"}, "spec": spec})


ADOPTED = {"ownership": "Adopted", "rule": "all"}


def workload(policy: str = "Any", models: tuple[str, ...] = ("m",)) -> WorkloadClass:
    spec = {
        "planRef": {"name": "main"}, "match": {"header": {"name": "x-team", "value": "a"}}, "latency": "Deferrable",
        "dataPolicy": policy, "equivalentModels": list(models),
    }  # fmt: skip
    return WorkloadClass.parse({"metadata": {"name": "chat", "namespace": "ai"}, "spec": spec})


def lanes() -> tuple[CapacityLane, ...]:
    own = {
        "targetRef": {"name": "vllm"}, "gpu": {"type": "h100"}, "price": {"usdPerGpuHour": "3"},
        "replicas": {"min": 1, "max": 2},
    }  # fmt: skip
    hosted = {"provider": "openai", "model": "m", "price": {"inputUsdPerMTok": "1", "outputUsdPerMTok": "4"}}
    made = {"gpu": {"type": "SelfHosted", "selfHosted": own}, "hosted": {"type": "HostedRealtime", "hosted": hosted}}
    return tuple(
        CapacityLane.parse({"metadata": {"name": name, "namespace": "ai"}, "spec": spec | {"models": ["m"]}})
        for name, spec in made.items()
    )


def wanted(found: CapacityPlan, item: WorkloadClass | None = None, at: float = AT, **weights: int) -> Wanted:
    weights = weights or {"gpu": 100, "hosted": 0}
    return Wanted(found, (item or workload(),), lanes(), {"chat": weights}, frozenset({"chat"}), at=at)


def sent(rendered: Rendered, found: Found | None = None) -> Found:
    """What the apiserver would then hold."""
    objects = {} if found is None else dict(found.objects)
    for change in rendered.changes:
        assert change.how is How.APPLY
        objects[change.subject] = copy.deepcopy(change.body)
        objects[change.subject]["metadata"] |= {"resourceVersion": "1", "generation": 1}
    return Found(objects)


def refs(rendered: Rendered) -> dict[str, int]:
    body = rendered.changes[-1].body
    return {ref["name"]: ref["weight"] for ref in body["spec"]["rules"][0]["backendRefs"]}


def test_the_policy_goes_before_the_route_that_needs_it() -> None:
    rendered = PLANE.render(wanted(plan()), Found({}))
    assert [change.kind for change in rendered.changes] == ["BackendTrafficPolicy", "HTTPRoute"]
    retry = rendered.changes[0].body["spec"]["retry"]
    assert (retry["numAttemptsPerPriority"], retry["retryOn"]["httpStatusCodes"]) == (1, [429, 503])
    assert refs(rendered) == {"vllm": 100, "egress": 1}
    assert not rendered.changes[0].force, "what somebody created meanwhile is not taken over"


@pytest.mark.parametrize("mode", ["Spill", "Split", "Never"])
def test_every_generated_route_has_room_for_more_than_envoys_own_limits(mode: str) -> None:
    rendered = PLANE.render(wanted(plan(mode)), Found({}))
    policy = rendered.changes[0].body
    most = 100_000
    assert policy["spec"]["circuitBreaker"] == {
        "maxConnections": most, "maxPendingRequests": most, "maxParallelRequests": most, "maxParallelRetries": most,
    }  # fmt: skip
    # What a policy of the whole Gateway says beside goes on to hold.
    assert policy["spec"]["mergeType"] == "StrategicMerge"
    assert ("retry" in policy["spec"]) == (mode == "Spill")
    assert policy["spec"]["targetRefs"] == [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "chat"}]


def test_a_policy_of_an_earlier_release_gets_room() -> None:
    found = sent(PLANE.render(wanted(plan()), Found({})))
    del found.objects["BackendTrafficPolicy/ai/chat"]["spec"]["circuitBreaker"]
    (change,) = PLANE.render(wanted(plan()), found).changes
    assert (change.what, change.words) == ("limits", ("room for its requests at the gateway",))


def test_nothing_is_due_twice_whatever_the_apiserver_adds() -> None:
    found = sent(PLANE.render(wanted(plan()), Found({})))
    found.objects["HTTPRoute/ai/chat"]["spec"]["rules"][0]["backendRefs"][0]["extra"] = "default"
    assert PLANE.render(wanted(plan()), found) == Rendered()


def test_a_route_for_which_nothing_is_decided_yet_begins_at_home() -> None:
    assert refs(PLANE.render(wanted(plan("Split"), gpu=0, hosted=0), Found({}))) == {"vllm": 100, "egress": 0}
    hosted_alone = plan("Split", backends={"hosted": "Backend/egress"})
    (refused,) = PLANE.render(wanted(hosted_alone, hosted=0), Found({})).refused
    assert "no own lane to begin with" in refused.why
    assert not refused.backing_off


def test_all_hosted_empties_own_lanes() -> None:
    assert refs(PLANE.render(wanted(plan(), gpu=0, hosted=100), Found({}))) == {"vllm": 0, "egress": 100}


def test_a_policy_that_is_not_needed_any_more_loses_its_effect_and_is_not_deleted() -> None:
    found = sent(PLANE.render(wanted(plan()), Found({})))
    rendered = PLANE.render(wanted(plan("Split")), found)
    assert [change.kind for change in rendered.changes] == ["BackendTrafficPolicy", "HTTPRoute"]
    assert "retry" not in rendered.changes[0].body["spec"]
    assert (rendered.changes[0].what, rendered.changes[0].words) == ("policy", ("nothing spills any more",))
    assert refs(rendered) == {"vllm": 100, "egress": 0}
    assert PLANE.render(wanted(plan("Split")), sent(rendered, found)) == Rendered()


@pytest.mark.parametrize(
    ("item", "hosted"),
    [(workload("SelfHostedOnly"), None), (workload(models=("another",)), 0)],
)
def test_what_may_not_be_hosted_never_spills(item: WorkloadClass, hosted: int | None) -> None:
    rendered = PLANE.render(wanted(plan(), item), Found({}))
    assert [change.kind for change in rendered.changes] == ["BackendTrafficPolicy", "HTTPRoute"]
    assert "retry" not in rendered.changes[0].body["spec"]
    assert refs(rendered).get("egress") == hosted


def test_an_adopted_rule_gets_weights_and_no_policy() -> None:
    rules = [{"name": "all", "backendRefs": [{"kind": "Backend", "name": n, "weight": 1} for n in ("vllm", "egress")]}]
    route = {"metadata": {"name": "chat", "resourceVersion": "1"}, "spec": {"rules": rules}}
    rendered = PLANE.render(wanted(plan(**ADOPTED)), Found({"HTTPRoute/ai/chat": route}))
    (change,) = rendered.changes
    assert (change.how, change.words) == (How.JSON_PATCH, ("gpu 1 -> 100",))


def policies(name: str, **meta: Any) -> Found:
    target = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "chat"}
    item = {"metadata": {"name": name, "resourceVersion": "1"} | meta, "spec": {"targetRefs": [target]}}
    return Found({f"BackendTrafficPolicy/ai/{name}": item})


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (policies("chat"), "BackendTrafficPolicy ai/chat is not Spillway's"),
        (policies("theirs"), "BackendTrafficPolicy ai/theirs targets it, too"),
        (Found({}, frozenset({"BackendTrafficPolicy"})), "nothing spills without a BackendTrafficPolicy"),
    ],
)
def test_a_route_that_would_not_spill_is_refused(found: Found, why: str) -> None:
    rendered = PLANE.render(wanted(plan()), found)
    assert rendered.changes == ()
    assert why in rendered.refused[0].why


@pytest.mark.parametrize(
    "found", [policies("chat"), policies("theirs"), Found({}, frozenset({"BackendTrafficPolicy"}))]
)
def test_what_keeps_a_policy_from_a_route_that_shares_out_keeps_no_route(found: Found) -> None:
    """Its room may be somebody else's to give, or another gateway's."""
    rendered = PLANE.render(wanted(plan("Split")), found)
    assert [change.kind for change in rendered.changes] == ["HTTPRoute"]
    assert rendered.refused == ()


def test_retries_go_though_somebody_elses_policy_came_beside() -> None:
    found = sent(PLANE.render(wanted(plan()), Found({})))
    beside = Found(dict(found.objects) | dict(policies("theirs").objects))
    changes = PLANE.render(wanted(plan("Split")), beside).changes
    assert (changes[0].what, "retry" in changes[0].body["spec"]) == ("policy", False)


def test_a_write_of_room_that_fails_stops_no_weights() -> None:
    room, route = PLANE.render(wanted(plan("Split")), Found({})).changes
    assert (room.what, route.what) == ("limits", "route")
    assert room.group != route.group
    spills, spilling = PLANE.render(wanted(plan()), Found({})).changes
    assert (spills.what, spilling.what) == ("policy", "route")
    assert spills.group == spilling.group


def statused(found: Found, status: str, generation: int = 1) -> Found:
    objects = copy.deepcopy(dict(found.objects))
    conditions = [
        {"type": "Accepted", "status": "True", "observedGeneration": generation},
        {"type": "ResolvedRefs", "status": status, "observedGeneration": generation, "message": "no such backend"},
    ]
    objects["HTTPRoute/ai/chat"]["status"] = {"parents": [{"conditions": conditions}]}
    return Found(objects)


def test_from_a_refusal_it_goes_back_to_what_was_accepted_and_waits() -> None:
    split = plan("Split")
    good = statused(sent(PLANE.render(wanted(split), Found({}))), "True")
    moved = sent(PLANE.render(wanted(split, gpu=50, hosted=50), good), good)
    # Until the gateway speaks of this generation nothing is known.
    assert PLANE.render(wanted(split, gpu=50, hosted=50), statused(moved, "False", 0)) == Rendered()
    refused = statused(moved, "False")
    back = PLANE.render(wanted(split, gpu=50, hosted=50), refused)
    assert refs(back) == {"vllm": 100, "egress": 0}
    again = statused(sent(back, refused), "True")
    held = PLANE.render(wanted(split, gpu=40, hosted=60, at=AT + 100), again)
    assert held.changes == ()
    assert "next try in 200 s" in held.refused[0].why
    assert held.refused[0].backing_off
    assert refs(PLANE.render(wanted(split, gpu=40, hosted=60, at=AT + 301), again)) == {"vllm": 40, "egress": 60}


def test_a_frozen_rule_may_only_go_back() -> None:
    split = plan("Split")
    good = statused(sent(PLANE.render(wanted(split), Found({}))), "True")
    moved = sent(PLANE.render(wanted(split, gpu=50, hosted=50), good), good)

    def frozen(found: Found, **weights: int) -> Rendered:
        return PLANE.render(replace(wanted(split, **weights), frozen=frozenset({"chat"})), found)

    assert frozen(moved, gpu=20, hosted=80) == Rendered()
    assert refs(frozen(statused(moved, "False"), gpu=50, hosted=50)) == {"vllm": 100, "egress": 0}
