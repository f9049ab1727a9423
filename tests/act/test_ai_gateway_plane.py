"""What the Envoy AI Gateway plane writes and leaves, from what its controller says as that one's source has it."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any, cast

import pytest

from spillway.act.planes.plane import Evidence, Found, How, Move, Rendered, Stage
from spillway.api import WorkloadClass
from spillway.decide.snapshot import Reading, RouteState
from spillway.kube import Kube
from support.ai_gateway import (
    AT,
    HTTP_ROUTE,
    MODEL,
    PLANE,
    POLICY,
    ROUTE,
    Case,
    adopted,
    lanes,
    made,
    plan,
    stored,
    workload,
)

JSON = dict[str, Any]


def holding(rendered: Rendered, found: Found | None = None, **said: str) -> Found:
    """What the apiserver then holds, with the HTTPRoute that is made of the route."""
    objects = {} if found is None else dict(found.objects)
    for change in rendered.changes:
        assert change.how is How.APPLY
        kept = copy.deepcopy(change.body)
        objects[change.subject] = stored(kept, **said) if change.kind == "AIGatewayRoute" else kept
        objects[change.subject]["metadata"]["resourceVersion"] = "1"
    return Found(objects | {HTTP_ROUTE: made(objects[ROUTE])})


def refs(rendered: Rendered, rule: int = 0) -> dict[str, tuple[int, int]]:
    rules = rendered.changes[-1].body["spec"]["rules"]
    return {ref["name"]: (ref["weight"], ref["priority"]) for ref in rules[rule]["backendRefs"]}


def test_nothing_is_due_twice_whatever_defaults_and_notes_the_apiserver_adds() -> None:
    found = holding(Case().render())
    found.objects[ROUTE]["spec"]["rules"][0]["modelsOwnedBy"] = "Envoy AI Gateway"
    assert Case().render(found) == Rendered()
    moved = Case().render(found, gpu=60, hosted=40)
    assert moved.changes[0].words == ("gpu 100 -> 60", "hosted 0 -> 40")
    assert moved.changes[0].body["metadata"]["resourceVersion"] == "1"


def test_a_route_of_somebody_elses_is_left() -> None:
    found = Found({ROUTE: stored(adopted(vllm=1, openai=0))})
    (refused,) = Case().render(found).refused
    assert "it is not Spillway's" in refused.why


@pytest.mark.parametrize("ownership", ["Managed", "Adopted"])
def test_an_http_route_of_its_name_would_be_overwritten(ownership: str) -> None:
    theirs = {"metadata": {"name": "chat", "namespace": "ai", "resourceVersion": "1"}, "spec": {"rules": []}}
    found = Found({HTTP_ROUTE: theirs, ROUTE: stored(adopted(vllm=1, openai=0))})
    rendered = Case(plan(ownership=ownership)).render(found)
    assert rendered.changes == ()
    assert "Envoy AI Gateway would overwrite" in rendered.refused[0].why


@pytest.mark.parametrize("match", [{"team": "payments"}, {"routeRule": {"route": "chat", "rule": "all"}}])
def test_a_class_that_no_header_tells_is_refused(match: JSON) -> None:
    (refused,) = Case(resource=workload(match=match)).render().refused
    assert "give the class match.model or match.header" in refused.why


@pytest.mark.parametrize("item", [workload(dataPolicy="SelfHostedOnly"), workload(equivalentModels=[MODEL, "another"])])
def test_what_may_not_be_hosted_any_more_is_served_at_home_whatever_its_weights_were(item: WorkloadClass) -> None:
    """Weights that are held, as without metrics, must not keep traffic where it may not go."""
    assert refs(Case(resource=item).render(None, gpu=30, hosted=70)) == {"vllm": (30, 0)}
    assert refs(Case(plan("Spill"), item).render(None, gpu=0, hosted=100)) == {"vllm": (1, 0)}


def test_lanes_none_of_which_may_serve_the_class_are_told() -> None:
    (refused,) = Case(resource=workload(equivalentModels=["another"])).render().refused
    assert "none of the lanes that its binding names may serve the class" in refused.why


def test_the_model_asked_for_goes_before_a_preferred_one() -> None:
    both = tuple(replaced(lane, (MODEL, "preferred")) for lane in lanes())
    resource = workload(equivalentModels=["preferred", MODEL])
    rules = Case(resource=resource, lanes=both).render().changes[-1].body["spec"]["rules"]
    assert rules[0]["backendRefs"][0]["modelNameOverride"] == MODEL


def replaced(lane: Any, models: tuple[str, ...]) -> Any:
    return lane.model_copy(update={"spec": lane.spec.model_copy(update={"models": models})})


def test_spilling_needs_its_policy_first_and_leaves_one_without_effect() -> None:
    case = Case(plan("Spill"))
    rendered = case.render()
    assert [change.kind for change in rendered.changes] == ["BackendTrafficPolicy", "AIGatewayRoute"]
    found = holding(rendered)
    assert case.render(found) == Rendered()
    split = Case(plan("Split")).render(found)
    assert "retry" not in split.changes[0].body["spec"]
    assert refs(split) == {"vllm": (100, 0), "openai": (0, 0)}
    theirs = {"metadata": {"name": "chat", "resourceVersion": "1"}, "spec": {}}
    (refused,) = case.render(Found({POLICY: theirs})).refused
    assert "is not Spillway's" in refused.why


def patched(rendered: Rendered) -> JSON:
    (change,) = rendered.changes
    assert change.how is How.JSON_PATCH
    return {operation["path"]: operation["value"] for operation in change.body if operation["op"] == "add"}


def test_an_adopted_rule_is_the_one_that_matches_the_model_and_gets_weights_alone() -> None:
    route = stored(adopted(vllm=1, openai=0))
    case = Case(plan(ownership="Adopted"))
    rendered = case.render(Found({ROUTE: route, HTTP_ROUTE: made(route)}), gpu=70, hosted=30)
    (change,) = rendered.changes
    tests = {operation["path"]: operation["value"] for operation in change.body if operation["op"] == "test"}
    assert tests["/metadata/resourceVersion"] == "1"
    assert tests["/spec/rules/1/matches"][0]["headers"][0]["value"] == MODEL
    assert change.words == ("gpu 1 -> 70", "hosted 0 -> 30")
    written = patched(rendered)
    weights = {path: value for path, value in written.items() if path.endswith("weight")}
    assert weights == {"/spec/rules/1/backendRefs/0/weight": 70, "/spec/rules/1/backendRefs/1/weight": 30}
    notes = written["/metadata/annotations"]
    key = f"x-ai-eg-model={MODEL}"
    assert json.loads(notes["spillway.dev/baseline-weights"]) == {key: {"vllm": 1, "openai": 0}}
    assert json.loads(notes["spillway.dev/routing"])[key]["good"] == {"gpu": 1, "hosted": 0}


def test_an_adopted_rule_that_spills_keeps_a_weight_behind() -> None:
    route = stored(adopted(priorities={"openai": 1}, vllm=1, openai=0))
    written = patched(Case(plan("Spill", "Adopted")).render(Found({ROUTE: route}), gpu=100, hosted=0))
    weights = [value for path, value in written.items() if path.endswith("weight")]
    assert weights == [100, 1]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"vllm": 1}, "has no backendRef openai"),
        ({"vllm": 1, "openai": 0, "canary": 1}, "also sends traffic to canary"),
    ],
)
def test_an_adopted_rule_that_is_not_as_bound_is_left(changes: dict[str, int], why: str) -> None:
    (refused,) = Case(plan(ownership="Adopted")).render(Found({ROUTE: stored(adopted(**changes))})).refused
    assert why in refused.why


def test_an_adopted_rule_must_match_the_class_and_nothing_else() -> None:
    route = stored(adopted(vllm=1, openai=0))
    match = route["spec"]["rules"][1]["matches"][0]
    match["headers"].append({"type": "Exact", "name": "x-team", "value": "a"})
    (refused,) = Case(plan(ownership="Adopted")).render(Found({ROUTE: route})).refused
    assert f"no rule that matches x-ai-eg-model={MODEL} alone" in refused.why


def test_from_a_refusal_it_goes_back_to_what_was_accepted_and_waits() -> None:
    good = holding(Case().render())
    moved = Case().render(good, gpu=50, hosted=50)
    held = holding(moved, good)
    # Its controller has said nothing since: the HTTPRoute is still the former one, or the refusal an old one.
    behind = Found({**held.objects, HTTP_ROUTE: good.objects[HTTP_ROUTE]})
    assert Case().render(behind, gpu=50, hosted=50) == Rendered()
    stale = {"kind": "NotAccepted", "said": "2025-01-01T00:00:00Z"}
    assert (
        Case().render(Found({**held.objects, **holding(moved, good, **stale).objects}), gpu=50, hosted=50) == Rendered()
    )
    refused = holding(moved, good, kind="NotAccepted", said="2026-01-01T00:00:05Z")
    back = Case().render(refused, gpu=50, hosted=50)
    assert refs(back) == {"vllm": (100, 0), "openai": (0, 0)}
    again = holding(back, refused)
    later = Case(at=AT + 100).render(again, gpu=40, hosted=60)
    assert "next try in 200 s" in later.refused[0].why
    assert refs(Case(at=AT + 301).render(again, gpu=40, hosted=60)) == {"vllm": (40, 0), "openai": (60, 0)}


def test_what_envoy_gateway_refuses_of_the_http_route_gives_way_too() -> None:
    good = holding(Case().render())
    held = holding(Case().render(good, gpu=50, hosted=50), good)
    held.objects[HTTP_ROUTE].update(made(held.objects[ROUTE], status="False"))  # type: ignore[attr-defined]
    assert refs(Case().render(held, gpu=50, hosted=50)) == {"vllm": (100, 0), "openai": (0, 0)}


async def test_weights_that_nothing_counts_are_never_confirmed_and_the_reason_is_told() -> None:
    state = RouteState("chat", "chat", None, True, "1", {"gpu": 70, "hosted": 30}, 0, True)
    move = Move("chat", {"gpu": 70, "hosted": 30}, AT)
    counted = {"chat": {"gpu": Reading(7.0, AT + 100)}}
    evidence = Evidence(AT + 1000, (state,), counted, 60.0, frozenset({"gpu"}))
    # Counters are all that is asked for: the apiserver is not.
    (found,) = await PLANE.confirm(cast(Kube, None), plan(), [move], evidence)
    assert (found.stage, found.reason) == (Stage.ACCEPTED, "CountersMissing")
    assert "Envoy AI Gateway's own counters name no backend" in found.message
    waiting = replace(evidence, routes=(replace(state, accepted=None),))
    (found,) = await PLANE.confirm(cast(Kube, None), plan(), [move], waiting)
    assert (found.stage, found.reason) == (Stage.WRITTEN, "GatewayPending")
    assert "AIGatewayRoute chat" in found.message
    whole = replace(evidence, requests={"chat": {"gpu": Reading(7.0, AT + 100), "hosted": Reading(3.0, AT + 100)}})
    (found,) = await PLANE.confirm(cast(Kube, None), plan(), [move], whole)
    assert found.stage is Stage.CONFIRMED


def test_a_frozen_rule_may_only_go_back() -> None:
    found = holding(Case().render())
    case = Case()
    wanted = replace(case.wanted(gpu=20, hosted=80), frozen=frozenset({"chat"}))
    assert PLANE.render(wanted, found) == Rendered()
