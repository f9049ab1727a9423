"""Ceilings of hosted spending: how often they are reached, and what a gateway would refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advise.review.builders import CHAT_FIGURES, GPU, PLAN, Document, effect, pair_of, swapped, with_spec
from spillway.advise.review.ceilings import refused, refused_share
from spillway.advise.review.effect import Effect
from spillway.advise.review.limits import Limits, Verdict
from spillway.advise.review.policies import PolicyResult, check

CAPPED = with_spec(PLAN, {"overflow.ceilingUsd": {"perHour": "60"}})
NO_GPUS = with_spec(GPU, {"selfHosted.replicas": {"min": 0, "max": 0}})


def reached(head: float, base: float | None = None) -> Effect:
    """An effect whose class is at a ceiling for these shares of the time."""
    found = effect(classes=(replace(CHAT_FIGURES, ceiling_share=head),))
    before = () if base is None else (replace(CHAT_FIGURES, ceiling_share=base),)
    return replace(found, base=replace(found.base, classes=before))


def said(found: Effect, *new: Document) -> dict[str, PolicyResult]:
    pair = pair_of(swapped(*new), swapped(*new))
    return {result.policy: result for result in check(pair, found, Limits())}


@pytest.mark.parametrize(
    ("head", "base", "text"),
    [
        (0.0, 0.0, "kept: $2.74 of $60 an hour on average"),
        (0.16, 0.16, "reached 16% of the time (class chat), as on base; $2.74 of $60 an hour on average"),
        (0.16, 0.2, "reached 16% of the time (class chat) instead of 20% on base; $2.74 of $60 an hour on average"),
        (0.005, None, "reached 0.5% of the time (class chat); $2.74 of $60 an hour on average"),
    ],
)
def test_a_ceiling_that_is_reached_is_not_called_kept(head: float, base: float | None, text: str) -> None:
    result = said(reached(head, base), CAPPED)["ceilings"]
    assert (result.verdict, result.text) == (Verdict.PASS, text)


def test_what_hosted_lanes_alone_serve_is_held_only_if_nothing_is_refused() -> None:
    found = reached(0.16, 0.16)
    assert said(found, CAPPED)["slo"].text == "held: chat 99.42% (goal 99%)"
    alone = said(found, CAPPED, NO_GPUS)["slo"]
    assert alone.text == "held: chat 99.42% (goal 99%, if nothing is refused)"
    assert said(reached(0.009, 0.009), CAPPED, NO_GPUS)["slo"].text == "held: chat 99.42% (goal 99%)"


def test_a_class_with_own_lanes_stays_on_them() -> None:
    each = replace(CHAT_FIGURES, ceiling_share=0.16)
    assert refused_share(each, pair_of(swapped(CAPPED)).head) == 0.0
    side = pair_of(swapped(CAPPED, NO_GPUS)).head
    assert refused_share(each, side) == 0.16
    assert refused(each, side)
    assert not refused(None, side)
    assert not refused(replace(each, key="inference/gone"), side)
