"""Changes values in the text of a YAML manifest and leaves every other character as it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import jsonpointer
import yaml

from spillway.act.approval.patches import PatchError, applied

JSON = dict[str, Any]
NO_VALUE = (ValueError, LookupError, AttributeError, RecursionError)
"""What PyYAML raises besides its own: on values that are none of their type (2024-02-30, `!!bool x`), and on depth."""


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
    except NO_VALUE as error:
        raise UnsafeEditError(f"has a value that is none of its YAML type ({error})") from error


def edited(text: str, index: int, steps: list[JSON]) -> str:
    """The text with the patch made in document ``index``. Raises UnsafeEditError.

    Exchanges one value for another, or takes one out of a list or mapping. What comes out is read again: but for the
    patch, it must say what it said before.
    """
    known: dict[str, Any] = {}
    for step in steps:
        pointer = step["path"]
        if step["op"] == "test":
            known[pointer] = step["value"]
        elif step["op"] == "remove":
            text = _without(text, index, pointer, known)
        elif isinstance(step["value"], dict | list) or pointer.endswith("/-"):
            raise UnsafeEditError("the change is more than one value for another")
        else:
            text = _exchanged(text, index, step, known)
    return text


def _exchanged(text: str, index: int, step: JSON, known: Mapping[str, Any]) -> str:
    pointer, value, adds = step["path"], step["value"], step["op"] == "add"
    before = documents(text)
    if adds and isinstance(_present(before[index], pointer.rpartition("/")[0]), list):
        raise UnsafeEditError("the change is more than one value for another")
    present = _present(before[index], pointer)
    if _same(present, value):
        return text
    _expected(pointer, present, known)
    node = _scalar(text, index, pointer)
    start, end = node.start_mark.index, node.end_mark.index
    made = text[:start] + _written(value, node.style) + text[end:]
    return _checked(made, before, index, {"op": "replace", "path": pointer, "value": value})


def _without(text: str, index: int, pointer: str, known: Mapping[str, Any]) -> str:
    before = documents(text)
    parent, last = _present(before[index], pointer.rpartition("/")[0]), jsonpointer.unescape(pointer.rpartition("/")[2])
    if not isinstance(parent, dict | list):
        raise UnsafeEditError(f"{pointer} is not written there")
    if isinstance(parent, list) and pointer not in known:
        raise UnsafeEditError(f"{pointer} may be another item there: the patch does not test it")
    if known[pointer] not in parent if isinstance(parent, list) else last not in parent:
        return text
    _expected(pointer, _present(before[index], pointer), known)
    _scalar(text, index, pointer)
    around = _node(text, index, pointer.rpartition("/")[0])
    if not isinstance(around, yaml.CollectionNode):
        raise UnsafeEditError(f"{pointer} is not written there")
    start, end = _entry_span(text, around, last)
    return _checked(text[:start] + text[end:], before, index, {"op": "remove", "path": pointer})


def _present(document: Any, pointer: str) -> Any:
    try:
        return jsonpointer.resolve_pointer(document, pointer)
    except (jsonpointer.JsonPointerException, TypeError) as error:
        raise UnsafeEditError(f"{pointer} is not written there") from error


def _expected(pointer: str, present: Any, known: Mapping[str, Any]) -> None:
    if pointer in known and not _same(present, known[pointer]):
        raise UnsafeEditError(f"{pointer} is {present!r} there, not {known[pointer]!r}")


def _checked(made: str, before: list[Any], index: int, step: JSON) -> str:
    try:
        wanted = [applied(each, [step]) if at == index else each for at, each in enumerate(before)]
        same = _same(documents(made), wanted)
    except (PatchError, RecursionError) as error:
        raise UnsafeEditError(f"{step['path']} can't be changed there") from error
    if not same:
        raise UnsafeEditError(f"{step['path']} can't be changed there without changing more")
    return made


def _entry_span(text: str, parent: yaml.CollectionNode, last: str) -> tuple[int, int]:
    """From where to where an entry's text goes: its line, or in [] and {} itself and a comma."""
    entries = [entry if isinstance(entry, tuple) else (entry, entry) for entry in parent.value]
    mapping = isinstance(parent, yaml.MappingNode)
    at = next(i for i, (key, _) in enumerate(entries) if (key.value == last if mapping else str(i) == last))
    start, end = entries[at][0].start_mark.index, entries[at][1].end_mark.index
    if parent.flow_style:
        if at + 1 < len(entries):
            end = entries[at + 1][0].start_mark.index
        elif at:
            start = entries[at - 1][1].end_mark.index
        if "#" in text[start:end] or "\n" in text[start:end]:
            raise UnsafeEditError(f"{last} shares its lines with others")
        return start, end
    line, after = text.rfind("\n", 0, start) + 1, text.find("\n", end)
    if text[line:start].strip() != ("" if mapping else "-"):
        raise UnsafeEditError(f"{last} shares its line with others")
    return line, len(text) if after < 0 else after + 1


def _same(left: Any, right: Any) -> bool:
    """Equal, and of one type all the way down: 1 is not true, and not 1.0."""
    return bool(left == right) and repr(left) == repr(right)


def _scalar(text: str, index: int, pointer: str) -> yaml.ScalarNode:
    node = _node(text, index, pointer)
    if not isinstance(node, yaml.ScalarNode) or node.style in ("|", ">"):
        raise UnsafeEditError(f"{pointer} is not written as one plain value")
    if node.start_mark.line != node.end_mark.line or text[node.start_mark.index : node.end_mark.index][:1] in (
        "&",
        "!",
    ):
        raise UnsafeEditError(f"{pointer} is not written as one plain value")
    return node


def _node(text: str, index: int, pointer: str) -> yaml.Node:
    root = list(yaml.compose_all(text, Loader=yaml.SafeLoader))[index]
    node, uses = root, _references(root)
    for part in map(jsonpointer.unescape, pointer.removeprefix("/").split("/")):
        node = _child(node, part, pointer)
        if uses[id(node)] > 1:
            raise UnsafeEditError(f"{pointer} is a YAML alias, which stands for other places too")
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
