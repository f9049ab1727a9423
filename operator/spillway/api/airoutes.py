"""How an AIGatewayRoute of Envoy AI Gateway is read: its rules, which have no names, and what its status says.

Envoy AI Gateway makes an HTTPRoute of the same name from it, rule by rule in the same order. Its own condition names no
generation, so that what it has taken over is told from that HTTPRoute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from spillway.api import routes
from spillway.api.workloadclass import WorkloadClass

JSON = dict[str, Any]

KIND = "AIGatewayRoute"
MODEL_HEADER = "x-ai-eg-model"
"""The request's model, which Envoy AI Gateway puts there before it chooses a rule."""
PRIORITIES_ANNOTATION = "gateway.envoyproxy.io/backend-ref-priority"
"""On the HTTPRoute that it makes: the priorities of the rules' backendRefs, "rule:name:priority" each."""


def header_of(resource: WorkloadClass) -> tuple[str, str] | None:
    """The header, name and value, that a rule of the class's matches; None where its match names none."""
    match = resource.spec.match
    if match.header is not None:
        return match.header.name, match.header.value
    return (MODEL_HEADER, match.model) if match.model is not None else None


def class_key(resource: WorkloadClass) -> str | None:
    """How notes name the class's rule; None where no rule can be its own."""
    header = header_of(resource)
    return None if header is None else f"{header[0].lower()}={header[1]}"


def rule_key(rule: Mapping[str, Any]) -> str | None:
    """How notes name a rule: by the headers that it matches; None where it has not one single match on exact values."""
    matches = rule.get("matches") or []
    headers = (matches[0].get("headers") or []) if len(matches) == 1 else []
    if not headers or any(each.get("type", "Exact") != "Exact" for each in headers):
        return None
    return ",".join(sorted(f"{str(each.get('name')).lower()}={each.get('value')}" for each in headers))


def rule_index(route: Mapping[str, Any], resource: WorkloadClass) -> int | None:
    """Index of the rule that matches the class's header and nothing else."""
    key = class_key(resource)
    return next((i for i, rule in enumerate(rules_of(route)) if key is not None and rule_key(rule) == key), None)


def rules_of(route: Mapping[str, Any]) -> list[JSON]:
    """Its rules."""
    return list((route.get("spec") or {}).get("rules") or [])


def priority(ref: Mapping[str, Any]) -> int:
    """Of a backendRef: those with 1 are tried for what those with 0 refuse."""
    return int(ref.get("priority") or 0)


def maker(http_route: Mapping[str, Any]) -> str | None:
    """Name of the AIGatewayRoute that an HTTPRoute was made from; None where it is somebody's own."""
    owners = (http_route.get("metadata") or {}).get("ownerReferences") or []
    return next((str(o.get("name")) for o in owners if o.get("controller") and o.get("kind") == KIND), None)


def accepted(route: JSON, http_route: JSON | None) -> bool | None:
    """Whether both controllers have taken the route over as it is now; None until both have said so."""
    if _refused(route):
        return False
    if http_route is None or not mirrors(http_route, route) or _condition(route, "Accepted") is None:
        return None
    return routes.accepted(http_route)


def refusal(route: JSON, http_route: JSON | None) -> str:
    """What the controllers that don't take it say; empty where both do."""
    if _refused(route):
        return str((_condition(route, "NotAccepted") or {}).get("message") or "")
    return routes.refusal(http_route) if http_route is not None and mirrors(http_route, route) else ""


def mirrors(http_route: JSON, route: JSON) -> bool:
    """Whether the HTTPRoute was made from the route as it is now: its weights and priorities, rule by rule."""
    rules, made = rules_of(route), rules_of(http_route)
    if maker(http_route) != route["metadata"]["name"] or len(made) < len(rules):
        return False
    annotations = http_route["metadata"].get("annotations") or {}
    same = all(_weights(a) == _weights(b) for a, b in zip(rules, made, strict=False))
    return same and annotations.get(PRIORITIES_ANNOTATION, "") == _priorities(rules)


def _weights(rule: Mapping[str, Any]) -> list[int]:
    return [int(ref.get("weight", 1)) for ref in rule.get("backendRefs") or []]


def _priorities(rules: Sequence[JSON]) -> str:
    found = (
        f"{i}:{ref.get('name')}:{priority(ref)}"
        for i, rule in enumerate(rules)
        for ref in rule.get("backendRefs") or []
    )
    return ",".join(found)


def _condition(route: JSON, kind: str) -> JSON | None:
    conditions = (route.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each.get("type") == kind), None)


def _refused(route: JSON) -> bool:
    """Whether its controller has refused it since it was last written: a refusal names a time, and no generation."""
    condition = _condition(route, "NotAccepted")
    said = _unix(condition.get("lastTransitionTime")) if condition else None
    written = [
        _unix(entry.get("time"))
        for entry in route["metadata"].get("managedFields") or []
        if not entry.get("subresource")
    ]
    # Both times are whole seconds. It tries again, and says so again, until it succeeds.
    return said is not None and all(said > at for at in written if at is not None)


def _unix(text: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp() if text else None
    except (ValueError, OverflowError):
        return None
