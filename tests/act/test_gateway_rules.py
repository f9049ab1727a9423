"""What is written to routes: guarded patches on one rule, whole generated routes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spillway.act.planes.gateway_api_rules import adopted_patch, managed_route
from spillway.api import CapacityPlan, WorkloadClass

PLAN = CapacityPlan.parse(
    {
        "metadata": {"name": "main", "namespace": "ns"},
        "spec": {
            "lanes": ["gpu", "hosted"],
            "routing": {
                "plane": "GatewayAPI",
                "bindings": [
                    {
                        "class": "chat",
                        "ownership": "Adopted",
                        "httpRoute": "r",
                        "rule": "all",
                        "gateway": {"name": "g", "sectionName": "https"},
                        "backends": {"gpu": "vllm:8000", "hosted": "Backend/egress"},
                    }
                ],
            },
        },
    }
)
BINDING = PLAN.spec.routing.bindings[0]


def route(**annotations: str) -> dict[str, Any]:
    refs = [{"name": "egress", "kind": "Backend", "weight": 0}, {"name": "vllm", "port": 8000}]
    return {
        "metadata": {"name": "r", "resourceVersion": "7", "annotations": annotations},
        "spec": {"rules": [{"name": "other"}, {"name": "all", "backendRefs": refs}]},
    }


def test_the_patch_tests_what_it_relies_on_and_touches_two_weights() -> None:
    operations = adopted_patch(route(), BINDING, {"gpu": 70, "hosted": 30})
    tests = {o["path"]: o["value"] for o in operations if o["op"] == "test"}
    assert tests["/metadata/resourceVersion"] == "7"
    assert tests["/spec/rules/1/name"] == "all"
    assert tests["/spec/rules/1/backendRefs/1/name"] == "vllm"
    weights = {o["path"]: o["value"] for o in operations if o["path"].endswith("weight")}
    assert weights == {"/spec/rules/1/backendRefs/1/weight": 70, "/spec/rules/1/backendRefs/0/weight": 30}


def test_the_baseline_is_noted_once() -> None:
    notes = [o for o in adopted_patch(route(), BINDING, {"gpu": 1, "hosted": 0}) if "annotations" in o["path"]]
    noted = notes[0]["value"]["spillway.dev/baseline-weights"]
    assert json.loads(noted) == {"all": {"egress": 0, "vllm": 1}}
    again = adopted_patch(route(**{"spillway.dev/baseline-weights": noted}), BINDING, {"gpu": 1, "hosted": 0})
    assert not [o for o in again if "annotations" in o["path"]]


@pytest.mark.parametrize("broken", [{"rules": []}, {"rules": [{"name": "all", "backendRefs": [{"name": "vllm"}]}]}])
def test_a_rule_or_backend_that_is_gone_is_told(broken: dict[str, Any]) -> None:
    with pytest.raises(KeyError, match="has no"):
        adopted_patch(route() | {"spec": broken}, BINDING, {"gpu": 70, "hosted": 30})


def test_a_managed_route_has_parents_match_and_weights() -> None:
    resource = WorkloadClass.parse(
        {
            "metadata": {"name": "chat", "namespace": "ns"},
            "spec": {
                "planRef": {"name": "main"},
                "match": {"header": {"name": "x-team", "value": "a"}},
                "latency": "Deferrable",
                "dataPolicy": "Any",
                "equivalentModels": ["m"],
            },
        }
    )
    made = managed_route(PLAN, BINDING, resource, {"gpu": 60, "hosted": 40}, ["gpu"], "9")
    assert made["metadata"]["resourceVersion"] == "9"
    assert "ownerReferences" not in made["metadata"]
    assert made["spec"]["parentRefs"] == [{"name": "g", "sectionName": "https"}]
    rule, own_only = made["spec"]["rules"]
    assert rule["name"] == "chat"
    assert rule["timeouts"] == own_only["timeouts"] == {"request": "0s"}, "streams are not cut"
    assert rule["matches"][0]["headers"] == [{"type": "Exact", "name": "x-team", "value": "a"}]
    assert rule["backendRefs"] == [
        {"group": "", "kind": "Service", "name": "vllm", "port": 8000, "weight": 60},
        {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "egress", "weight": 40},
    ]
    # A request may say that it is for own GPUs alone.
    asked = [[(header["name"], header["value"]) for header in match["headers"]] for match in own_only["matches"]]
    assert asked == [
        [("x-team", "a"), ("x-spillway-own-only", "true")],
        [("x-team", "a"), ("x-spillway-overflow", "never")],
    ]
    assert [ref["name"] for ref in own_only["backendRefs"]] == ["vllm"]


def secret(policy: str) -> WorkloadClass:
    spec = {"planRef": {"name": "main"}, "match": {"model": "m"}, "latency": "Deferrable", "equivalentModels": ["m"]}
    return WorkloadClass.parse({"metadata": {"name": "chat", "namespace": "ns"}, "spec": spec | {"dataPolicy": policy}})


def test_a_class_that_stays_at_home_has_no_hosted_backend_at_all() -> None:
    """Whatever the weights say: what is not in the route can't be leaked by editing a number."""
    made = managed_route(PLAN, BINDING, secret("SelfHostedOnly"), {"gpu": 0, "hosted": 100}, ["gpu"], "")
    assert [[ref["name"] for ref in rule["backendRefs"]] for rule in made["spec"]["rules"]] == [["vllm"]]
    assert "egress" not in json.dumps(made)


def test_who_opts_out_is_never_without_a_backend() -> None:
    made = managed_route(PLAN, BINDING, secret("Any"), {"gpu": 0, "hosted": 100}, ["gpu"], "")
    assert [ref["weight"] for ref in made["spec"]["rules"][1]["backendRefs"]] == [1]
    hosted_alone = managed_route(PLAN, BINDING, secret("Any"), {"hosted": 100}, ["gpu"], "")
    assert len(hosted_alone["spec"]["rules"]) == 1


def two_ports(*weights: int) -> dict[str, Any]:
    refs = [{"name": "vllm", "port": 8001 - i, "weight": weight} for i, weight in enumerate(weights[:2])]
    refs.append({"name": "egress", "kind": "Backend", "weight": weights[2]})
    return {
        "metadata": {"name": "r", "resourceVersion": "7"},
        "spec": {"rules": [{"name": "all", "backendRefs": refs}]},
    }


def test_the_port_says_which_backend_of_that_name() -> None:
    operations = adopted_patch(two_ports(0, 100, 0), BINDING, {"gpu": 70, "hosted": 30})
    weights = {o["path"]: o["value"] for o in operations if o["path"].endswith("weight")}
    assert weights == {"/spec/rules/0/backendRefs/1/weight": 70, "/spec/rules/0/backendRefs/2/weight": 30}
    (note,) = [o["value"] for o in operations if o["path"] == "/metadata/annotations"]
    noted = json.loads(note["spillway.dev/baseline-weights"])
    assert noted == {"all": {"vllm:8001": 0, "vllm:8000": 100, "egress": 0}}


def test_a_rule_that_also_feeds_something_else_is_left() -> None:
    with pytest.raises(KeyError, match="also sends traffic to vllm"):
        adopted_patch(two_ports(10, 90, 0), BINDING, {"gpu": 70, "hosted": 30})


@pytest.mark.parametrize("text", ["{", "[]", "7", "[" * 100_000])
def test_an_annotation_that_somebody_else_wrote_is_told(text: str) -> None:
    with pytest.raises(KeyError, match="is not Spillway's JSON"):
        adopted_patch(route(**{"spillway.dev/baseline-weights": text}), BINDING, {"gpu": 1, "hosted": 0})
