"""JSON Patches (RFC 6902) on specs: made with a test before each change, and looked for in what is live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spillway.api import ObjectChange, PatchOp, PatchStep

ABSENT = object()


def pointer(*parts: str | int) -> str:
    """A JSON Pointer (RFC 6901) below /spec."""
    escaped = (str(part).replace("~", "~0").replace("/", "~1") for part in parts)
    return "/spec/" + "/".join(escaped)


def replaced(path: str, before: Any, after: Any) -> tuple[PatchStep, ...]:
    """Put ``after`` where ``before`` is."""
    return (
        PatchStep(op=PatchOp.TEST, path=path, value=before),
        PatchStep(op=PatchOp.REPLACE, path=path, value=after),
    )


def removed(path: str, before: Any) -> tuple[PatchStep, ...]:
    """Take ``before`` away."""
    return (PatchStep(op=PatchOp.TEST, path=path, value=before), PatchStep(op=PatchOp.REMOVE, path=path))


def in_place(document: Any, steps: Sequence[PatchStep]) -> bool:
    """Whether a live object (as a mapping with ``spec``) has what the patch would give it."""
    tested: dict[str, Any] = {}
    for step in steps:
        if step.op is PatchOp.TEST:
            tested[step.path] = step.value
        elif step.op is PatchOp.REMOVE:
            if _still_there(document, step.path, tested.get(step.path)):
                return False
        elif not _is(value_at(document, step.path), step.value):
            return False
    return True


def _still_there(document: Any, path: str, value: Any) -> bool:
    """Whether what was to go is there; in a list whatever its place."""
    around = value_at(document, path.rpartition("/")[0])
    if isinstance(around, list):
        return any(_is(item, value) for item in around)
    return value_at(document, path) is not ABSENT


def _is(one: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1."""
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def value_at(document: Any, path: str) -> Any:
    """What a JSON Pointer points to; ``ABSENT`` where there is nothing."""
    node = document
    for part in path.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and key in node:
            node = node[key]
        elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        else:
            return ABSENT
    return node


def change_key(changes: Sequence[ObjectChange]) -> str:
    """What makes two proposals the same one: which values they would change, and what these are now.

    Not where in a list they stand: whoever sorts it anew hasn't changed their mind.
    """
    parts = []
    for change in changes:
        tested = {step.path: step.value for step in change.patch if step.op is PatchOp.TEST}
        where = f"{change.kind}/{change.namespace}/{change.name}"
        parts += [
            f"{where} {_placeless(step.path)} {tested.get(step.path)!r}"
            for step in change.patch
            if step.op is not PatchOp.TEST
        ]
    return "\n".join(sorted(parts))


def _placeless(path: str) -> str:
    return "/".join("*" if part.isdecimal() else part for part in path.split("/"))
