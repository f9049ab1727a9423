"""One side's manifests: read, checked as the apiserver would, by object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from spillway.advise.review.objects import Objects, PlanSide, Resource
from spillway.advise.review.walk import MODELS
from spillway.api import API_VERSION, CapacityLane, CapacityPlan, WorkloadClass
from spillway.api.common import DNS_LABEL, DNS_SUBDOMAIN
from spillway.api.lanechange import LaneChange
from spillway.cli.diff.errors import InputError
from spillway.cli.diff.rules import problems, without_nulls
from spillway.cli.diff.sources import Source
from spillway.cli.diff.yaml_text import Found, objects_in
from spillway.simulate.scenario.errors import problem

Manifest = dict[str, Any]
TOP = ("apiVersion", "kind", "metadata", "spec", "status")
NAME_CHARACTERS = 63


@dataclass(frozen=True, slots=True)
class Side:
    """Everything of one side."""

    source: str
    objects: Objects = field(default_factory=Objects)
    manifests: Mapping[tuple[str, str], Manifest] = field(default_factory=dict)
    """By kind and namespace/name, as written, with the namespace set."""

    def of_plan(self, plan: PlanSide) -> tuple[Manifest, ...]:
        """The manifests of a plan, its lanes and its classes."""
        members: tuple[Resource, ...] = (*plan.lanes.values(), *plan.classes.values())
        whole = members if plan.plan is None else (plan.plan, *members)
        return tuple(self.manifests[each.KIND, each.metadata.key] for each in whole)


def side_of(side: str, source: Source, namespace: str) -> Side:
    """The side's objects; ``side``: "BASE" or "HEAD"; ``namespace``: for those without one. Raises InputError."""
    plans: dict[str, CapacityPlan] = {}
    lanes: dict[str, CapacityLane] = {}
    classes: dict[str, WorkloadClass] = {}
    manifests: dict[tuple[str, str], Manifest] = {}
    places: dict[tuple[str, str], str] = {}
    for text in source.texts:
        for found in objects_in(side, text):
            if found.manifest.get("kind") == LaneChange.KIND:
                continue
            made, manifest = _made(found, namespace)
            key = (made.KIND, made.metadata.key)
            if key in places:
                raise InputError(
                    f"{found.origin}: {made.KIND} {made.metadata.key} is in {places[key]} already; remove one, or give "
                    "what a cluster gets (kustomize build DIR | spillway diff BASE -)"
                )
            places[key], manifests[key] = found.origin, manifest
            if isinstance(made, CapacityPlan):
                plans[made.metadata.key] = made
            elif isinstance(made, CapacityLane):
                lanes[made.metadata.key] = made
            else:
                classes[made.metadata.key] = made
    return Side(source.name, Objects(plans, lanes, classes), manifests)


def _made(found: Found, namespace: str) -> tuple[CapacityPlan | CapacityLane | WorkloadClass, Manifest]:
    manifest, kind = found.manifest, found.manifest.get("kind")
    if manifest.get("apiVersion") != API_VERSION or kind not in MODELS:
        given = f"{manifest.get('apiVersion')} {kind}"
        raise InputError(f"{found.origin}: {given} is not one of {API_VERSION} {', '.join(MODELS)}; mend its name")
    metadata = _metadata(found, namespace)
    origin = f"{found.origin}: {kind} {metadata['namespace']}/{metadata['name']}"
    unknown = next((name for name in manifest if name not in TOP), None)
    if unknown is not None:
        raise InputError(f"{origin}: {unknown}: there is no such field; known are {', '.join(TOP)}")
    if not isinstance(manifest.get("spec"), dict):
        raise InputError(f"{origin}: spec: is missing; give it")
    whole = {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": metadata,
        "spec": without_nulls(manifest["spec"]),
    }
    # A mistyped field is named before the one that it leaves missing.
    unknowns = [line for line in problems(str(kind), whole["spec"]) if "there is no such field" in line]
    if unknowns:
        raise InputError(f"{origin}: {unknowns[0]}")
    try:
        made = MODELS[str(kind)].parse(whole)
    except ValidationError as error:
        raise InputError(f"{origin}: {problem(error)}") from error
    broken = next(problems(str(kind), whole["spec"]), None)
    if broken is not None:
        raise InputError(f"{origin}: {broken}")
    return made, whole


def _metadata(found: Found, namespace: str) -> Manifest:
    given, kind = found.manifest.get("metadata"), found.manifest.get("kind")
    if not isinstance(given, dict) or not isinstance(given.get("name"), str) or not given["name"]:
        raise InputError(f"{found.origin}: {kind} without metadata.name; give it")
    name, space = given["name"], given.get("namespace") or namespace
    short = kind != CapacityPlan.KIND
    if re.fullmatch(DNS_LABEL if short else DNS_SUBDOMAIN, name) is None or (short and len(name) > NAME_CHARACTERS):
        raise InputError(
            f"{found.origin}: {kind} {name!r}: metadata.name: write lower-case letters, digits and dashes, at most "
            f"{NAME_CHARACTERS}"
        )
    if not isinstance(space, str) or re.fullmatch(DNS_LABEL, space) is None:
        raise InputError(f"{found.origin}: {kind} {name}: metadata.namespace: {space!r} is no name of a namespace")
    kept = {part: given[part] for part in ("labels", "annotations") if isinstance(given.get(part), dict)}
    return {"name": name, "namespace": space, **kept}
