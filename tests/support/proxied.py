"""A plan, its lanes and classes for LiteLLM configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spillway.act.litellm.render import render
from spillway.act.litellm.values import Decided, Deployment, ProxyRole, ProxySettings, Rendered
from spillway.api import CapacityLane, CapacityPlan, WorkloadClass

OWN = "http://vllm.ai.svc:8000/v1"
ADDRESSES = {"gpu": OWN, "gpu-b": "http://vllm-b.ai.svc:8000/v1"}


def own(name: str = "gpu", models: Sequence[str] = ("llama",)) -> CapacityLane:
    """A self-hosted lane."""
    spec = {
        "type": "SelfHosted",
        "models": list(models),
        "selfHosted": {
            "targetRef": {"name": f"vllm-{name}"},
            "gpu": {"type": "h100"},
            "price": {"usdPerGpuHour": "3"},
            "replicas": {"min": 0, "max": 8},
        },
    }
    return CapacityLane.parse({"metadata": {"name": name, "namespace": "ai"}, "spec": spec})


def hosted(
    name: str = "hosted",
    models: Sequence[str] = ("gpt-4o-mini",),
    *,
    kind: str = "HostedRealtime",
    provider: str = "openai",
    model: str = "",
    limits: Mapping[str, int] | None = None,
) -> CapacityLane:
    """A hosted lane; its provider's model is the first of ``models`` unless told otherwise."""
    spec: dict[str, Any] = {"provider": provider, "model": model or models[0]}
    if limits:
        spec["limits"] = dict(limits)
    body = {"type": kind, "models": list(models), "hosted": spec}
    return CapacityLane.parse({"metadata": {"name": name, "namespace": "ai"}, "spec": body})


def workload(
    name: str = "chat", equivalent: Sequence[str] = ("llama", "gpt-4o-mini"), *, created: str = "", **spec: Any
) -> WorkloadClass:
    """A class that is matched by the model of its own name; keyword arguments are fields of its spec."""
    body = {
        "planRef": {"name": "main", "namespace": "ai"},
        "match": {"model": name},
        "slo": {"timeToFirstTokenMs": 2000, "interTokenLatencyMs": 60},
        "dataPolicy": "Any",
        "equivalentModels": list(equivalent),
        **spec,
    }
    meta = {"name": name, "namespace": "team-a", "uid": name, "creationTimestamp": created or "2026-01-01T00:00:00Z"}
    return WorkloadClass.parse({"metadata": meta, "spec": body})


def rendered(
    decided: Decided,
    classes: Sequence[WorkloadClass] = (),
    lanes: Sequence[CapacityLane] = (),
    *,
    role: ProxyRole = ProxyRole.FRONT,
    addresses: Mapping[str, str] | None = None,
    processes: tuple[int, int] = (1, 1),
) -> Rendered:
    """The configuration of a plan over these lanes (default: one own, one hosted) and classes (default: chat)."""
    chosen = tuple(lanes) or (own(), hosted())
    spec = {"lanes": [lane.metadata.name for lane in chosen]}
    plan = CapacityPlan.parse({"metadata": {"name": "main", "namespace": "ai"}, "spec": spec})
    found = ADDRESSES if addresses is None else addresses
    settings = ProxySettings("litellm", "ai", role, found, *processes)
    return render(plan, tuple(classes) or (workload(),), chosen, settings, decided)


def of(result: Rendered, model_name: str) -> dict[str, Deployment]:
    """A name's deployments by lane."""
    return {made.lane: made for made in result.deployments if made.model_name == model_name}
