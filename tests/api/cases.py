"""For every constraint: objects that keep it and objects that break it.

Boundary values are generated; what cannot be derived stands in patterns.py and rules.py. A constraint that neither
covers raises here.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from .constraints import ITEM, VALUE, Constraint
from .manifests import DELETE, VARIANTS, Manifest
from .patterns import PATTERNS
from .rules import RULES

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Case:
    """One write to the apiserver and what must come of it."""

    manifest: Manifest
    message: str = ""
    """Part of the refusal; empty where the object must be accepted."""
    field: str = ""
    """Field that the refusal must name; an object around it may be named too, nothing else."""
    old: Manifest | None = None
    """For a rule on updates: the object as it was."""

    @property
    def accepted(self) -> bool:
        """Whether the write must go through."""
        return not self.message


def cases_of(constraint: Constraint) -> list[Case]:
    """Accepting and refusing cases; raises where the constraint is one that nobody thought of."""
    if constraint.keyword == "rule":
        return _rule_cases(constraint)
    for base in VARIANTS[constraint.kind]:
        path = locate(base, constraint.path)
        if path is not None:
            return _generated(constraint, base, path)
    raise LookupError(f"{constraint.id}: no manifest in manifests.py has this field")


def locate(manifest: Manifest, schema_path: tuple[str, ...]) -> Path | None:
    """Where a manifest holds what a schema path speaks of: the first item, the first key; None if it does not."""
    node: Any = manifest
    found: list[str | int] = []
    for segment in schema_path:
        if segment == ITEM:
            key: str | int = 0
        elif segment == VALUE:
            key = next(iter(node), "")
        else:
            key = segment
        if not node or (isinstance(node, dict) and key not in node):
            return None
        node = node[key]
        found.append(key)
    return tuple(found)


def _rule_cases(constraint: Constraint) -> list[Case]:
    rule = RULES[constraint.value]
    accepts = [Case(manifest, old=rule.old) for manifest in rule.accepts]
    refuses = [Case(manifest, constraint.value, rule.field, rule.old) for manifest in rule.refuses]
    return [case for case in accepts + refuses if case.manifest["kind"] == constraint.kind]


def _generated(constraint: Constraint, base: Manifest, path: Path) -> list[Case]:
    make = _Maker(constraint, base, path)
    keyword = constraint.keyword.replace("-", "_").lower()
    cases: list[Case] = getattr(make, keyword)(constraint.value)
    return cases


class _Maker:
    """The cases of one constraint at one place of one valid manifest; a method for each keyword."""

    def __init__(self, constraint: Constraint, base: Manifest, path: Path) -> None:
        self.constraint, self.base, self.path, self.node = constraint, base, path, constraint.node
        self.current: Any = base
        for key in path:
            self.current = self.current[key]

    def _with(self, value: Any, path: Path | None = None) -> Manifest:
        result = copy.deepcopy(self.base)
        *parents, last = path or self.path
        node: Any = result
        for key in parents:
            node = node[key]
        if value is DELETE:
            del node[last]
        else:
            node[last] = copy.deepcopy(value)
        return result

    def _accept(self, value: Any) -> Case:
        return Case(self._with(value))

    def _refuse(self, value: Any, message: str, path: Path | None = None) -> Case:
        return Case(self._with(value, path), message, field_text(path or self.path))

    def type(self, kind: str) -> list[Case]:
        wrong: dict[str, list[Any]] = {
            "string": [7, True, 3.85, {}, ["a"]],
            "integer": ["7", 1.5, True],
            "boolean": ["true", 1],
            "object": ["a", 7, ["a"]],
            "array": ["a", {}],
        }
        if "format" in self.node:  # the apiserver lets a list pass as a string that has a format
            wrong["string"].remove(["a"])
        return [Case(self.base), *(self._refuse(value, "must be of type") for value in wrong[kind])]

    def required(self, name: str) -> list[Case]:
        missing = (*self.path, name)
        return [Case(self.base), self._refuse(DELETE, "Required value", missing)]

    def enum(self, values: list[str]) -> list[Case]:
        accepts = [self._variant_with(value) for value in values]
        strangers = ("Unheard-of", values[0].swapcase(), "")
        return accepts + [self._refuse(value, "Unsupported value") for value in strangers]

    def _variant_with(self, value: str) -> Case:
        """An object that holds the value: one that is made for it, else this one with it put in."""
        for variant in VARIANTS[self.constraint.kind]:
            path = locate(variant, self.constraint.path)
            node: Any = variant
            for key in path or ():
                node = node[key]
            if path and node == value:
                return Case(variant)
        return self._accept(value)

    def pattern(self, text: str) -> list[Case]:
        samples = PATTERNS[text]
        return [self._accept(value) for value in samples.accepts] + [
            self._refuse(value, "should match") for value in samples.refuses
        ]

    def format(self, name: str) -> list[Case]:
        assert name == "date-time", f"{self.constraint.id}: no test knows the format {name}"
        accepts = ("2026-01-05T09:00:00Z", "2026-01-05T09:00:00.123456+01:00")
        refuses = ("yesterday", "2026-01-05", "2026-13-05T09:00:00Z", "")
        return [self._accept(value) for value in accepts] + [
            self._refuse(value, "must be of type date-time") for value in refuses
        ]

    def _text(self, length: int) -> str:
        if self.node.get("format") == "date-time":
            return "2026-01-05T09:00:00.1234567890"[: length - 6] + "+00:00"
        pattern = self.node.get("pattern")
        return PATTERNS[pattern].fill(length) if pattern else "é" * length

    def minlength(self, limit: int) -> list[Case]:
        short = self._refuse(self._text(limit - 1), f"should be at least {limit} chars long")
        return [self._accept(self._text(limit)), short]

    def maxlength(self, limit: int) -> list[Case]:
        return [self._accept(self._text(limit)), self._refuse(self._text(limit + 1), f"may not be more than {limit}")]

    def minimum(self, limit: int) -> list[Case]:
        return [self._accept(limit), self._refuse(limit - 1, f"should be greater than or equal to {limit}")]

    def maximum(self, limit: int) -> list[Case]:
        return [self._accept(limit), self._refuse(limit + 1, f"should be less than or equal to {limit}")]

    def _items(self, count: int) -> list[Any]:
        """Distinct items, made from the first."""
        first = self.current[0]
        keys = self.node.get("x-kubernetes-list-map-keys", ())
        if self.node.get("x-kubernetes-list-type") == "atomic":
            return [first] * count
        if not keys:
            return [first + number if isinstance(first, int) else f"{first}-{number}" for number in range(count)]
        return [first | {keys[-1]: f"{first[keys[-1]]}-{number}"} for number in range(count)]

    def minitems(self, limit: int) -> list[Case]:
        few = self._refuse(self._items(limit - 1), f"should have at least {limit} items")
        return [self._accept(self._items(limit)), few]

    def maxitems(self, limit: int) -> list[Case]:
        return [
            self._accept(self._items(limit)),
            self._refuse(self._items(limit + 1), f"must have at most {limit} items"),
        ]

    def unique_set(self, _: bool) -> list[Case]:
        duplicate = Case(
            self._with([*self._items(2), self._items(1)[0]]), "Duplicate value", f"{field_text(self.path)}[2]"
        )
        return [self._accept(self._items(3)), duplicate]

    def unique_map(self, _: bool) -> list[Case]:
        keys = self.node["x-kubernetes-list-map-keys"]
        first = self.current[0]
        by_each_key = [self._accept([first, first | {key: self._other(key)}]) for key in keys]
        optional = [name for name in first if name not in self.node["items"]["required"]]
        same_keys = {name: value for name, value in first.items() if name not in optional[-1:]}
        duplicate = Case(self._with([first, same_keys]), "Duplicate value", f"{field_text(self.path)}[1]")
        return [*by_each_key, duplicate]

    def _other(self, key: str) -> str:
        """Another value of a key of the first item."""
        current: str = self.current[0][key]
        known: list[str] = self.node["items"]["properties"][key].get("enum", [])
        return next((value for value in known if value != current), f"{current}-2")

    def _entries(self, count: int) -> dict[str, Any]:
        first = next(iter(self.current.values()))
        return {f"key-{number}": first for number in range(count)}

    def minproperties(self, limit: int) -> list[Case]:
        few = self._refuse(self._entries(limit - 1), f"should have at least {limit} properties")
        return [self._accept(self._entries(limit)), few]

    def maxproperties(self, limit: int) -> list[Case]:
        many = self._refuse(self._entries(limit + 1), f"must have at most {limit}")
        return [self._accept(self._entries(limit)), many]


def field_text(path: Path) -> str:
    """A path as the apiserver writes it: ``spec.lanes[0]``."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}"
    return text.removeprefix(".")
