"""Which workloads are engines, what they serve and on which GPUs: out of pod templates, pods, nodes and metrics."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any

from spillway.advise.first.facts import Counted, Latency, Served, Workload
from spillway.api import Engine
from spillway.cli.first.cluster import Listed
from spillway.cli.first.gpus import Gpus
from spillway.cli.first.templates import Templated, pods_of
from spillway.observe.targets import MAX_STARTUP_SECONDS, autoscaler_of, controller_of, pod_state
from spillway.observe.traffic import EngineTotals, Totals, Traffic

JSON = dict[str, Any]
IMAGES = ((Engine.VLLM, re.compile(r"vllm", re.I)), (Engine.SGLANG, re.compile(r"sglang", re.I)))
NO_ENGINE = re.compile(r"router|gateway|proxy|epp|exporter", re.I)
"""In the last part of an image's name: what stands beside engines."""
MODEL_FLAGS = {Engine.VLLM: ("--served-model-name", "--model"), Engine.SGLANG: ("--served-model-name", "--model-path")}
LONGEST_NAME = 128
"""Of a model, as the resources have it."""


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
