"""Which workloads are engines, what they serve and on which GPUs: out of pod templates, pods, nodes and metrics."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import Any

from spillway.advise.first.facts import Counted, GpuKind, Latency, Served, Workload
from spillway.api import Engine
from spillway.cli.first.cluster import Listed
from spillway.kube import Items
from spillway.observe.targets import MAX_STARTUP_SECONDS, autoscaler_of, controller_of, gpus_in, pod_state
from spillway.observe.traffic import EngineTotals, Totals, Traffic

JSON = dict[str, Any]
IMAGES = ((Engine.VLLM, re.compile(r"vllm", re.I)), (Engine.SGLANG, re.compile(r"sglang", re.I)))
NO_ENGINE = re.compile(r"router|gateway|proxy|epp|exporter", re.I)
"""In the last part of an image's name: what stands beside engines."""
MODEL_FLAGS = {Engine.VLLM: ("--served-model-name", "--model"), Engine.SGLANG: ("--served-model-name", "--model-path")}
PRODUCT_LABELS = (
    "nvidia.com/gpu.product", "amd.com/gpu.product-name", "cloud.google.com/gke-accelerator",
    "karpenter.k8s.aws/instance-gpu-name", "k8s.amazonaws.com/accelerator",
)  # fmt: skip
LONGEST_NAME = 128
"""Of a model, as the resources have it."""
SPOT_LABELS = {
    "karpenter.sh/capacity-type": "spot",
    "eks.amazonaws.com/capacityType": "SPOT",
    "cloud.google.com/gke-spot": "true",
    "kubernetes.azure.com/scalesetpriority": "spot",
}
PROVIDERS = {"aws": "aws", "gce": "gcp", "azure": "azure", "oci": "oci"}
"""Scheme of a node's providerID to the provider's name."""
AWS_INSTANCE = re.compile(r"(p|g)[0-9][a-z0-9]*\.[0-9a-z]+")
AZURE_INSTANCE = re.compile(r"Standard_N[A-Z]", re.I)
GCP_INSTANCE = re.compile(r"(a|g)[0-9]-[a-z]+-[0-9]+g?", re.I)


@dataclass(frozen=True, slots=True)
class Templated:
    """A workload with its pod templates; several where a replica is a group of pods."""

    kind: str
    item: JSON
    templates: tuple[tuple[JSON, int], ...]
    """Pod templates with how many pods of each make one replica."""

    @property
    def namespace(self) -> str:
        """Namespace of the workload."""
        return str(self.item["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """Name of the workload."""
        return str(self.item["metadata"]["name"])

    @property
    def key(self) -> str:
        """Kind/name."""
        return f"{self.kind}/{self.name}"

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of its first template's pods."""
        found: Mapping[str, str] = (self.templates[0][0].get("metadata") or {}).get("labels") or {}
        return found

    def containers(self) -> Iterator[JSON]:
        """Containers of all templates."""
        for template, _ in self.templates:
            yield from (template.get("spec") or {}).get("containers") or []

    @property
    def gpus(self) -> int | None:
        """GPUs that one replica asks for; None where it asks for none."""
        total = 0.0
        for template, count in self.templates:
            for container in (template.get("spec") or {}).get("containers") or []:
                resources = container.get("resources") or {}
                total += count * gpus_in({**(resources.get("limits") or {}), **(resources.get("requests") or {})})
        return round(total) or None


def templated(listed: Listed) -> tuple[Templated, ...]:
    """All workloads that have a scale subresource."""
    found = [
        Templated(kind, item, (((item.get("spec") or {}).get("template") or {}, 1),))
        for kind, items in (("Deployment", listed.deployments), ("StatefulSet", listed.stateful_sets))
        for item in items
        # A LeaderWorkerSet's StatefulSets are its own business, and it is listed itself.
        if not (kind == "StatefulSet" and (controller_of(item["metadata"]) or {}).get("kind") == "LeaderWorkerSet")
    ]
    for item in listed.leader_worker_sets:
        group = (item.get("spec") or {}).get("leaderWorkerTemplate") or {}
        worker, size = group.get("workerTemplate") or {}, int(group.get("size") or 1)
        leader = group.get("leaderTemplate") or worker
        found.append(Templated("LeaderWorkerSet", item, ((leader, 1), (worker, size - 1))))
    return tuple(found)


def engine_of(each: Templated, traffic: Traffic | None) -> tuple[Engine, str] | None:
    """The engine and what told it; None where it is none that is known."""
    for (namespace, workload, _), row in (traffic.engines if traffic else {}).items():
        if (namespace, workload) == (each.namespace, each.name):
            return row.engine, "its metrics"
    for container in each.containers():
        image = str(container.get("image", "")).split("@")[0]
        last = image.rsplit("/", 1)[-1]
        for engine, pattern in IMAGES:
            if pattern.search(image) and not NO_ENGINE.search(last.split(":")[0]):
                return engine, f"its image {image}"
    return None


def served_models(each: Templated, engine: Engine, traffic: Traffic | None) -> tuple[tuple[Served, ...], str]:
    """What it serves, with what was counted; empty where nothing tells."""
    rows = {
        model: row
        for (namespace, workload, model), row in (traffic.engines if traffic else {}).items()
        if (namespace, workload) == (each.namespace, each.name) and 0 < len(model) <= LONGEST_NAME
    }
    if rows:
        return tuple(_counted(each, model, row) for model, row in sorted(rows.items())), "its metrics"
    names = next((found for c in each.containers() if (found := _model_arguments(c, engine))), ())
    return tuple(Served(name) for name in dict.fromkeys(names) if 0 < len(name) <= LONGEST_NAME), "its arguments"


def _counted(each: Templated, model: str, row: EngineTotals) -> Served:
    return Served(model, counted(row.totals, f"{row.engine.value}'s counters of {each.key}"), Latency(**row.latency))


def counted(totals: Totals, source: str) -> Counted:
    """Counters with their source."""
    return Counted(
        seconds=totals.seconds,
        requests=totals.requests,
        peak_requests_per_second=totals.peak_requests_per_second,
        input_tokens=totals.input_tokens,
        output_tokens=totals.output_tokens,
        cached_tokens=totals.cached_tokens,
        source=source,
    )


def _model_arguments(container: JSON, engine: Engine) -> tuple[str, ...]:
    words = [
        word
        for text in (*(container.get("command") or []), *(container.get("args") or []))
        for word in str(text).split()
    ]
    for flag in MODEL_FLAGS[engine]:
        for position, word in enumerate(words):
            if word.startswith(f"{flag}="):
                return (word.partition("=")[2],)
            if word == flag:
                more = words[position + 1 :]
                end = next((i for i, text in enumerate(more) if text.startswith("-")), len(more))
                return tuple(more[: end if flag == "--served-model-name" else 1])
    if "serve" in words[:-1] and not words[words.index("serve") + 1].startswith("-"):
        return (words[words.index("serve") + 1],)
    return ()


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
            if kind:
                self._types[node["metadata"]["name"]] = kind
                self._labels.setdefault(kind, label)
                by_type.setdefault(kind, []).append(node)
        self._kinds = {kind: self._kind(kind, found) for kind, found in by_type.items()}

    def _kind(self, kind: str, nodes: Sequence[JSON]) -> GpuKind:
        gpus = sum(gpus_in((node.get("status") or {}).get("allocatable") or {}) for node in nodes)
        prices = [self._usd[node["metadata"]["name"]] for node in nodes if node["metadata"]["name"] in self._usd]
        labels = [node["metadata"].get("labels") or {} for node in nodes]
        types = sorted({str(each.get("node.kubernetes.io/instance-type", "")) for each in labels} - {""})
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


def _provider(node: JSON) -> str:
    scheme = str((node.get("spec") or {}).get("providerID") or "").partition("://")[0]
    if scheme in PROVIDERS:
        return PROVIDERS[scheme]
    kind = str((node["metadata"].get("labels") or {}).get("node.kubernetes.io/instance-type", ""))
    patterns = ((AWS_INSTANCE, "aws"), (AZURE_INSTANCE, "azure"), (GCP_INSTANCE, "gcp"))
    return next((name for pattern, name in patterns if pattern.match(kind)), "")


def pods_of(each: Templated, pods: Items) -> Items:
    """Pods of its namespace that carry its selector's labels."""
    wanted = ((each.item.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    if each.kind == "LeaderWorkerSet":
        wanted = {"leaderworkerset.sigs.k8s.io/name": each.name}
    return [
        pod
        for pod in pods
        if wanted
        and pod["metadata"].get("namespace") == each.namespace
        and wanted.items() <= (pod["metadata"].get("labels") or {}).items()
    ]


def workload(each: Templated, listed: Listed, gpus: Gpus, traffic: Traffic | None) -> Workload | str | None:
    """The workload as a fact; a sentence where it can't be used; None where it is no engine and wants no GPU."""
    told = engine_of(each, traffic)
    where = f"{each.kind} {each.namespace}/{each.name}"
    if told is None:
        return f"{where} asks for GPUs, and is no engine that Spillway knows (vLLM, SGLang)" if each.gpus else None
    owner = controller_of(each.item["metadata"])
    if owner is not None:
        return f"{where} is controlled by {owner.get('kind')}/{owner.get('name')}, which would take replicas back"
    models, source = served_models(each, told[0], traffic)
    if not models:
        return f"{where}: neither metrics nor arguments name the model that it serves"
    pods = pods_of(each, listed.pods)
    starts = list(_startups(pods))
    scaler = autoscaler_of(each.namespace, each.kind, each.name, listed.hpas, listed.scaled_objects)
    replicas = (each.item.get("spec") or {}).get("replicas")
    return Workload(
        namespace=each.namespace,
        api_version=str(each.item.get("apiVersion") or _api_version(each.kind)),
        kind=each.kind,
        name=each.name,
        engine=told[0],
        engine_source=told[1],
        models=models,
        models_source=source,
        replicas=1 if replicas is None else int(replicas),
        gpus_per_replica=each.gpus,
        gpu=gpus.of(each, pods),
        autoscaler=scaler,
        autoscaler_max=_most(scaler, each.namespace, listed),
        startup_seconds=median(starts) if starts else None,
        startup_pods=len(starts),
    )


def _api_version(kind: str) -> str:
    """Lists leave the version of their items out."""
    return "leaderworkerset.x-k8s.io/v1" if kind == "LeaderWorkerSet" else "apps/v1"


def _startups(pods: Iterable[JSON]) -> Iterator[float]:
    for pod in pods:
        state = pod_state(pod)
        if state.ready_at is not None and 0 <= (seconds := state.ready_at - state.created_at) <= MAX_STARTUP_SECONDS:
            yield seconds


def _most(scaler: str | None, namespace: str, listed: Listed) -> int | None:
    if scaler is None:
        return None
    kind, _, name = scaler.partition("/")
    items, key = (listed.scaled_objects, "maxReplicaCount") if kind == "ScaledObject" else (listed.hpas, "maxReplicas")
    for item in items:
        if (item["metadata"]["name"], item["metadata"].get("namespace")) == (name, namespace):
            found = (item.get("spec") or {}).get(key)
            return None if found is None else int(found)
    return None
