"""What a written configuration says, what another would change, and whether a running proxy has loaded it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import yaml

from spillway.act.litellm.render import (
    CONFIG_FILE,
    GUARD_FILE,
    HASH_ANNOTATION,
    HASH_KEY,
    RULES_FILE,
    SETTINGS,
    content_hash,
    entry,
)
from spillway.act.litellm.values import Deployment, Rendered
from spillway.api.names import PLAN_ANNOTATION

JSON = dict[str, Any]

_WORDS = {
    "weight": "weight",
    "order": "order",
    "max_parallel_requests": "requests in flight",
    "tokens_per_minute": "tokens a minute",
    "requests_per_minute": "requests a minute",
    "model": "model",
    "address": "address",
    "key_variable": "key variable",
    "flex": "flex",
    "hosted": "hosted",
}
_PARAMETERS = ("model", "api_base", "weight", "order", "max_parallel_requests", "tpm", "rpm", "service_tier")
"""What /model/info shows of a deployment; it never shows a key."""


@dataclass(frozen=True, slots=True)
class Written:
    """A ConfigMap, read back."""

    plan: str
    content_hash: str
    """As the annotation has it."""
    deployments: tuple[Deployment, ...]
    intact: bool
    """Whether the content is what the hash stands for: False after an edit by hand."""


def read_back(config_map: Mapping[str, Any]) -> Written:
    """What a ConfigMap of Spillway's says. Raises ValueError with one sentence where it is not one."""
    meta = config_map.get("metadata") or {}
    where = f"ConfigMap {meta.get('namespace', '')}/{meta.get('name', '')}"
    annotations, data = meta.get("annotations") or {}, config_map.get("data") or {}
    if not annotations.get(HASH_ANNOTATION) or not annotations.get(PLAN_ANNOTATION):
        raise ValueError(f"{where} is not Spillway's: it lacks the annotation {HASH_ANNOTATION}; choose another name")
    try:
        document = yaml.safe_load(data[CONFIG_FILE])
        rules = json.loads(data[RULES_FILE])
        made = tuple(_deployment(item) for item in document["model_list"])
        settings = {key: value for key, value in document.items() if key != "model_list"}
        rules.pop("config", None)
        guard, noted = str(data.get(GUARD_FILE, "")), str(annotations[HASH_ANNOTATION])
        entries = [_without_hash(item) for item in document["model_list"]]
        same = content_hash(entries, rules, guard) == noted and settings == SETTINGS
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{where} can't be read: {type(error).__name__} in its data; delete it to have it anew"
        ) from error
    return Written(str(annotations[PLAN_ANNOTATION]), noted, made, same)


def _without_hash(item: JSON) -> JSON:
    return {**item, "model_info": {key: value for key, value in item["model_info"].items() if key != HASH_KEY}}


def _deployment(item: JSON) -> Deployment:
    parameters, info = item["litellm_params"], item["model_info"]
    return Deployment(
        model_name=item["model_name"],
        lane=info["spillway_lane"],
        hosted=info["spillway_hosted"],
        model=parameters["model"],
        address=parameters.get("api_base", ""),
        key_variable=str(parameters.get("api_key", "")).removeprefix("os.environ/"),
        weight=parameters.get("weight"),
        order=parameters.get("order"),
        max_parallel_requests=parameters.get("max_parallel_requests"),
        tokens_per_minute=parameters.get("tpm"),
        requests_per_minute=parameters.get("rpm"),
        flex=parameters.get("service_tier") == "flex",
    )


def diff(before: Written | None, after: Rendered) -> tuple[str, ...]:
    """What would change, in words; empty where nothing would."""
    if before is None:
        return (f"ConfigMap {after.namespace}/{after.name} is new", *_changes((), after.deployments))
    found = list(_changes(before.deployments, after.deployments))
    if not before.intact:
        found.append("an edit by hand is undone")
    elif before.content_hash != after.content_hash and not found:
        found.append("settings or the guard are renewed")
    return tuple(found)


def _changes(before: Sequence[Deployment], after: Sequence[Deployment]) -> Iterable[str]:
    old, new = {each.id: each for each in before}, {each.id: each for each in after}
    for key in sorted({*old, *new}):
        one, other = old.get(key), new.get(key)
        name = one or other
        assert name is not None  # noqa: S101 - the key is of one of them
        where = f"{name.model_name} on lane {name.lane}"
        if other is None:
            yield f"{where}: removed"
        elif one is None:
            yield f"{where}: added ({_shown(other)})"
        else:
            for each in fields(Deployment):
                was, becomes = getattr(one, each.name), getattr(other, each.name)
                if was != becomes:
                    yield f"{where}: {_WORDS[each.name]} {_plain(was)} -> {_plain(becomes)}"


def _shown(made: Deployment) -> str:
    parts = [made.model]
    for name in ("weight", "order", "max_parallel_requests", "tokens_per_minute", "requests_per_minute"):
        if (value := getattr(made, name)) is not None:
            parts.append(f"{_WORDS[name]} {value}")
    return ", ".join(parts)


def _plain(value: object) -> str:
    return "none" if value in (None, "") else str(value)


def unconfirmed(rendered: Rendered, model_info: object) -> tuple[str, ...]:
    """What a proxy's /model/info (parsed JSON) shows otherwise than rendered; empty when it has loaded exactly that.

    Ask every pod: each loads its file when it starts.
    """
    data = model_info.get("data") if isinstance(model_info, Mapping) else None
    if not isinstance(data, list):
        return ("/model/info shows no deployments",)
    shown: dict[str, Mapping[str, Any]] = {}
    found = []
    for item in data:
        name, info = (item.get("model_name"), item.get("model_info") or {}) if isinstance(item, Mapping) else (None, {})
        if name is None or info.get("id") is None or info["id"] in shown:
            found.append("/model/info shows an entry without a name or id of its own")
        else:
            shown[info["id"]] = item
    wanted = {each.id: entry(each, rendered.content_hash) for each in rendered.deployments}
    found += [f"{key} is not loaded" for key in sorted(wanted.keys() - shown.keys())]
    found += [f"{key} is loaded and should not be" for key in sorted(shown.keys() - wanted.keys())]
    for key in sorted(wanted.keys() & shown.keys()):
        found += _otherwise(key, wanted[key], shown[key])
    return tuple(found)


def _otherwise(key: str, wanted: JSON, shown: Mapping[str, Any]) -> Iterable[str]:
    if wanted["model_name"] != shown["model_name"]:
        yield f"{key} answers for {shown['model_name']}"
    loaded = shown["model_info"].get(HASH_KEY)
    if loaded != wanted["model_info"][HASH_KEY]:
        yield f"{key} is of content {_plain(loaded)}, not {wanted['model_info'][HASH_KEY]}"
    parameters = shown.get("litellm_params") or {}
    for name in _PARAMETERS:
        is_now, should = parameters.get(name), wanted["litellm_params"].get(name)
        if is_now != should:
            yield f"{key}: {name} is {_plain(is_now)}, not {_plain(should)}"
