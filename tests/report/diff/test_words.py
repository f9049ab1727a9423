"""The sentences and cells of a review."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from advise.review.builders import (
    CHAT,
    CHAT_FIGURES,
    GPU,
    HOSTED_LANE,
    Document,
    effect,
    made,
    pair_of,
    swapped,
    with_spec,
)
from spillway.advise.review.effect import Band, Effect, SideFigures
from spillway.advise.review.limits import Limits, Verdict
from spillway.advise.review.review import PlanReview, Review, review_plan
from spillway.report.diff.document import document
from spillway.report.diff.headline import headline
from spillway.report.diff.markdown import markdown
from spillway.report.diff.terminal import terminal
from spillway.report.diff.words import certainty, class_rows, lane_rows, method, policy_rows, shared_lanes

CHANGED = swapped(with_spec(GPU, {"selfHosted.replicas.min": 1}))
OTHER = replace(CHAT_FIGURES, key="inference/code")
MISSED = replace(CHAT_FIGURES, attainment_percent=98.1, held=False)


def review(found: Effect | None, head: tuple[Document, ...] = CHANGED) -> PlanReview:
    return review_plan(pair_of(head), found, "No traffic was given to replay", Limits())


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


def test_a_day_or_less_has_no_interval() -> None:
    found = effect(-1000)
    base = replace(found.base, usd_per_month=Band(10_000.0))
    short = replace(found, difference=Band(-1000.0), base=base, traffic=replace(found.traffic, days=1.5 / 24))
    assert certainty(short) == (
        "1.5 hours of traffic (demand.csv.gz) replayed on both sides. Confidence medium; no interval: a day of "
        "traffic or less"
    )
    lines = list(method(short))
    assert "Estimate of base: $10,000 a month, of which GPUs $8,000 and hosted APIs $2,000" in lines
    plan = review(short)
    assert headline(plan).startswith("Monthly estimate decreases by $1,000 (-10%)")
    (told,) = document(Review((plan,)), {})["plans"]
    assert told["effect"]["differenceUsd"] == {"value": "-1000.00", "low": None, "high": None}
    assert told["effect"]["base"]["usd"] == {"value": "10000.00", "low": None, "high": None}
    assert told["effect"]["head"]["usd"]["low"] == "8600.00"


@pytest.mark.parametrize(("share", "told"), [(0.65, True), (0.0201, True), (0.02, False)])
def test_much_traffic_of_no_class_stands_beneath_the_headline(share: float, told: bool) -> None:
    found = effect(-1000)
    found = replace(found, traffic=replace(found.traffic, left_out=("support/ghost",), left_out_share=share))
    text = certainty(found)
    words = (
        f"replayed on both sides. {100 * share:.2g}% of its requests are left out: no plan has a class support/ghost. "
    )
    assert (words in text) is told
    assert ("ghost" in text) is told


def test_a_class_without_requests_attains_and_holds_nothing() -> None:
    idle = replace(CHAT_FIGURES, requests_per_month=0.0, usd_per_month=0.0, hosted_share=0.0, attainment_percent=100.0)
    plan = review(effect(classes=(idle,)))
    (row,) = class_rows(plan)
    assert (row.attained, row.slo, row.hosted, row.monthly) == ("99.42% -> –", "held -> –", "10% -> –", "$10,000 -> –")
    assert headline(plan).endswith("; no class has requests")
    assert headline(review(effect(classes=(idle, OTHER)))).endswith("; SLO held by all classes with requests")
    assert next(each.text for each in plan.policies if each.policy == "slo") == "held: chat – (no requests)"
    (told,) = document(Review((plan,)), {})["plans"][0]["effect"]["head"]["classes"]
    assert told["attainmentPercent"] is told["hostedPercent"] is told["held"] is None
    assert told["usd"] == "0.00"


def test_a_class_over_a_ceiling_is_held_only_if_nothing_is_refused() -> None:
    alone = (*swapped(with_spec(GPU, {"selfHosted.replicas": {"min": 0, "max": 0}})),)
    over = replace(CHAT_FIGURES, ceiling_share=0.22)
    plan = review(effect(classes=(over,)), alone)
    assert class_rows(plan)[0].slo == "held -> held, if nothing is refused"
    assert headline(plan).endswith("; SLO held, if nothing is refused at the ceiling")
    many = headline(review(effect(classes=(over, OTHER)), alone))
    assert many.endswith("; SLO held by all classes, chat only if nothing is refused at the ceiling")
    assert headline(review(effect(classes=(over,)))).endswith("; SLO held")  # it stays on own GPUs
    (told,) = document(Review((plan,)), {})["plans"][0]["effect"]["head"]["classes"]
    assert told["refusedTimePercent"] == "22.00"


def test_dollars_of_a_lane_that_several_classes_use_are_explained() -> None:
    code = made("WorkloadClass", "code", CHAT["spec"])
    assert shared_lanes(review(effect(classes=(CHAT_FIGURES,)), (*CHANGED, code))) == ""
    found = review(effect(classes=(CHAT_FIGURES, OTHER)), (*CHANGED, code))
    text = "own GPUs' dollars are shared out by tokens among the classes that a lane serves"
    assert shared_lanes(found) == text
    assert f"<sub>O{text[1:]}.</sub>" in markdown(Review((found,)), {}, "default")
    assert f"({text})" in " ".join(terminal(Review((found,))).split())
    hosted = with_spec(code, {"dataPolicy": "Any", "equivalentModels": ["other"]})
    assert shared_lanes(review(effect(classes=(CHAT_FIGURES, OTHER)), (*CHANGED, hosted))) == ""
    assert shared_lanes(review(None)) == ""


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
