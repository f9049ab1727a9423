"""Plans with status, lanes, classes and proposals as an apiserver holds them, and an apiserver that holds them."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

import pytest

from spillway.api.names import STOP_ANNOTATION
from spillway.cli.connection import Connection
from spillway.cli.main import main
from spillway.kube import (
    CLASSES,
    DEPLOYMENTS,
    LANE_CHANGES,
    LANES,
    NAMESPACES,
    PLANS,
    Items,
    Kube,
    KubeError,
    Resource,
)

Json = dict[str, Any]
NS = "inference"


def ago(seconds: float) -> str:
    """RFC 3339 so long before now."""
    return datetime.fromtimestamp(time.time() - seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, status: str, reason: str, message: str) -> Json:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": ago(600),
        "observedGeneration": 3,
    }


HEALTHY = (
    condition("Ready", "True", "Accepted", "spec and references are valid"),
    condition("MetricsAvailable", "True", "MetricsFound", "12 series"),
    condition("RecommendationAvailable", "True", "TroughScaleDown", "lane gpu: 6 -> 4 replicas"),
    condition("OverflowActive", "True", "HostedLanesServe", "hosted lanes get a share"),
    condition("SpillArmed", "True", "NotAsked", "overflow.mode is Split"),
    condition("BudgetAtRisk", "False", "WithinCeilings", "$12.10 of $400 this day"),
    condition("ManualOverride", "False", "NoOverride", "no person's value is being respected"),
    condition("CapacityUnavailable", "False", "CapacityAsAsked", "every pod is Ready"),
    condition("Degraded", "False", "FullyWorking", "metrics are fresh"),
    condition("Stalled", "False", "Progressing", "nothing stands in the way"),
)


def conditions(*others: Json) -> list[Json]:
    """Healthy ones but for these."""
    changed = {each["type"]: each for each in others}
    return [changed.pop(each["type"], each) for each in HEALTHY] + list(changed.values())


def link(step: str, value: str | None, unit: str, text: str) -> Json:
    found: Json = {"step": step, "unit": unit, "text": text}
    return found if value is None else found | {"value": value}


WHY = [
    link("Demand", "12.5", "req/s", "chat 8.2, code 4.3; 14,300 tokens/s"),
    link("Forecast", "14.1", "req/s", "expected in 255 s; nine times out of ten at most 16.2, summed by class"),
    link("Service", "4.9", "req/s", "one full replica, learned; 3 replicas serve 13.6 within the SLO, 92% of full"),
    link("Price", "3.85", "USD/h", "a replica; the last saves $5.12/h, one more would save $0.86 of the $0.90/h left"),
    link("Cheapest", "3", "replicas", "cost least at that forecast, within the lane's bounds"),
    link("Guard", "4", "replicas", "3 -> 4: Within the last 300 s 4 replicas were needed."),
    link("Recommended", "4", "replicas", "6 asked for now, 5 Ready; mode Recommend writes nothing"),
    link("Overflow", "3", "percent", "of these classes' requests should go to hosted at $0.90/h"),
]


def status(age: float = 20.0, **changes: Any) -> Json:
    """A status that the operator wrote so long ago."""
    base: Json = {
        "observedGeneration": 3,
        "conditions": conditions(),
        "lanes": [
            {
                "name": "gpu",
                "current": 6,
                "ready": 5,
                "recommended": 4,
                "utilization": {
                    "allocated": "0.75",
                    "busy": "0.91",
                    "effective": "0.4",
                    "load": "0.62",
                    "saturation": "0.1",
                },
                "usdPerHour": "23.10",
                "usdPerMTok": "0.4487",
                "reason": "TroughScaleDown",
                "message": "Demand is forecast at 14.1 req/s.",
                "why": WHY,
            },
            {"name": "hosted", "spillPercent": "3", "usdPerHour": "0.90", "reason": "HostedLane", "message": "."},
        ],
        "classes": [
            {
                "name": "chat",
                "namespace": NS,
                "attainmentPercent": "99.4",
                "requestsPerSecond": "8.2",
                "tokensPerSecond": 9300,
                "usdPerHour": "15.20",
                "spillPercent": "3",
                "budget": {
                    "reason": "WithinBudget",
                    "capUsd": "4000.00",
                    "spentUsd": "1250.00",
                    "hostedUsd": "50.00",
                    "ownUsd": "1200.00",
                    "projectedUsd": "3100.00",
                },
                "why": [
                    link("Demand", "8.2", "req/s", "800 tokens in, 334 out a request"),
                    link("Overflow", "3", "percent", "3% of inference/chat goes to hosted lanes."),
                ],
            },
            {"name": "code", "namespace": "team-a", "requestsPerSecond": "4.3", "spillPercent": "0"},
        ],
        "weights": [
            {
                "class": "chat",
                "route": "front",
                "lanes": [{"lane": "gpu", "now": 90, "wanted": 97}, {"lane": "hosted", "now": 10, "wanted": 3}],
            }
        ],
        "totals": {
            "billedUsdPerHour": "24.00",
            "staticUsdPerHour": "46.20",
            "savingUsdPerHour": "22.20",
            "expectedUsdPerHour": "16.30",
            "spillPercent": "3",
        },
        "decision": {
            "at": ago(age),
            "reason": "TroughScaleDown",
            "message": "Demand is forecast at 14.1 req/s. 4 replicas serve it.",
            "planHash": "6f1c",
            "validUntil": ago(age - 345),
        },
    }
    return base | changes


def named(name: str, namespace: str = NS, **more: Any) -> Json:
    return {"name": name, "namespace": namespace, "uid": name, "generation": 3, "creationTimestamp": ago(9000)} | more


def plan(told: Json | None = None, *, name: str = "main", namespace: str = NS, **spec: Any) -> Json:
    made: Json = {
        "metadata": named(name, namespace),
        "spec": {"mode": "Recommend", "lanes": ["gpu", "hosted"]} | spec,
    }
    return made if told is None else made | {"status": told}


def lanes(namespace: str = NS) -> list[Json]:
    own = {
        "targetRef": {"name": "vllm"},
        "gpu": {"type": "h100"},
        "price": {"usdPerGpuHour": "3.85"},
        "replicas": {"max": 12},
    }
    return [
        {"metadata": named("gpu", namespace), "spec": {"type": "SelfHosted", "models": ["llama"], "selfHosted": own}},
        {
            "metadata": named("hosted", namespace),
            "spec": {"type": "HostedRealtime", "models": ["mini"], "hosted": {"provider": "openai", "model": "mini"}},
        },
    ]


def workload(name: str, namespace: str = NS) -> Json:
    return {
        "metadata": named(name, namespace),
        "spec": {
            "planRef": {"name": "main", "namespace": NS},
            "match": {"model": name},
            "slo": {"timeToFirstTokenMs": 2000, "interTokenLatencyMs": 60, "attainmentPercent": "99"},
            "dataPolicy": "Any",
            "equivalentModels": ["llama"],
        },
    }


def change(name: str = "lower-gpu", *, expires: float = -3600.0, state: str | None = None, **more: Any) -> Json:
    """A proposal that expires so long ago (negative: from now)."""
    basis = {"kind": "CapacityPlan", "namespace": NS, "name": "main", "uid": "main", "generation": 3}
    patch = {"op": "replace", "path": "/spec/selfHosted/replicas/min", "value": 1}
    made: Json = {
        "metadata": named(name, generation=1, **more),
        "spec": {
            "planRef": {"name": "main"},
            "reason": "LowerMinimum",
            "message": "min 4 of lane gpu bound for 6 days.",
            "change": [{"kind": "CapacityLane", "namespace": NS, "name": "gpu", "patch": [patch]}],
            "basis": [basis],
            "planHash": "0123456789ab",
            "generation": 3,
            "expiresAt": ago(expires),
            "effect": {"usdPerMonth": "-310.5", "observedSeconds": 518400},
        },
    }
    return made if state is None else made | {"status": {"state": state}}


class Cluster(Kube):
    """What an apiserver would answer: objects by kind; a kind may answer with an error instead."""

    def __init__(self, objects: Mapping[Resource, Sequence[Json]], errors: Mapping[Resource, KubeError]) -> None:
        super().__init__(None)
        self._objects = {kind: copy.deepcopy(list(each)) for kind, each in objects.items()}
        self._errors = dict(errors)
        self.asked: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def close(self) -> None:
        return None

    def _of(self, resource: Resource) -> Items:
        self.asked.append(resource.plural)
        if resource in self._errors:
            raise self._errors[resource]
        return self._objects.get(resource, [])

    async def list_in(self, resource: Resource, namespaces: Iterable[str]) -> Items:
        spaces = tuple(namespaces)
        found = self._of(resource)
        return [item for item in found if not spaces or item["metadata"].get("namespace") in spaces]

    async def find(self, resource: Resource, namespace: str | None, name: str) -> Json | None:
        for item in self._of(resource):
            meta = item["metadata"]
            if meta["name"] == name and (namespace is None or meta.get("namespace") == namespace):
                return item
        return None


def cluster(
    *plans: Json,
    errors: Mapping[Resource, KubeError] | None = None,
    changes: Sequence[Json] = (),
    stopped: bool = False,
    deployment: tuple[int, int] | None = None,
) -> Cluster:
    """A cluster with these plans, and the lanes and classes that they speak of."""
    annotations = {STOP_ANNOTATION: "true"} if stopped else {}
    targets = []
    if deployment is not None:
        asked, ready = deployment
        targets = [{"metadata": named("vllm"), "spec": {"replicas": asked}, "status": {"readyReplicas": ready}}]
    spaces = sorted({item["metadata"]["namespace"] for item in plans} | {NS})
    return Cluster(
        {
            PLANS: plans,
            LANES: [lane for space in spaces for lane in lanes(space)],
            CLASSES: [workload("chat"), workload("code", "team-a")],
            LANE_CHANGES: changes,
            NAMESPACES: [{"metadata": {"name": NS, "annotations": annotations}}, {"metadata": {"name": "team-a"}}],
            DEPLOYMENTS: targets,
        },
        errors or {},
    )


def forbidden(kind: str) -> KubeError:
    return KubeError(403, "Forbidden", f'{kind} is forbidden: User "eve" cannot list resource "{kind}"')


def run(monkeypatch: pytest.MonkeyPatch, found: Kube | KubeError, *arguments: str) -> int:
    """One command against it; in namespace ``inference`` unless the arguments say another."""

    async def connect(_: Connection) -> Kube:
        if isinstance(found, KubeError):
            raise found
        return found

    monkeypatch.setattr(Connection, "connect", connect)
    elsewhere = {"-A", "-n"} & set(arguments)
    return main([*arguments, *(() if elsewhere else ("-n", NS))])
