"""The headline and the cells of a review."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from advise.review.builders import CHAT_FIGURES, GPU, HOSTED_LANE, Document, effect, pair_of, swapped, with_spec
from spillway.advise.review.effect import Band, Effect, SideFigures
from spillway.advise.review.limits import Limits, Verdict
from spillway.advise.review.review import PlanReview, review_plan
from spillway.report.diff.words import certainty, class_rows, headline, lane_rows, method, policy_rows

CHANGED = swapped(with_spec(GPU, {"selfHosted.replicas.min": 1}))
MISSED = replace(CHAT_FIGURES, attainment_percent=98.1, held=False)


def review(found: Effect | None, head: tuple[Document, ...] = CHANGED) -> PlanReview:
    return review_plan(pair_of(head), found, "No traffic was given to replay", Limits())


OTHER = replace(CHAT_FIGURES, key="inference/code")


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


def test_a_new_plan_is_told_as_what_it_costs() -> None:
    nothing = SideFigures(Band(0, 0, 0), 0, 0, (), ())
    found = effect(-1000)
    new = replace(found, base=nothing, difference=found.head.usd_per_month, new=True)
    assert headline(review(new)) == "New plan: $9,000 a month; SLO held"
    assert certainty(new) == (
        "demand.csv.gz replayed on the new plan; what its traffic costs without it is not known. Confidence medium"
    )
    told = "\n".join(method(new))
    assert "Estimate of base" not in told
    assert "Estimate of head: $9,000 a month" in told
    assert "both sides" not in told
    assert [row.monthly for row in lane_rows(new)] == ["no lane -> $7,000", "no lane -> $2,000", "$0 -> $9,000"]


def test_how_sure_it_is() -> None:
    assert certainty(effect(-1000)) == (
        "6 days of traffic (demand.csv.gz) replayed on both sides. Confidence medium; 95% interval of the difference "
        "-$1,200 to -$800 a month"
    )
    assert certainty(effect(40)).endswith("-$160 to +$240 a month, so that zero is possible")


def test_lanes_in_dollars_and_usage_with_the_total() -> None:
    gpu, hosted, total = lane_rows(effect(-1000))
    assert (gpu.lane, gpu.usage) == ("gpu", "GPU reserved: 1.4 -> 1.2 replicas on average, 4 at peak")
    assert (gpu.change, gpu.monthly) == ("-$1,000 (-13%)", "$8,000 -> $7,000")
    assert hosted.usage == "API tokens: 340 million a month"
    assert hosted.change == "none"
    assert (total.lane, total.change, total.monthly) == ("total", "-$1,000 (-10%)", "$10,000 -> $9,000")


def test_a_lane_that_comes_or_goes() -> None:
    found = effect(-1000)
    more = replace(HOSTED_LANE, name="more", usd_per_month=300.0)
    found = replace(found, head=replace(found.head, lanes=(*found.head.lanes, more)))
    rows = {row.lane: row for row in lane_rows(found)}
    assert (rows["more"].change, rows["more"].monthly) == ("+$300", "no lane -> $300")
    assert rows["more"].usage == "API tokens: – -> 340 million a month"


def test_classes_with_their_objective_before_and_after() -> None:
    (row,) = class_rows(review(effect(classes=(MISSED,))))
    assert (row.name, row.objective, row.attained, row.slo) == ("chat", "99%", "99.42% -> 98.1%", "held -> MISSED")
    assert (row.hosted, row.monthly) == ("10%", "$10,000")


def test_the_method_tells_traffic_interval_doubts_and_what_lanes_rest_on() -> None:
    found: Any = effect(-1000)
    text = "\n".join(method(replace(found, traffic=replace(found.traffic, sampled=True))))
    for words in (
        "demand.csv.gz, 250,000 requests in 6 days, drawn from counts by time bin",
        "the same requests on both sides, simulated once",
        "month of 730 hours",
        "Estimate of base: $10,000 a month (95% interval $9,500 to $10,500), of which GPUs $8,000 and hosted APIs",
        "Lane gpu: declared profile",
        "Not known: nobody knows how the provider answers at night",
    ):
        assert words in text


def test_policies_worst_first_and_what_was_not_checked_in_one_row() -> None:
    rows = policy_rows(review(effect(classes=(MISSED,))).policies)
    assert rows[0][:2] == (Verdict.FAIL, "SLO")
    unchecked = policy_rows(review(None).policies)
    assert [row[0] for row in unchecked] == [Verdict.PASS, Verdict.PASS, Verdict.SKIP]
    assert unchecked[-1][1].startswith("Cost increase, Cost decrease, SLO")
