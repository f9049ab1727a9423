"""Objects as an apiserver lists them."""

from __future__ import annotations

from typing import Any

from spillway.cli.first.cluster import Listed
from spillway.kube import Items

JSON = dict[str, Any]
CREATED, READY = "2026-11-23T10:00:00Z", "2026-11-23T10:01:30Z"


def meta(name: str, namespace: str = "inference", **more: Any) -> JSON:
    """Metadata."""
    return {"name": name, "namespace": namespace, **more}


def container(image: str = "vllm/vllm-openai:v0.32.0", *args: str, gpus: int | str = 1, **more: Any) -> JSON:
    """One container."""
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    return {"name": "c", "image": image, "args": list(args), "resources": {"limits": limits}, **more}


def template(*containers: JSON, app: str = "vllm", **spec: Any) -> JSON:
    """A pod template."""
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": list(containers), **spec}}


def deployment(name: str = "vllm", *containers: JSON, replicas: int | None = 2, **more: Any) -> JSON:
    """A Deployment, of vLLM with a model argument unless told otherwise."""
    made = containers or (container("vllm/vllm-openai:v0.32.0", "--model=llama"),)
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template(*made, app=name), **more.pop("spec", {})}
    return {"metadata": meta(name, **more), "spec": spec | ({} if replicas is None else {"replicas": replicas})}


def pod(name: str, node: str = "", app: str = "vllm", ready: str | None = READY, namespace: str = "inference") -> JSON:
    """A pod, Ready at a time."""
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": ready}] if ready else []
    metadata = meta(name, namespace, creationTimestamp=CREATED, labels={"app": app})
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": {"conditions": conditions}}


def node(name: str, gpus: int = 8, *, provider: str = "", **labels: str) -> JSON:
    """A node with GPUs."""
    named = {key.replace("__", "/").replace("_", "."): value for key, value in labels.items()}
    status = {"allocatable": {"nvidia.com/gpu": str(gpus)} if gpus else {}}
    return {"metadata": {"name": name, "labels": named}, "spec": {"providerID": provider}, "status": status}


def service(name: str, app: str, namespace: str = "inference") -> JSON:
    """A Service by one label."""
    return {"metadata": meta(name, namespace), "spec": {"selector": {"app": app}}}


def hpa(name: str, target: str, most: int = 6) -> JSON:
    """A HorizontalPodAutoscaler of a Deployment."""
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    return {"metadata": meta(name), "spec": {"scaleTargetRef": ref, "maxReplicas": most}}


def route(*rules: JSON, name: str = "chat", namespace: str = "inference", **more: Any) -> JSON:
    """An HTTPRoute on the Gateway `front`."""
    return {
        "metadata": meta(name, namespace, **more),
        "spec": {"parentRefs": [{"name": "front"}], "rules": list(rules)},
    }


def listed(**items: Items) -> Listed:
    """A listing; what is not named is empty."""
    names = ("deployments", "stateful_sets", "leader_worker_sets", "pods", "services", "hpas", "scaled_objects",
             "routes", "backends", "nodes", "plans", "lanes", "classes")  # fmt: skip
    return Listed(**{name: items.get(name, []) for name in names})
