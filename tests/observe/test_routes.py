"""Bindings against the HTTPRoutes that are there."""

from __future__ import annotations

from typing import Any

from spillway.api import CapacityPlan
from spillway.api.names import BackendName
from spillway.observe.routes import route_states, rule_conflicts


def plan(**binding: Any) -> CapacityPlan:
    content = {
        "class": "chat",
        "ownership": "Adopted",
        "httpRoute": "r",
        "rule": "all",
        "backends": {"gpu": "vllm", "hosted": "Backend/egress"},
    } | binding
    return CapacityPlan.parse(
        {
            "metadata": {"name": "main", "namespace": "ns"},
            "spec": {"lanes": ["gpu", "hosted"], "routing": {"plane": "GatewayAPI", "bindings": [content]}},
        }
    )


def route(*rules: dict[str, Any], **meta: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "r", "namespace": "ns", "resourceVersion": "7", "generation": 2} | meta,
        "spec": {"rules": list(rules)},
    }


RULE = {
    "name": "all",
    "backendRefs": [{"name": "vllm", "port": 8000}, {"name": "egress", "kind": "Backend", "weight": 0}],
}


def test_weights_by_lane_with_the_default_of_one() -> None:
    (state,) = route_states(plan(), {"r": route({"name": "x"}, RULE)})
    assert state.weights == {"gpu": 1, "hosted": 0}
    assert (state.rule_index, state.problem, state.accepted) == (1, None, None)


def test_problems_say_what_is_missing() -> None:
    assert "does not exist" in str(route_states(plan(), {})[0].problem)
    assert "no rule named all" in str(route_states(plan(), {"r": route({"name": "x"})})[0].problem)
    bare = {"name": "all", "backendRefs": [{"name": "vllm"}]}
    assert "no backendRef Backend/egress" in str(route_states(plan(), {"r": route(bare)})[0].problem)
    wrong_kind = {"name": "all", "backendRefs": [{"name": "vllm"}, {"name": "egress"}]}
    assert "no backendRef" in str(route_states(plan(), {"r": route(wrong_kind)})[0].problem)


def test_a_managed_route_must_be_ours_and_services_need_ports() -> None:
    managed = plan(
        ownership="Managed", gateway={"name": "g"}, backends={"gpu": "vllm:8000", "hosted": "Backend/egress"}
    )
    absent = route_states(managed, {})[0]
    assert (absent.problem, absent.exists, absent.weights) == (None, False, {"gpu": 0, "hosted": 0})
    assert "not Spillway's" in str(route_states(managed, {"r": route(RULE)})[0].problem)
    ours = route(
        RULE, labels={"app.kubernetes.io/managed-by": "spillway"}, annotations={"spillway.dev/plan": "ns/main"}
    )
    assert route_states(managed, {"r": ours})[0].problem is None
    portless = plan(ownership="Managed", gateway={"name": "g"})
    assert "needs a port" in str(route_states(portless, {})[0].problem)


def test_accepted_only_when_every_parent_says_so_of_this_generation() -> None:
    def status(*conditions: tuple[str, str, int]) -> dict[str, Any]:
        parent = {"conditions": [{"type": t, "status": s, "observedGeneration": g} for t, s, g in conditions]}
        return {"status": {"parents": [parent]}}

    good = route(RULE) | status(("Accepted", "True", 2), ("ResolvedRefs", "True", 2))
    assert route_states(plan(), {"r": good})[0].accepted is True
    old = route(RULE) | status(("Accepted", "True", 1), ("ResolvedRefs", "True", 2))
    assert route_states(plan(), {"r": old})[0].accepted is None
    refused = route(RULE) | status(("Accepted", "True", 2), ("ResolvedRefs", "False", 2))
    assert route_states(plan(), {"r": refused})[0].accepted is False


def test_backend_names() -> None:
    assert BackendName.parse("vllm") == BackendName("Service", "vllm", None)
    assert BackendName.parse("vllm:8000") == BackendName("Service", "vllm", 8000)
    assert BackendName.parse("Backend/egress") == BackendName("Backend", "egress", None)


def test_a_rule_that_also_feeds_something_else_is_not_moved() -> None:
    def with_canary(**ref: Any) -> dict[str, Any]:
        return route(RULE | {"backendRefs": [*RULE["backendRefs"], {"name": "canary"} | ref]})  # type: ignore[misc]

    assert "also sends traffic to canary" in str(route_states(plan(), {"r": with_canary()})[0].problem)
    assert route_states(plan(), {"r": with_canary(weight=0)})[0].problem is None


def named(name: str, *bindings: dict[str, Any], namespace: str = "ns") -> CapacityPlan:
    base = {"ownership": "Adopted", "httpRoute": "r", "rule": "all", "backends": {"gpu": "v"}}
    routing = {"plane": "GatewayAPI", "bindings": [base | each for each in bindings]}
    return CapacityPlan.parse(
        {"metadata": {"name": name, "namespace": namespace}, "spec": {"lanes": ["gpu"], "routing": routing}}
    )


def test_one_rule_has_one_binding_the_oldest_plans() -> None:
    old, new = named("old", {"class": "a"}), named("new", {"class": "b"}, {"class": "c", "rule": "other"})
    found = rule_conflicts([old, new, named("old", {"class": "a"}, namespace="elsewhere")])
    assert list(found) == [("ns/new", "b")]
    assert "already moved for class a of plan ns/old" in found["ns/new", "b"]
    (state, free) = route_states(new, {"r": route(RULE)}, found)
    assert "one rule has one binding" in str(state.problem)
    assert "no rule named other" in str(free.problem)


def test_a_managed_route_is_the_bindings_as_a_whole() -> None:
    managed = {"ownership": "Managed", "gateway": {"name": "g"}, "rule": None}
    assert list(rule_conflicts([named("p", {"class": "a"} | managed, {"class": "b"})])) == [("ns/p", "b")]
    assert list(rule_conflicts([named("p", {"class": "a"}, {"class": "b"} | managed)])) == [("ns/p", "b")]
    assert rule_conflicts([named("p", {"class": "a"} | managed, {"class": "b", "httpRoute": "q"} | managed)]) == {}
