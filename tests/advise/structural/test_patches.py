"""Patches as RFC 6902 carries them out, and whether they are in place."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway.advise.structural.patches import ABSENT, change_key, in_place, pointer, removed, replaced, value_at
from spillway.api import ChangedKind, ObjectChange, PatchOp, PatchStep

LANES = st.lists(st.text("abc~/", min_size=1, max_size=4), min_size=1, max_size=5, unique=True)


def changed(*steps: PatchStep, name: str = "gpu") -> ObjectChange:
    return ObjectChange(kind=ChangedKind.LANE, namespace="ai", name=name, patch=steps)


@given(LANES, st.data())
def test_what_is_removed_is_gone_wherever_it_stood(lanes: list[str], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(lanes) - 1))
    backends = {name: f"backend-{number}" for number, name in enumerate(lanes)}
    document: dict[str, Any] = {"spec": {"lanes": list(lanes), "bindings": [{"backends": backends}]}}
    name = lanes[index]
    steps = (
        *removed(pointer("lanes", index), name),
        *removed(pointer("bindings", 0, "backends", name), backends[name]),
    )
    assert not in_place(document, steps)
    after = jsonpatch.apply_patch(document, [step.to_wire() for step in steps])
    assert in_place(after, steps)
    assert in_place({"spec": after["spec"] | {"lanes": list(reversed(after["spec"]["lanes"]))}}, steps)
    assert not in_place({"spec": after["spec"] | {"lanes": [*after["spec"]["lanes"], name]}}, steps)


@given(st.integers(0, 9), st.integers(0, 9))
def test_a_bound(before: int, after: int) -> None:
    document = {"spec": {"selfHosted": {"replicas": {"min": before}}}}
    steps = replaced(pointer("selfHosted", "replicas", "min"), before, after)
    assert in_place(document, steps) == (before == after)
    assert in_place(jsonpatch.apply_patch(document, [step.to_wire() for step in steps]), steps)


def test_equal_as_json_and_not_as_python() -> None:
    step = PatchStep(op=PatchOp.REPLACE, path="/spec/paused", value=True)
    assert in_place({"spec": {"paused": True}}, [step])
    assert not in_place({"spec": {"paused": 1}}, [step])
    assert not in_place({"spec": {}}, [step])
    assert not in_place({}, [PatchStep(op=PatchOp.ADD, path="/spec/a", value=None)])


@pytest.mark.parametrize(
    ("path", "value"),
    [("/spec/a~1b", 1), ("/spec/c~0d", 2), ("/spec/l/1", "y"), ("/spec/l/2", ABSENT), ("/spec/l/-", ABSENT)],
)
def test_pointers(path: str, value: object) -> None:
    assert value_at({"spec": {"a/b": 1, "c~d": 2, "l": ["x", "y"]}}, path) == value
    assert pointer("a/b", "c~d", 0) == "/spec/a~1b/c~0d/0"


def test_two_proposals_are_the_same_by_what_they_change_from_what() -> None:
    path = pointer("selfHosted", "replicas", "min")
    one = change_key([changed(*replaced(path, 3, 1))])
    assert change_key([changed(*replaced(path, 3, 2))]) == one, "how far is not what a person rejects"
    assert change_key([changed(*replaced(path, 4, 1))]) != one
    assert change_key([changed(*replaced(path, 3, 1), name="other")]) != one
    assert change_key([changed(*replaced(pointer("selfHosted", "replicas", "max"), 3, 1))]) != one


def removal(lane: str, place: int, binding: int, backend: str) -> ObjectChange:
    return changed(
        *removed(pointer("lanes", place), lane),
        *removed(pointer("routing", "bindings", binding, "backends", lane), backend),
    )


def test_a_lane_that_stands_elsewhere_in_the_list_is_the_same_one() -> None:
    one = change_key([removal("spare", 1, 0, "vllm-spare")])
    assert change_key([removal("spare", 2, 3, "vllm-spare")]) == one
    assert change_key([removal("other", 1, 0, "vllm-spare")]) != one
    assert change_key([removal("spare", 1, 0, "vllm")]) != one
    assert change_key([removal("1", 0, 0, "vllm")]) != change_key([removal("2", 0, 0, "vllm")])
