"""The manifests of both sides as a unified text diff: in the order of the CRD's fields, so that only changes show."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from spillway.advise.review.objects import Pair
from spillway.advise.review.walk import spec_schema
from spillway.api.schema import Schema

CONTEXT_LINES = 3
Manifests = Mapping[tuple[str, str], Mapping[str, Any]]


def text_diff(pairs: tuple[Pair, ...], base: Manifests, head: Manifests) -> str:
    """Of every object that changes; empty where none does."""
    return "".join(_lines(pairs, base, head))


def _lines(pairs: tuple[Pair, ...], base: Manifests, head: Manifests) -> Iterator[str]:
    for pair in pairs:
        if not pair.changed:
            continue
        key = (pair.kind, pair.key)
        before = "" if pair.before is None else _text(pair.kind, base[key])
        after = "" if pair.after is None else _text(pair.kind, head[key])
        name = f"{pair.kind} {pair.key}"
        old = "/dev/null" if pair.before is None else f"base: {name}"
        new = "/dev/null" if pair.after is None else f"head: {name}"
        yield from difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True), old, new, n=CONTEXT_LINES
        )


def _text(kind: str, manifest: Mapping[str, Any]) -> str:
    spec = {"spec": _ordered(manifest["spec"], spec_schema(kind))}
    return yaml.safe_dump(spec, sort_keys=False, allow_unicode=True, width=110)


def _ordered(value: Any, schema: Schema) -> Any:
    if isinstance(value, Mapping) and "properties" in schema:
        return {name: _ordered(value[name], child) for name, child in schema["properties"].items() if name in value}
    if isinstance(value, Mapping):
        return {name: value[name] for name in sorted(value)}
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [_ordered(each, schema["items"]) for each in value]
    return value
