"""How an HTTPRoute is read: what its status says, and what its weights mean where the gateway itself spills.

There, hosted lanes stand behind own ones, whatever their weight.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

JSON = dict[str, Any]
NEEDED = ("Accepted", "ResolvedRefs")


def accepted(route: JSON) -> bool | None:
    """Whether every parent accepts this generation and resolves its references; None until all have said so of it."""
    found = [_accepted(parent, route["metadata"].get("generation")) for parent in _parents(route)]
    if False in found:
        return False
    return True if found and None not in found else None


def refusal(route: JSON) -> str:
    """What the parents that don't accept this generation say; empty where all do."""
    generation = route["metadata"].get("generation")
    said = [
        str(condition.get("message") or condition.get("reason") or "")
        for parent in _parents(route)
        for condition in parent.get("conditions") or []
        if _current(condition, generation) and condition.get("type") in NEEDED and condition.get("status") == "False"
    ]
    return "; ".join(dict.fromkeys(said))


def _parents(route: JSON) -> list[JSON]:
    return (route.get("status") or {}).get("parents") or []


def _current(condition: JSON, generation: Any) -> bool:
    return bool(condition.get("observedGeneration", generation) == generation)


def _accepted(parent: JSON, generation: Any) -> bool | None:
    said = {str(c.get("type")): c.get("status") for c in parent.get("conditions") or [] if _current(c, generation)}
    if "False" in (said.get(kind) for kind in NEEDED):
        return False
    return True if all(said.get(kind) == "True" for kind in NEEDED) else None


def armed(weights: Mapping[str, int], own: Collection[str], takes: str | None) -> dict[str, int]:
    """The weights to write: while an own lane has one, the hosted lane ``takes`` has 1, since 0 would never spill."""
    if not any(weight for lane, weight in weights.items() if lane in own):
        return dict(weights)
    return {lane: weight if lane in own else int(lane == takes) for lane, weight in weights.items()}


def effective(weights: Mapping[str, int], own: Collection[str]) -> dict[str, int]:
    """What the weights of such a rule share out: hosted lanes get nothing while an own lane has a weight."""
    if not any(weight for lane, weight in weights.items() if lane in own):
        return dict(weights)
    return {lane: weight if lane in own else 0 for lane, weight in weights.items()}
