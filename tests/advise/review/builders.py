"""Plans on both sides of a change, as small manifests that a test edits, and hand-made effects."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from spillway.advise.review.changes import Change, changes_of
from spillway.advise.review.effect import Band, ClassFigures, Confidence, Effect, LaneFigures, SideFigures, Traffic
from spillway.advise.review.objects import Objects, PlanPair, plan_pairs
from spillway.advise.review.walk import MODELS
from spillway.api import API_VERSION

Document = dict[str, Any]
KEY = "inference/main"


def made(kind: str, name: str, spec: Document, namespace: str = "inference") -> Document:
    """A manifest."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": copy.deepcopy(spec),
    }


PLAN = made("CapacityPlan", "main", {"lanes": ["gpu", "hosted"], "mode": "Apply"})
GPU = made(
    "CapacityLane",
    "gpu",
    {
        "type": "SelfHosted",
        "models": ["m"],
        "selfHosted": {
            "targetRef": {"name": "vllm"},
            "gpu": {"type": "nvidia-h100-80gb", "perReplica": 2},
            "price": {"usdPerGpuHour": "3.85"},
            "replicas": {"min": 2, "max": 8},
            "profile": {"alphaMs": "7", "betaMsPerSequence": "0.06", "prefillMsPerKToken": "18"},
        },
    },
)
HOSTED = made(
    "CapacityLane",
    "hosted",
    {
        "type": "HostedRealtime",
        "models": ["m"],
        "hosted": {
            "provider": "openai",
            "model": "gpt-5-nano",
            "price": {"inputUsdPerMTok": "0.05", "outputUsdPerMTok": "0.40"},
            "latency": {"timeToFirstTokenMs": 700, "interTokenLatencyMs": 15},
        },
    },
)
CHAT = made(
    "WorkloadClass",
    "chat",
    {
        "planRef": {"name": "main"},
        "match": {"model": "m"},
        "slo": {"timeToFirstTokenMs": 2000, "interTokenLatencyMs": 60, "attainmentPercent": "99"},
        "dataPolicy": "Any",
        "equivalentModels": ["m"],
    },
)
ALL = (PLAN, GPU, HOSTED, CHAT)


def with_spec(document: Document, changes: Mapping[str, Any]) -> Document:
    """A copy with dotted paths below spec set; None removes."""
    result = copy.deepcopy(document)
    for path, value in changes.items():
        node = result["spec"]
        *parents, last = path.split(".")
        for name in parents:
            node = node.setdefault(name, {})
        if value is None:
            node.pop(last, None)
        else:
            node[last] = value
    return result


def objects(*documents: Document) -> Objects:
    """Parsed."""
    found: dict[str, dict[str, Any]] = {kind: {} for kind in MODELS}
    for document in documents:
        resource = MODELS[document["kind"]].parse(document)
        found[document["kind"]][resource.metadata.key] = resource
    return Objects(found["CapacityPlan"], found["CapacityLane"], found["WorkloadClass"])


def swapped(*new: Document) -> tuple[Document, ...]:
    """The whole world with some objects replaced, or added."""
    by_key = {(d["kind"], d["metadata"]["name"]): d for d in (*ALL, *new)}
    return tuple(by_key.values())


def pair_of(head: tuple[Document, ...], base: tuple[Document, ...] = ALL) -> PlanPair:
    """The only plan of both sides."""
    (found,) = plan_pairs(objects(*base), objects(*head))
    return found


def changes(*new: Document) -> tuple[Change, ...]:
    """What changes when these replace what there was."""
    return changes_of(pair_of(swapped(*new)))


def change(document: Document, edits: Mapping[str, Any]) -> Change:
    """The only change that comes of editing one object."""
    (found,) = changes(with_spec(document, edits))
    return found


GPU_LANE = LaneFigures("gpu", "SelfHosted", 8000.0, 1.4, 4, 2044.0, 900_000, 2.1e9)
HOSTED_LANE = LaneFigures("hosted", "HostedRealtime", 2000.0, None, None, None, 100_000, 3.4e8)
CHAT_FIGURES = ClassFigures("inference/chat", 1_000_000, 2.44e9, 10_000.0, 0.1, 99.42, 99.0, 5800.0, True)
BASE_SIDE = SideFigures(Band(10_000.0, 9_500.0, 10_500.0), 8000.0, 2000.0, (GPU_LANE, HOSTED_LANE), (CHAT_FIGURES,))
TRAFFIC = Traffic("demand.csv.gz", 6.0, 250_000, 1)


def effect(
    difference: float = -1000.0,
    *,
    spread: float = 200.0,
    classes: tuple[ClassFigures, ...] = (CHAT_FIGURES,),
    hosted_usd: float = 2000.0,
    confidence: Confidence = Confidence.MEDIUM,
    doubts: tuple[str, ...] = ("nobody knows how the provider answers at night",),
) -> Effect:
    """An effect whose GPU lane takes the whole difference."""
    gpu = replace(GPU_LANE, usd_per_month=GPU_LANE.usd_per_month + difference, replicas_mean=1.2)
    hosted = replace(HOSTED_LANE, usd_per_month=hosted_usd)
    total = 10_000.0 + difference
    head = SideFigures(
        Band(total, total - 400, total + 400), gpu.usd_per_month, hosted_usd, (gpu, hosted), classes
    )  # fmt: skip
    return Effect(
        KEY,
        BASE_SIDE,
        head,
        Band(difference, difference - spread, difference + spread),
        TRAFFIC,
        confidence,
        doubts,
        12.5,
        {"gpu": "declared profile"},
    )
