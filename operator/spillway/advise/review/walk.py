"""Where two specs differ: by the schema of their kind, so that lists are compared by their keys and sets as sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from spillway.advise.review.fields import WHOLE
from spillway.advise.review.objects import Resource
from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway.api.schema import Schema, structural_schema

MODELS = {model.KIND: model for model in (CapacityPlan, CapacityLane, WorkloadClass)}


@dataclass(frozen=True, slots=True)
class Node:
    """A place in a spec."""

    path: str = ""
    """Below spec, such as "valueTiers[Standard].missUsd"."""
    pattern: str = ""
    """The same for all entries, such as "valueTiers[].missUsd"."""
    entry: tuple[str, str] | None = None
    """Pattern and key of the innermost list entry that it lies in."""

    def field(self, name: str) -> Node:
        """A field of the object."""
        dot = "." if self.path else ""
        return Node(f"{self.path}{dot}{name}", f"{self.pattern}{dot}{name}", self.entry)

    def item(self, key: str) -> Node:
        """An entry of the list."""
        return Node(f"{self.path}[{key}]", f"{self.pattern}[]", (f"{self.pattern}[]", key))

    def member(self, key: str) -> Node:
        """An entry of the map."""
        return Node(f"{self.path}.{key}", f"{self.pattern}.*", self.entry)


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the specs differ; None: it is not there."""

    node: Node
    schema: Schema
    before: Any
    after: Any


@cache
def spec_schema(kind: str) -> Schema:
    """The structural schema of the kind's spec, as in its CRD."""
    found: Schema = structural_schema(MODELS[kind])["properties"]["spec"]
    return found


def spec_of(resource: Resource) -> dict[str, Any]:
    """Its spec in wire form: defaults filled in, decimals in one notation."""
    found: dict[str, Any] = resource.to_wire()["spec"]
    return found


def differences(before: Resource, after: Resource) -> tuple[Difference, ...]:
    """Every place of the spec that differs, in the schema's order."""
    return tuple(_walk(Node(), spec_schema(before.KIND), spec_of(before), spec_of(after)))


def leaves(node: Node, schema: Schema, value: Any) -> Iterator[tuple[Node, Any]]:
    """Everything that is set below a place."""
    for each in _walk(node, schema, _empty(schema), value):
        yield each.node, each.after


def _empty(schema: Schema) -> Any:
    return {} if _members(schema) is not None or "properties" in schema else [] if _key(schema) else None


def _walk(node: Node, schema: Schema, before: Any, after: Any) -> Iterator[Difference]:
    if schema.get("type") == "array":
        before, after = before or [], after or []
    if before == after:
        return
    here = Difference(node, schema, before, after)
    if before is None or after is None or node.pattern in WHOLE:
        yield here
    elif "properties" in schema:
        for name, child in schema["properties"].items():
            yield from _walk(node.field(name), child, before.get(name), after.get(name))
    elif (member := _members(schema)) is not None:
        for key in dict.fromkeys((*before, *after)):
            yield from _walk(node.member(key), member, before.get(key), after.get(key))
    elif (key_field := _key(schema)) is not None:
        olds, news = _by_key(before, key_field), _by_key(after, key_field)
        for key in dict.fromkeys((*olds, *news)):
            yield from _walk(node.item(key), schema["items"], olds.get(key), news.get(key))
        if list(olds) != list(news) and set(olds) == set(news):
            yield Difference(node, schema, list(olds), list(news))
    else:
        yield here


def _members(schema: Schema) -> Schema | None:
    found = schema.get("additionalProperties")
    return found if isinstance(found, dict) else None


def _key(schema: Schema) -> str | None:
    keys = schema.get("x-kubernetes-list-map-keys")
    return keys[0] if keys else None


def _by_key(entries: Sequence[Mapping[str, Any]], key: str) -> dict[str, Mapping[str, Any]]:
    return {str(entry[key]): entry for entry in entries}
