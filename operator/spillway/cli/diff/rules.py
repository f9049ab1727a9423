"""What the apiserver would refuse, checked before the merge: unknown fields, entries given twice, the CRDs' rules.

The rules are in CEL, which nothing here evaluates; each has its counterpart below, found by its text.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from spillway.advise.review.walk import spec_schema
from spillway.api.schema import ANY_JSON, Schema

Value = Mapping[str, Any]
ROUTES = ("GatewayAPI", "EnvoyAIGateway")
HIGHEST_PORT = 65535


def problems(kind: str, spec: Any) -> Iterator[str]:
    """One line each, ``field: what is wrong; the way out``."""
    yield from _problems(spec_schema(kind), spec, "spec")


def without_nulls(value: Any) -> Any:
    """As the apiserver stores it: an explicit null is dropped."""
    if isinstance(value, dict):
        return {key: without_nulls(each) for key, each in value.items() if each is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


def _problems(schema: Schema, value: Any, path: str) -> Iterator[str]:
    if schema.get(ANY_JSON):
        return
    if "properties" in schema and isinstance(value, Mapping):
        known = schema["properties"]
        for name, each in value.items():
            if name not in known:
                near = difflib.get_close_matches(str(name), known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                yield f"{path}.{name}: there is no such field; {hint}"
            else:
                yield from _problems(known[name], each, f"{path}.{name}")
    elif isinstance(schema.get("additionalProperties"), dict) and isinstance(value, Mapping):
        for name, each in value.items():
            yield from _problems(schema["additionalProperties"], each, f"{path}.{name}")
    elif "items" in schema and isinstance(value, list):
        for number, each in enumerate(value):
            yield from _problems(schema["items"], each, f"{path}[{number}]")
        yield from _repeated(schema, value, path)
    yield from _broken(schema, value, path)


def _repeated(schema: Schema, value: list[Any], path: str) -> Iterator[str]:
    keys = schema.get("x-kubernetes-list-map-keys")
    if keys:
        entries = [each.get(keys[0]) for each in value if isinstance(each, Mapping)]
    elif schema.get("x-kubernetes-list-type") == "set":
        entries = value
    else:
        return
    for number, each in enumerate(entries):
        if each in entries[:number]:
            yield f"{path}: {each} is given twice; remove one"
            return


def _broken(schema: Schema, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        return
    for rule in schema.get("x-kubernetes-validations", ()):
        holds = RULES.get(rule["rule"])
        if holds is not None and not holds(value):
            yield f"{path}: {rule['message']}"


def _has(value: Any, name: str) -> bool:
    return isinstance(value, Mapping) and value.get(name) is not None


def _bounds(value: Value) -> bool:
    low, high = value.get("min", 1), value.get("max")
    return not (isinstance(low, int) and isinstance(high, int)) or low <= high


def _bindings(value: Value) -> list[Value]:
    found = value.get("bindings")
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _backends(value: Value) -> list[str]:
    found = value.get("backends")
    return [str(each) for each in found.values()] if isinstance(found, Mapping) else []


def _ports(value: Value) -> bool:
    ports = [text.partition(":")[2] for text in _backends(value)]
    return all(not port or (port.isdigit() and 1 <= int(port) <= HIGHEST_PORT) for port in ports)


def _plain_backends(value: Value) -> bool:
    return value.get("plane") != "EnvoyAIGateway" or all(
        not _has(each, "rule") and not any("/" in text or ":" in text for text in _backends(each))
        for each in _bindings(value)
    )


def _adopted(value: Value) -> bool:
    return value.get("plane") == "EnvoyAIGateway" or all(
        each.get("ownership") != "Adopted" or _has(each, "rule") for each in _bindings(value)
    )


RULES: Mapping[str, Callable[[Value], bool]] = {
    "self.min <= self.max": _bounds,
    "(self.type == 'SelfHosted') == has(self.selfHosted)": lambda v: (
        (v.get("type") == "SelfHosted") == _has(v, "selfHosted")
    ),
    "(self.type != 'SelfHosted') == has(self.hosted)": lambda v: (v.get("type") != "SelfHosted") == _has(v, "hosted"),
    "[has(self.header), has(self.model), has(self.team), has(self.routeRule)].filter(x, x).size() == 1": lambda v: (
        sum(_has(v, name) for name in ("header", "model", "team", "routeRule")) == 1
    ),
    "self.latency == 'Deferrable' || has(self.slo)": lambda v: v.get("latency") == "Deferrable" or _has(v, "slo"),
    "has(self.monthlyUsd) != has(self.measuredPlusPercent)": lambda v: (
        _has(v, "monthlyUsd") != _has(v, "measuredPlusPercent")
    ),
    "(has(self.from) && self.from == 'Selector') == has(self.namespaceSelector)": lambda v: (
        (v.get("from") == "Selector") == _has(v, "namespaceSelector")
    ),
    "self.ownership != 'Managed' || has(self.gateway)": lambda v: v.get("ownership") != "Managed" or _has(v, "gateway"),
    "self.backends.all(lane, !self.backends[lane].contains(':') || (int(self.backends[lane].split(':')[1]) >= 1 && "
    "int(self.backends[lane].split(':')[1]) <= 65535))": _ports,
    "(has(self.plane) && self.plane in ['GatewayAPI', 'EnvoyAIGateway']) || !has(self.bindings) || "
    "self.bindings.size() == 0": lambda v: v.get("plane") in ROUTES or not _bindings(v),
    "(has(self.plane) && self.plane == 'EnvoyAIGateway') || !has(self.bindings) || "
    "self.bindings.all(b, b.ownership != 'Adopted' || has(b.rule))": _adopted,
    "!has(self.plane) || self.plane != 'EnvoyAIGateway' || !has(self.bindings) || self.bindings.all(b, !has(b.rule) && "
    "b.backends.all(lane, !b.backends[lane].contains('/') && !b.backends[lane].contains(':')))": _plain_backends,
    "!has(self.plane) || self.plane != 'LiteLLM' || has(self.litellm)": lambda v: (
        v.get("plane") != "LiteLLM" or _has(v, "litellm")
    ),
    "(has(self.plane) && self.plane != 'None') || !has(self.litellm)": lambda v: (
        v.get("plane") not in (None, "None") or not _has(v, "litellm")
    ),
}
"""By the rule's text; what holds without a counterpart is left to the apiserver."""
