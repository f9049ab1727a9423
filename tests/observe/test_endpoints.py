"""Mixes of endpoints that Envoy Gateway can't move traffic between are refused, each with its way out."""

from __future__ import annotations

from typing import Any

import pytest

from spillway.api import CapacityPlan
from spillway.observe.endpoints import endpoint_problem
from spillway.observe.routes import route_state

JSON = dict[str, Any]


def service(name: str = "vllm") -> JSON:
    return {"name": name, "port": 8000}


def ref(name: str) -> JSON:
    return {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": name}


def fqdn(host: str = "api.example.com", **spec: object) -> JSON:
    return {"spec": {"endpoints": [{"fqdn": {"hostname": host, "port": 443}}], **spec}}


def address() -> JSON:
    return {"spec": {"endpoints": [{"ip": {"address": "10.0.0.1", "port": 80}}]}}


BACKENDS = {
    "vllm": fqdn("vllm.ai.svc"),
    "egress": fqdn(),
    "by-ip": address(),
    "fallback": fqdn(fallback=True),
    "both": {"spec": {"endpoints": [*fqdn()["spec"]["endpoints"], *address()["spec"]["endpoints"]]}},
}


@pytest.mark.parametrize(
    "refs", [[service()], [service(), service("egress")], [service(), ref("by-ip")], [ref("vllm"), ref("egress")]]
)
def test_one_kind_of_endpoint_is_fine(refs: list[JSON]) -> None:
    assert endpoint_problem(refs, BACKENDS) is None


@pytest.mark.parametrize(
    ("refs", "said"),
    [
        ([service(), ref("egress")], "mixes host names (Backend egress) with addresses (Service vllm)"),
        ([ref("by-ip"), ref("egress")], "mixes host names (Backend egress) with addresses (Backend by-ip)"),
        ([ref("both")], "mixes host names (Backend both) with addresses (Backend both)"),
        ([ref("vllm"), ref("fallback")], "names Backend fallback, which has fallback: true"),
        ([ref("vllm"), ref("gone")], "names Backend gone, which does not exist: create it"),
    ],
)
def test_what_is_refused(refs: list[JSON], said: str) -> None:
    assert said in (endpoint_problem(refs, BACKENDS) or "")


def test_nothing_is_said_where_backends_may_not_be_read() -> None:
    assert endpoint_problem([service(), ref("egress")], None) is None


@pytest.mark.parametrize("ownership", ["Adopted", "Managed"])
def test_a_plan_with_such_a_rule_moves_nothing(ownership: str) -> None:
    binding: JSON = {
        "class": "chat", "ownership": ownership, "httpRoute": "chat",
        "backends": {"gpu": "Service/vllm:8000", "hosted": "Backend/egress"},
    }  # fmt: skip
    binding |= {"rule": "all"} if ownership == "Adopted" else {"gateway": {"name": "gw"}}
    routing = {"plane": "GatewayAPI", "bindings": [binding]}
    spec = {"lanes": ["gpu", "hosted"], "routing": routing}
    plan = CapacityPlan.parse({"metadata": {"name": "main", "namespace": "ai"}, "spec": spec})
    route: JSON = {
        "metadata": {"name": "chat", "resourceVersion": "1"},
        "spec": {"rules": [{"name": "all", "backendRefs": [service(), ref("egress")]}]},
    }
    routes = {"chat": route} if ownership == "Adopted" else {}
    state = route_state(plan, plan.spec.routing.bindings[0], routes, None, BACKENDS)
    assert state.problem is not None
    assert "Envoy Gateway loses requests" in state.problem
    assert route_state(plan, plan.spec.routing.bindings[0], routes, None, None).problem is None
