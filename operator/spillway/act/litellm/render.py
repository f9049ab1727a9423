"""A plan's decision as LiteLLM's configuration: files with a content hash, and the ConfigMap that holds them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from spillway.act.litellm.deployments import asked_names, deployments
from spillway.act.litellm.values import Budget, Decided, Deployment, ProxyRole, ProxySettings, Rendered, Sending
from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway.api.names import MANAGED_LABEL, MANAGED_VALUE, PLAN_ANNOTATION
from spillway.api.proxynote import CONFIG_ANNOTATION, NOTE_ANNOTATION

CONFIG_FILE = "config.yaml"
RULES_FILE = "spillway.json"
GUARD_FILE = "spillway_guard.py"
HASH_ANNOTATION = CONFIG_ANNOTATION
HASH_KEY = "spillway_config"
"""In each deployment's model_info, so that /model/info tells which content a process has loaded."""

REQUEST_SECONDS = 600
FLEX_SECONDS = 900
"""Flex may keep a request waiting for 15 minutes."""

JSON = dict[str, Any]

SETTINGS: JSON = {
    "litellm_settings": {
        "callbacks": ["prometheus", "spillway_guard.guard"],
        # Without a database nobody but the master key could read them.
        "require_auth_for_metrics_endpoint": False,
        # A hosted model that lacks a parameter must still answer what an own engine would have answered.
        "drop_params": True,
        "telemetry": False,
    },
    "general_settings": {
        "master_key": "os.environ/SPILLWAY_OPERATOR_KEY",
        "custom_auth": "spillway_guard.authenticate",
    },
    "router_settings": {
        "routing_strategy": "simple-shuffle",
        # One attempt at each lane, then the next lane: a refusal is passed on at once.
        "num_retries": 0,
        "enable_weighted_failover": True,
        # A cooldown would send everything to the hosted lane for seconds after one refusal.
        "disable_cooldowns": True,
        "optional_pre_call_checks": ["enforce_model_rate_limits"],
    },
}


def render(
    plan: CapacityPlan,
    classes: Sequence[WorkloadClass],
    lanes: Sequence[CapacityLane],
    settings: ProxySettings,
    decided: Decided,
) -> Rendered:
    """The configuration for what was decided. The same arguments give the same bytes."""
    made, findings = deployments(plan, classes, lanes, settings, decided)
    guard = Path(__file__).with_name(GUARD_FILE).read_text(encoding="utf-8")
    rules = _rules(made, classes, settings, decided)
    digest = content_hash([entry(each) for each in made], rules, guard)
    document = {"model_list": [entry(each, digest) for each in made], **SETTINGS}
    files = {
        CONFIG_FILE: yaml.safe_dump(document, sort_keys=True, allow_unicode=True, width=120),
        RULES_FILE: json.dumps({"config": digest, **rules}, indent=1, sort_keys=True) + "\n",
        GUARD_FILE: guard,
    }
    return Rendered(settings.name, settings.namespace, plan.metadata.key, digest, files, made, findings)


def content_hash(entries: Sequence[JSON], rules: JSON, guard: str) -> str:
    """Short hash of all that the proxy reads, the hash itself left out."""
    content = {"model_list": list(entries), "settings": SETTINGS, "rules": rules, "guard": guard}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def entry(made: Deployment, digest: str = "") -> JSON:
    """One deployment as an entry of model_list."""
    optional = {
        "api_base": made.address or None,
        "api_key": f"os.environ/{made.key_variable}" if made.key_variable else None,
        "weight": made.weight,
        "order": made.order,
        "max_parallel_requests": made.max_parallel_requests,
        "tpm": made.tokens_per_minute,
        "rpm": made.requests_per_minute,
        "service_tier": "flex" if made.flex else None,
    }
    parameters = {key: value for key, value in optional.items() if value is not None}
    info: JSON = {"id": made.id, "spillway_lane": made.lane, "spillway_hosted": made.hosted}
    return {
        "model_name": made.model_name,
        "litellm_params": {
            "model": made.model, "timeout": FLEX_SECONDS if made.flex else REQUEST_SECONDS, **parameters,
        },
        "model_info": {**info, HASH_KEY: digest} if digest else info,
    }  # fmt: skip


def config_map(rendered: Rendered, note: str = "", version: str = "") -> JSON:
    """The ConfigMap to write. ``note``: of what was decided; ``version``: the resourceVersion that it must still be."""
    annotations = {PLAN_ANNOTATION: rendered.plan, HASH_ANNOTATION: rendered.content_hash}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": rendered.name,
            "namespace": rendered.namespace,
            "labels": {MANAGED_LABEL: MANAGED_VALUE},
            "annotations": annotations | ({NOTE_ANNOTATION: note} if note else {}),
            **({"resourceVersion": version} if version else {}),
        },
        "data": dict(rendered.files),
    }


def rollout_patch(rendered: Rendered) -> JSON:
    """The merge patch on the proxy's Deployment that rolls its pods over to this content."""
    return {"spec": {"template": {"metadata": {"annotations": {HASH_ANNOTATION: rendered.content_hash}}}}}


def _rules(
    made: Sequence[Deployment], classes: Sequence[WorkloadClass], settings: ProxySettings, decided: Decided
) -> JSON:
    """What the guard goes by: known names, which deployment is whose, and what may be spent."""
    models: JSON = {}
    for name in sorted({each.model_name for each in made}):
        mine = [each for each in made if each.model_name == name]
        own = any(not each.hosted for each in mine)
        models[name] = {"hosted": any(each.hosted for each in mine), "reason": _reason(own, settings, decided)}
        models[name] |= _asked_by(name, classes)
    known = {each.id: {"model": each.model_name, "lane": each.lane, "hosted": each.hosted} for each in made}
    rules: JSON = {"models": models, "deployments": known}
    if decided.budget is not None:
        rules["budget"] = _budget(decided.budget, settings.processes)
    if decided.mended_at:
        rules["mended_at"] = decided.mended_at
    return rules


def _asked_by(name: str, classes: Sequence[WorkloadClass]) -> JSON:
    """The one class that asks for a name, with its tier; where several do, the tier that they share."""
    asking = [item for item in classes if name in asked_names(item)]
    tiers = {item.spec.value_tier for item in asking}
    found: JSON = {"class": asking[0].metadata.key} if len(asking) == 1 else {}
    if len(tiers) == 1 and (tier := tiers.pop()):
        found["tier"] = tier
    return found


def _budget(budget: Budget, processes: int) -> JSON:
    """In one process' part of it, US dollars."""

    def part(amounts: Mapping[str, Decimal]) -> dict[str, float]:
        return {name: float(amount / processes) for name, amount in sorted(amounts.items())}

    return {
        "at": budget.at,
        "ceilings": part(budget.ceilings),
        "left": part(budget.left),
        "tiers": part(budget.tiers),
        "prices": {lane: [float(usd) for usd in price] for lane, price in sorted(budget.prices.items())},
    }


def _reason(own: bool, settings: ProxySettings, decided: Decided) -> str:
    if settings.role is ProxyRole.EGRESS:
        return "Gateway"
    if not own:
        return "NoOwnCapacity"
    return "Saturated" if decided.sending is Sending.SPILL else "Share"
