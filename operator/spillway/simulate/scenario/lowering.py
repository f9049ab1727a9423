"""Manifest fields that the resources' vocabulary knows and the code does not obey yet.

They must not make a scenario fail: each is taken out before the manifest is validated, with a warning that says so. A
field that the CRD's schema has come to know is left alone.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from spillway.api import (
    CapacityLane,
    CapacityLaneSpec,
    CapacityPlan,
    CapacityPlanSpec,
    WorkloadClass,
    WorkloadClassSpec,
)
from spillway.api.schema import Schema, structural_schema
from spillway.simulate.scenario.errors import ScenarioError

Manifest = dict[str, Any]
Model = type[WorkloadClass] | type[CapacityLane] | type[CapacityPlan]
MODELS: Mapping[str, Model] = {model.KIND: model for model in (WorkloadClass, CapacityLane, CapacityPlan)}
SPECS: Mapping[str, type[BaseModel]] = {
    "WorkloadClass": WorkloadClassSpec,
    "CapacityLane": CapacityLaneSpec,
    "CapacityPlan": CapacityPlanSpec,
}

NOT_OBEYED: Mapping[str, tuple[str, ...]] = {
    "CapacityLane": ("spec.selfHosted.operationsUsdPerMonth",),
    "CapacityPlan": (
        "spec.overflow.ceilingUsd.perDay",
        "spec.overflow.ceilingUsd.perMonth",
        "spec.disruptionBudgets",
        "spec.approval",
    ),
}
"""Taken out while the schema doesn't have them."""
NO_LEDGER = ("spec.overflow.ceilingUsd.perDay", "spec.overflow.ceilingUsd.perMonth")
"""Taken out always: a backtest keeps no ledger, and without one nothing would be hosted."""
REPLACED: Mapping[str, Mapping[str, str]] = {
    "spec.overflow.mode": {"Spill": "Split"},
    "spec.routing.plane": {"LiteLLM": "None", "EnvoyAIGateway": "None"},
}
"""Taken as another value always: a backtest has no gateway; who turns requests away is its ``--actuator``."""
DEADLINE = "spec.slo.deadlineSeconds"


@cache
def schema_of(kind: str) -> Schema:
    """The kind's structural schema below ``spec``, as the CRD has it."""
    return {"properties": {"spec": structural_schema(SPECS[kind])}}


def lower(manifest: Manifest, origin: str, *, gateway: bool = False) -> tuple[Manifest, list[str]]:
    """The manifest without what has no effect yet, and a warning for each such field.

    `gateway`: who asks simulates the plan's gateway, so that nothing of it is replaced. Raises ScenarioError for a
    field that nobody knows.
    """
    kind = str(manifest["kind"])
    lowered = copy.deepcopy(manifest)
    warnings = _remove(lowered, kind, origin) + ([] if gateway else _replace(lowered, kind, origin))
    if kind == "WorkloadClass":
        _take_deadline(lowered)
    known = {"apiVersion", "kind", "metadata", "spec", "status"}
    if unknown := [key for key in lowered if key not in known]:
        raise ScenarioError(f"{origin}: {unknown[0]}: there is no such field; remove it or mend its name")
    _check_known(lowered.get("spec"), schema_of(kind)["properties"]["spec"], "spec", origin)
    return lowered, warnings


def _remove(manifest: Manifest, kind: str, origin: str) -> list[str]:
    warnings = []
    for path in NOT_OBEYED.get(kind, ()):
        if (path in NO_LEDGER or not _in_schema(kind, path)) and _pop(manifest, path):
            warnings.append(f"{origin}: {path} has no effect in the backtest yet")
    return warnings


def _replace(manifest: Manifest, kind: str, origin: str) -> list[str]:
    warnings = []
    for path, values in REPLACED.items() if kind == "CapacityPlan" else ():
        *parents, leaf = path.split(".")
        holder = _at(manifest, parents)
        value = holder.get(leaf) if isinstance(holder, dict) else None
        if not isinstance(value, str) or value not in values:
            continue
        holder[leaf] = values[value]
        note = f"{origin}: {path} {value} has no effect in the backtest yet: taken as {values[value]}"
        if path == "spec.routing.plane":
            holder.pop("litellm", None)
            note += ", without its bindings" if holder.pop("bindings", None) else ""
        warnings.append(note)
    return warnings


def _take_deadline(manifest: Manifest) -> None:
    """The deadline is read from the manifest as written; the schema of today wants an SLO without it, or none."""
    if _in_schema("WorkloadClass", DEADLINE) or not _pop(manifest, DEADLINE):
        return
    spec = manifest["spec"]
    slo = spec["slo"]
    if spec.get("latency") == "Deferrable" and not {"timeToFirstTokenMs", "interTokenLatencyMs"} & set(slo):
        del spec["slo"]


def _check_known(value: Any, schema: Schema, path: str, origin: str) -> None:
    if isinstance(value, dict) and "properties" in schema:
        for key, child in value.items():
            if key not in schema["properties"]:
                raise ScenarioError(f"{origin}: {path}.{key}: there is no such field; remove it or mend its name")
            _check_known(child, schema["properties"][key], f"{path}.{key}", origin)
    elif isinstance(value, list) and "items" in schema:
        for index, child in enumerate(value):
            _check_known(child, schema["items"], f"{path}.{index}", origin)


def _schema_at(kind: str, path: str) -> Schema | None:
    node: Schema | None = schema_of(kind)
    for part in path.split("."):
        node = None if node is None else node.get("properties", {}).get(part)
    return node


def _in_schema(kind: str, path: str) -> bool:
    return _schema_at(kind, path) is not None


def _at(value: Any, parts: list[str]) -> Any:
    for part in parts:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _pop(manifest: Manifest, path: str) -> bool:
    *parents, leaf = path.split(".")
    holder = _at(manifest, parents)
    if not isinstance(holder, dict) or leaf not in holder:
        return False
    del holder[leaf]
    return True
