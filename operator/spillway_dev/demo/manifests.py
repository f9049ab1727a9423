"""The manifests that the demo applies: `examples/` as it stands, and the chart without the operator's own pod."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from spillway_dev.demo.settings import (
    CHART,
    EXAMPLES,
    GPU_NODES,
    GPUS_PER_NODE,
    OPERATOR_NAMESPACE,
    RELEASE,
    SCRAPE_SECONDS,
    TICK_SECONDS,
    DemoError,
)
from spillway_dev.toolchain import Tools

Document = dict[str, Any]
SPILLWAY_GROUP = "spillway.dev/"


def example_documents(day_seconds: float) -> tuple[list[Document], list[Document]]:
    """The objects of `examples/`: what serves (namespaces, Deployments, routes), and Spillway's own resources.

    The plan's seasonality is the length of the demo's day, which the file gives for a day of 360 s.
    """
    documents = [
        document
        for path in sorted(EXAMPLES.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if document
    ]
    own = [document for document in documents if document["apiVersion"].startswith(SPILLWAY_GROUP)]
    for document in own:
        if document["kind"] == "CapacityPlan":
            document["spec"]["forecast"] = {"seasonalitySeconds": [round(day_seconds)]}
    return [document for document in documents if document not in own], own


def operator_values(prometheus_url: str) -> Document:
    """The chart's values for the demo: the operator's configuration and the right to apply."""
    return {
        "rbac": {"mode": "apply"},
        "config": {
            "prometheus": {
                "url": prometheus_url,
                "scrapeIntervalSeconds": SCRAPE_SECONDS,
                "timeoutSeconds": 5,
            },
            "tickSeconds": TICK_SECONDS,
            "gateways": [
                {"name": "front", "type": "Envoy", "role": "Front", "labels": {"job": "envoy"}},
                {"name": "egress", "type": "LiteLLM", "role": "Egress", "labels": {"job": "litellm"}},
            ],
            "gpuPools": [{"name": "h100", "gpus": GPU_NODES * GPUS_PER_NODE}],
        },
    }


@dataclass(frozen=True, slots=True)
class RenderedChart:
    """The chart's objects in the order of need, and the operator's configuration that it would mount."""

    crds: list[Document]
    others: list[Document]
    config: Document

    @property
    def service_account(self) -> str:
        """Name of the operator's service account."""
        return str(_only(self.others, "ServiceAccount")["metadata"]["name"])


def render_chart(tools: Tools, values: Document, scratch: Path) -> RenderedChart:
    """Render the chart by helm. The operator's Deployment is left out: the demo runs that process itself.

    Raises DemoError with helm's message.
    """
    path = scratch / "values.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    done = subprocess.run(
        [
            tools.path("helm"), "template", RELEASE, str(CHART), "--namespace", OPERATOR_NAMESPACE,
            "--values", str(path),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise DemoError(f"helm template {CHART.name}: {done.stderr.strip()}")
    documents = [document for document in yaml.safe_load_all(done.stdout) if document]
    crds = [document for document in documents if document["kind"] == "CustomResourceDefinition"]
    config = _config(documents)
    skipped = ("CustomResourceDefinition", "Deployment")
    return RenderedChart(crds, [each for each in documents if each["kind"] not in skipped], config)


def _config(documents: Iterable[Document]) -> Document:
    for document in documents:
        if document["kind"] == "ConfigMap" and "config.yaml" in document.get("data", {}):
            config: Document = yaml.safe_load(document["data"]["config.yaml"])
            return config
    raise DemoError("the chart renders no ConfigMap with config.yaml")


def _only(documents: Iterable[Document], kind: str) -> Document:
    found = [document for document in documents if document["kind"] == kind]
    if len(found) != 1:
        raise DemoError(f"the chart renders {len(found)} objects of kind {kind}, one was expected")
    return found[0]
