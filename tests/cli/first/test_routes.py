"""Which rule leads to which workload."""

from __future__ import annotations

from typing import Any

from cli.first.objects import container, deployment, listed, meta, route, service
from spillway.advise.first.facts import Rule
from spillway.cli.first.proxies import is_proxy
from spillway.cli.first.routes import Behind, rules
from spillway.cli.first.templates import templated
from spillway.observe.traffic import Totals, Traffic

PROXY = deployment("egress", container("ghcr.io/berriai/litellm:v1", gpus=0))


def found(traffic: Traffic | None = None, **items: Any) -> tuple[Rule, ...]:
    """The rules of a listing."""
    here = listed(deployments=[deployment(), PROXY], **items)
    every = templated(here)
    proxies = [each for each in every if is_proxy(each)]
    assert [each.name for each in proxies] == ["egress"]
    return rules(here, Behind(here, [each for each in every if each not in proxies], proxies), traffic)


def refs(*names: str, **more: Any) -> dict[str, Any]:
    return {"name": "all", "backendRefs": [{"name": name, "port": 1, **more} for name in names]}


def test_services_lead_by_their_selectors() -> None:
    services = [service("local", "vllm"), service("out", "egress"), service("nothing", "x")]
    totals = Traffic(rules={("inference", "chat", 0): Totals(3600.0, 9.0, 1.0)})
    (rule,) = found(totals, routes=[route(refs("local", "out", "nothing", "absent"))], services=services)
    assert [(each.name, each.workload, each.proxy) for each in rule.backends] == [
        ("local", "Deployment/vllm", None), ("out", None, "egress"), ("nothing", None, None), ("absent", None, None),
    ]  # fmt: skip
    assert (rule.route, rule.name, rule.index, rule.gateways) == ("chat", "all", 0, ("front",))
    assert [each.weight for each in rule.backends] == [1, 1, 1, 1]
    assert rule.counted is not None
    assert rule.counted.requests == 9.0


def test_backends_lead_by_their_host_names() -> None:
    def backend(name: str, *hosts: str) -> dict[str, Any]:
        endpoints = [{"fqdn": {"hostname": host, "port": 1}} for host in hosts]
        return {"metadata": meta(name), "spec": {"endpoints": endpoints}}

    backends = [
        backend("one", "local.inference.svc.cluster.local"),
        backend("far", "local.other.svc.cluster.local"),
        backend("out", "api.openai.com"),
        backend("two", "local.inference.svc", "local.inference.svc"),
    ]
    (rule,) = found(
        routes=[route(refs("one", "far", "out", "two", kind="Backend"))],
        services=[service("local", "vllm")],
        backends=backends,
    )
    assert [each.workload for each in rule.backends] == ["Deployment/vllm", None, None, None]


def test_other_namespaces_and_two_workloads_behind_one_service_are_none() -> None:
    services = [service("local", "vllm"), service("local", "vllm", "other")]
    (rule,) = found(routes=[route(refs("local", namespace="other"))], services=services)
    assert (rule.backends[0].same_namespace, rule.backends[0].workload) == (False, None)
    here = listed(deployments=[deployment(), deployment()], services=services, routes=[route(refs("local"))])
    (rule,) = rules(here, Behind(here, templated(here), ()), None)
    assert rule.backends[0].workload is None


def test_generated_routes_are_told_and_spillways_own_left_out() -> None:
    owner = {"controller": True, "kind": "InferenceService", "name": "i"}
    own = route(refs("local"), name="mine", labels={"app.kubernetes.io/managed-by": "spillway"})
    (rule,) = found(routes=[route(refs("local"), ownerReferences=[owner]), own])
    assert rule.generated == "InferenceService i"
