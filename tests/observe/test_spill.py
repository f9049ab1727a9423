"""Spill mode: what is refused because it would be paid for all the time or never spill, and what is only missing."""

from __future__ import annotations

from typing import Any

import pytest

from spillway.api import CapacityLane, CapacityPlan
from spillway.decide.snapshot import Finding
from spillway.observe.routes import route_state
from spillway.observe.spill import policy_findings, queue_findings, queue_of

JSON = dict[str, Any]
OWN = ("gpu",)


def plan(mode: str = "Spill", backends: dict[str, str] | None = None, **more: Any) -> CapacityPlan:
    binding: JSON = {"class": "chat", "ownership": "Managed", "httpRoute": "chat", "gateway": {"name": "gw"}}
    binding["backends"] = backends or {"gpu": "Backend/vllm", "hosted": "Backend/egress"}
    spec = {"lanes": ["gpu", "hosted"], "overflow": {"mode": mode}}
    spec["routing"] = {"plane": "GatewayAPI", "bindings": [binding | more]}
    return CapacityPlan.parse({"metadata": {"name": "main", "namespace": "ai"}, "spec": spec})


def adopted() -> CapacityPlan:
    return plan(ownership="Adopted", rule="all")


def fqdn(**spec: Any) -> JSON:
    return {"spec": {"endpoints": [{"fqdn": {"hostname": "a.example", "port": 80}}], **spec}}


def address(**spec: Any) -> JSON:
    return {"spec": {"endpoints": [{"ip": {"address": "10.0.0.1", "port": 80}}], **spec}}


GOOD = {"vllm": fqdn(), "egress": fqdn(fallback=True)}


@pytest.mark.parametrize(
    ("backends", "said"),
    [
        (GOOD, None),
        (GOOD | {"egress": fqdn()}, "backends.hosted: Backend egress lacks fallback: true"),
        (GOOD | {"vllm": address()}, "backends.gpu: Backend vllm has an endpoint that is no host name"),
        (GOOD | {"egress": address(fallback=True)}, "its fallback would be a paid split"),
        (GOOD | {"vllm": fqdn(fallback=True)}, "of an own lane has fallback: true"),
        ({"vllm": fqdn()}, "names Backend egress, which does not exist: create it"),
        (None, "Backends can't be read"),
    ],
)
def test_a_mix_that_would_be_a_paid_split_is_refused(backends: dict[str, JSON] | None, said: str | None) -> None:
    found = plan()
    problem = route_state(found, found.spec.routing.bindings[0], {}, None, backends, OWN).problem
    assert (problem is None) if said is None else (said in str(problem))


def test_a_service_beside_a_hosted_name_is_refused() -> None:
    found = plan(backends={"gpu": "Service/vllm:8000", "hosted": "Backend/egress"})
    problem = route_state(found, found.spec.routing.bindings[0], {}, None, GOOD, OWN).problem
    assert "backends.gpu: Service vllm is no Backend" in str(problem)


def test_own_lanes_alone_need_no_backends() -> None:
    found = plan(backends={"gpu": "Service/vllm:8000"})
    assert route_state(found, found.spec.routing.bindings[0], {}, None, None, OWN).problem is None


@pytest.mark.parametrize(
    ("written", "means"), [((100, 1), {"gpu": 100, "hosted": 0}), ((0, 100), {"gpu": 0, "hosted": 100})]
)
def test_weights_say_what_they_share_out(written: tuple[int, int], means: dict[str, int]) -> None:
    refs = [
        {"kind": "Backend", "name": name, "weight": weight}
        for name, weight in zip(("vllm", "egress"), written, strict=True)
    ]
    route = {"metadata": {"name": "chat", "resourceVersion": "1"}, "spec": {"rules": [{"backendRefs": refs}]}}
    found = plan()
    assert route_state(found, found.spec.routing.bindings[0], {"chat": route}, None, GOOD, OWN).weights == means


RETRY: JSON = {
    "numAttemptsPerPriority": 1,
    "retryOn": {"triggers": ["connect-failure", "retriable-status-codes"], "httpStatusCodes": [503, 429]},
}


def traffic_policy(route: str = "chat", **spec: Any) -> JSON:
    return {"p": {"spec": {"targetRefs": [{"kind": "HTTPRoute", "name": route}], **spec}}}


def said(findings: list[Finding]) -> str:
    return "; ".join(finding.message for finding in findings)


@pytest.mark.parametrize(
    ("policies", "missing"),
    [
        (traffic_policy(retry=RETRY), ""),
        ({}, "no BackendTrafficPolicy targets it"),
        (traffic_policy("other", retry=RETRY), "no BackendTrafficPolicy targets it"),
        (traffic_policy(), "needs retry.numAttemptsPerPriority 1"),
        (traffic_policy(retry=RETRY | {"numAttemptsPerPriority": 2}), "needs retry.numAttemptsPerPriority 1"),
        (traffic_policy(retry=RETRY | {"retryOn": {"triggers": ["5xx"]}}), "needs retry.numAttemptsPerPriority 1"),
        (None, "grant list on backendtrafficpolicies"),
    ],
)
def test_an_adopted_rule_is_told_what_it_lacks(policies: dict[str, JSON] | None, missing: str) -> None:
    found = said(policy_findings(adopted(), policies, OWN))
    assert missing in found
    assert bool(missing) == bool(found)


def test_policies_of_generated_routes_are_spillways_own_affair() -> None:
    assert policy_findings(plan(), {}, OWN) == []
    assert policy_findings(plan("Split", ownership="Adopted", rule="all"), {}, OWN) == []


def lane(**own: Any) -> CapacityLane:
    spec = {
        "targetRef": {"name": "vllm"}, "gpu": {"type": "h100"}, "price": {"usdPerGpuHour": "3"},
        "replicas": {"min": 1, "max": 2},
    }  # fmt: skip
    body = {"type": "SelfHosted", "models": ["m"], "selfHosted": spec | own}
    return CapacityLane.parse({"metadata": {"name": "gpu", "namespace": "ai"}, "spec": body})


def deployment(*args: str, image: str = "vllm/vllm-openai", command: tuple[str, ...] = ()) -> JSON:
    containers = [{"image": "envoy"}, {"image": image, "command": list(command), "args": list(args)}]
    return {"spec": {"template": {"spec": {"containers": containers}}}}


@pytest.mark.parametrize(
    ("target", "limited", "sequences"),
    [
        (deployment("--model", "m", "--max-num-queued-reqs", "32"), True, None),
        (deployment("--max_num_queued_reqs=32"), True, None),
        (deployment(command=("sh", "-c", "vllm serve m --max-num-queued-reqs=8"), image="x"), True, None),
        (deployment("--model", "m", "--max-num-seqs=64"), False, 64),
        (deployment("--max-num-seqs", "48"), False, 48),
        (deployment("--model", "m"), False, None),
        (deployment("--config", "/etc/vllm.yaml"), None, None),
        (deployment("$(ENGINE_ARGS)"), None, None),
        (deployment("--model", "m", image="registry/engine"), None, None),
        ({"spec": {"leaderWorkerTemplate": {}}}, None, None),
    ],
)
def test_the_engines_arguments_tell_whether_it_refuses(
    target: JSON, limited: bool | None, sequences: int | None
) -> None:
    queue = queue_of(lane(), target)
    assert queue.limited is limited
    if limited is False:
        assert queue.max_sequences == sequences


def test_the_flag_to_set_is_told() -> None:
    unlimited = queue_of(lane(), deployment("--max-num-seqs=64"))
    (found,) = queue_findings([(lane(), unlimited)])
    assert (found.reason, found.subject) == ("QueueUnlimited", "CapacityLane/ai/gpu")
    assert "Deployment ai/vllm queues without limit" in found.message
    assert "--max-num-queued-reqs 64" in found.message
    assert queue_findings([(lane(), queue_of(lane(), deployment("--max-num-queued-reqs", "9")))]) == []
    assert queue_findings([(lane(), None)])[0].reason == "QueueLimitUnknown"
    assert queue_findings([(lane(engine="SGLang"), queue_of(lane(engine="SGLang"), deployment()))])[0].reason == (
        "QueueLimitUnknown"
    )
