"""Every constraint that the committed CRDs state, read from the files themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CRDS = Path(__file__).parents[2] / "crds"
ITEM = "[]"
VALUE = "*"

_LIMITS = (
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "format",
    "enum",
    "type",
)
_NOT_CONSTRAINTS = {
    "description",
    "default",
    "properties",
    "items",
    "additionalProperties",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields",
}


@dataclass(frozen=True)
class Constraint:
    """One thing that the apiserver checks at one place of one kind."""

    kind: str
    path: tuple[str, ...]
    keyword: str
    value: Any
    node: dict[str, Any]
    """The schema that states it."""

    @property
    def id(self) -> str:
        """How a test names it."""
        detail = f"={self.value}" if self.keyword in ("required", "rule") else ""
        return f"{self.kind}:{'.'.join(self.path)}:{self.keyword}{detail}"

    @property
    def in_status(self) -> bool:
        """Whether it binds the operator's writes, not people's."""
        return self.path[:1] == ("status",)


def load_crds() -> dict[str, dict[str, Any]]:
    """The committed CRDs by kind."""
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(CRDS.glob("*.yaml"))]
    return {document["spec"]["names"]["kind"]: document for document in documents}


def schema_of(crd: dict[str, Any]) -> dict[str, Any]:
    """The schema of the CRD's only version."""
    (version,) = crd["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every schema below (and with) this one, by path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, (*path, name))
    for keyword, segment in (("items", ITEM), ("additionalProperties", VALUE)):
        if keyword in schema:
            yield from nodes(schema[keyword], (*path, segment))


def constraints() -> list[Constraint]:
    """All of them; an unknown keyword is an error, so that none can slip in unseen."""
    found = []
    for kind, crd in sorted(load_crds().items()):
        for path, node in nodes(schema_of(crd)):
            if path[:1] not in ((), ("spec",), ("status",)):
                continue
            found += [Constraint(kind, path, keyword, value, node) for keyword, value in _stated(node, path)]
    return found


def _stated(node: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for keyword, value in node.items():
        if keyword == "required":
            yield from (("required", name) for name in value)
        elif keyword == "x-kubernetes-validations":
            yield from (("rule", rule["message"]) for rule in value)
        elif keyword == "x-kubernetes-list-type":
            assert value in ("set", "map", "atomic"), f"{path}: no test knows list type {value}"
            if value != "atomic":
                yield f"unique-{value}", True
        elif keyword in _LIMITS:
            if not (keyword == "type" and path == ()):
                yield keyword, value
        else:
            assert keyword in _NOT_CONSTRAINTS, f"{path}: no test knows the keyword {keyword}"
