"""One value of a YAML text is exchanged, and every other character stays; or the text is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spillway.cli.approval.edits import UnsafeEditError, edited
from spillway.cli.approval.sources import edit_source, sources, write_whole

POINTER = "/spec/replicas/min"


def steps(value: Any, old: Any = None, pointer: str = POINTER) -> list[dict[str, Any]]:
    tested = [] if old is None else [{"op": "test", "path": pointer, "value": old}]
    return [*tested, {"op": "replace", "path": pointer, "value": value}]


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("spec:\n  replicas:\n    min: 4   # since May\n    max: 8\n", 2, "    min: 2   # since May\n"),
        ("spec: {replicas: {min: 4, max: 8}} # flow\n", 12, "{min: 12, max: 8}} # flow\n"),
        ('spec:\r\n  replicas:\r\n    min: "4"\r\n', "2", '    min: "2"\r\n'),
        ("spec:\n  replicas:\n    min: '4'\n", "it's", "    min: 'it''s'\n"),
        ("spec:\n  replicas:\n    min: four\n", "2", "    min: '2'\n"),
        ("# größer ✓\nspec:\n  replicas:\n    min: 4", 2, "    min: 2"),
        ("spec:\n  replicas:\n    min: false # no\n", True, "    min: true # no\n"),
    ],
)  # fmt: skip
def test_only_the_value_changes(before: str, value: Any, after: str) -> None:
    made = edited(before, 0, steps(value))
    assert after in made
    assert yaml.safe_load(made)["spec"]["replicas"]["min"] == value
    changed = [pair for pair in zip(before.splitlines(), made.splitlines(), strict=True) if pair[0] != pair[1]]
    assert len(changed) == 1
    assert edited(made, 0, steps(value)) == made, "a second time changes nothing"


def test_the_right_document_of_several() -> None:
    text = "spec: {replicas: {min: 4}}\n---\n# other\nspec: {replicas: {min: 4}}\n"
    assert edited(text, 1, steps(2)) == "spec: {replicas: {min: 4}}\n---\n# other\nspec: {replicas: {min: 2}}\n"


def removal(pointer: str, old: Any) -> list[dict[str, Any]]:
    return [{"op": "test", "path": pointer, "value": old}, {"op": "remove", "path": pointer}]


def inserted(pointer: str, value: Any, before: Any) -> list[dict[str, Any]]:
    return [{"op": "test", "path": pointer, "value": before}, {"op": "add", "path": pointer, "value": value}]


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        ("lanes: [a, b, c] # all\n", removal("/lanes/1", "b"), "lanes: [a, c] # all\n"),
        ("lanes: [a, b, c]\n", removal("/lanes/2", "c"), "lanes: [a, b]\n"),
        ("lanes: [ a ]\n", removal("/lanes/0", "a"), "lanes: [  ]\n"),
        ("lanes:\n- a\n- b   # never used\n# the rest\n- c", removal("/lanes/1", "b"), "lanes:\n- a\n# the rest\n- c"),
        ("lanes:\n- a\n- b", removal("/lanes/1", "b"), "lanes:\n- a\n"),
        ("backends:\r\n  a: one\r\n  b: two\r\n", removal("/backends/a", "one"), "backends:\r\n  b: two\r\n"),
        ("backends: {a: one, b: two}\n", removal("/backends/b", "two"), "backends: {a: one}\n"),
        (
            "lanes: [a, b]\nbackends: {a: one, b: two}\n",
            removal("/lanes/1", "b") + removal("/backends/b", "two"),
            "lanes: [a]\nbackends: {a: one}\n",
        ),
    ],
)
def test_an_entry_goes_with_its_line_or_its_comma(before: str, patch: list[dict[str, Any]], after: str) -> None:
    assert edited(before, 0, patch) == after
    assert edited(after, 0, patch) == after, "a second time changes nothing"


@pytest.mark.parametrize(
    ("text", "patch", "said"),
    [
        ("spec: {replicas: {max: 8}}\n", steps(2), "is not written there"),
        ("spec: {replicas: {min: 5}}\n", steps(2, 4), "is 5 there, not 4"),
        ("a: &x {min: 4}\nspec: {replicas: *x}\n", steps(2), "alias"),
        ("a: &x 4\nspec: {replicas: {min: *x}}\n", steps(2), "alias"),
        ("spec: {replicas: {min: &x 4}, other: *x}\n", steps(2), "alias"),
        ("spec: {replicas: {min: &x 4}}\n", steps(2), "not written as one plain value"),
        ("spec: {replicas: {min: !!int 4}}\n", steps(2), "not written as one plain value"),
        ("spec:\n  replicas:\n    min: |\n      4\n", steps("2"), "not written as one plain value"),
        ("base: &b {min: 4}\nspec: {replicas: {<<: *b}}\n", steps(2), "not written there once"),
        ("spec: {replicas: {min: {{ .Values.min }}}}\n", steps(2), "is no plain YAML in line 1 (a template?)"),
        ("spec: {lanes: [a, b]}\n", removal("/spec/lanes/1", "c") + removal("/spec/lanes/0", "b"), "is 'a' there"),
        ("spec: {lanes: [a, # one\n  b]}\n", removal("/spec/lanes/0", "a"), "shares its lines"),
        ("spec: {lanes: [a]}\nx: &l {a: 1}\ny: *l\n", removal("/spec/other/0", "a"), "is not written there"),
        ("spec:\n  lanes:\n  - a\n", removal("/spec/lanes/0", "a"), "without changing more"),
        ("spec:\n  own:\n  - min: 4\n    max: 8\n", removal("/spec/own/0/min", 4), "shares its line"),
        ("spec: {lanes: [a]}\n", [{"op": "add", "path": "/spec/lanes/-", "value": "b"}], "more than one value"),
        ("spec: {lanes: [a, b]}\n", steps(["a"], pointer="/spec/lanes"), "more than one value"),
        ("spec: {lanes: [a, b]}\n", inserted("/spec/lanes/1", "c", "b"), "more than one value"),
        ("spec: {lanes: [a, b]}\n", [{"op": "remove", "path": "/spec/lanes/1"}], "does not test it"),
        ("spec:\n  lanes: \n", removal("/spec/lanes/1", "b"), "is not written there"),
        ("spec: {lanes: 4}\n", removal("/spec/lanes/1", "b"), "is not written there"),
        ("spec: {lanes: min}\n", removal("/spec/lanes/min", "b"), "is not written there"),
        ("since: 2024-02-30\nspec: {replicas: {min: 4}}\n", steps(2), "day is out of range"),
        ("on: !!bool x\nspec: {replicas: {min: 4}}\n", steps(2), "none of its YAML type"),
        ("since: !!timestamp x\nspec: {replicas: {min: 4}}\n", steps(2), "none of its YAML type"),
        pytest.param("a: " + "[" * 3000, steps(2), "recursion", id="depth"),
        ("a: &a [*a]\nspec: {replicas: {min: 4}}\n", steps(2), "can't be changed there"),
    ],
)
def test_what_cannot_be_done_safely_is_left(text: str, patch: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(UnsafeEditError) as refused:
        edited(text, 0, patch)
    assert said in str(refused.value)


values = st.one_of(
    st.integers(-(10**12), 10**12),
    st.booleans(),
    st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=20),
)


@given(
    st.dictionaries(st.from_regex("[a-z]{1,6}", fullmatch=True), values, min_size=1, max_size=5),
    values,
    st.sampled_from([None, '"', "'"]),
    st.booleans(),
)
def test_whatever_stands_there_is_exchanged_or_left(
    content: dict[str, Any], value: Any, style: str | None, flow: bool
) -> None:
    """Read again, the text says the same but for the one value."""
    text = yaml.safe_dump({"spec": content}, default_style=style, default_flow_style=flow, allow_unicode=True)
    name = next(iter(content))
    try:
        made = edited(text, 0, steps(value, pointer=f"/spec/{name}"))
    except UnsafeEditError:
        return
    assert yaml.safe_load(made) == {"spec": content | {name: value}}
    assert type(yaml.safe_load(made)["spec"][name]) is type(value)


@given(st.lists(values, min_size=1, max_size=5, unique_by=repr), st.integers(0, 4), st.booleans())
def test_whatever_goes_nothing_else_does(items: list[Any], at: int, flow: bool) -> None:
    at %= len(items)
    text = yaml.safe_dump({"lanes": items, "z": 1}, default_flow_style=flow, allow_unicode=True)
    try:
        made = edited(text, 0, removal(f"/lanes/{at}", items[at]))
    except UnsafeEditError:
        return
    left = [item for place, item in enumerate(items) if place != at]
    assert repr(yaml.safe_load(made)) == repr({"lanes": left, "z": 1})


LANE = "apiVersion: spillway.dev/v1alpha1\nkind: CapacityLane\nmetadata: {name: gpu%s}\nspec: {replicas: {min: 4}}\n"


def test_the_objects_own_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "old.yaml").write_text(LANE % "")
    (tmp_path / "chart.yaml").write_text("{{ if x }}\n")
    (tmp_path / "dates.yaml").write_text("since: 2024-02-30\n")
    (tmp_path / "deep" / "a.yaml").write_text("kind: ConfigMap\n---\n" + LANE % ", namespace: inference")
    (tmp_path / "deep" / "b.yml").write_text(LANE % ", namespace: other")
    (tmp_path / "link.yaml").symlink_to(tmp_path / "deep" / "a.yaml")
    key = ("CapacityLane", "inference", "gpu")
    made = edit_source(sources(tmp_path), key, steps(2))
    assert (made.result, made.path) == ("changed", tmp_path / "deep" / "a.yaml")
    assert "min: 2" in (tmp_path / "deep" / "a.yaml").read_text()
    assert "min: 4" in (tmp_path / "deep" / "b.yml").read_text()
    (tmp_path / "c.yaml").write_text(LANE % "")
    twice = edit_source(sources(tmp_path), key, steps(3))
    assert twice.result == "left"
    assert "several places" in twice.detail


def test_a_file_is_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "real.yaml"
    target.write_text("old\n")
    target.chmod(0o600)
    link = tmp_path / "link.yaml"
    link.symlink_to(target)
    assert write_whole(link, "new\n")
    assert link.is_symlink()
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("new\n", 0o600)
    assert not write_whole(link, "new\n")

    def full(self: Path, _: object) -> Path:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_whole(target, "newer\n")
    assert target.read_text() == "new\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.yaml", "real.yaml"]
