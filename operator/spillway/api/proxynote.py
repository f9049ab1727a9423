"""What Spillway notes on a LiteLLM proxy's ConfigMap about the configuration in it: read again after a restart."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import Field, ValidationError

from spillway.api.common import Model
from spillway.api.names import PLAN_ANNOTATION

CONFIG_ANNOTATION = "spillway.dev/litellm-config"
"""On the ConfigMap, and on the pod template of the proxy's Deployment: hash of the content that it stands for."""
NOTE_ANNOTATION = "spillway.dev/litellm-decided"
"""On the ConfigMap: the note, as JSON."""
PROXY_PROBLEM = "ProxyProblem"
"""Machine reason of the finding on a proxy that can't be configured."""
MAX_NOTE = 200_000
"""Longest note that is read, in characters; annotations end at 256 KiB together."""


class NotedLimits(Model):
    """Limits that hold although nobody watches, over all processes."""

    tokens_per_minute: int | None = None
    requests_per_minute: int | None = None


class NotedBudget(Model):
    """Most that may be spent on hosted lanes, in US dollars over all processes."""

    at: float
    """When `left` was true, Unix time in seconds."""
    ceilings: dict[str, Decimal] = Field(default_factory=dict)
    """By period: "hour", "day", "month"."""
    left: dict[str, Decimal] = Field(default_factory=dict)
    """Of the period that was running at `at`."""
    tiers: dict[str, Decimal] = Field(default_factory=dict)
    """An hour, by value tier."""
    prices: dict[str, tuple[Decimal, Decimal, Decimal]] = Field(default_factory=dict)
    """By hosted lane: input, cached input and output, per million tokens."""


class ProxyNote(Model):
    """What was decided when the configuration was last written."""

    at: float
    """When that was, Unix time in seconds."""
    sending: str
    weights: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Class name to lane name to whole percent."""
    in_flight: dict[str, int] = Field(default_factory=dict)
    hosted_order: tuple[str, ...] = ()
    armed: dict[str, NotedLimits] = Field(default_factory=dict)
    budget: NotedBudget | None = None
    deployments: int | None = None
    """How many the configuration has; None in notes of before they were counted."""
    mended_at: int = 0
    """When an edit by hand was last undone, Unix time in seconds; 0 for never."""

    def to_text(self) -> str:
        """The annotation's value."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


def is_written_for(config_map: Mapping[str, Any], plan: str) -> bool:
    """Whether a ConfigMap holds a configuration that was rendered for this plan (namespace/name)."""
    annotations = (config_map.get("metadata") or {}).get("annotations") or {}
    return annotations.get(PLAN_ANNOTATION) == plan and bool(annotations.get(CONFIG_ANNOTATION))


def ownership_problem(config_map: Mapping[str, Any] | None, where: str, plan: str, manager: str) -> str | None:
    """Why a ConfigMap may not be written for the plan (one clause); None where it may: it is the plan's, or empty.

    ``manager``: the field manager that Spillway itself applies with.
    """
    if config_map is None:
        return f"{where} does not exist: create it without data, and Spillway will fill it"
    annotations = (config_map.get("metadata") or {}).get("annotations") or {}
    other = annotations.get(PLAN_ANNOTATION)
    if other == plan:
        applier = _applies_data(config_map, manager)
        return None if applier is None else f"{where}: {applier} applies its data, too: take data out of that manifest"
    if other:
        return f"{where} is CapacityPlan {other}'s: one proxy has one plan, name another ConfigMap"
    if config_map.get("data") or config_map.get("binaryData"):
        return f"{where} is not Spillway's: it holds data that somebody else wrote; name one without data"
    return None


def _applies_data(config_map: Mapping[str, Any], manager: str) -> str | None:
    """Who else keeps the ConfigMap's data as a manifest has it; an edit by hand, which is undone, is none."""
    for entry in (config_map.get("metadata") or {}).get("managedFields") or []:
        fields = entry.get("fieldsV1") or {}
        owned = {key for part in ("f:data", "f:binaryData") for key in fields.get(part) or {}} - {"."}
        if entry.get("operation") == "Apply" and owned and entry.get("manager") != manager:
            return str(entry.get("manager"))
    return None


def note_of(config_map: Mapping[str, Any]) -> ProxyNote | None:
    """The note on a ConfigMap; None where there is none or it can't be understood: anybody may write annotations."""
    annotations = (config_map.get("metadata") or {}).get("annotations") or {}
    text = annotations.get(NOTE_ANNOTATION) or ""
    if not text or len(text) > MAX_NOTE:
        return None
    try:
        return ProxyNote.model_validate_json(text)
    except ValidationError:
        return None
