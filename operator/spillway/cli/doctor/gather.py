"""Gathers the facts: reads only."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from spillway.api import CapacityLane, crd
from spillway.api.names import STOP_KEY
from spillway.api.tracking import LAST_APPLIED
from spillway.cli.doctor.facts import CrdFact, Facts, Review, TargetFact
from spillway.cli.doctor.gather_approval import approval_policies
from spillway.cli.doctor.gather_routing import adopted_rules, proxy_rights
from spillway.cli.doctor.permissions import PERMISSIONS, Permission, Scope
from spillway.cli.doctor.probe import read_probe
from spillway.config import ConfigError, OperatorConfig, PrometheusConfig, load_config
from spillway.decide import decide
from spillway.decide.decision import Decision
from spillway.decide.memory import Memory
from spillway.decide.snapshot import PlanSnapshot
from spillway.kube import ACCESS_REVIEWS, CONFIG_MAPS, CRDS, FIELD_MANAGER, Kube, KubeError, Resource
from spillway.observe.cluster import ClusterReader, is_on
from spillway.observe.join import build_snapshot
from spillway.observe.metrics import MetricsReader
from spillway.observe.prices import PriceBook
from spillway.observe.scope import ClusterView

LEDGER = "spillway-ledger"
MOUNTED_CONFIG = Path("/etc/spillway/config.yaml")
CONFIG_KEY = "config.yaml"
CHART_SELECTOR = "app.kubernetes.io/name=spillway"
SELF_REVIEWS = Resource("authentication.k8s.io/v1", "selfsubjectreviews", namespaced=False)
CONCURRENT_REVIEWS = 8


@dataclass(frozen=True, slots=True)
class Request:
    """What the doctor was asked to look at."""

    config_file: Path | None = None
    operator_namespace: str = "spillway-system"
    prometheus_url: str | None = None


async def gather(kube: Kube, request: Request) -> Facts:
    """Everything that can be found out; what can't be is a fact too."""
    facts = Facts(now=time.time(), user="you")
    try:
        version = await kube.request("GET", "/version")
    except KubeError as error:
        return replace(facts, server_error=error.message)
    facts = replace(facts, server_version=str(version.get("gitVersion", "?")), user=await _user(kube))
    facts = _with_prometheus_url(await with_config(kube, facts, request), request)
    facts = await _with_crds(kube, facts)
    facts = replace(await _with_reviews(kube, facts, request), approval=await approval_policies(kube))
    facts = await _with_routing(kube, await _with_view(kube, facts))
    return await _with_metrics(facts)


async def _user(kube: Kube) -> str:
    body = {"apiVersion": SELF_REVIEWS.api_version, "kind": "SelfSubjectReview"}
    try:
        answer = await kube.request("POST", SELF_REVIEWS.path(), body=body)
    except KubeError:
        return "you"
    return str(((answer.get("status") or {}).get("userInfo") or {}).get("username") or "you")


def _mounted() -> Path | None:
    """The configuration file of the operator's own pod, where the doctor runs in it."""
    return MOUNTED_CONFIG if MOUNTED_CONFIG.is_file() else None


async def with_config(kube: Kube, facts: Facts, request: Request) -> Facts:
    """The facts with the operator's configuration: of the file, the pod's own, or what the chart installed."""
    path = request.config_file or _mounted()
    try:
        if path is not None:
            return replace(facts, config=load_config(path, dict(os.environ)), config_source=str(path))
        return await _installed_config(kube, facts, request.operator_namespace)
    except ConfigError as error:
        return replace(facts, config_error=str(error))
    except KubeError as error:
        return replace(facts, config_error=f"ConfigMaps in {request.operator_namespace}: {error.message}")


async def _installed_config(kube: Kube, facts: Facts, namespace: str) -> Facts:
    for item in await kube.list(CONFIG_MAPS, namespace, label_selector=CHART_SELECTOR):
        text = (item.get("data") or {}).get(CONFIG_KEY)
        if text is not None:
            source = f"ConfigMap {namespace}/{item['metadata']['name']}"
            return replace(facts, config=_parsed(text, source), config_source=source)
    return replace(facts, config_error=f"the chart is not installed in namespace {namespace}")


def _parsed(text: str, source: str) -> OperatorConfig:
    try:
        return OperatorConfig.model_validate(yaml.safe_load(text) or {})
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{source}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML") from error


def _with_prometheus_url(facts: Facts, request: Request) -> Facts:
    if facts.config is None or request.prometheus_url is None:
        return facts
    prometheus = facts.config.prometheus.model_copy(update={"url": request.prometheus_url})
    return replace(facts, config=facts.config.model_copy(update={"prometheus": prometheus}))


async def _with_crds(kube: Kube, facts: Facts) -> Facts:
    try:
        found = {item["metadata"]["name"]: item for item in await kube.list(CRDS)}
    except KubeError as error:
        return replace(facts, crds_error=error.message)
    wanted = crd.custom_resource_definitions()
    return replace(facts, crds=tuple(_crd_fact(want, found.get(want["metadata"]["name"])) for want in wanted))


def _crd_fact(want: dict[str, Any], live: dict[str, Any] | None) -> CrdFact:
    name = want["metadata"]["name"]
    if live is None:
        return CrdFact(name, installed=False)
    conditions = (live.get("status") or {}).get("conditions") or []
    established = any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
    return CrdFact(name, installed=True, established=established, same=contains(live["spec"], want["spec"]))


def contains(live: Any, want: Any) -> bool:
    """Whether ``live`` says all that ``want`` says; what the apiserver adds by default does not count."""
    if isinstance(want, dict):
        return isinstance(live, dict) and all(key in live and contains(live[key], want[key]) for key in want)
    if isinstance(want, list):
        return isinstance(live, list) and len(live) == len(want) and all(map(contains, live, want))
    return bool(live == want)


async def _with_reviews(kube: Kube, facts: Facts, request: Request) -> Facts:
    asked = list(_asked(facts.config, request))
    gate = asyncio.Semaphore(CONCURRENT_REVIEWS)

    async def review(permission: Permission, namespace: str | None, name: str | None) -> Review:
        async with gate:
            return Review(permission, namespace, await _allowed(kube, permission, namespace, name))

    try:
        reviews = await asyncio.gather(*(review(*each) for each in asked))
    except KubeError as error:
        return replace(facts, reviews_error=error.message)
    return replace(facts, reviews=tuple(reviews))


def _asked(config: OperatorConfig | None, request: Request) -> Iterable[tuple[Permission, str | None, str | None]]:
    """Each permission with its namespace (None: all) and the object's name, where it is about one."""
    namespaces: tuple[str | None, ...] = config.namespaces if config and config.namespaces else (None,)
    for permission in PERMISSIONS:
        if permission.scope is Scope.CLUSTER:
            yield permission, None, None
        elif permission.scope is Scope.STOP:
            stop = config.emergency_stop.name if config else "spillway-emergency-stop"
            yield permission, config.stop_namespace if config else request.operator_namespace, stop
        elif permission.scope is Scope.LEDGER:
            yield permission, config.operator_namespace if config else request.operator_namespace, LEDGER
        else:
            yield from ((permission, namespace, None) for namespace in namespaces)


async def _allowed(kube: Kube, permission: Permission, namespace: str | None, name: str | None) -> bool:
    attributes = {
        "verb": permission.verb,
        "group": permission.group,
        "resource": permission.plural,
        "subresource": permission.subresource or "",
        "namespace": namespace or "",
        "name": name or "",
    }
    body = {
        "apiVersion": ACCESS_REVIEWS.api_version,
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = await kube.request("POST", ACCESS_REVIEWS.path(), body=body)
    return bool((answer.get("status") or {}).get("allowed"))


async def _with_view(kube: Kube, facts: Facts) -> Facts:
    config = facts.config or OperatorConfig(prometheus=PrometheusConfig(url=""))
    try:
        view = await ClusterReader(kube, config).read(facts.now)
        stop = await kube.find(CONFIG_MAPS, config.stop_namespace, config.emergency_stop.name)
        targets = [await _target_fact(kube, lane) for lane in view.lanes]
    except KubeError as error:
        return replace(facts, view_error=error.message)
    on = is_on(((stop or {}).get("data") or {}).get(STOP_KEY))
    where = f"ConfigMap {config.stop_namespace}/{config.emergency_stop.name} says stop" if on else None
    return replace(facts, view=view, global_stop=where, targets=tuple(fact for fact in targets if fact))


async def _with_routing(kube: Kube, facts: Facts) -> Facts:
    if facts.view is None:
        return facts

    async def allowed(permission: Permission, namespace: str, name: str) -> bool:
        return await _allowed(kube, permission, namespace, name)

    try:
        proxies = await proxy_rights(facts.view, allowed)
    except KubeError as error:
        return replace(facts, reviews_error=error.message)
    return replace(facts, proxies=proxies, adopted=await adopted_rules(kube, facts.view))


async def _target_fact(kube: Kube, lane: CapacityLane) -> TargetFact | None:
    own = lane.spec.self_hosted
    resource = await kube.resource_for(own.target_ref.api_version, own.target_ref.kind) if own else None
    if own is None or resource is None:
        return None
    found = await kube.find(resource, lane.metadata.namespace, own.target_ref.name)
    if found is None:
        return None
    meta = found["metadata"]
    return TargetFact(
        lane=lane.metadata.key,
        target=f"{own.target_ref.kind} {lane.metadata.namespace}/{own.target_ref.name}",
        replicas_in_last_applied=_applied_replicas((meta.get("annotations") or {}).get(LAST_APPLIED)),
        appliers=tuple(_appliers(meta.get("managedFields") or [])),
    )


def _applied_replicas(text: str | None) -> bool:
    try:
        return "replicas" in (json.loads(text or "{}").get("spec") or {})
    except (ValueError, AttributeError):
        return False


def _appliers(managed_fields: list[dict[str, Any]]) -> Iterable[str]:
    for entry in managed_fields:
        owns = "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
        if owns and entry.get("operation") == "Apply" and entry.get("manager") != FIELD_MANAGER:
            yield str(entry.get("manager"))


async def _with_metrics(facts: Facts) -> Facts:
    config = facts.config
    if config is None:
        return facts
    reader = MetricsReader(config, time.monotonic)
    try:
        metrics = await reader.read(facts.now)
    finally:
        reader.close()
    facts = replace(facts, metrics=metrics)
    if metrics.error is None:
        facts = replace(facts, probe=await read_probe(config.prometheus, facts.now))
    if facts.view is None:
        return facts
    return _with_decisions(facts, config, facts.view)


def _with_decisions(facts: Facts, config: OperatorConfig, view: ClusterView) -> Facts:
    """What the operator would decide on just this, without memory and without writing."""
    if facts.metrics is None:
        return facts
    snapshot = build_snapshot(view, facts.metrics, config, facts.now, PriceBook())
    plans: list[tuple[PlanSnapshot, Decision]] = [(plan, decide(plan, Memory())[0]) for plan in snapshot.plans]
    return replace(facts, plans=tuple(plans))
