"""Which GPUs there are, and which of them are under a workload: by nodes, selectors, and what exporters saw."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from statistics import median
from typing import Any

from spillway.advise.first.facts import GpuKind
from spillway.cli.first.instances import gpu_of_instance, provider_of
from spillway.cli.first.templates import Templated
from spillway.kube import Items
from spillway.observe.targets import gpus_in
from spillway.observe.traffic import Traffic

JSON = dict[str, Any]
PRODUCT_LABELS = (
    "nvidia.com/gpu.product", "amd.com/gpu.product-name", "cloud.google.com/gke-accelerator",
    "karpenter.k8s.aws/instance-gpu-name", "k8s.amazonaws.com/accelerator",
)  # fmt: skip
SPOT_LABELS = {
    "karpenter.sh/capacity-type": "spot",
    "eks.amazonaws.com/capacityType": "SPOT",
    "cloud.google.com/gke-spot": "true",
    "kubernetes.azure.com/scalesetpriority": "spot",
}
INSTANCE_LABEL = "node.kubernetes.io/instance-type"


class Gpus:
    """Which GPUs there are, by node and by type."""

    def __init__(self, nodes: Items, traffic: Traffic | None) -> None:
        """Sort the nodes by what their labels say."""
        self._usd = traffic.gpu_usd if traffic else {}
        self._models = traffic.gpu_models if traffic else {}
        self._types: dict[str, str] = {}
        by_type: dict[str, list[JSON]] = {}
        self._labels: dict[str, str] = {}
        for node in nodes:
            if gpus_in((node.get("status") or {}).get("allocatable") or {}) < 1:
                continue
            kind, label = _product(node["metadata"].get("labels") or {})
            if not kind:
                kind, label = gpu_of_instance(_instance(node)), f"{INSTANCE_LABEL}={_instance(node)}"
            if kind:
                self._types[node["metadata"]["name"]] = kind
                self._labels.setdefault(kind, label)
                by_type.setdefault(kind, []).append(node)
        self._kinds = {kind: self._kind(kind, found) for kind, found in by_type.items()}

    def _kind(self, kind: str, nodes: Sequence[JSON]) -> GpuKind:
        gpus = sum(gpus_in((node.get("status") or {}).get("allocatable") or {}) for node in nodes)
        prices = [self._usd[node["metadata"]["name"]] for node in nodes if node["metadata"]["name"] in self._usd]
        labels = [node["metadata"].get("labels") or {} for node in nodes]
        types = sorted({_instance(node) for node in nodes} - {""})
        return GpuKind(
            kind,
            f"node label {self._labels[kind]}",
            round(gpus),
            next((found for node in nodes if (found := _provider(node))), ""),
            tuple(types),
            all(any(each.get(name) == value for name, value in SPOT_LABELS.items()) for each in labels),
            (Decimal(str(round(median(prices), 4))) if prices else None) or None,
        )

    def of(self, each: Templated, pods: Items) -> GpuKind | None:
        """The type under its pods, else what its template selects, else DCGM's, else the only one there is."""
        for pod in pods:
            kind = self._types.get(str((pod.get("spec") or {}).get("nodeName", "")))
            if kind:
                return self._kinds[kind]
        for template, _ in each.templates:
            kind, label = _product((template.get("spec") or {}).get("nodeSelector") or {})
            if kind:
                return self._kinds.get(kind) or GpuKind(kind, f"its node selector {label}", None)
        for pod in pods:
            model = self._models.get((each.namespace, pod["metadata"]["name"]))
            if model and (kind := gpu_type(model)):
                return self._kinds.get(kind) or GpuKind(kind, f"DCGM's modelName {model}", None)
        if len(self._kinds) == 1 and each.gpus:
            return next(iter(self._kinds.values()))
        return None


def gpu_type(text: str) -> str:
    """A lane's gpu.type out of a product's name."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:63].rstrip("-.")


def _product(labels: Mapping[str, str]) -> tuple[str, str]:
    for name in PRODUCT_LABELS:
        if (value := labels.get(name)) and (kind := gpu_type(value)):
            return kind, f"{name}={value}"
    return "", ""


def _instance(node: JSON) -> str:
    return str((node["metadata"].get("labels") or {}).get(INSTANCE_LABEL, ""))


def _provider(node: JSON) -> str:
    return provider_of(str((node.get("spec") or {}).get("providerID") or ""), _instance(node))
