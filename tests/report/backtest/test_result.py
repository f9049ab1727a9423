"""What is read from a result, and the sentence that tells it."""

from __future__ import annotations

from typing import Any

import pytest

from report.backtest.results import policy, result
from spillway.report.backtest.result import ResultError, comparison_of, parts_of, verdict
from spillway.report.backtest.text import percent, times


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("spillway", ("spillway", "", "default")),
        ("hpa+queue@tuned", ("hpa", "queue", "tuned")),
        ("hpa@tuned+cap", ("hpa", "cap", "tuned")),
        ("static-best", ("static-best", "", "default")),
        ("keda-slo+hold@oracle", ("keda-slo", "hold", "oracle")),
    ],
)
def test_a_policys_name_tells_what_it_is(name: str, parts: tuple[str, str, str]) -> None:
    assert parts_of(name) == parts


def test_policies_stand_by_cost_and_those_that_missed_last() -> None:
    assert [row.name for row in comparison_of(result()).rows] == [
        "spillway",
        "dynamo-sla+hold@oracle",
        "keda-slo+cap@tuned",
        "static-best",
        "hpa+queue@tuned",
        "api-only",
        "hpa+queue",
    ]


def test_only_policies_that_held_are_compared() -> None:
    read = comparison_of(result())
    rival = read.cheapest(read.rivals(hindsight=False))
    oracle = read.cheapest(read.rivals(hindsight=True))
    assert rival is not None
    assert oracle is not None
    assert (rival.name, oracle.name) == ("keda-slo+cap@tuned", "dynamo-sla+hold@oracle")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "held the SLO at 12% less than keda-slo+cap@tuned"),
        ({"spillway": policy(880.0)}, "cost 10% MORE than keda-slo+cap@tuned"),
        ({"spillway": policy(10.0, held=False, attainment=0.9)}, "did NOT hold the SLO (90.00% attained)"),
    ],
)
def test_the_verdict_tells_losses_too(changes: dict[str, Any], said: str) -> None:
    made = result()
    made["policies"] |= changes
    assert said in verdict(comparison_of(made))


def test_the_verdict_without_spillway_or_rivals() -> None:
    alone = result(policies={"spillway": policy(1.0)})
    others = result(policies={"hpa": policy(5.0), "api-only": policy(4.0)})
    lost = result(policies={"hpa": policy(5.0, held=False)})
    assert verdict(comparison_of(alone)) == "Spillway held the SLO."
    assert verdict(comparison_of(others)) == "api-only is the cheapest policy that held the SLO."
    assert verdict(comparison_of(lost)) == "No policy held the SLO."


def test_an_attainment_by_requests_and_tokens_counts_as_the_lower() -> None:
    made = result(policies={"spillway": policy(1.0, slo_attainment={"requests": 0.995, "tokens": 0.991})})
    assert comparison_of(made).rows[0].attainment == 0.991


@pytest.mark.parametrize(
    ("document", "said"), [({}, "has no policies"), ({"policies": {"hpa": {}}}, "policy hpa of the result has no")]
)
def test_what_is_no_result_is_said(document: dict[str, Any], said: str) -> None:
    with pytest.raises(ResultError, match=said):
        comparison_of(document)


def test_figures_are_never_rounded_to_perfect() -> None:
    assert percent(0.99999) == ">99.99%"
    assert percent(1.0) == "100.00%"
    assert percent(0.000001) == "<0.01%"
    assert percent(0.0) == "0.00%"
    assert percent(None) == "–"
    assert times(0.7234) == "0.723 ×"
