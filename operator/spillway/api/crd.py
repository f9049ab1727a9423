"""The custom resource definitions, generated from the models.

``python -m spillway.api.crd`` writes ``spillway.dev_<plural>.yaml`` into ``crds/`` and into the chart; ``--check`` only
compares, and exits 1 with one line for each file that differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from spillway.api.common import GROUP, VERSION
from spillway.api.generated import report_drift, write_files
from spillway.api.lane import CapacityLane
from spillway.api.lanechange import LaneChange
from spillway.api.plan import CapacityPlan
from spillway.api.schema import Schema, structural_schema
from spillway.api.workloadclass import WorkloadClass

CATEGORY = "spillway"
HEADER = "# Generated from the models in spillway/api by `python -m spillway.api.crd`. Do not edit.\n"
COMMAND = "python -m spillway.api.crd"
CHART_FOLDER = Path("charts/spillway/files/crds")

_READY = '.status.conditions[?(@.type=="Ready")]'


@dataclass(frozen=True, slots=True)
class Column:
    """One column of ``kubectl get``; ``wide`` ones are shown with ``-o wide`` only."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False

    def to_wire(self) -> dict[str, Any]:
        """The column as a CRD says it."""
        wire: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "description": self.description,
            "jsonPath": self.path,
        }
        return wire | {"priority": 1} if self.wide else wire


READY = Column("Ready", f"{_READY}.status", "Whether the object can be used.")
READY_REASON = Column("Reason", f"{_READY}.reason", "Why it is Ready or not.", wide=True)
READY_MESSAGE = Column("Message", f"{_READY}.message", "One sentence on why it is Ready or not.", wide=True)
AGE = Column("Age", ".metadata.creationTimestamp", "Time since the object was created.", type="date")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a CRD says of a kind beside its schema."""

    model: type[WorkloadClass] | type[CapacityLane] | type[CapacityPlan] | type[LaneChange]
    short_name: str
    columns: tuple[Column, ...]

    @property
    def kind(self) -> str:
        """Name of the kind, such as CapacityPlan."""
        return self.model.KIND

    @property
    def plural(self) -> str:
        """Name in URLs and of the resource, such as capacityplans."""
        return self.model.PLURAL

    @property
    def file_name(self) -> str:
        """Name of the generated file."""
        return f"{GROUP}_{self.plural}.yaml"


KINDS: tuple[Kind, ...] = (
    Kind(
        WorkloadClass,
        "wclass",
        (
            Column("Latency", ".spec.latency", "How long a request may wait."),
            Column("Policy", ".spec.dataPolicy", "Where the data may go."),
            Column("Plan", ".spec.planRef.name", "The plan that serves the class."),
            READY,
            AGE,
            Column("TTFT-ms", ".spec.slo.timeToFirstTokenMs", "Longest time to first token.", "integer", wide=True),
            Column("ITL-ms", ".spec.slo.interTokenLatencyMs", "Longest inter-token latency.", "integer", wide=True),
            Column("Tier", ".spec.valueTier", "Tier of the plan's valueTiers.", wide=True),
            READY_REASON,
            READY_MESSAGE,
        ),
    ),
    Kind(
        CapacityLane,
        "clane",
        (
            Column("Type", ".spec.type", "Kind of capacity."),
            Column("Model", ".spec.models[0]", "First model that the lane serves."),
            Column("Target", ".spec.selfHosted.targetRef.name", "Workload whose replicas are scaled."),
            Column("$/GPU-h", ".spec.selfHosted.price.usdPerGpuHour", "Price of one GPU, US dollars an hour."),
            Column("Plan", ".status.plan", "The plan that decides on the lane."),
            READY,
            AGE,
            Column("GPU", ".spec.selfHosted.gpu.type", "Type of the GPU.", wide=True),
            Column("Min", ".spec.selfHosted.replicas.min", "Fewest replicas.", "integer", wide=True),
            Column("Max", ".spec.selfHosted.replicas.max", "Most replicas.", "integer", wide=True),
            Column("Provider", ".spec.hosted.provider", "Provider of a hosted lane.", wide=True),
            READY_REASON,
            READY_MESSAGE,
        ),
    ),
    Kind(
        CapacityPlan,
        "cplan",
        (
            Column("Mode", ".spec.mode", "What the operator may do."),
            Column("GPUs", ".status.totals.gpus", "GPUs now.", "integer"),
            Column("Rec", ".status.totals.recommendedGpus", "GPUs recommended.", "integer"),
            Column("Spill", ".status.totals.spillPercent", "Percent of requests that hosted lanes get."),
            Column("$/h", ".status.totals.billedUsdPerHour", "What the bill runs at, US dollars an hour."),
            Column("Saving/h", ".status.totals.savingUsdPerHour", "Static fleet minus billed, US dollars an hour."),
            READY,
            AGE,
            Column("Paused", ".spec.paused", "Whether nothing is changed.", "boolean", wide=True),
            Column("Decision", ".status.decision.reason", "Machine reason of the last decision.", wide=True),
            Column("Why", ".status.decision.message", "The last decision in one sentence.", wide=True),
            READY_MESSAGE,
        ),
    ),
    Kind(
        LaneChange,
        "lchange",
        (
            Column("Plan", ".spec.planRef.name", "The plan whose decision would be better."),
            Column("Reason", ".spec.reason", "What is structurally better."),
            Column("$/Month", ".spec.effect.usdPerMonth", "Change of the bill, US dollars a month."),
            Column("State", ".status.state", "How far the proposal has come."),
            Column("Expires", ".spec.expiresAt", "When it can no longer be approved."),
            AGE,
            Column("SLO", ".spec.effect.attainmentPercent", "Attainment expected after the change.", wide=True),
            Column("Hash", ".spec.planHash", "What an approval is bound to.", wide=True),
            Column("Why", ".spec.message", "The proposal in one sentence.", wide=True),
        ),
    ),
)


def object_schema(kind: Kind) -> Schema:
    """Schema of the whole object; ``metadata`` is the apiserver's own business."""
    generated = structural_schema(kind.model)
    properties: dict[str, Schema] = {
        "apiVersion": {"description": "API version of the object: spillway.dev/v1alpha1.", "type": "string"},
        "kind": {"description": f"Kind of the object: {kind.kind}.", "type": "string"},
        "metadata": {"type": "object"},
        "spec": generated["properties"]["spec"],
        "status": generated["properties"]["status"],
    }
    return {k: v for k, v in generated.items() if k not in ("required", "properties")} | {
        "required": ["spec"],
        "properties": properties,
    }


def custom_resource_definition(kind: Kind) -> dict[str, Any]:
    """The CRD of one kind, ready to be applied."""
    singular = kind.kind.lower()
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": singular,
                "shortNames": [kind.short_name],
                "categories": [CATEGORY],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [column.to_wire() for column in kind.columns],
                    "schema": {"openAPIV3Schema": object_schema(kind)},
                }
            ],
        },
    }


def custom_resource_definitions() -> list[dict[str, Any]]:
    """All CRDs, ready to be applied."""
    return [custom_resource_definition(kind) for kind in KINDS]


def render() -> dict[str, str]:
    """File name to YAML text for every CRD: what ``crds/`` and the chart hold."""
    return {kind.file_name: HEADER + _to_yaml(custom_resource_definition(kind)) for kind in KINDS}


class _Dumper(yaml.SafeDumper):
    """Block style without anchors, so that equal parts stay readable."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _to_yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the CRD files; returns the process' exit status."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file differs")
    parser.add_argument(
        "--output",
        action="append",
        type=Path,
        help=f"folder of the CRD files; may be given several times (default: crds, and {CHART_FOLDER} if it exists)",
    )
    options = parser.parse_args(arguments)
    folders: list[Path] = options.output or [Path("crds"), *([CHART_FOLDER] if CHART_FOLDER.is_dir() else [])]
    files = {folder / name: text for folder in folders for name, text in render().items()}
    pattern = f"{GROUP}_*.yaml"
    stale = [path for folder in folders for path in sorted(folder.glob(pattern)) if path not in files]
    if options.check:
        given = [f"--output {folder}" for folder in options.output or ()]
        return report_drift(files, stale, " ".join([COMMAND, *given]))
    write_files(files, stale)
    return 0


if __name__ == "__main__":
    sys.exit(main())
