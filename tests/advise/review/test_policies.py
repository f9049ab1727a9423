"""Policies: each passes, warns and fails where it should, with figures in its sentence."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from advise.review.builders import (
    ALL,
    CHAT,
    CHAT_FIGURES,
    GPU,
    HOSTED,
    PLAN,
    Document,
    effect,
    pair_of,
    swapped,
    with_spec,
)
from spillway.advise.review.effect import Band, Confidence, Effect, SideFigures
from spillway.advise.review.limits import Limits, Verdict
from spillway.advise.review.policies import PolicyResult, check, worst


def results(
    head: tuple[Document, ...] = ALL,
    base: tuple[Document, ...] = ALL,
    *,
    found: Effect | None = None,
    limits: dict[str, Any] | None = None,
) -> dict[str, PolicyResult]:
    return {each.policy: each for each in check(pair_of(head, base), found, Limits.model_validate(limits or {}))}


def one(policy: str, **given: Any) -> tuple[Verdict, str]:
    result = results(**given)[policy]
    return result.verdict, result.text


COST = [
    (400, {}, "monthlyCost.increase", Verdict.PASS, "+$400 a month (+4.0%); the limit is $500 a month or 10%"),
    (501, {}, "monthlyCost.increase", Verdict.WARN, "+$501 a month (+5.0%) is more than $500 a month"),
    (1600, {"increase": {"failUsd": "1500"}}, "monthlyCost.increase", Verdict.FAIL, "more than $1,500 a month"),
    (1600, {"increase": {"failPercent": 15}}, "monthlyCost.increase", Verdict.FAIL, "(+16%) is more than 15%"),
    (1600, {"increase": {"warnUsd": "1000", "warnPercent": 12.5}}, "monthlyCost.increase", Verdict.WARN,
     "is more than $1,000 a month and 12.5%"),
    (-1600, {}, "monthlyCost.increase", Verdict.PASS, "no increase"),
    (1600, {}, "monthlyCost.decrease", Verdict.PASS, "no decrease"),
    (-1600, {}, "monthlyCost.decrease", Verdict.PASS, "-$1,600 a month (-16%)"),
    (-6000, {}, "monthlyCost.decrease", Verdict.WARN, "-$6,000 a month (-60%) is more than 50%; is that meant?"),
    (-1600, {"decrease": {"failUsd": "1000"}}, "monthlyCost.decrease", Verdict.FAIL, "more than $1,000 a month"),
    (40, {"increase": {"warnPercent": "0.1"}}, "monthlyCost.increase", Verdict.PASS, "+$40 a month (+0.4%)"),
    (40, {"increase": {"warnPercent": "0.1"}, "ignorePercentBelowUsd": "10"}, "monthlyCost.increase", Verdict.WARN,
     "+$40 a month (+0.4%) is more than 0.1%"),
]  # fmt: skip


@pytest.mark.parametrize(("usd", "limits", "policy", "verdict", "words"), COST)
def test_cost_in_dollars_and_percent_in_both_directions(
    usd: float, limits: dict[str, Any], policy: str, verdict: Verdict, words: str
) -> None:
    found, text = one(policy, found=effect(usd), limits={"monthlyCost": limits})
    assert found is verdict, text
    assert words in text


def test_an_increase_that_may_be_none_says_so() -> None:
    verdict, text = one("monthlyCost.increase", found=effect(600, spread=900))
    assert verdict is Verdict.WARN
    assert text.endswith("it may as well be none (95% interval -$300 to +$1,500)")


def test_a_new_plan_is_held_against_the_limits_of_increases_by_what_it_costs() -> None:
    def told(usd: float, policy: str, **limits: str) -> tuple[Verdict, str]:
        found = effect(usd)
        nothing = SideFigures(Band(0, 0, 0), 0, 0, (), ())
        new = replace(found, base=nothing, difference=Band(usd, usd, usd), new=True)
        return one(policy, found=new, limits={"monthlyCost": {"increase": limits}} if limits else None)

    assert told(60_000, "monthlyCost.increase") == (
        Verdict.WARN,
        "new plan: $60,000 a month is more than $500 a month",
    )
    assert told(60_000, "monthlyCost.increase", failUsd="50000")[0] is Verdict.FAIL
    assert told(400, "monthlyCost.increase") == (
        Verdict.PASS,
        "new plan: $400 a month; the limit is $500 a month",
    )
    assert told(60_000, "monthlyCost.decrease") == (Verdict.PASS, "no decrease")
    assert told(60_000, "notEstimated")[0] is Verdict.PASS


def test_a_base_that_costs_nothing_has_no_percent() -> None:
    free = effect(600)
    free = replace(free, base=replace(free.base, usd_per_month=Band(0, 0, 0)))
    verdict, text = one("monthlyCost.increase", found=free)
    assert (verdict, text) == (Verdict.WARN, "+$600 a month is more than $500 a month")


MISSED = replace(CHAT_FIGURES, attainment_percent=98.999, held=False, misses_per_month=10_010.0)


def with_base(found: Effect, **figures: Any) -> Effect:
    return replace(found, base=replace(found.base, classes=(replace(CHAT_FIGURES, **figures),)))


def test_a_missed_objective_fails_and_is_never_rounded_up() -> None:
    verdict, text = one("slo", found=effect(classes=(MISSED,)))
    assert verdict is Verdict.FAIL
    assert text.startswith("chat misses its objective: 98.99%, goal 99%, held on base with 99.42%")
    assert "chat misses 10,010 requests a month, 1% of them, instead of 5,800 (+73%); the limit is 25% more" in text


def test_a_missed_objective_says_what_stood_in_the_way() -> None:
    found = effect(classes=(replace(MISSED, ceiling_share=0.153),))
    gpu, hosted = found.head.lanes
    found = replace(found, head=replace(found.head, lanes=(replace(gpu, at_most_share=0.2), hosted)))
    _, text = one("slo", found=found)
    assert (
        "(lane gpu has its most replicas and needs more 20% of the time: look at raising replicas.max of gpu, or at"
        in text
    )
    assert "at its GPU pool; the ceiling of hosted spending keeps some of it on own GPUs 15% of the time)" in text


def test_a_ceiling_that_binds_more_often_than_before_warns() -> None:
    def ceilings(head: float, base: float) -> tuple[Verdict, str]:
        found = effect(classes=(replace(CHAT_FIGURES, ceiling_share=head),))
        return one("ceilings", found=with_base(found, ceiling_share=base))

    text = "a ceiling keeps some of chat on own GPUs 15% of the time instead of 9.6%"
    assert ceilings(0.15, 0.096) == (Verdict.WARN, text)
    assert ceilings(0.15, 0.145)[0] is Verdict.PASS


def test_what_was_missed_before_warns() -> None:
    found = with_base(effect(classes=(MISSED,)), attainment_percent=98.0, held=False, misses_per_month=20_000.0)
    assert one("slo", found=found) == (Verdict.WARN, "chat misses its objective: 98.99%, goal 99%, on base too (98%)")
    strict = {"slo": {"missedAsBefore": "fail"}}
    assert one("slo", found=found, limits=strict)[0] is Verdict.FAIL
    assert one("slo", found=found, limits={"slo": {"missedAsBefore": "ignore"}})[0] is Verdict.PASS


@pytest.mark.parametrize(
    ("misses", "limits", "verdict"),
    [
        (7000.0, {}, Verdict.PASS),
        (7300.0, {}, Verdict.WARN),
        (7300.0, {"failMoreMissesPercent": 20}, Verdict.FAIL),
        (7300.0, {"warnMoreMissesPercent": None}, Verdict.PASS),
        (7300.0, {"ignoreMissesBelowPercent": 1}, Verdict.PASS),
    ],
)
def test_more_misses_than_base(misses: float, limits: dict[str, Any], verdict: Verdict) -> None:
    more = replace(CHAT_FIGURES, misses_per_month=misses, attainment_percent=99.3)
    assert one("slo", found=effect(classes=(more,)), limits={"slo": limits})[0] is verdict


def test_misses_where_there_were_none() -> None:
    found = with_base(effect(), misses_per_month=0.0, attainment_percent=100.0)
    verdict, text = one("slo", found=found)
    assert verdict is Verdict.WARN
    assert "chat misses 5,800 requests a month, 0.58% of them, instead of 0; the limit is 25% more" in text


def budget(usd: str, alert: int = 80) -> tuple[Document, ...]:
    return swapped(with_spec(CHAT, {"budget": {"monthlyUsd": usd, "alertPercent": alert}}))


@pytest.mark.parametrize(
    ("head", "limits", "verdict", "words"),
    [
        (ALL, {}, Verdict.PASS, "no class has one"),
        (budget("20000"), {}, Verdict.PASS, "kept: chat $10,000 of $20,000"),
        (budget("11000"), {}, Verdict.WARN, "chat would cost $10,000 a month of its budget of $11,000: past 80%"),
        (budget("9000"), {}, Verdict.FAIL, "chat would cost $10,000 a month of its budget of $9,000"),
        (budget("9000"), {"exceeded": "warn"}, Verdict.WARN, "of its budget of $9,000"),
    ],
)
def test_class_budgets(head: tuple[Document, ...], limits: dict[str, str], verdict: Verdict, words: str) -> None:
    found, text = one("budgets", head=head, found=effect(), limits={"budgets": limits})
    assert found is verdict
    assert words in text


def test_a_budget_that_was_exceeded_before_and_is_no_worse_warns() -> None:
    assert one("budgets", head=budget("9000"), base=budget("9000"), found=effect()) == (
        Verdict.WARN,
        "chat would cost $10,000 a month of its budget of $9,000, as on base ($10,000)",
    )
    dearer = effect(classes=(replace(CHAT_FIGURES, usd_per_month=10_500.0),))
    assert one("budgets", head=budget("9000"), base=budget("9000"), found=dearer)[0] is Verdict.FAIL


def test_a_buffer_on_the_measured_month_is_one_on_bases_estimate() -> None:
    head = swapped(with_spec(CHAT, {"budget": {"measuredPlusPercent": 20}}))
    dearer = effect(classes=(replace(CHAT_FIGURES, usd_per_month=12_500.0),))
    verdict, text = one("budgets", head=head, found=dearer)
    assert (verdict, text) == (Verdict.FAIL, "chat would cost $12,500 a month of its budget of $12,000")


@pytest.mark.parametrize(
    ("ceiling", "verdict", "words"),
    [
        ({}, Verdict.PASS, "the plan has none; hosted lanes would take $2,000 a month"),
        ({"perMonth": "3000"}, Verdict.PASS, "kept: $2,000 of $3,000 a month"),
        ({"perMonth": "2400"}, Verdict.WARN, "hosted lanes would take $2,000 a month of the ceiling of $2,400"),
        ({"perMonth": "1900"}, Verdict.FAIL, "traffic beyond it finds no hosted lane"),
        ({"perDay": "60"}, Verdict.FAIL, "hosted lanes would take $65.75 a day on average of the ceiling of $60"),
        ({"perHour": "3"}, Verdict.WARN, "hosted lanes would take $2.74 an hour on average of the ceiling of $3"),
    ],
)
def test_hosted_ceilings(ceiling: dict[str, str], verdict: Verdict, words: str) -> None:
    head = swapped(with_spec(PLAN, {"overflow.ceilingUsd": ceiling}))
    found, text = one("ceilings", head=head, found=effect())
    assert found is verdict
    assert words in text


def test_the_last_hosted_lane_and_the_last_lane() -> None:
    own = with_spec(CHAT, {"dataPolicy": "SelfHostedOnly"})
    verdict, text = one("fallback", head=swapped(own))
    assert verdict is Verdict.WARN
    assert text.startswith("chat loses its last hosted lane (hosted), by its data policy: when own GPUs are full")
    slow = with_spec(CHAT, {"slo.timeToFirstTokenMs": 500})
    assert one("fallback", head=swapped(slow))[0] is Verdict.WARN
    none = with_spec(CHAT, {"equivalentModels": ["nobody-serves-it"]})
    assert one("fallback", head=swapped(none)) == (
        Verdict.FAIL,
        "chat loses its last lane: no lane of the plan may serve it",
    )
    off = with_spec(GPU, {"selfHosted.replicas": {"min": 0, "max": 0}})
    assert one("fallback", head=swapped(off, own))[0] is Verdict.FAIL
    assert one("fallback", head=swapped(off))[0] is Verdict.PASS
    assert one("fallback", head=swapped(own), base=swapped(own))[0] is Verdict.PASS


def test_only_the_bindings_lanes_count_as_fallback() -> None:
    binding = {"class": "chat", "ownership": "Adopted", "httpRoute": "r", "rule": "a", "backends": {"gpu": "vllm"}}
    bound = with_spec(PLAN, {"routing": {"plane": "GatewayAPI", "bindings": [binding]}})
    assert one("fallback", head=swapped(bound))[0] is Verdict.WARN


def test_loosened_data_policy_and_new_providers() -> None:
    own = with_spec(CHAT, {"dataPolicy": "SelfHostedOnly"})
    assert one("dataPolicy", base=swapped(own)) == (
        Verdict.FAIL,
        "prompts of chat may now go to provider openai (lane hosted)",
    )
    other = with_spec(HOSTED, {"hosted.provider": "groq"})
    assert one("dataPolicy", head=swapped(other)) == (
        Verdict.WARN,
        "prompts of chat may now go to provider groq (lane hosted)",
    )
    never = with_spec(PLAN, {"overflow.mode": "Never"})
    assert one("dataPolicy", base=swapped(never))[0] is Verdict.WARN
    assert one("dataPolicy", base=swapped(own), limits={"dataPolicy": {"loosened": "warn"}})[0] is Verdict.WARN


def test_low_confidence_warns_with_the_first_doubt() -> None:
    low = effect(confidence=Confidence.LOW)
    doubt = "low: nobody knows how the provider answers at night"
    assert one("confidence", found=low) == (Verdict.WARN, doubt)
    assert one("confidence", found=effect())[0] is Verdict.PASS
    assert one("confidence", found=low, limits={"confidence": {"low": "fail"}})[0] is Verdict.FAIL


def test_without_an_effect_what_rests_on_it_is_skipped_and_the_rest_is_not() -> None:
    found = results()
    skipped = {policy for policy, result in found.items() if result.verdict is Verdict.SKIP}
    assert skipped == {"monthlyCost.increase", "monthlyCost.decrease", "slo", "budgets", "ceilings", "confidence"}
    assert set(found) - skipped == {"dataPolicy", "fallback", "references", "notEstimated"}
    assert set(found) == set(results(found=effect()))


def test_a_plan_that_changes_without_an_estimate_is_told_where_one_was_wanted() -> None:
    def told(limits: dict[str, Any], found: Effect | None = None, *, asked: bool) -> tuple[Verdict, str]:
        whole = check(pair_of(ALL), found, Limits.model_validate(limits), asked=asked)
        (result,) = [each for each in whole if each.policy == "notEstimated"]
        return result.verdict, result.text

    rest = "but this change has no estimate: cost, budgets, ceilings and SLO are not checked"
    assert told({}, asked=True) == (Verdict.WARN, f"traffic was given, {rest}")
    assert told({"notEstimated": "fail"}, asked=True)[0] is Verdict.FAIL
    assert told({"notEstimated": "fail"}, effect(), asked=True)[0] is Verdict.PASS
    assert told({"notEstimated": "fail"}, asked=False)[0] is Verdict.PASS
    for limit in ({"increase": {"failUsd": "5000"}}, {"decrease": {"warnPercent": 10}}):
        assert told({"monthlyCost": limit}, asked=False) == (
            Verdict.WARN,
            f"the policy file limits the monthly cost, {rest}",
        )
    for limit in ({"increase": {"failUsd": None}}, {"ignorePercentBelowUsd": "10"}):
        assert told({"monthlyCost": limit}, asked=False)[0] is Verdict.PASS


def test_the_worst_verdict() -> None:
    assert worst([]) is worst([Verdict.SKIP]) is Verdict.PASS
    assert worst([Verdict.PASS, Verdict.WARN, Verdict.SKIP]) is Verdict.WARN
    assert worst([Verdict.WARN, Verdict.FAIL]) is Verdict.FAIL


@pytest.mark.parametrize(
    "wrong",
    [
        {"cost": {}},
        {"monthlyCost": {"increase": {"warn": 5}}},
        {"monthlyCost": {"increase": {"warnUsd": 5.5}}},
        {"monthlyCost": {"increase": {"warnPercent": -1}}},
        {"slo": {"missed": "explode"}},
    ],
)
def test_unknown_keys_and_absurd_limits_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate(wrong)


def test_defaults() -> None:
    limits = Limits()
    assert limits.monthly_cost.increase.warn_usd == Decimal(500)
    assert limits.monthly_cost.increase.fail_usd is None
    assert limits == Limits.model_validate({})
