"""What of a side's plan a replay can't show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spillway.advise.review.effect import Confidence
from spillway.simulate.sides import Ask
from spillway.simulate.sides.doubts import Doubt
from spillway.simulate.sides.side import build_side, doubts_of, mode_doubt, read_side
from spillway.simulate.sides.traffic import load_traffic, source_of
from support.sides import Change, trace


def doubts(folder: Path, **spec: Any) -> list[Doubt]:
    change = Change()
    change.head["plan"]["spec"] |= spec
    resources = read_side("head", change.documents()[1])
    source = source_of(Ask(traffic=trace(folder / "t.csv")))
    side = build_side("head", resources, ({}, {}), source, load_traffic(source, resources.classes), None)
    return doubts_of(side)


def test_a_plan_that_applies_behind_weights_has_none(tmp_path: Path) -> None:
    assert doubts(tmp_path) == []


@pytest.mark.parametrize(
    ("spec", "says", "most"),
    [
        ({"mode": "Recommend"}, "in mode Recommend: the figures assume that its", Confidence.MEDIUM),
        ({"mode": "Observe"}, "in mode Observe: the figures assume that its", Confidence.MEDIUM),
        ({"paused": True}, "is paused: the figures are of a plan that isn't", Confidence.MEDIUM),
        (
            {"overflow": {"mode": "Split", "ceilingUsd": {"perDay": "400"}}},
            "CapacityPlan main: spec.overflow.ceilingUsd.perDay has no effect in a replay.",
            Confidence.HIGH,
        ),
        (
            {"routing": {"plane": "None"}},
            "routing.plane is None, so nothing moves inference/chat to hosted lanes",
            Confidence.HIGH,
        ),
    ],
)
def test_what_is_not_shown_is_said(spec: dict[str, Any], says: str, most: Confidence, tmp_path: Path) -> None:
    (doubt,) = doubts(tmp_path, **spec)
    assert says in doubt.text
    assert doubt.most is most


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ({"mode": "Recommend"}, {"mode": "Apply"}, "goes from mode Recommend to Apply"),
        ({"paused": True}, {"paused": False}, "goes from paused to not paused"),
        ({}, {}, ""),
    ],
)
def test_a_change_of_mode_is_not_in_the_figures(before: dict[str, Any], after: dict[str, Any], says: str) -> None:
    change = Change()
    change.base["plan"]["spec"] |= before
    change.head["plan"]["spec"] |= after
    base, head = (read_side("side", documents).plan for documents in change.documents())
    found = mode_doubt(base, head)
    assert bool(found) == bool(says)
    assert says in " ".join(doubt.text for doubt in found)
    assert all(doubt.most is Confidence.LOW for doubt in found)
