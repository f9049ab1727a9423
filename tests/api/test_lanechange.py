"""A proposal can't be edited: not even deep inside the value of a patch, whose type no schema knows."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from spillway.api import LaneChange, PatchOp

from .conftest import Api
from .manifests import DELETE, VARIANTS, edited

VALUE = "spec.change.0.patch.1.value"
BASE = VARIANTS["LaneChange"][0]

EDITS: list[tuple[str, Any, Any]] = [
    ("a number", 1, 2),
    ("a number for a text", 1, "1"),
    ("a number for none", 1, None),
    ("none for a number", None, 1),
    ("nothing for a number", 1, DELETE),
    ("false for none", False, None),
    ("0 for false", False, 0),
    ("an item", ["gpu-h100", "hosted"], ["gpu-h100", "other"]),
    ("the order of items", ["gpu-h100", "hosted"], ["hosted", "gpu-h100"]),
    ("one item more", ["gpu-h100"], ["gpu-h100", "hosted"]),
    ("an entry", {"min": 1, "max": 4}, {"min": 1, "max": 5}),
    ("a name", {"min": 1}, {"max": 1}),
    ("an entry deep inside", {"a": [{"b": {"c": 1}}]}, {"a": [{"b": {"c": 2}}]}),
    ("an entry deep inside that goes", {"a": [{"b": {"c": 1}}]}, {"a": [{"b": {}}]}),
    ("a number deep inside that is a text", {"a": {"b": 1}}, {"a": {"b": "1"}}),
    ("an empty list for an empty object", {}, []),
]


@pytest.mark.parametrize(("before", "after"), [edit[1:] for edit in EDITS], ids=[edit[0] for edit in EDITS])
def test_no_part_of_a_patchs_value_can_be_edited(api: Api, before: Any, after: Any) -> None:
    live = api.create_live(edited(BASE, {VALUE: before}), f"change-{uuid.uuid4().hex[:8]}")
    assert api.update(live, {**live}).accepted
    refused = api.update(live, edited(live, {VALUE: after}))
    assert refused.code == 422
    assert [field for field, _ in refused.causes] == ["spec"]
    assert "a proposal can't be changed" in refused.causes[0][1]


def test_annotations_and_status_can_be_written_all_the_same(api: Api) -> None:
    live = api.create_live(BASE, f"change-{uuid.uuid4().hex[:8]}")
    meta = live["metadata"] | {"annotations": {"spillway.dev/approved": "6f1c0d2e9a3b4c5d"}}
    assert api.update(live | {"metadata": meta}, live).accepted
    assert api.update_status(live, {"state": "Approved", "observedGeneration": 1}).accepted


def test_a_patch_as_rfc_6902_has_it() -> None:
    change = LaneChange.parse(edited(BASE, {VALUE: None}))
    test, replace = change.spec.change[0].patch
    assert test.to_wire() == {"op": "test", "path": "/spec/selfHosted/replicas/min", "value": 3}
    assert replace.to_wire() == {"op": "replace", "path": "/spec/selfHosted/replicas/min", "value": None}
    removed = replace.model_copy(update={"op": PatchOp.REMOVE})
    assert removed.to_wire() == {"op": "remove", "path": "/spec/selfHosted/replicas/min"}
