"""A small scenario on disk, as plain data that a test changes before it is written."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]

PLAN: Document = {
    "apiVersion": "spillway.dev/v1alpha1",
    "kind": "CapacityPlan",
    "metadata": {"name": "main", "namespace": "inference"},
    "spec": {"mode": "Apply", "lanes": ["gpu", "api"]},
}
GPU: Document = {
    "apiVersion": "spillway.dev/v1alpha1",
    "kind": "CapacityLane",
    "metadata": {"name": "gpu", "namespace": "inference"},
    "spec": {
        "type": "SelfHosted",
        "models": ["m"],
        "selfHosted": {
            "targetRef": {"name": "vllm"},
            "gpu": {"type": "h100", "perReplica": 2, "pool": "h100"},
            "price": {"usdPerGpuHour": "3.85"},
            "replicas": {"min": 1, "max": 8},
            "startupSeconds": 60,
            "profile": {"alphaMs": "25", "betaMsPerSequence": "0.25", "prefillMsPerKToken": "80"},
        },
    },
}
API: Document = {
    "apiVersion": "spillway.dev/v1alpha1",
    "kind": "CapacityLane",
    "metadata": {"name": "api", "namespace": "inference"},
    "spec": {
        "type": "HostedRealtime",
        "models": ["m"],
        "hosted": {
            "provider": "p",
            "model": "m",
            "price": {"inputUsdPerMTok": "0.88", "cachedInputUsdPerMTok": "0.44", "outputUsdPerMTok": "1.76"},
            "limits": {"requestsPerMinute": 600},
        },
    },
}
CLASS: Document = {
    "apiVersion": "spillway.dev/v1alpha1",
    "kind": "WorkloadClass",
    "metadata": {"name": "chat", "namespace": "inference"},
    "spec": {
        "planRef": {"name": "main"},
        "match": {"model": "m"},
        "latency": "Interactive",
        "slo": {"timeToFirstTokenMs": 4000, "interTokenLatencyMs": 100, "attainmentPercent": "99"},
        "dataPolicy": "Any",
        "equivalentModels": ["m"],
    },
}
SCENARIO: Document = {
    "apiVersion": "spillway.dev/v1alpha1",
    "kind": "Scenario",
    "metadata": {"name": "small"},
    "manifests": ["manifests.yaml"],
    "traces": [{"file": "trace.csv", "classes": {"code": "chat"}}],
    "truth": {
        "gpu": {
            "startupSeconds": {"mean": 60, "sigma": 0.2},
            "kvCacheTokens": 100_000,
            "alphaMs": 25,
            "betaMsPerSeq": 0.25,
            "gammaMsPerKTokenKV": 0.02,
            "prefillMsPerKToken": 80,
        }
    },
    "hosted": {"api": {"ttftMs": {"p50": 500, "p99": 1500}, "itlMs": {"p50": 15, "p99": 30}}},
    "time": {"warmupSeconds": 600, "durationSeconds": 3600},
    "seeds": [1],
}
BINS = "t_s,class,requests,input_tokens,output_tokens\n"
TRACE = BINS + "".join(f"{600 * i},code,600,600000,30000\n600,other,1,1,1\n" if i == 1 else
                       f"{600 * i},code,600,600000,30000\n" for i in range(6))  # fmt: skip
TABLE = "batch,context_tokens,prompt_tokens,step_ms\n" + "".join(
    f"{batch},{context},0,{20 + 0.5 * batch + 0.00001 * batch * context}\n"
    for batch in (1, 8, 64)
    for context in (100, 1000)
) + "0,0,512,60.5\n0,0,2048,180.5\n"  # fmt: skip


class Files:
    """What is written to disk; change it, then `write`."""

    def __init__(self) -> None:
        self.scenario = copy.deepcopy(SCENARIO)
        self.plan, self.gpu, self.api, self.item = (copy.deepcopy(each) for each in (PLAN, GPU, API, CLASS))
        self.more: list[Document] = []
        self.trace = TRACE
        self.table = TABLE

    def write(self, folder: Path) -> Path:
        """The scenario file's path."""
        folder.mkdir(parents=True, exist_ok=True)
        documents = [self.plan, self.gpu, self.api, self.item, *self.more]
        (folder / "manifests.yaml").write_text(yaml.safe_dump_all(documents), encoding="utf-8")
        (folder / "trace.csv").write_text(self.trace, encoding="utf-8")
        (folder / "table.csv").write_text(self.table, encoding="utf-8")
        path = folder / "scenario.yaml"
        path.write_text(yaml.safe_dump(self.scenario), encoding="utf-8")
        return path
