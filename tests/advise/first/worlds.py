"""Found worlds for tests."""

from __future__ import annotations

from typing import Any

import yaml

from spillway.advise.first import Proposal
from spillway.advise.first.facts import (
    Backend,
    Counted,
    Found,
    GpuKind,
    HostedModel,
    Latency,
    Rule,
    Served,
    Workload,
    World,
)
from spillway.api import CapacityLane, CapacityPlan, Engine, WorkloadClass
from spillway.observe.gpu_prices import read_catalogue
from spillway.observe.sizing_data import gpu_types

H100 = GpuKind("nvidia-h100-80gb-hbm3", "node label nvidia.com/gpu.product=NVIDIA-H100-80GB-HBM3", 16, "aws")
LATENCY = Latency(0.41, 0.55, 0.031, 0.04)
MODELS = {"CapacityLane": CapacityLane, "WorkloadClass": WorkloadClass, "CapacityPlan": CapacityPlan}


def counted(days: float = 10.0, **more: Any) -> Counted:
    """Two requests a second, 1,000 tokens in and 200 out."""
    requests = 2 * days * 86_400
    content = {
        "seconds": days * 86_400,
        "requests": requests,
        "peak_requests_per_second": 8.0,
        "input_tokens": requests * 1000,
        "output_tokens": requests * 200,
        "cached_tokens": requests * 250,
        "source": "vLLM's counters",
    }
    return Counted(**(content | more))


def workload(name: str = "vllm", model: str = "llama", **more: Any) -> Workload:
    """Four replicas of one H100 each."""
    content = {
        "namespace": "inference",
        "api_version": "apps/v1",
        "kind": "Deployment",
        "name": name,
        "engine": Engine.VLLM,
        "engine_source": "its metrics",
        "models": (Served(model, counted(), LATENCY),),
        "models_source": "its metrics",
        "replicas": 4,
        "gpus_per_replica": 1,
        "gpu": H100,
    }
    return Workload(**(content | more))


def hosted(model: str = "llama", **more: Any) -> HostedModel:
    """The same model at a provider, by way of the proxy `egress`."""
    content = {
        "provider": "groq",
        "model": f"meta/{model}",
        "served_as": (model,),
        "proxy": "egress",
        "source": "the configuration of LiteLLM proxy egress",
        "price": "$0.1 in and $0.2 out",
    }
    return HostedModel(**(content | more))


def backend(name: str = "vllm", weight: int = 100, **more: Any) -> Backend:
    """A Service, of the workload of that name unless told otherwise."""
    content = {
        "kind": "Service",
        "name": name,
        "port": 8000,
        "weight": weight,
        "same_namespace": True,
        "workload": f"Deployment/{name}",
    }
    return Backend(**(content | more))


EGRESS = backend("egress", 0, workload=None, proxy="egress")


def rule(*backends: Backend, name: str | None = "all", **more: Any) -> Rule:
    """One rule of the route `chat`."""
    content = {"namespace": "inference", "route": "chat", "index": 0, "name": name, "gateways": ("front",)}
    return Rule(**(content | {"backends": backends or (backend(), EGRESS)} | more))


def world(*found: Found, **more: Any) -> World:
    """A world with list prices."""
    content = {
        "at": "2026-11-23T16:00Z",
        "days": 7.0,
        "context": "the current context",
        "prometheus": "http://p:9090",
        "offers": read_catalogue(),
        "gpu_types": gpu_types(),
    }
    return World(**(content | {"namespaces": found or (one(workload()),)} | more))


def one(*workloads: Workload, **more: Any) -> Found:
    """The namespace `inference`."""
    return Found("inference", workloads, **more)


def parsed(proposal: Proposal) -> dict[str, dict[str, Any]]:
    """Every document of a proposal by Kind/name, each one read by the models too."""
    documents = [each for _, text in proposal.files for each in yaml.safe_load_all(text)]
    for document in documents:
        spec = MODELS[document["kind"]].parse(document).spec
        assert spec.to_wire().items() >= {k: v for k, v in document["spec"].items() if not isinstance(v, dict)}.items()
    found = {f"{each['kind']}/{each['metadata']['name']}": each["spec"] for each in documents}
    assert len(found) == len(documents)
    return found


def text_of(proposal: Proposal, part: str) -> str:
    """The file "lanes", "classes" or "plan" with its comments unwrapped, on one line."""
    text = next(text for name, text in proposal.files if name.endswith(f"-{part}.yaml"))
    return " ".join(text.replace("\n", " ").replace("#", " ").split())
