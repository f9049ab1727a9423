"""What Spillway notes on an HTTPRoute: baselines to go back to, the weights last accepted, and a refusal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from spillway.api.names import BASELINE_WEIGHTS_ANNOTATION, ROUTING_ANNOTATION, baseline_key
from spillway.kube import Items

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Note:
    """What is known of one rule from earlier writes."""

    good: Mapping[str, int] | None = None
    """Weights by lane that the gateway accepted last."""
    refused_at: float | None = None
    """When it refused others, Unix time in seconds."""


def read_note(route: JSON | None, rule: str, plan: str) -> Note:
    """The rule's note; an empty one where there is none, or it is another plan's, or nobody's."""
    noted = _parsed(route, ROUTING_ANNOTATION)
    found = noted.get(rule) if isinstance(noted, dict) else None
    if not isinstance(found, dict) or found.get("plan") != plan:
        return Note()
    good = found.get("good")
    if not isinstance(good, dict) or not all(type(weight) is int and weight >= 0 for weight in good.values()):
        good = None
    return Note(good, _unix(found.get("refusedAt")))


def noted(route: JSON | None, rule: str, plan: str, note: Note) -> str:
    """The annotation's text with this rule's note in it; what others noted is kept."""
    before = _parsed(route, ROUTING_ANNOTATION)
    entry: JSON = {"plan": plan}
    if note.good is not None:
        entry["good"] = dict(sorted(note.good.items()))
    if note.refused_at is not None:
        entry["refusedAt"] = datetime.fromtimestamp(note.refused_at, tz=UTC).isoformat(timespec="seconds")
    return json.dumps({**(before if isinstance(before, dict) else {}), rule: entry}, sort_keys=True)


def baseline(route: JSON, rule: str, refs: Items) -> str | None:
    """The annotation's text with the rule's weights before Spillway first moved them; None where it is noted already.

    Raises ``KeyError`` where somebody else wrote the annotation.
    """
    before = _parsed(route, BASELINE_WEIGHTS_ANNOTATION)
    if not isinstance(before, dict):
        raise KeyError(f"its annotation {BASELINE_WEIGHTS_ANNOTATION} is not Spillway's JSON: remove it")
    if rule in before:
        return None
    before[rule] = {baseline_key(ref, refs): ref.get("weight", 1) for ref in refs}
    return json.dumps(before, sort_keys=True)


def _parsed(route: JSON | None, annotation: str) -> Any:
    annotations = ((route or {}).get("metadata") or {}).get("annotations") or {}
    try:
        return json.loads(annotations.get(annotation) or "{}")
    except (ValueError, RecursionError):
        return None


def _unix(text: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp() if text else None
    except (ValueError, OverflowError):
        return None
