"""JSON Patches of a LaneChange: guarded for the apiserver, told in words, and found again in an object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jsonpatch
import jsonpointer

from spillway.api.lanechange import BasisObject, ObjectChange, PatchOp, PatchStep
from spillway.kube import CLASSES, LANES, PLANS, Resource

JSON = dict[str, Any]
Operations = list[JSON]

RESOURCES: Mapping[str, Resource] = {"WorkloadClass": CLASSES, "CapacityLane": LANES, "CapacityPlan": PLANS}
"""How the API serves the kinds that a proposal may change."""
WORDS_LENGTH = 200
"""Longest value that is shown."""


def steps_of(change: ObjectChange) -> Operations:
    """The patch as JSON Patch writes it."""
    return [step.to_wire() for step in change.patch]


def guarded(change: ObjectChange, basis: BasisObject) -> Operations:
    """The patch, refused unless the object is the very one of the basis, with its spec as it was.

    The generation counts changes of the spec alone: status writes of the operator do not disturb.
    """
    return [
        {"op": "test", "path": "/metadata/uid", "value": basis.uid},
        {"op": "test", "path": "/metadata/generation", "value": basis.generation},
        *steps_of(change),
    ]


class PatchError(Exception):
    """A patch can't be made on an object; the message names the field and says why."""


def applied(item: Mapping[str, Any], steps: Operations) -> JSON:
    """The object with the patch made, in memory. Raises PatchError."""
    made: Any = item
    for step in steps:
        try:
            made = jsonpatch.apply_patch(made, [step])
        except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError) as error:
            raise PatchError(_unfit(made, step)) from error
    found: JSON = made
    return found


def _unfit(item: Any, step: JSON) -> str:
    field, missing = dotted(step["path"]), object()
    try:
        present = jsonpointer.resolve_pointer(item, step["path"], missing)
    except jsonpointer.JsonPointerException:
        return f"{field} is no field"
    if step["op"] == PatchOp.TEST and present is not missing:
        return f"{field} is {_shown(present)}, not {_shown(step['value'])}, which its patch tests"
    if step["op"] == PatchOp.ADD:
        return f"nothing can be added at {field}"
    return f"{field} is not there"


def in_place(change: ObjectChange, item: JSON) -> bool:
    """Whether the object's spec is what the patch makes of it.

    The patch is undone on a copy and done again: where that leads back to the object, its outcome is there.
    """
    try:
        before = _undone(change.patch, item)
        again = applied(before, [step for step in steps_of(change) if step["op"] != PatchOp.TEST])
    except (PatchError, jsonpointer.JsonPointerException):
        return False
    return bool(again["spec"] == item["spec"])


class _NotThereError(PatchError):
    """The object can't be the outcome of the patch."""


def _undone(patch: Sequence[PatchStep], item: JSON) -> JSON:
    known: dict[str, Any] = {}

    done: list[tuple[PatchStep, bool, Any]] = []
    for step in patch:
        if step.op is not PatchOp.TEST:
            done.append((step, *_before(step.path, known)))
        if step.op is PatchOp.REMOVE:
            known.pop(step.path, None)
        else:
            known[step.path] = step.value
    for step, told, old in reversed(done):
        item = applied(item, _undo(step, told, old, item))
    return item


def _before(path: str, known: Mapping[str, Any]) -> tuple[bool, Any]:
    """Whether it is told what stood there, and what; also where it stood within a value that is told."""
    if path in known:
        return True, known[path]
    for above, value in reversed(list(known.items())):
        if path.startswith(f"{above}/") and isinstance(value, dict | list):
            missing = object()
            found = jsonpointer.resolve_pointer(value, path.removeprefix(above), missing)
            return found is not missing, None if found is missing else found
    return False, None


def _undo(step: PatchStep, told: bool, old: Any, item: JSON) -> Operations:
    parent_path, _, last = step.path.rpartition("/")
    parent = jsonpointer.resolve_pointer(item, parent_path)
    if not isinstance(parent, dict | list):
        raise _NotThereError(f"{dotted(parent_path)} has no fields")
    if step.op is PatchOp.REMOVE:
        if old in parent if isinstance(parent, list) else jsonpointer.unescape(last) in parent:
            raise _NotThereError(f"{step.path} is still there")
        return [{"op": "add", "path": step.path, "value": old}]
    path = f"{parent_path}/{len(parent) - 1}" if last == "-" and isinstance(parent, list) else step.path
    there = {"op": "test", "path": path, "value": step.value}
    # An add replaces the member of an object, and goes before the item of a list.
    if step.op is PatchOp.REPLACE or (told and not isinstance(parent, list)):
        return [there, {"op": "replace", "path": path, "value": old}]
    return [there, {"op": "remove", "path": path}]


def words(change: ObjectChange) -> list[str]:
    """What the patch does to the object, a line for each value."""
    known: dict[str, Any] = {}
    lines = []
    for step in change.patch:
        field = dotted(step.path)
        if step.op is PatchOp.TEST:
            known[step.path] = step.value
        elif step.op is PatchOp.REMOVE:
            was = f" ({_shown(known[step.path])})" if step.path in known else ""
            lines.append(f"{field}: removed{was}")
        elif step.path in known:
            lines.append(f"{field}: {_shown(known[step.path])} -> {_shown(step.value)}")
        else:
            lines.append(f"{field}: {'added ' if step.op is PatchOp.ADD else ''}{_shown(step.value)}")
    return lines


def dotted(pointer: str) -> str:
    """ "/spec/selfHosted/replicas/min" as "spec.selfHosted.replicas.min"."""
    parts = [jsonpointer.unescape(part) for part in pointer.removeprefix("/").split("/")]
    return "".join(f"[{part}]" if part.isdecimal() else "[]" if part == "-" else f".{part}" for part in parts)[1:]


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WORDS_LENGTH else text[: WORDS_LENGTH - 3] + "..."
