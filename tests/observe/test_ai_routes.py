"""Bindings against the AIGatewayRoutes, AIServiceBackends and Backends that are there."""

from __future__ import annotations

from typing import Any

import pytest

from spillway.api import CapacityPlan, WorkloadClass
from spillway.decide.snapshot import RouteState
from spillway.observe.ai_routes import AISight, ai_route_states, rule_keys
from spillway.observe.membership import Members
from spillway.observe.routes import route_states, rule_conflicts
from spillway.observe.spill import policy_findings, unproven_findings
from support.ai_gateway import MODEL, Case, adopted, made, plan, stored, workload

JSON = dict[str, Any]
OWN = ("gpu",)
KEY = f"x-ai-eg-model={MODEL}"


def service(name: str) -> JSON:
    ref = {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": name}
    return {"spec": {"schema": {"name": "OpenAI"}, "backendRef": ref}}


def endpoint(kind: str = "fqdn", **spec: Any) -> JSON:
    return {"spec": {"endpoints": [{kind: {"hostname": "a.example", "port": 80}}], **spec}}


SERVICES = {"vllm": service("vllm-pods"), "openai": service("openai-api")}
BACKENDS = {"vllm-pods": endpoint(), "openai-api": endpoint()}
GENERATED = Case().render().changes[-1].body


def sight(route: JSON | None = None, **changes: Any) -> AISight:
    content: JSON = {
        "routes": {"chat": route} if route else {},
        "services": SERVICES,
        "made": {"chat": made(route)} if route else {},
        "backends": BACKENDS,
    }
    return AISight(**(content | changes))


def state(
    seen: AISight, mode: str = "Split", ownership: str = "Managed", resource: WorkloadClass | None = None
) -> RouteState:
    (found,) = ai_route_states(plan(mode, ownership), (resource or workload(),), seen, {}, OWN)
    return found


def test_a_generated_route_that_is_still_to_come() -> None:
    found = state(sight())
    assert (found.problem, found.exists, found.weights) == (None, False, {"gpu": 0, "hosted": 0})


def test_a_generated_route_with_its_weights_by_lane() -> None:
    found = state(sight(stored(GENERATED)))
    assert (found.problem, found.accepted, found.rule_index) == (None, True, 0)
    assert found.weights == {"gpu": 100, "hosted": 0}


def test_what_spills_is_no_share() -> None:
    route = stored(Case(plan("Spill")).render().changes[1].body)
    assert state(sight(route), "Spill").weights == {"gpu": 100, "hosted": 0}


def test_a_route_of_another_plan_is_refused() -> None:
    route = stored(GENERATED)
    route["metadata"]["annotations"]["spillway.dev/plan"] = "ai/other"
    assert "is not Spillway's" in str(state(sight(route)).problem)


@pytest.mark.parametrize("kind", ["routes", "services"])
def test_kinds_that_are_not_there_are_told(kind: str) -> None:
    assert "install Envoy AI Gateway with aigateway.envoyproxy.io/v1beta1" in str(state(sight(**{kind: None})).problem)


def test_backends_that_may_not_be_read_are_told() -> None:
    assert "grant list on backends" in str(state(sight(backends=None)).problem)


def test_an_http_route_that_would_be_overwritten_is_told() -> None:
    theirs = {"metadata": {"name": "chat", "namespace": "ai"}, "spec": {"rules": []}}
    assert "Envoy AI Gateway would overwrite it" in str(state(sight(made={"chat": theirs})).problem)


def test_a_class_that_no_header_tells_is_refused() -> None:
    assert "give the class match.model or .header" in str(
        state(sight(), resource=workload(match={"team": "a"})).problem
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"services": {"vllm": service("vllm-pods")}}, "AIServiceBackend openai, which does not exist"),
        ({"backends": {"vllm-pods": endpoint()}}, "Backend openai-api, which does not exist"),
        ({"backends": BACKENDS | {"vllm-pods": endpoint("ip")}}, "mixes host names"),
        ({"backends": BACKENDS | {"openai-api": endpoint(fallback=True)}}, "has fallback: true"),
    ],
)
@pytest.mark.parametrize("mode", ["Split", "Spill"])
def test_what_loses_requests_or_would_be_a_paid_split_is_refused(changes: JSON, said: str, mode: str) -> None:
    assert said in str(state(sight(**changes), mode).problem)


def adopting(priorities: dict[str, int] | None = None, mode: str = "Split", **weights: int) -> RouteState:
    return state(sight(stored(adopted(priorities=priorities, **weights))), mode, "Adopted")


def test_an_adopted_rule_by_the_model_that_it_matches() -> None:
    found = adopting(vllm=80, openai=20)
    assert (found.problem, found.rule, found.rule_index) == (None, KEY, 1)
    assert found.weights == {"gpu": 80, "hosted": 20}


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"vllm": 1}, "has no backendRef openai (lane hosted): add it with weight 0"),
        ({"vllm": 1, "openai": 0, "canary": 1}, "also sends traffic to canary"),
    ],
)
def test_an_adopted_rule_that_is_not_as_bound(weights: dict[str, int], said: str) -> None:
    assert said in str(adopting(**weights).problem)


def test_an_adopted_rule_that_is_not_there() -> None:
    assert "does not exist: create it" in str(state(sight(), ownership="Adopted").problem)
    other = state(
        sight(stored(adopted(vllm=1, openai=0))), ownership="Adopted", resource=workload(match={"model": "unknown"})
    )
    assert "no rule that matches x-ai-eg-model=unknown and nothing else" in str(other.problem)


@pytest.mark.parametrize(
    ("mode", "priorities", "said"),
    [
        ("Split", {"openai": 1}, "weights move nothing to it"),
        ("Split", {"vllm": 1}, "of an own lane priority 1"),
        ("Spill", {}, "a paid split: give it priority 1"),
        ("Spill", {"openai": 1}, None),
    ],
)
def test_priorities_must_be_what_the_mode_needs(mode: str, priorities: dict[str, int], said: str | None) -> None:
    problem = adopting(priorities, mode, vllm=1, openai=1).problem
    assert (problem is None) if said is None else (said in str(problem))


def test_an_adopted_rule_that_spills_lacks_its_policy() -> None:
    (found,) = policy_findings(plan("Spill", "Adopted"), {}, OWN)
    assert "no BackendTrafficPolicy targets it" in found.message


def test_spilling_that_nobody_has_seen_is_not_counted_on() -> None:
    (found,) = unproven_findings(plan("Spill"))
    assert (found.reason, "no real one has been tried" in found.message) == ("SpillUnproven", True)
    assert unproven_findings(plan("Split")) == []


def test_accepted_is_told_from_the_http_route_that_is_made_of_it() -> None:
    route = stored(GENERATED)

    def accepted(http_route: JSON | None, **said: str) -> bool | None:
        found = {"chat": http_route} if http_route else {}
        return state(sight(stored(GENERATED, **said), made=found)).accepted

    assert accepted(made(route)) is True
    assert accepted(None) is None
    assert accepted(made(route, generation=2)) is None
    assert accepted(made(route, status="False")) is False
    former = made(stored(Case().render(None, gpu=60, hosted=40).changes[-1].body))
    assert accepted(former) is None
    split = made(route)
    split["metadata"]["annotations"]["gateway.envoyproxy.io/backend-ref-priority"] = "0:vllm:0,0:openai:1,1:vllm:0"
    assert accepted(split) is None
    assert accepted(made(route), kind="NotAccepted", said="2026-01-01T00:00:01Z") is False
    # As old as the writing of the route: it may be of what was there before.
    assert accepted(made(route), kind="NotAccepted") is None


def test_the_http_route_that_is_made_of_it_is_nobody_elses_to_move() -> None:
    """It carries copies of all notes and labels."""
    route = made(stored(GENERATED))
    binding = {"class": "chat", "httpRoute": "chat", "backends": {"gpu": "vllm:80"}}
    for more in ({"ownership": "Managed", "gateway": {"name": "g"}}, {"ownership": "Adopted", "rule": "all"}):
        spec = {"lanes": ["gpu"], "routing": {"plane": "GatewayAPI", "bindings": [binding | more]}}
        other = CapacityPlan.parse({"metadata": {"name": "main", "namespace": "ai"}, "spec": spec})
        problem = str(route_states(other, {"chat": route})[0].problem)
        assert "is not Spillway's" in problem or "is made from AIGatewayRoute chat" in problem


def test_one_rule_has_one_binding() -> None:
    first, second = plan(ownership="Adopted"), plan(ownership="Adopted")
    later = CapacityPlan.parse(
        {"metadata": {"name": "later", "namespace": "ai"}, "spec": second.spec.model_dump(by_alias=True)}
    )
    same = [Members(each, (workload(),), (), ()) for each in (first, later)]
    conflicts = rule_conflicts((first, later), rule_keys(same))
    assert KEY in conflicts["ai/later", "chat"]
    another = [same[0], Members(later, (workload(match={"model": "another"}),), (), ())]
    assert rule_conflicts((first, later), rule_keys(another)) == {}
