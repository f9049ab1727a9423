"""Valid manifests that together use every field of every kind, and edits of them."""

from __future__ import annotations

import copy
from typing import Any

from spillway.api import API_VERSION

Manifest = dict[str, Any]
DELETE = object()
TIME = "2026-01-05T09:00:00Z"

CONDITION = {
    "type": "Ready",
    "status": "True",
    "observedGeneration": 3,
    "lastTransitionTime": TIME,
    "reason": "Planned",
    "message": "Lanes, classes and metrics are usable.",
}
SIMPLE_STATUS = {"observedGeneration": 3, "conditions": [CONDITION], "plan": "inference/main"}

SELF_HOSTED = {
    "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm-llama"},
    "engine": "vLLM",
    "gpu": {"type": "nvidia-h100-80gb", "perReplica": 1, "pool": "h100"},
    "price": {"usdPerGpuHour": "3.85", "commitment": "OnDemand", "releaseValueUsdPerGpuHour": "3.85"},
    "replicas": {"min": 0, "max": 10_000},
    "startupSeconds": 240,
    "profile": {
        "alphaMs": "7",
        "betaMsPerSequence": "0.06",
        "gammaMsPerKToken": "0.008",
        "prefillMsPerKToken": "18",
        "maxSequences": 256,
        "kvCacheTokens": 450_000,
    },
}
HOSTED = {
    "provider": "openai",
    "model": "gpt-5-nano",
    "price": {"inputUsdPerMTok": "0.05", "cachedInputUsdPerMTok": "0.005", "outputUsdPerMTok": "0.40"},
    "limits": {"requestsPerMinute": 10_000, "tokensPerMinute": 2_000_000, "concurrency": 500},
    "latency": {"timeToFirstTokenMs": 700, "interTokenLatencyMs": 15},
}

CLASS_SPEC = {
    "planRef": {"name": "main", "namespace": "inference"},
    "match": {"model": "llama-3.1-8b"},
    "latency": "Interactive",
    "slo": {"timeToFirstTokenMs": 2000, "interTokenLatencyMs": 60, "attainmentPercent": "99.5"},
    "dataPolicy": "Any",
    "equivalentModels": ["llama-3.1-8b", "gpt-5-nano"],
    "valueTier": "Standard",
    "demand": {
        "developers": 10,
        "tasksPerDeveloperDay": 30,
        "tokensPerTask": 50_000,
        "workdaysPerMonth": 22,
        "inputSharePercent": 60,
        "cachedInputSharePercent": 20,
        "retryInflationPercent": 15,
        "monthlyGrowthPercent": 10,
    },
    "successRatePercent": "97.5",
    "revenuePerSuccessUsd": "0.05",
    "budget": {
        "monthlyUsd": "4000",
        "alertPercent": 80,
        "teamCaps": [{"team": "payments", "monthlyUsd": "1500"}],
        "overflowPoolUsd": "500",
    },
}

BINDING = {
    "class": "coding-agents",
    "ownership": "Adopted",
    "httpRoute": "chat",
    "rule": "coding",
    "gateway": {"name": "public", "namespace": "gateways", "sectionName": "https"},
    "backends": {"gpu-h100": "vllm-llama", "hosted": "Backend/egress:443"},
}
LITELLM = {
    "configMap": "litellm-config",
    "deployment": "litellm",
    "processesPerReplica": 2,
    "addresses": {"gpu-h100": "http://vllm-llama.inference.svc:8000/v1"},
}
PLAN_SPEC = {
    "mode": "Recommend",
    "paused": False,
    "allowedClasses": {"from": "Selector", "namespaceSelector": {"matchLabels": {"spillway.dev/plan": "main"}}},
    "lanes": ["gpu-h100", "hosted"],
    "valueTiers": [{"name": "Standard", "missUsd": "0.002", "maxSpillUsdPerHour": "20"}],
    "routing": {"plane": "GatewayAPI", "bindings": [BINDING], "litellm": LITELLM},
    "overflow": {"mode": "Split", "ceilingUsd": {"perHour": "50", "perDay": "400", "perMonth": "5000"}},
    "guards": {
        "maxScaleUpPerMinute": 4,
        "maxScaleDownPerMinute": 2,
        "scaleDownStabilizationSeconds": 300,
        "manualOverrideSeconds": 3600,
    },
    "approval": {"structural": "Required", "maxMonthlyIncreaseUsd": "500"},
    "forecast": {"seasonalitySeconds": [86_400, 604_800]},
}
PLAN_STATUS = {
    "observedGeneration": 3,
    "conditions": [CONDITION],
    "lanes": [
        {
            "name": "gpu-h100",
            "current": 6,
            "ready": 5,
            "recommended": 4,
            "gpus": 6,
            "recommendedGpus": 4,
            "spillPercent": "3",
            "utilization": {
                "allocated": "0.75",
                "busy": "0.91",
                "effective": "0.4",
                "load": "0.62",
                "saturation": "0.1",
            },
            "usdPerHour": "23.1",
            "usdPerMTok": "0.11",
            "reason": "TroughScaleDown",
            "message": "Demand fell; 4 replicas serve it.",
            "move": {
                "state": "ShiftingAway",
                "since": TIME,
                "reason": "CountersPending",
                "message": "counters show coding-agents from before the weights were written",
            },
            "why": [
                {"step": "Demand", "value": "12.5", "unit": "req/s", "text": "all of coding-agents"},
                {"step": "Price", "value": "3.85", "unit": "USD/h", "text": "a replica"},
                {"step": "Guard", "value": "4", "unit": "replicas", "text": "3 -> 4: replicas.min is 4."},
            ],
        }
    ],
    "classes": [
        {
            "name": "coding-agents",
            "namespace": "team-a",
            "attainmentPercent": "99.4",
            "requestsPerSecond": "12.5",
            "tokensPerSecond": 8123,
            "usdPerHour": "21.2",
            "spillPercent": "3",
            "budget": {
                "reason": "BudgetAlert",
                "capUsd": "4000.00",
                "spentUsd": "3300.00",
                "hostedUsd": "2800.00",
                "ownUsd": "500.00",
                "sharedUsd": "12.50",
                "projectedUsd": "4200.00",
                "projectedLowUsd": "4010.00",
                "projectedHighUsd": "4390.00",
                "poolBalanceUsd": "150.00",
                "teams": [{"team": "growth", "spentUsd": "850.00", "capUsd": "800.00"}],
            },
            "why": [
                {"step": "Overflow", "value": "3", "unit": "percent", "text": "own warm replicas can't take it"},
            ],
        }
    ],
    "routes": [
        {
            "class": "coding-agents",
            "stage": "Confirmed",
            "reason": "CountersAgree",
            "message": "by counters coding-agents goes to gpu-h100 97.0%, hosted 3.0%",
            "hostedPercent": "3",
        }
    ],
    "weights": [
        {
            "class": "coding-agents",
            "route": "chat",
            "lanes": [{"lane": "gpu-h100", "now": 97, "wanted": 95}, {"lane": "hosted", "now": 3, "wanted": 5}],
        }
    ],
    "totals": {
        "billedUsdPerHour": "24",
        "allocatedUsdPerHour": "18.1",
        "staticUsdPerHour": "46.2",
        "savingUsdPerHour": "22.2",
        "expectedUsdPerHour": "19",
        "gpus": 6,
        "recommendedGpus": 4,
        "spillPercent": "3",
    },
    "decision": {
        "at": TIME,
        "reason": "TroughScaleDown",
        "message": "Demand fell; 4 replicas serve it.",
        "planHash": "6f1c",
        "validUntil": "2026-01-05T09:05:00Z",
    },
}


BASIS = [
    {"kind": "CapacityLane", "namespace": "inference", "name": "gpu-h100", "uid": "0c9d", "generation": 4},
    {"kind": "CapacityPlan", "namespace": "inference", "name": "main", "uid": "7a1e", "generation": 2},
]
MINIMUM = "/spec/selfHosted/replicas/min"
CHANGE_SPEC = {
    "planRef": {"name": "main"},
    "reason": "LowerMinimum",
    "message": "For 3 days 1 replica was enough for gpu-h100 95% of the time; its minimum of 3 kept 2 more.",
    "change": [
        {
            "kind": "CapacityLane",
            "namespace": "inference",
            "name": "gpu-h100",
            "patch": [
                {"op": "test", "path": MINIMUM, "value": 3},
                {"op": "replace", "path": MINIMUM, "value": 1},
            ],
        }
    ],
    "basis": BASIS,
    "planHash": "6f1c0d2e9a3b4c5d",
    "generation": 2,
    "expiresAt": "2026-01-12T09:00:00Z",
    "effect": {"usdPerMonth": "-3212.5", "attainmentPercent": "99.4", "observedSeconds": 259_200},
}
CHANGE_STATUS = {
    "observedGeneration": 1,
    "state": "Applied",
    "message": "The specs are as proposed.",
    "endedAt": TIME,
    "conditions": [CONDITION],
}


def manifest(kind: str, spec: dict[str, Any], status: dict[str, Any]) -> Manifest:
    """A whole object, independent of what it was made from."""
    parts = {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": "sample"},
        "spec": spec,
        "status": status,
    }
    return copy.deepcopy(parts)


def edited(base: Manifest, changes: dict[str, Any]) -> Manifest:
    """A copy with the dotted paths set, or removed where the value is DELETE. Digits index lists."""
    result = copy.deepcopy(base)
    for path, value in changes.items():
        *parents, last = path.split(".")
        node: Any = result
        for segment in parents:
            node = node[int(segment) if isinstance(node, list) else segment]
        if value is DELETE:
            del node[last]
        else:
            node[int(last) if isinstance(node, list) else last] = copy.deepcopy(value)
    return result


_CLASS = manifest("WorkloadClass", CLASS_SPEC, SIMPLE_STATUS)
_SELF_HOSTED = manifest(
    "CapacityLane", {"type": "SelfHosted", "models": ["llama-3.1-8b"], "selfHosted": SELF_HOSTED}, SIMPLE_STATUS
)
_HOSTED = manifest(
    "CapacityLane", {"type": "HostedRealtime", "models": ["gpt-5-nano"], "hosted": HOSTED}, SIMPLE_STATUS
)
_PLAN = manifest("CapacityPlan", PLAN_SPEC, PLAN_STATUS)
_CHANGE = manifest("LaneChange", CHANGE_SPEC, CHANGE_STATUS)

VARIANTS: dict[str, tuple[Manifest, ...]] = {
    "WorkloadClass": (
        _CLASS,
        edited(_CLASS, {"spec.match": {"header": {"name": "X-Tenant", "value": "a"}}}),
        edited(_CLASS, {"spec.match": {"team": "payments"}}),
        edited(_CLASS, {"spec.match": {"routeRule": {"route": "chat", "rule": "coding"}}}),
        edited(_CLASS, {"spec.latency": "Deferrable", "spec.slo": DELETE}),
        edited(_CLASS, {"spec.budget": {"measuredPlusPercent": 20}}),
    ),
    "CapacityLane": (
        _SELF_HOSTED,
        _HOSTED,
        edited(_HOSTED, {"spec.type": "Flex"}),
        edited(_HOSTED, {"spec.type": "Batch"}),
    ),
    "CapacityPlan": (
        _PLAN,
        edited(_PLAN, {"spec.allowedClasses": {"from": "Same"}}),
        edited(_PLAN, {"spec.routing": {"plane": "None"}}),
        edited(_PLAN, {"spec.routing": {"plane": "LiteLLM", "litellm": LITELLM}}),
        edited(_PLAN, {"spec.routing": {"plane": "EnvoyAIGateway"}}),
    ),
    "LaneChange": (
        _CHANGE,
        edited(_CHANGE, {"spec.change.0.patch.1": {"op": "remove", "path": "/spec/lanes/1"}}),
        edited(_CHANGE, {"spec.change.0.patch.1.value": {"kept": [1, {"a": None}], "text": "é"}}),
    ),
}
"""By kind: the first is the fullest; the others use the fields and values that exclude those of the first."""

MINIMAL: dict[str, Manifest] = {
    "WorkloadClass": manifest(
        "WorkloadClass",
        {
            "planRef": {"name": "main"},
            "match": {"model": "llama"},
            "slo": {"timeToFirstTokenMs": 2000, "interTokenLatencyMs": 60},
            "dataPolicy": "Any",
            "equivalentModels": ["llama"],
        },
        {},
    ),
    "CapacityLane": manifest(
        "CapacityLane",
        {
            "type": "SelfHosted",
            "models": ["llama"],
            "selfHosted": {
                "targetRef": {"name": "vllm"},
                "gpu": {"type": "h100"},
                "price": {"usdPerGpuHour": "3.85"},
                "replicas": {"max": 4},
            },
        },
        {},
    ),
    "CapacityPlan": manifest("CapacityPlan", {"lanes": ["gpu"]}, {}),
    "LaneChange": manifest(
        "LaneChange",
        {
            **{name: value for name, value in CHANGE_SPEC.items() if name not in ("change", "effect")},
            "change": [
                {
                    "kind": "CapacityPlan",
                    "namespace": "inference",
                    "name": "main",
                    "patch": [{"op": "remove", "path": "/spec/lanes/1"}],
                }
            ],
            "effect": {"usdPerMonth": "0", "observedSeconds": 0},
        },
        {},
    ),
}
"""By kind: only what is required."""
