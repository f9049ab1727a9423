"""The manifests of a scenario: one plan with its classes and lanes, as a cluster would get them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spillway.api import API_VERSION, CapacityLane, CapacityPlan, LaneType, LatencyClass, WorkloadClass
from spillway.simulate.scenario.errors import ScenarioError, problem, read_yaml, short
from spillway.simulate.scenario.lowering import MODELS, Manifest, lower

GROUP_PREFIX = API_VERSION.split("/", maxsplit=1)[0] + "/"


@dataclass(frozen=True, slots=True)
class Resources:
    """What the manifests say."""

    plan: CapacityPlan
    classes: tuple[WorkloadClass, ...]
    """Those of the plan, by key."""
    own: tuple[CapacityLane, ...]
    """In the order of the plan's lanes."""
    hosted: tuple[CapacityLane, ...]
    deadlines_s: dict[str, float]
    """By class key; infinite where none is given."""
    attainments: dict[str, float]
    """By class key, 0 to 1."""
    warnings: tuple[str, ...]


def load_resources(paths: Sequence[Path]) -> Resources:
    """Read and check the manifests of all files together. Raises ScenarioError."""
    documents = [(f"manifest {path}", document) for path in paths for document in _documents(path)]
    return resources_of(documents, ", ".join(str(path) for path in paths))


def resources_of(documents: Iterable[tuple[str, Manifest]], whole: str, *, gateway: bool = False) -> Resources:
    """Check manifests together; each comes with what messages call its source, `whole` is that of all of them.

    `gateway`: the plan's routing plane and overflow mode stay as they are, for who simulates them. Raises
    ScenarioError.
    """
    objects: dict[tuple[str, str], WorkloadClass | CapacityLane | CapacityPlan] = {}
    raw: dict[str, Manifest] = {}
    warnings: list[str] = []
    for source, document in documents:
        made, notes = _parse(document, source, gateway)
        key = (made.KIND, made.metadata.key)
        if key in objects:
            raise ScenarioError(f"{source}: {made.KIND} {made.metadata.key} is given twice; remove one")
        objects[key] = made
        warnings += notes
        if isinstance(made, WorkloadClass):
            raw[made.metadata.key] = document
    plan = _only_plan(objects.values(), whole)
    classes, notes = _classes(objects.values(), plan)
    own, hosted, lane_notes = _lanes(objects, plan)
    return Resources(
        plan,
        classes,
        own,
        hosted,
        {c.metadata.key: _deadline(raw[c.metadata.key], c) for c in classes},
        {c.metadata.key: _attainment(raw[c.metadata.key], c) for c in classes},
        (*warnings, *notes, *lane_notes),
    )


def _documents(path: Path) -> Iterator[Manifest]:
    """Spillway's own objects in a file; others (Deployments, routes) are the cluster's business."""
    for document in read_yaml(path, "manifest"):
        if not isinstance(document, dict):
            raise ScenarioError(f"manifest {path}: a document is {short(document)}, not an object with kind and spec")
        items = document.get("items") if document.get("kind") == "List" else None
        for item in items if isinstance(items, list) else [document]:
            if isinstance(item, dict) and str(item.get("apiVersion", "")).startswith(GROUP_PREFIX):
                yield item


def _parse(
    document: Manifest, source: str, gateway: bool
) -> tuple[WorkloadClass | CapacityLane | CapacityPlan, list[str]]:
    kind = document.get("kind")
    if document.get("apiVersion") != API_VERSION or kind not in MODELS:
        given = f"{document.get('apiVersion')} {kind}"
        raise ScenarioError(f"{source}: {given} is not one of {API_VERSION} {', '.join(MODELS)}")
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not name:
        raise ScenarioError(f"{source}: {kind} without metadata.name; give it")
    origin = f"{source}: {kind} {name}"
    lowered, warnings = lower(document, origin, gateway=gateway)
    # What kubectl would do: an object without a namespace goes to the default one.
    lowered["metadata"] = {"namespace": "default", **lowered["metadata"]}
    lowered.pop("status", None)
    try:
        made = MODELS[str(kind)].parse(lowered)
    except ValidationError as error:
        raise ScenarioError(f"{origin}: {problem(error)}") from error
    _check_rules(made, origin)
    return made, warnings


def _check_rules(made: WorkloadClass | CapacityLane | CapacityPlan, origin: str) -> None:
    """The rules that the apiserver checks and the models do not, as far as a simulation depends on them."""
    spec = made.spec
    if isinstance(made, WorkloadClass):
        if made.spec.latency is not LatencyClass.DEFERRABLE and made.spec.slo is None:
            raise ScenarioError(f"{origin}: spec.slo: is missing; it is required unless latency is Deferrable")
    elif isinstance(made, CapacityLane):
        lane = made.spec
        if (lane.type is LaneType.SELF_HOSTED) != (lane.self_hosted is not None):
            raise ScenarioError(f"{origin}: spec.selfHosted belongs to type SelfHosted, and is required there")
        if (lane.type is not LaneType.SELF_HOSTED) != (lane.hosted is not None):
            raise ScenarioError(f"{origin}: spec.hosted belongs to the hosted types, and is required there")
        if lane.self_hosted is not None and lane.self_hosted.replicas.min > lane.self_hosted.replicas.max:
            raise ScenarioError(f"{origin}: spec.selfHosted.replicas: min must not be above max")
    elif len(set(spec.lanes)) < len(spec.lanes):  # type: ignore[union-attr]
        raise ScenarioError(f"{origin}: spec.lanes: a lane is named twice; remove one")


def _only_plan(objects: Any, whole: str) -> CapacityPlan:
    plans = [made for made in objects if isinstance(made, CapacityPlan)]
    if len(plans) != 1:
        found = ", ".join(plan.metadata.key for plan in plans) or "none"
        raise ScenarioError(f"manifest {whole}: exactly one CapacityPlan is needed, found {found}")
    return plans[0]


def _classes(objects: Any, plan: CapacityPlan) -> tuple[tuple[WorkloadClass, ...], list[str]]:
    classes, warnings = [], []
    for made in objects:
        if not isinstance(made, WorkloadClass):
            continue
        if made.plan_key == plan.metadata.key:
            classes.append(made)
        else:
            warnings.append(
                f"WorkloadClass {made.metadata.key}: its plan is {made.plan_key}, not {plan.metadata.key}: left out"
            )
    return tuple(sorted(classes, key=lambda c: c.metadata.key)), warnings


def _lanes(
    objects: dict[tuple[str, str], Any], plan: CapacityPlan
) -> tuple[tuple[CapacityLane, ...], tuple[CapacityLane, ...], list[str]]:
    own, hosted, warnings = [], [], []
    for name in plan.spec.lanes:
        key = f"{plan.metadata.namespace}/{name}"
        lane = objects.get(("CapacityLane", key))
        if lane is None:
            raise ScenarioError(
                f"CapacityPlan {plan.metadata.key}: spec.lanes: there is no CapacityLane {key} in the manifests; "
                "add it, or remove it from the plan"
            )
        if lane.spec.type is LaneType.SELF_HOSTED:
            own.append(lane)
        elif lane.spec.type is LaneType.HOSTED_REALTIME:
            hosted.append(lane)
        else:
            warnings.append(f"CapacityLane {key}: type {lane.spec.type} has no effect in the backtest yet: left out")
    return tuple(own), tuple(hosted), warnings


def _deadline(document: Manifest, made: WorkloadClass) -> float:
    given = _slo(document).get("deadlineSeconds")
    if given is None:
        return math.inf
    key = made.metadata.key
    if isinstance(given, bool) or not isinstance(given, int | float) or given <= 0:
        raise ScenarioError(f"WorkloadClass {key}: spec.slo.deadlineSeconds: give seconds above 0 (it is {given!r})")
    if made.spec.latency is not LatencyClass.DEFERRABLE:
        raise ScenarioError(f"WorkloadClass {key}: spec.slo.deadlineSeconds belongs to latency Deferrable; remove it")
    return float(given)


def _attainment(document: Manifest, made: WorkloadClass) -> float:
    if made.spec.slo is not None:
        return float(made.spec.slo.attainment_percent) / 100.0
    given = _slo(document).get("attainmentPercent", "99")
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = math.nan
    if not 50 <= value < 100:
        key = made.metadata.key
        raise ScenarioError(
            f'WorkloadClass {key}: spec.slo.attainmentPercent: give a percentage from 50 to 99.999, such as "99" '
            f"(it is {given!r})"
        )
    return value / 100.0


def _slo(document: Manifest) -> Manifest:
    spec = document.get("spec")
    slo = spec.get("slo") if isinstance(spec, dict) else None
    return slo if isinstance(slo, dict) else {}
