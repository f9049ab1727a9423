"""The emitter: what it writes is read back as it was, whatever names a cluster has."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spillway.advise.first.text import Field, Value, comment, document, field, scalar

SCALARS = st.one_of(st.text(max_size=40), st.integers(-(10**12), 10**12), st.booleans())
KEYS = st.text(min_size=1, max_size=20)


def maps(values: st.SearchStrategy[Value]) -> st.SearchStrategy[tuple[Field, ...]]:
    """Maps with comments."""
    one = st.builds(Field, KEYS, values, st.lists(st.text(max_size=80), max_size=2).map(tuple))
    return st.lists(one, min_size=1, max_size=4, unique_by=lambda each: each.key).map(tuple)


VALUES: st.SearchStrategy[Value] = st.recursive(
    st.one_of(SCALARS, st.lists(SCALARS, max_size=4).map(tuple)),
    lambda inner: st.one_of(maps(inner), st.lists(maps(inner), min_size=1, max_size=3).map(tuple)),
    max_leaves=12,
)


def plain(value: Value) -> Any:
    """What YAML should give back."""
    if not isinstance(value, tuple):
        return value
    if value and all(isinstance(each, Field) for each in value):
        return {each.key: plain(each.value) for each in value if isinstance(each, Field)}
    return [plain(each) if isinstance(each, tuple) else each for each in value]


@given(maps(VALUES), st.lists(st.text(max_size=200), max_size=2))
def test_what_is_written_is_read_back(fields: tuple[Field, ...], notes: list[str]) -> None:
    assert yaml.safe_load(document(fields, *notes)) == plain(fields)


@given(st.text(max_size=300), st.integers(0, 8))
def test_a_comment_stays_a_comment(text: str, indent: int) -> None:
    for line in comment(text, indent):
        assert line.startswith(" " * indent + "# ")
        assert len(line.splitlines()) == 1
    assert yaml.safe_load("\n".join(comment(text, indent))) is None


@pytest.mark.parametrize(
    "text", ["yes", "no", "On", "null", "y", "1.0", "1e3", "", "~", "a: b", "- a", "é", "0x1f", "a b"]
)
def test_text_is_never_taken_for_something_else(text: str) -> None:
    assert yaml.safe_load(f"a: {scalar(text)}") == {"a": text}
    assert yaml.safe_load(f"[{scalar(text)}]") == [text]


def test_what_is_not_known_begins_a_line() -> None:
    said = comment(
        "Measured by whatever there was at the time of it. not known: this. And more of it; not known: that.", 2
    )
    assert [line for line in said if "not known" in line] == [
        "  # not known: this. And more of it;",
        "  # not known: that.",
    ]


def test_the_form() -> None:
    fields = (
        field("metadata", (field("name", "a"), field("namespace", "b"))),
        field("spec", (field("price", "3.85", "What it costs."), field("models", ("m", "1")))),
        field("list", ((field("class", "c", "Which."), field("rule", "r")), (field("class", "d"),))),
    )
    assert document(fields, "Head.") == (
        "# Head.\n"
        "metadata: {name: a, namespace: b}\n"
        "spec:\n"
        "  # What it costs.\n"
        '  price: "3.85"\n'
        '  models: [m, "1"]\n'
        "list:\n"
        "# Which.\n"
        "- class: c\n"
        "  rule: r\n"
        "- class: d\n"
    )
