"""Changes one value in the text of a YAML manifest and leaves every other character as it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import jsonpatch
import jsonpointer
import yaml

JSON = dict[str, Any]


class UnsafeEditError(Exception):
    """The text can't be changed by exchanging one scalar; the message says why, for people."""


def documents(text: str) -> list[Any]:
    """The documents of a file. Raises UnsafeEditError."""
    try:
        return list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise UnsafeEditError(f"is no plain YAML{where} (a template?)") from error


def edited(text: str, index: int, steps: list[JSON]) -> str:
    """The text with the patch made in document ``index``. Raises UnsafeEditError.

    What comes out is read again: but for the values that the patch sets, it must say what it said before.
    """
    known: dict[str, Any] = {}
    for step in steps:
        pointer = step["path"]
        if step["op"] == "test":
            known[pointer] = step["value"]
            continue
        if step["op"] == "remove" or isinstance(step["value"], dict | list) or pointer.endswith("/-"):
            raise UnsafeEditError("the change is more than one value for another")
        text = _exchanged(text, index, pointer, step["value"], known)
    return text


def _exchanged(text: str, index: int, pointer: str, value: Any, known: Mapping[str, Any]) -> str:
    before = documents(text)
    try:
        present = jsonpointer.resolve_pointer(before[index], pointer)
    except jsonpointer.JsonPointerException as error:
        raise UnsafeEditError(f"{pointer} is not written there") from error
    if _same(present, value):
        return text
    if pointer in known and not _same(present, known[pointer]):
        raise UnsafeEditError(f"{pointer} is {present!r} there, not {known[pointer]!r}")
    node = _scalar(text, index, pointer)
    start, end = node.start_mark.index, node.end_mark.index
    made = text[:start] + _written(value, node.style) + text[end:]
    wanted = [
        jsonpatch.apply_patch(each, [{"op": "replace", "path": pointer, "value": value}]) if at == index else each
        for at, each in enumerate(before)
    ]
    if not _same(documents(made), wanted):
        raise UnsafeEditError(f"{pointer} can't be changed there without changing more")
    return made


def _same(left: Any, right: Any) -> bool:
    """Equal, and of one type all the way down: 1 is not true, and not 1.0."""
    return bool(left == right) and repr(left) == repr(right)


def _scalar(text: str, index: int, pointer: str) -> yaml.ScalarNode:
    root = list(yaml.compose_all(text, Loader=yaml.SafeLoader))[index]
    node, uses = root, _references(root)
    for part in map(jsonpointer.unescape, pointer.removeprefix("/").split("/")):
        node = _child(node, part, pointer)
        if uses[id(node)] > 1:
            raise UnsafeEditError(f"{pointer} is a YAML alias, which stands for other places too")
    if not isinstance(node, yaml.ScalarNode) or node.style in ("|", ">"):
        raise UnsafeEditError(f"{pointer} is not written as one plain value")
    if node.start_mark.line != node.end_mark.line or text[node.start_mark.index : node.end_mark.index][:1] in (
        "&",
        "!",
    ):
        raise UnsafeEditError(f"{pointer} is not written as one plain value")
    return node


def _child(node: yaml.Node, part: str, pointer: str) -> yaml.Node:
    if isinstance(node, yaml.MappingNode):
        hits = [value for key, value in node.value if key.value == part]
        if len(hits) == 1:
            found: yaml.Node = hits[0]
            return found
    elif isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
        child: yaml.Node = node.value[int(part)]
        return child
    raise UnsafeEditError(f"{pointer} is not written there once")


def _references(root: yaml.Node) -> Counter[int]:
    """How often each node is referred to: more than once by aliases."""
    uses: Counter[int] = Counter()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        uses[id(node)] += 1
        if uses[id(node)] > 1:
            continue
        if isinstance(node, yaml.MappingNode):
            waiting += [each for pair in node.value for each in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
    return uses


def _written(value: Any, style: str | None) -> str:
    quoted = style if isinstance(value, str) else None
    text: str = yaml.safe_dump(value, default_style=quoted, allow_unicode=True, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...")
