"""The first sentence of a review."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advise.review.builders import CHAT_FIGURES, GPU, effect, pair_of, swapped, with_spec
from spillway.advise.review.effect import Effect
from spillway.advise.review.limits import Limits
from spillway.advise.review.review import PlanReview, review_plan
from spillway.report.diff.headline import headline

CHANGED = swapped(with_spec(GPU, {"selfHosted.replicas.min": 1}))
MISSED = replace(CHAT_FIGURES, attainment_percent=98.1, held=False)
OTHER = replace(CHAT_FIGURES, key="inference/code")


def review(found: Effect | None) -> PlanReview:
    return review_plan(pair_of(CHANGED), found, "No traffic was given to replay", Limits())


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (effect(-1200), "Monthly estimate decreases by $1,200 (-12%): $10,000 -> $8,800; SLO held"),
        (effect(350), "Monthly estimate increases by $350 (+3.5%): $10,000 -> $10,350; SLO held"),
        (effect(0), "Monthly estimate stays at $10,000; SLO held"),
        (effect(40), "Monthly estimate stays about the same: $10,000 -> $10,040; SLO held"),
        (effect(40, spread=1), "Monthly estimate increases by $40 (+0.4%): $10,000 -> $10,040; SLO held"),
        (
            effect(-1200, classes=(CHAT_FIGURES, OTHER)),
            "Monthly estimate decreases by $1,200 (-12%): $10,000 -> $8,800; SLO held by all classes",
        ),
        (
            effect(-1200, classes=(MISSED, OTHER)),
            "Monthly estimate decreases by $1,200 (-12%): $10,000 -> $8,800; SLO missed by chat (98.1%, goal 99%)",
        ),
    ],
)
def test_the_headline(found: Effect, sentence: str) -> None:
    assert headline(review(found)) == sentence


def test_a_headline_without_an_estimate_and_one_of_what_was_missed_before() -> None:
    assert headline(review(None)) == "1 change to plan inference/main; cost and SLO not estimated"
    found = effect(-1200, classes=(MISSED,))
    again = replace(found, base=replace(found.base, classes=(MISSED,)))
    assert headline(review(again)).endswith("SLO missed by chat (98.1%, goal 99%, as before)")
