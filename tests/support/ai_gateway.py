"""Plans, classes and lanes whose gateway is Envoy AI Gateway, and the objects that its controller makes of routes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spillway.act.planes.plane import Found, Rendered, Wanted
from spillway.act.planes.registry import PLANES
from spillway.api import CapacityLane, CapacityPlan, RoutingPlane, WorkloadClass

JSON = dict[str, Any]
PLANE = PLANES[RoutingPlane.ENVOY_AI_GATEWAY]
AT = 1_000_000.0
MODEL = "llama-3.1-8b"
ROUTE, HTTP_ROUTE, POLICY = "AIGatewayRoute/ai/chat", "HTTPRoute/ai/chat", "BackendTrafficPolicy/ai/chat"
GROUP = "aigateway.envoyproxy.io"
LITELLM = {"configMap": "litellm-config", "deployment": "litellm"}


def plan(mode: str = "Split", ownership: str = "Managed", namespace: str = "ai", **routing: Any) -> CapacityPlan:
    """A plan that binds class chat to an own and a hosted lane."""
    binding: JSON = {
        "class": "chat",
        "ownership": ownership,
        "httpRoute": "chat",
        "backends": {"gpu": "vllm", "hosted": "openai"},
    }
    if ownership == "Managed":
        binding["gateway"] = {"name": "gateway", "namespace": "envoy-gateway-system"}
    spec = {
        "lanes": ["gpu", "hosted"],
        "overflow": {"mode": mode},
        "routing": {"plane": "EnvoyAIGateway", "bindings": [binding], **routing},
    }
    return CapacityPlan.parse({"metadata": {"name": "main", "namespace": namespace}, "spec": spec})


def workload(namespace: str = "ai", **spec: Any) -> WorkloadClass:
    """Class chat, which asks for a model."""
    content = {
        "planRef": {"name": "main"},
        "match": {"model": MODEL},
        "latency": "Deferrable",
        "dataPolicy": "Any",
        "equivalentModels": [MODEL, "gpt-5-nano"],
    }
    return WorkloadClass.parse({"metadata": {"name": "chat", "namespace": namespace}, "spec": content | spec})


def lanes(namespace: str = "ai", hosted: str = "HostedRealtime", models: tuple[str, ...] = ("gpt-5-nano",)) -> Any:
    """An own lane, and a hosted one of this type that serves these models."""
    own = {
        "targetRef": {"name": "vllm"}, "gpu": {"type": "h100"}, "price": {"usdPerGpuHour": "3"},
        "replicas": {"min": 1, "max": 2},
    }  # fmt: skip
    price = {"inputUsdPerMTok": "1", "outputUsdPerMTok": "4"}
    paid = {"provider": "openai", "model": "gpt-5-nano-2025-08-07", "price": price}
    made = {
        "gpu": {"type": "SelfHosted", "selfHosted": own, "models": [MODEL]},
        "hosted": {"type": hosted, "hosted": paid, "models": list(models)},
    }
    return tuple(
        CapacityLane.parse({"metadata": {"name": name, "namespace": namespace}, "spec": spec})
        for name, spec in made.items()
    )


@dataclass(frozen=True)
class Case:
    """What one tick starts from."""

    plan: CapacityPlan = field(default_factory=plan)
    resource: WorkloadClass = field(default_factory=workload)
    lanes: tuple[CapacityLane, ...] = field(default_factory=lanes)
    at: float = AT

    def wanted(self, **weights: int) -> Wanted:
        """These weights of class chat; all at home where none are given."""
        asked = weights or {"gpu": 100, "hosted": 0}
        return Wanted(self.plan, (self.resource,), self.lanes, {"chat": asked}, frozenset({"chat"}), at=self.at)

    def render(self, found: Found | None = None, **weights: int) -> Rendered:
        """What would be written."""
        return PLANE.render(self.wanted(**weights), found or Found({}))


def adopted(namespace: str = "ai", priorities: Mapping[str, int] | None = None, **weights: int) -> JSON:
    """Somebody's AIGatewayRoute with a rule for the model, and another before it."""
    found = priorities or {}
    refs = [{"name": name, "weight": weight, "priority": found.get(name, 0)} for name, weight in weights.items()]
    match = {"headers": [{"type": "Exact", "name": "x-ai-eg-model", "value": MODEL}]}
    other = {"headers": [{"type": "Exact", "name": "x-ai-eg-model", "value": "another"}]}
    return {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": "AIGatewayRoute",
        "metadata": {"name": "chat", "namespace": namespace},
        "spec": {
            "parentRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gateway"}],
            "rules": [
                {"matches": [other], "backendRefs": [{"name": "openai"}]},
                {"matches": [match], "backendRefs": refs},
            ],
        },
    }


def made(route: JSON, generation: int = 1, observed: int = 1, status: str = "True") -> JSON:
    """The HTTPRoute that the controller makes of a route, as its source does (internal/controller of v1.0.0)."""
    rules = route["spec"]["rules"]
    priorities = (
        f"{i}:{ref['name']}:{ref.get('priority', 0)}" for i, rule in enumerate(rules) for ref in rule["backendRefs"]
    )
    meta = route["metadata"]
    annotations = (meta.get("annotations") or {}) | {"gateway.envoyproxy.io/backend-ref-priority": ",".join(priorities)}
    conditions = [
        {"type": kind, "status": status, "observedGeneration": observed, "message": "said by the gateway"}
        for kind in ("Accepted", "ResolvedRefs")
    ]
    refs = [
        [{"kind": "Backend", "name": ref["name"], "weight": ref.get("weight", 1)} for ref in rule["backendRefs"]]
        for rule in rules
    ]
    return {
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "generation": generation,
            "resourceVersion": "1",
            "labels": meta.get("labels") or {},
            "annotations": annotations,
            "ownerReferences": [{"kind": "AIGatewayRoute", "name": meta["name"], "controller": True}],
        },
        "spec": {"rules": [*({"backendRefs": each} for each in refs), {"name": "route-not-found"}]},
        "status": {"parents": [{"conditions": conditions}]},
    }


def stored(route: JSON, kind: str = "Accepted", said: str = "", written: str = "2026-01-01T00:00:00Z") -> JSON:
    """A route as the apiserver has it, with what its controller says of it."""
    found = copy.deepcopy(route)
    found["metadata"] |= {"resourceVersion": "1", "generation": 1}
    found["metadata"]["managedFields"] = [{"manager": "somebody", "time": written}]
    condition = {"type": kind, "status": str(kind == "Accepted"), "message": "said by the controller"}
    found["status"] = {"conditions": [condition | {"lastTransitionTime": said or written}]}
    return found


@dataclass(frozen=True)
class Shape:
    """One kind of object to write, with the weights asked for."""

    case: Case
    weights: Mapping[str, int]


GOLDEN = Path(__file__).parents[1] / "act/golden/ai_gateway"
SHAPES: Mapping[str, Shape] = {
    "split": Shape(Case(), {"gpu": 70, "hosted": 30}),
    "at-home": Shape(Case(), {"gpu": 100, "hosted": 0}),
    "all-hosted": Shape(Case(), {"gpu": 0, "hosted": 100}),
    "by-header": Shape(
        Case(resource=workload(match={"header": {"name": "x-workload", "value": "chat"}})), {"gpu": 50, "hosted": 50}
    ),
    "self-hosted-only": Shape(Case(resource=workload(dataPolicy="SelfHostedOnly")), {"gpu": 100, "hosted": 0}),
    "no-equivalent": Shape(Case(lanes=lanes(models=("another",))), {"gpu": 100, "hosted": 0}),
    "flex": Shape(Case(lanes=lanes(hosted="Flex")), {"gpu": 90, "hosted": 10}),
    "behind-litellm": Shape(Case(plan(litellm=LITELLM)), {"gpu": 90, "hosted": 10}),
    "spill": Shape(Case(plan("Spill")), {"gpu": 100, "hosted": 0}),
    "spill-all-hosted": Shape(Case(plan("Spill")), {"gpu": 0, "hosted": 100}),
}
"""Every shape of what is generated, by the name of its file."""
