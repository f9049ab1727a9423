"""Spillway's objects in a text of YAML documents; objects of other kinds are not even constructed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from spillway.api import API_VERSION, CapacityLane, CapacityPlan, WorkloadClass
from spillway.cli.diff.errors import InputError
from spillway.cli.diff.sources import Text

GROUP = API_VERSION.split("/", maxsplit=1)[0]
KINDS = (CapacityPlan.KIND, CapacityLane.KIND, WorkloadClass.KIND)
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
LIST = "List"
MAX_DEPTH = 100
MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Found:
    """One object and where it stands."""

    origin: str
    """File and line."""
    manifest: dict[str, Any]


def objects_in(side: str, text: Text) -> Iterator[Found]:
    """Those of Spillway's group, and those of its kinds under a mistyped group. Raises InputError."""
    place = f"{side} {text.origin}"
    try:
        check_depth(text.content, place)
        for node in _documents(text.content):
            for each in _items(node):
                if _is_ours(each):
                    yield _object(each, place)
    except yaml.YAMLError as error:
        if GROUP in text.content or any(kind in text.content for kind in KINDS):
            raise InputError(f"{place}: {yaml_problem(error, text.content)}") from error


def check_depth(content: str, place: str) -> None:
    """Raises InputError, yaml.YAMLError. Composing recurses, in C without a limit."""
    depth = 0
    for event in yaml.parse(content, Loader=LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise InputError(f"{place}: is nested more than {MAX_DEPTH} deep; mend the YAML")


def _documents(content: str) -> Iterator[Any]:
    loader = LOADER(content)
    try:
        while loader.check_node():
            yield loader.get_node()
    finally:
        loader.dispose()


def _items(node: Any) -> Iterator[Any]:
    if _scalar(node, "kind") == LIST:
        for key, value in node.value:
            if getattr(key, "value", None) == "items" and isinstance(value, yaml.SequenceNode):
                yield from value.value
    else:
        yield node


def _is_ours(node: Any) -> bool:
    api_version = _scalar(node, "apiVersion")
    ours = api_version is not None and api_version.split("/", maxsplit=1)[0] == GROUP
    return ours or (_scalar(node, "kind") in KINDS)


def _scalar(node: Any, name: str) -> str | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value == name and isinstance(value, yaml.ScalarNode):
            return str(value.value)
    return None


def _object(node: Any, place: str) -> Found:
    origin = f"{place} line {node.start_mark.line + 1}"
    if twice := given_twice(node, set()):
        raise InputError(f"{place} line {twice[1]}: {twice[0]!r} is given twice; remove one")
    loader = LOADER("")
    try:
        return Found(origin, loader.construct_document(node))
    finally:
        loader.dispose()


def given_twice(node: Any, seen: set[int]) -> tuple[str, int] | None:
    """A key that a mapping has twice, of which the second would win in silence, and its line."""
    if id(node) in seen or not isinstance(node, yaml.CollectionNode):
        return None
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        return next((found for each in node.value if (found := given_twice(each, seen))), None)
    names: set[str] = set()
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
            if key.value in names:
                return str(key.value), key.start_mark.line + 1
            names.add(key.value)
        if found := given_twice(value, seen):
            return found
    return None


def yaml_problem(error: yaml.YAMLError, content: str) -> str:
    """What is wrong with a text that is no YAML, and the way out."""
    if "{{" in content:
        return "is a template, not YAML; render it first (helm template CHART | spillway diff BASE -)"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem or 'is not YAML'}; mend the YAML"
    return f"{' '.join(str(error).split())}; mend the YAML"
