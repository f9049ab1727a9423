"""Budgets of a plan's classes from manifests, measured where a Prometheus is named."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from spillway.advise.budget import FITTING, Subject, Terms
from spillway.advise.costs import Priced
from spillway.advise.demand import Measured, from_manifest
from spillway.advise.figures import given
from spillway.advise.prices import PriceUnknownError, Tier
from spillway.api import API_VERSION, CapacityLane, CapacityPlan, DataPolicy, LaneType, WorkloadClass
from spillway.cli.budget.flags import async_prices, no_tiers, priced_models, terms, undated
from spillway.config import load_config
from spillway.observe.consumption import measured_by_class
from spillway.observe.past import read_past
from spillway.observe.prometheus import PrometheusError
from spillway.observe.scope import LaneScope, PlanScope
from spillway.observe.tariffs import TIER_OF_LANE, Tariffs
from spillway.simulate.scenario.errors import ScenarioError, problem, read_yaml

BIN_SECONDS = 300
QUERY_SECONDS = 60.0
"""A day of bins may take Prometheus longer than a tick's figures."""
GROUP_PREFIX = API_VERSION.split("/", maxsplit=1)[0] + "/"
KINDS: Mapping[str, type[WorkloadClass] | type[CapacityLane] | type[CapacityPlan]] = {
    kind.KIND: kind for kind in (WorkloadClass, CapacityLane, CapacityPlan)
}
Resource = WorkloadClass | CapacityLane | CapacityPlan


@dataclass(frozen=True, slots=True)
class Found:
    """What the manifests hold."""

    classes: tuple[WorkloadClass, ...]
    lanes: Mapping[str, CapacityLane]
    """By namespace/name."""
    plans: Mapping[str, CapacityPlan]


@dataclass(frozen=True, slots=True)
class Usage:
    """What was measured, by class key, and what was said about it."""

    classes: Mapping[str, Measured]
    warnings: tuple[str, ...] = ()


async def from_manifests(asked: Mapping[str, Any], at: datetime) -> list[Subject]:
    """A subject for each class with demand. Raises click.ClickException, ConfigError, PriceUnknownError."""
    try:
        found = load(asked["files"])
    except ScenarioError as error:
        raise click.ClickException(str(error)) from error
    files = ", ".join(map(str, asked["files"]))
    if not found.classes:
        raise click.ClickException(f"{files}: there is no WorkloadClass in it; a budget is that of a class")
    usage = await _measure(asked, found) if asked["prometheus_url"] else Usage({})
    for warning in usage.warnings:
        click.echo(f"warning: {warning}", err=True)
    subjects = []
    for item in found.classes:
        if item.spec.demand is None and item.metadata.key not in usage.classes:
            click.echo(f"warning: WorkloadClass {item.metadata.key}: no demand is declared or measured", err=True)
            continue
        subjects.append(_subject(item, found, usage, asked, at))
    if not subjects:
        raise click.ClickException(
            f"{files}: no class has demand; declare spec.demand of a WorkloadClass, or measure with --prometheus-url"
        )
    if not any(subject.options for subject in subjects):
        raise click.ClickException(_nothing_priced(list(dict.fromkeys(n for each in subjects for n in each.notes))))
    return subjects


def _nothing_priced(notes: Sequence[str]) -> str:
    lanes = [note for note in notes if note.startswith("CapacityLane") and note.endswith("is not in the manifests")]
    if lanes:
        others = f", nor {len(lanes) - 1} other of its lanes" if len(lanes) > 1 else ""
        return f"{lanes[0]}{others}: give their files with -f, too (subfolders are not read)"
    return notes[0] + (f" (and {len(notes) - 1} more like it)" if len(notes) > 1 else "")


def load(paths: Sequence[Path]) -> Found:
    """Spillway's objects of files and folders (*.yaml, *.yml); others are passed over. Raises ScenarioError."""
    objects: dict[tuple[str, str], Resource] = {}
    for path in _files(paths):
        for document in _documents(path):
            made = _parsed(document, path)
            key = (made.KIND, made.metadata.key)
            if key in objects:
                raise ScenarioError(f"manifest {path}: {made.KIND} {made.metadata.key} is given twice; remove one")
            objects[key] = made
    kept = objects.values()
    return Found(
        tuple(sorted((o for o in kept if isinstance(o, WorkloadClass)), key=lambda item: item.metadata.key)),
        {o.metadata.key: o for o in kept if isinstance(o, CapacityLane)},
        {o.metadata.key: o for o in kept if isinstance(o, CapacityPlan)},
    )


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.exists():
            raise ScenarioError(f"-f {path}: there is no such file or folder")
        if not path.is_dir():
            yield path
            continue
        inside = sorted(each for each in path.iterdir() if each.suffix in (".yaml", ".yml"))
        if not inside:
            raise ScenarioError(f"-f {path}: there is no .yaml file in this folder")
        yield from inside


def _documents(path: Path) -> Iterator[dict[str, Any]]:
    for document in read_yaml(path, "manifest"):
        if not isinstance(document, dict):
            raise ScenarioError(f"manifest {path}: a document is no object with kind and spec")
        items = document.get("items") if document.get("kind") == "List" else None
        for item in items if isinstance(items, list) else [document]:
            if isinstance(item, dict) and str(item.get("apiVersion", "")).startswith(GROUP_PREFIX):
                yield item


def _parsed(document: dict[str, Any], path: Path) -> Resource:
    kind, metadata = document.get("kind"), document.get("metadata")
    if document.get("apiVersion") != API_VERSION or kind not in KINDS:
        given_kind = f"{document.get('apiVersion')} {kind}"
        raise ScenarioError(f"manifest {path}: {given_kind} is not one of {API_VERSION} {', '.join(KINDS)}")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(name, str) or not name:
        raise ScenarioError(f"manifest {path}: {kind} without metadata.name; give it")
    # What kubectl would do: an object without a namespace goes to the default one.
    whole = {**document, "metadata": {"namespace": "default", **metadata}}
    whole.pop("status", None)
    try:
        made = KINDS[str(kind)].parse(whole)
    except ValidationError as error:
        raise ScenarioError(f"manifest {path}: {kind} {name}: {problem(error)}") from error
    if isinstance(made, CapacityLane) and (made.spec.type is LaneType.SELF_HOSTED) == (made.spec.hosted is not None):
        raise ScenarioError(
            f"manifest {path}: {kind} {name}: spec.hosted belongs to the hosted types, and is required there"
        )
    return made


async def _measure(asked: Mapping[str, Any], found: Found) -> Usage:
    """What the plans' classes have used. Raises click.ClickException, ConfigError."""
    url = asked["prometheus_url"]
    config = load_config(asked["config"], {**os.environ, "SPILLWAY_PROMETHEUS_URL": url})
    prometheus = config.prometheus.model_copy(update={"timeout_seconds": QUERY_SECONDS})
    config = config.model_copy(update={"prometheus": prometheus})
    classes: dict[str, Measured] = {}
    warnings: list[str] = []
    now = time.time()
    for scope in _scopes(found, warnings):
        try:
            past = await read_past(config, scope, now, asked["days"], BIN_SECONDS)
        except PrometheusError as error:
            raise click.ClickException(f"Prometheus {url}: {error}") from error
        warnings += past.warnings
        classes |= measured_by_class(past, f"Prometheus {url}")
    return Usage(classes, tuple(warnings))


def _scopes(found: Found, warnings: list[str]) -> Iterator[PlanScope]:
    keys = dict.fromkeys(item.plan_key for item in found.classes)
    for key in keys:
        plan = found.plans.get(key)
        if plan is None:
            warnings.append(f"CapacityPlan {key} is not in the manifests: its classes are not measured")
            continue
        lanes = [lane for name in plan.spec.lanes if (lane := found.lanes.get(f"{plan.metadata.namespace}/{name}"))]
        classes = tuple(item for item in found.classes if item.plan_key == key)
        usable = (LaneType.SELF_HOSTED, LaneType.HOSTED_REALTIME)
        scopes = tuple(LaneScope(lane) for lane in lanes if lane.spec.type in usable)
        yield PlanScope(plan, classes, scopes, ())


def _subject(item: WorkloadClass, found: Found, usage: Usage, asked: Mapping[str, Any], at: datetime) -> Subject:
    origin = f"WorkloadClass {item.metadata.key}"
    declared = None if item.spec.demand is None else from_manifest(item.spec.demand, origin)
    notes: list[str] = []
    options, tiers = _options(item, found, at, notes)
    if not options:
        # A class that can wait may have lanes for such work alone.
        options, tiers = tuple(each for each in tiers if each.tariff.tier in FITTING[item.spec.latency]), ()
    extra = priced_models(asked["models"], Tier.STANDARD, Tariffs(), at)
    options = (*options, *extra)
    if not options and item.spec.data_policy is not DataPolicy.SELF_HOSTED_ONLY:
        notes.append(
            f"{origin}: no lane of CapacityPlan {item.plan_key} that serves one of its equivalentModels has a price "
            f"for {item.spec.latency.value} work; add one, or price a --model"
        )
    if not tiers and options and options[0].tariff.tier is Tier.STANDARD:
        tiers = async_prices(options[0], item.spec.latency, Tariffs(), at)
    notes += no_tiers(options, tiers, item.spec.latency)
    if item.spec.revenue_per_success_usd is not None and item.spec.success_rate_percent is None:
        notes.append("what a successful task costs: spec.successRatePercent is not declared")
    return Subject(
        name=origin,
        terms=_terms(item, asked, origin),
        options=options,
        latency=item.spec.latency,
        tiers=tiers,
        declared=declared,
        measured=usage.classes.get(item.metadata.key),
        notes=(*notes, *undated(extra)),
    )


def _options(
    item: WorkloadClass, found: Found, at: datetime, notes: list[str]
) -> tuple[tuple[Priced, ...], tuple[Priced, ...]]:
    """Hosted lanes that may serve the class, preferred models first: at real-time prices, and at Batch and Flex."""
    if item.spec.data_policy is DataPolicy.SELF_HOSTED_ONLY:
        notes.append(
            f"WorkloadClass {item.metadata.key}: dataPolicy SelfHostedOnly keeps it on own GPUs, which are not paid by "
            "the token; a --model prices it for comparison"
        )
        return (), ()
    realtime: list[Priced] = []
    tiers: list[Priced] = []
    for lane in _serving(item, found, notes):
        hosted = lane.spec.hosted
        if hosted is None:
            notes.append(
                f"what CapacityLane {lane.metadata.key} costs a token: own GPUs are paid by the hour; all tokens are "
                "priced as if they were hosted"
            )
            continue
        try:
            priced = Priced(f"{hosted.model} ({lane.metadata.name})", Tariffs().of_lane(lane, at))
        except PriceUnknownError as error:
            notes.append(str(error))
            continue
        (realtime if TIER_OF_LANE[lane.spec.type] is Tier.STANDARD else tiers).append(priced)
    return tuple(realtime), tuple(tiers)


def _serving(item: WorkloadClass, found: Found, notes: list[str]) -> list[CapacityLane]:
    plan = found.plans.get(item.plan_key)
    if plan is None:
        notes.append(f"CapacityPlan {item.plan_key} is not in the manifests: all their lanes are taken as its own")
        candidates = list(found.lanes.values())
    else:
        keys = [f"{plan.metadata.namespace}/{name}" for name in plan.spec.lanes]
        notes += [f"CapacityLane {key} of the plan is not in the manifests" for key in keys if key not in found.lanes]
        candidates = [found.lanes[key] for key in keys if key in found.lanes]
    order = {model: number for number, model in enumerate(item.spec.equivalent_models)}
    able = [lane for lane in candidates if order.keys() & set(lane.spec.models)]
    return sorted(able, key=lambda lane: min(order[model] for model in lane.spec.models if model in order))


def _terms(item: WorkloadClass, asked: Mapping[str, Any], origin: str) -> Terms:
    """The class's budget; flags give what manifests have no field for."""
    spec, flags = item.spec, terms(asked)
    made = replace(flags, success_rate=None, revenue_per_success=None)
    if spec.success_rate_percent is not None:
        rate = given("success rate", spec.success_rate_percent / 100, "", f"{origin} spec.successRatePercent")
        made = replace(made, success_rate=rate)
    if spec.revenue_per_success_usd is not None:
        source = f"{origin} spec.revenuePerSuccessUsd"
        made = replace(
            made, revenue_per_success=given("revenue per success", spec.revenue_per_success_usd, "USD", source)
        )
    if spec.budget is None:
        return made
    budget, field = spec.budget, f"{origin} spec.budget"
    alert = given("alert share", Decimal(budget.alert_percent) / 100, "", f"{field}.alertPercent")
    made = replace(made, alert=alert)
    if budget.monthly_usd is not None:
        return replace(made, cap=given("cap", budget.monthly_usd, "USD", f"{field}.monthlyUsd"))
    if budget.measured_plus_percent is not None:
        buffer = given("buffer", Decimal(budget.measured_plus_percent) / 100, "", f"{field}.measuredPlusPercent")
        return replace(made, buffer=buffer)
    return made
