"""The page: self-contained, complete, safe, and true to the result."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from report.backtest.results import policy, result, timeline
from spillway.report.backtest import downsample, html
from spillway.report.backtest.plot import NARROW, TICKS, WIDE, Axis, cost_ticks, misses, scatter
from spillway.report.backtest.result import comparison_of
from spillway.report.backtest.timelines import short_names

VOID = {"meta", "link", "br", "input", "circle", "line", "rect", "path"}


class Page(HTMLParser):
    """Tags, attributes and texts; fails on a tag that isn't closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def full() -> dict[str, Any]:
    return result(
        target=0.99,
        version="1.2.3",
        command="spillway backtest scenario.yaml",
        facts={"Trace": "code.csv"},
        timelines={"spillway": timeline(), "api-only": timeline()},
    )


def test_nothing_comes_from_elsewhere() -> None:
    text = html(full())
    page = Page(text)
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "xlink:href"):
            assert str(attributes.get(name, "data:")).startswith("data:"), (tag, attributes)
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttp", text)
    assert any("default-src 'none'" in str(meta.get("content")) for meta in page.named("meta"))


def test_every_policy_is_a_mark_and_a_row_with_its_figures() -> None:
    page = Page(html(full()))
    marks = [g["data-policy"] for g in page.named("g") if "data-policy" in g]
    rows = [tr["data-policy"] for tr in page.named("tr") if "data-policy" in tr]
    names = list(full()["policies"])
    assert sorted(rows) == sorted(names)
    assert sorted(marks) == sorted(names * 2)  # the wide and the narrow plot
    missed = [g["data-policy"] for g in page.named("g") if "missed" in str(g.get("class")) and "data-policy" in g]
    assert set(missed) == {"hpa+queue"}
    text = " ".join(page.texts)
    for said in ("$700.00", "0.875 ×", "1.029 ×", "1.167 ×", "code.csv", "1.2.3", "spillway backtest scenario.yaml"):
        assert said in text
    assert "0123456789abcdef" * 4 in text


def test_names_from_outside_can_not_become_markup() -> None:
    evil = '</script><img src=x onerror=alert(1)>"'
    made = result(evil, title=evil, facts={evil: evil}, timelines={evil: timeline()})
    made["policies"] = {evil: policy(1.0), "spillway": policy(2.0)}
    page = Page(html(made))
    assert page.named("img") == []
    assert len(page.named("script")) == 2
    assert evil in page.texts


def test_what_the_result_lacks_is_left_out() -> None:
    page = Page(html({"policies": {"spillway": {"cost_usd": 3.0, "slo_held": True}}}))
    headings = [text for text in page.texts if text.strip()]
    assert "GPU hours" not in headings
    assert "Clairvoyant replay" not in headings
    assert page.named("svg") == []  # no attainment to plot


def test_time_lines_are_embedded_and_thinned() -> None:
    made = full()
    made["timelines"]["spillway"] = timeline(points=5000)
    stored = re.search(r'<script id="timelines" type="application/json">(.*?)</script>', html(made))
    assert stored is not None
    data = json.loads(stored.group(1))
    assert len(data["lines"]["spillway"]["at_s"]) <= 700
    assert data["chosen"] == ["spillway", "api-only"]


def test_downsampling_keeps_means_and_gaps() -> None:
    line = {
        "at_s": [0.0, 1.0, 2.0, 3.0, 4.0],
        "ready": {"gpu": [1, 3, None, None, 5]},
        "forecast": {"chat": {"lead_s": 600, "q10": [1.0, float("nan"), 3.0, 5.0, None]}},
        "note": "x",
    }
    assert downsample(line, limit=3) == {
        "at_s": [0.0, 2.0, 4.0],
        "ready": {"gpu": [2.0, None, 5.0]},
        "forecast": {"chat": {"lead_s": 600, "q10": [1.0, 4.0, None]}},
        "note": "x",
    }
    assert downsample({"at_s": []}) == {"at_s": []}


def _at(text: str, name: str) -> tuple[float, float]:
    found = re.search(rf'data-policy="{re.escape(name)}" transform="translate\(([\d.]+) ([\d.]+)\)"', text)
    assert found is not None
    return float(found.group(1)), float(found.group(2))


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_marks_stand_where_their_figures_say(size: Any) -> None:
    made = result()
    made["policies"]["late"] = policy(700.0, attainment=0.95)
    text = scatter(comparison_of(made), size, 0.99)
    own, dear, late = (_at(text, name) for name in ("spillway", "hpa+queue@tuned", "late"))
    assert own[1] > dear[1]  # dearer is higher
    assert own[0] > late[0]  # worse is further left
    assert own[1] == late[1]
    far = _at(text, "api-only")
    assert far[1] == size.top
    assert 'class="arrow"' in text  # ten times as dear as the rest: cut off, and said so
    for name in made["policies"]:
        x, y = _at(text, name)
        assert size.left <= x <= size.width - size.right
        assert size.top <= y <= size.height - size.bottom


def test_labels_cover_nothing() -> None:
    made = result()
    made["policies"] |= {f"p{i}": policy(800.0 + i, attainment=0.991 + i / 1e4) for i in range(40)}
    text = scatter(comparison_of(made), WIDE, None)
    marks = [tuple(map(float, each)) for each in re.findall(r"translate\(([\d.]+) ([\d.]+)\)", text)]
    pattern = r'class="label[^"]*" x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">([^<]+)<'
    labels = re.findall(pattern, text)
    assert any(name == "Spillway" for *_, name in labels)
    for x, y, anchor, name in labels:
        width = 6.0 * len(name)
        left = float(x) - {"start": 0.0, "end": width, "middle": width / 2}[anchor]
        for mark_x, mark_y in marks:
            assert not (left < mark_x < left + width and float(y) - 10 < mark_y < float(y) + 2), name


def test_one_policy_or_equal_ones_still_plot() -> None:
    for policies in ({"spillway": policy(5.0, attainment=1.0)}, {"a": policy(0.0), "b": policy(0.0)}):
        assert "<svg" in scatter(comparison_of(result(policies=policies, bound={}, clairvoyant_replay={})), WIDE, None)


def test_axes() -> None:
    assert misses(0.9) == pytest.approx(1.0)
    assert misses(1.0) == misses(0.9999)
    assert all(a < b for a, b in pairwise(TICKS))
    assert cost_ticks(Axis(0.0, 1080.0, 100.0, 0.0)) == [0.0, 250.0, 500.0, 750.0, 1000.0]
    assert cost_ticks(Axis(590.0, 1020.0, 100.0, 0.0)) == [600.0, 700.0, 800.0, 900.0, 1000.0]


def test_classes_with_different_promises_get_no_line_of_one_of_them() -> None:
    same = html(result(target=0.99, target_by_class={"a/chat": 0.99, "a/code": 0.99}))
    other = html(result(target=0.95, target_by_class={"a/chat": 0.99, "a/batch": 0.95}))
    assert ('class="target"' in same, 'class="target"' in other) == (True, False)
    assert "class by class (chat 99%, batch 95%)" in other


def test_classes_are_called_by_their_names_where_all_are_of_one_namespace() -> None:
    line = timeline()
    for key in ("arrived_per_s", "hosted_per_s", "forecast"):
        line[key] = {"a/chat": line[key]["chat"], "a/code": line[key]["chat"]}
    shares = {"a/chat": 0.99, "a/code": 0.98}
    made = result(policies={"spillway": policy(1.0, slo_attainment_by_class=shares)}, timelines={"spillway": line})
    text = html(made)
    stored = re.search(r'<script id="timelines" type="application/json">(.*?)</script>', text)
    assert stored is not None
    kept = json.loads(stored.group(1))["lines"]["spillway"]
    assert {key: list(kept[key]) for key in ("arrived_per_s", "hosted_per_s", "forecast")} == {
        "arrived_per_s": ["chat", "code"],
        "hosted_per_s": ["chat", "code"],
        "forecast": ["chat", "code"],
    }
    assert "code attained" in text
    assert "a/code attained" not in text
    assert short_names(["a/x", "b/x"]) == {"a/x": "a/x", "b/x": "b/x"}


def test_an_interval_of_one_day_is_none() -> None:
    page = Page(html(result(policies={"spillway": policy(3.0, ci95=[3.0, 3.0])})))
    assert "95% interval" not in page.texts


def test_marks_above_the_drawing_are_explained() -> None:
    made = result()
    assert "dearer than drawn" in html(made)
    del made["policies"]["api-only"]
    assert "dearer than drawn" not in html(made)


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_the_text_of_a_reference_keeps_off_the_marks(size: Any) -> None:
    attained = [1 - 0.1**power for power in (0.2, 0.5, 0.8, 1.1, 1.4, 1.7, 2.0, 2.3, 2.6, 2.9)]
    rows = {f"p{number}": policy(684.0, attainment=each) for number, each in enumerate(attained)}
    text = scatter(comparison_of(result(policies=rows | {"dear": policy(700.0, attainment=0.5)})), size, None)
    said = re.search(r' y="([\d.]+)"[^>]*>clairvoyant', text)
    mark = re.search(r'data-policy="p0" transform="translate\([\d.]+ ([\d.]+)\)', text)
    assert said is not None
    assert mark is not None
    assert float(said.group(1)) - 12 >= float(mark.group(1)) + 6
