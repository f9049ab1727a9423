"""Fake GPU nodes, and how long faked pods take to start and to end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from spillway_dev.toolchain import Tools

STAGES = Path(__file__).parent / "stages"
STARTUP_ANNOTATION = "pod-ready.stage.kwok.x-k8s.io/delay"
"""On a pod: how long it runs before it is Ready, a Go duration such as `5s` or `1h`."""
TERMINATION_ANNOTATION = "pod-delete.stage.kwok.x-k8s.io/delay"
"""On a pod: how long it is Terminating before it is gone, a Go duration."""
FAKE_LABELS = {"type": "kwok"}
"""On every fake node: what a pod selects to run on a fake node only."""
FAKE_TAINT = {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}
"""On a fake node beside real ones, so that no other pod ends up there; a pod tolerates it to run there."""


@dataclass(frozen=True, slots=True)
class GpuNode:
    """One fake node. Labels are those of NVIDIA's GPU feature discovery and of the cloud provider."""

    name: str
    gpus: int = 8
    product: str = "NVIDIA-H100-80GB-HBM3"
    instance_type: str = "p5.48xlarge"
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()

    def manifest(self) -> dict[str, Any]:
        """The Node object; kwok makes it Ready."""
        resources = {"cpu": "192", "memory": "2Ti", "pods": "250", "ephemeral-storage": "10Ti"}
        if self.gpus:
            resources["nvidia.com/gpu"] = str(self.gpus)
        gpu_labels = {"nvidia.com/gpu.product": self.product, "nvidia.com/gpu.count": str(self.gpus)}
        manifest: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.name,
                "labels": {
                    "kubernetes.io/hostname": self.name,
                    "kubernetes.io/os": "linux",
                    "kubernetes.io/arch": "amd64",
                    "node.kubernetes.io/instance-type": self.instance_type,
                    **FAKE_LABELS,
                    **(gpu_labels if self.gpus else {}),
                    **self.labels,
                },
            },
            "status": {"allocatable": resources, "capacity": resources},
        }
        if self.taints:
            manifest["spec"] = {"taints": [dict(taint) for taint in self.taints]}
        return manifest


def write_stages(path: Path, tools: Tools, *, startup_seconds: float, termination_seconds: float) -> Path:
    """Write kwok's configuration: nodes become Ready, pods follow the given delays; returns `path`."""
    stages = [
        _load(tools.kwok_stages / "node" / "fast" / "node-initialize.yaml"),
        _load(STAGES / "pod-start.yaml"),
        _delayed(STAGES / "pod-ready.yaml", startup_seconds),
        _load(tools.kwok_stages / "pod" / "fast" / "pod-complete.yaml"),
        _delayed(STAGES / "pod-delete.yaml", termination_seconds),
    ]
    path.write_text("---\n".join(yaml.safe_dump(stage, sort_keys=False) for stage in stages))
    return path


def _load(path: Path) -> dict[str, Any]:
    stage: dict[str, Any] = yaml.safe_load(path.read_text())
    return stage


def _delayed(path: Path, seconds: float) -> dict[str, Any]:
    stage = _load(path)
    stage["spec"]["delay"]["durationMilliseconds"] = round(seconds * 1000)
    return stage
