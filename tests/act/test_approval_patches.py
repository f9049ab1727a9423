"""A LaneChange's patch is found again in an object that has it, and in no other; and it is told in words."""

from __future__ import annotations

import copy
import re
from typing import Any

import jsonpatch
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spillway.act.approval import patches
from spillway.act.approval.patches import PatchError, dotted, in_place, words
from spillway.api.lanechange import ObjectChange
from spillway.cli.approval.gitform import git_steps, kustomize_patch, snippet

JSON = dict[str, Any]
KEY = ("CapacityPlan", "inference", "main")


def change(*steps: JSON) -> ObjectChange:
    return ObjectChange.model_validate(
        {"kind": KEY[0], "namespace": KEY[1], "name": KEY[2], "patch": list(steps)}
    )  # fmt: skip


def test(path: str, value: Any) -> JSON:
    return {"op": "test", "path": path, "value": value}


test.__test__ = False  # type: ignore[attr-defined] # a step's name, no test

LANES = "/spec/lanes"
BEFORE: JSON = {
    "metadata": {"name": "main"},
    "spec": {"lanes": ["gpu", "spare", "hosted"], "own": {"min": 4, "max": 8}, "mode": "Apply"},
}
PATCHES: dict[str, list[JSON]] = {
    "replace": [test("/spec/own/min", 4), {"op": "replace", "path": "/spec/own/min", "value": 2}],
    "replace untested": [{"op": "replace", "path": "/spec/own/min", "value": 2}],
    "a whole list": [
        test(LANES, BEFORE["spec"]["lanes"]),
        {"op": "replace", "path": LANES, "value": ["gpu", "hosted"]},
    ],
    "remove an item": [test(f"{LANES}/1", "spare"), {"op": "remove", "path": f"{LANES}/1"}],
    "append": [{"op": "add", "path": f"{LANES}/-", "value": "gpu-l4"}],
    "append two": [{"op": "add", "path": f"{LANES}/-", "value": name} for name in ("gpu-l4", "gpu-h200")],
    "insert": [test(f"{LANES}/1", "spare"), {"op": "add", "path": f"{LANES}/1", "value": "gpu-l4"}],
    "add a field": [{"op": "add", "path": "/spec/paused", "value": True}],
    "add over a field": [test("/spec/mode", "Apply"), {"op": "add", "path": "/spec/mode", "value": "Recommend"}],
    "remove a field": [test("/spec/own/max", 8), {"op": "remove", "path": "/spec/own/max"}],
    "add, then within": [
        {"op": "add", "path": "/spec/new", "value": {"a": 1}},
        {"op": "replace", "path": "/spec/new/a", "value": 2},
    ],
    "remove, then add": [
        test("/spec/own/max", 8),
        {"op": "remove", "path": "/spec/own/max"},
        {"op": "add", "path": "/spec/own/max", "value": 9},
    ],
    "null": [test("/spec/own/min", 4), {"op": "replace", "path": "/spec/own/min", "value": None}],
}


def applied(steps: list[JSON], item: JSON) -> JSON:
    done: JSON = jsonpatch.apply_patch(copy.deepcopy(item), copy.deepcopy(steps))
    return done


@pytest.mark.parametrize("steps", PATCHES.values(), ids=PATCHES)
def test_it_is_in_place_once_it_is_made_and_not_before(steps: list[JSON]) -> None:
    after = applied(steps, BEFORE)
    assert in_place(change(*steps), after)
    assert not in_place(change(*steps), BEFORE)
    kept = copy.deepcopy(after)
    in_place(change(*steps), after)
    assert after == kept, "looking changes nothing"


@pytest.mark.parametrize("steps", PATCHES.values(), ids=PATCHES)
def test_another_value_there_is_not_it(steps: list[JSON]) -> None:
    other = {"metadata": {}, "spec": {"lanes": ["other", "spare"], "own": {"min": 9, "max": 7}, "mode": "Observe"}}
    assert not in_place(change(*steps), other)


BELOW = ("/spec/mode/x", "/spec/mode/0", "/spec/own/min/x", "/spec/own/min/-", "/spec/lanes/0/x", "/spec/new/x")


@pytest.mark.parametrize("path", [*BELOW, "/spec/~2", "/spec/lanes/x"])
@pytest.mark.parametrize("op", ["add", "remove", "replace"])
def test_what_has_no_fields_is_no_outcome_of_a_patch_below_it(op: str, path: str) -> None:
    """Nor can the patch be made; the field is named."""
    steps = [{"op": op, "path": path} | ({} if op == "remove" else {"value": 1})]
    kept = copy.deepcopy(BEFORE)
    with pytest.raises(PatchError, match=re.escape(dotted(path))):
        patches.applied(BEFORE, steps)
    assert kept == BEFORE
    if op != "remove" or path in BELOW[:5]:
        assert not in_place(change(*steps), BEFORE)


def test_why_a_patch_cannot_be_made() -> None:
    def why(*steps: JSON) -> str:
        with pytest.raises(PatchError) as refused:
            patches.applied(BEFORE, list(steps))
        return str(refused.value)

    assert why(test("/spec/own/min", 3)) == "spec.own.min is 4, not 3, which its patch tests"
    assert why(test("/spec/own/low", 3)) == "spec.own.low is not there"
    assert why({"op": "remove", "path": "/spec/own/max"}, test("/spec/own/max", 8)) == "spec.own.max is not there"
    assert why({"op": "add", "path": "/spec/lanes/9", "value": "a"}) == "nothing can be added at spec.lanes[9]"


scalars = st.one_of(st.integers(0, 3), st.sampled_from(["a", "b"]), st.booleans())


@given(st.dictionaries(st.sampled_from("pqr"), scalars), st.dictionaries(st.sampled_from("pqr"), scalars))
def test_any_patch_of_fields_is_found_again(before: JSON, after: JSON) -> None:
    """Each value that is replaced or removed is tested first, as the operator writes it."""
    steps: list[JSON] = []
    for step in jsonpatch.make_patch({"spec": before}, {"spec": after}).patch:
        if step["op"] in ("move", "copy"):
            return
        name = step["path"].rpartition("/")[2]
        steps += [test(step["path"], before[name])] if name in before else []
        steps.append(step)
    if not steps:
        return
    assert in_place(change(*steps), {"spec": after})
    assert not in_place(change(*steps), {"spec": before})


def test_it_is_told_in_words() -> None:
    assert dotted("/spec/selfHosted/replicas/min") == "spec.selfHosted.replicas.min"
    assert dotted("/spec/lanes/1") == "spec.lanes[1]"
    assert dotted("/spec/lanes/-") == "spec.lanes[]"
    assert dotted("/spec/a~1b/c") == "spec.a/b.c"
    said = {name: words(change(*steps)) for name, steps in PATCHES.items()}
    assert said["replace"] == ["spec.own.min: 4 -> 2"]
    assert said["replace untested"] == ["spec.own.min: 2"]
    assert said["a whole list"] == ['spec.lanes: ["gpu", "spare", "hosted"] -> ["gpu", "hosted"]']
    assert said["remove an item"] == ["spec.lanes[1]: removed (spare)"]
    assert said["append"] == ["spec.lanes[]: added gpu-l4"]
    assert said["null"] == ["spec.own.min: 4 -> null"]


def test_for_git_a_field_is_set_whether_it_was_there_or_not_and_items_are_tested() -> None:
    assert git_steps(PATCHES["replace"]) == [{"op": "add", "path": "/spec/own/min", "value": 2}]
    assert git_steps(PATCHES["remove an item"]) == PATCHES["remove an item"]
    shown = yaml.safe_load(kustomize_patch(KEY, git_steps(PATCHES["replace"])))
    (entry,) = shown["patches"]
    assert entry["target"] == {"group": "spillway.dev", "version": "v1alpha1", "kind": "CapacityPlan", "name": "main"}
    assert yaml.safe_load(entry["patch"]) == git_steps(PATCHES["replace"])


def test_the_lines_of_a_manifest_show_lists_as_a_whole_and_what_goes() -> None:
    lines = snippet(KEY, BEFORE, PATCHES["append"])
    assert yaml.safe_load(lines)["spec"] == {"lanes": ["gpu", "spare", "hosted", "gpu-l4"]}
    assert yaml.safe_load(lines)["metadata"] == {"name": "main", "namespace": "inference"}
    assert yaml.safe_load(snippet(KEY, BEFORE, PATCHES["replace"]))["spec"] == {"own": {"min": 2}}
    assert snippet(KEY, BEFORE, PATCHES["remove a field"]).endswith("# remove spec.own.max\n")
