"""Budgets: the published example to the cent, caps, what a success costs, and every finding with its dollars."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from advise.plans import PAGE, declared, figure, measured, priced, subject
from spillway.advise.budget import BudgetReport, assess
from spillway.advise.demand import DemandError
from spillway.advise.figures import traced
from spillway.advise.findings import Finding
from spillway.advise.prices import Tier
from spillway.api import LatencyClass
from spillway.report.budget.document import document
from spillway.report.budget.sections import sections
from spillway.report.budget.trace import trace_lines

OPUS = priced("opus", "5", "25", "0.5")
FLASH = priced("flash", "0.14", "0.28")


def finding(report: BudgetReport, code: str) -> Finding:
    return next(each for each in report.findings if each.code == code)


def codes(report: BudgetReport) -> set[str]:
    return {each.code for each in report.findings}


def usd(found: Finding) -> Decimal:
    assert found.usd is not None
    return found.usd.value


def whole(value: Decimal) -> Decimal:
    return value.quantize(Decimal(1), ROUND_HALF_UP)


@pytest.mark.parametrize(
    ("model", "cost_in", "cost_out", "total", "each"),
    [
        ("claude-opus-4.7", "990", "3300", "4290", "429"),
        ("claude-sonnet-4.6", "594", "1980", "2574", "257.40"),
        ("gemini-2.5-pro", "247.50", "1320", "1567.50", "156.75"),
        ("deepseek-v4-flash", "27.72", "36.96", "64.68", "6.468"),
    ],
)
def test_the_published_example(model: str, cost_in: str, cost_out: str, total: str, each: str) -> None:
    cost = next(cost for cost in assess(subject()).costs if cost.name == model)
    assert cost.per_developer is not None
    found = (cost.input.value, cost.output.value, cost.total.value, cost.per_developer.value)
    assert found == tuple(map(Decimal, (cost_in, cost_out, total, each)))


def test_the_published_example_rounds_as_the_page_does() -> None:
    totals = {cost.name: cost.total.value for cost in assess(subject()).costs}
    assert [whole(totals[name]) for name in PAGE] == [4290, 2574, 1568, 65]
    assert whole(totals["gemini-2.5-pro"] / 10) == 157
    assert whole(totals["deepseek-v4-flash"]) / 10 == Decimal("6.5")
    assert whole(max(totals.values()) / min(totals.values())) == 66


def test_the_cache_is_paid_at_its_own_price_or_the_inputs() -> None:
    demand = declared(cached_share="0.6")
    with_price, without = (
        assess(subject(option, declared=demand)).costs[0] for option in (OPUS, priced("opus", "5", "25"))
    )
    assert with_price.input.value == Decimal("79.2") * 5 + Decimal("118.8") * Decimal("0.5")
    assert with_price.input.value / 990 == Decimal("0.46"), "60% repeated cut effective input cost by more than half"
    assert without.input.value == 990


def test_the_cap_is_the_average_and_a_buffer() -> None:
    cap = assess(subject(OPUS, FLASH)).cap
    assert cap is not None
    assert (cap.usd.value, cap.alert.value) == (4290 * Decimal("1.2"), 4290 * Decimal("1.2") * Decimal("0.8"))
    assert (cap.given, cap.measured) == (False, False)
    by_measure = assess(subject(OPUS, measured=measured(1_200_000, 14))).cap
    assert by_measure is not None
    assert by_measure.measured
    # 36.5M tokens a month, 60% input.
    assert by_measure.usd.value == (Decimal("21.9") * 5 + Decimal("14.6") * 25) * Decimal("1.2")


def test_measurements_count_where_there_are_any() -> None:
    report = assess(subject(OPUS, FLASH, measured=measured(1_200_000, 14)))
    assert report.demand.tokens.value == 36_500_000
    assert report.declared_costs[0].total.value == 4290
    found = finding(report, "PlannedFromMaximum")
    assert "9x as much" in found.message
    assert usd(found) == pytest.approx(4290 * (1 - Decimal(36_500_000) / 330_000_000))
    assert "AboveTypical" not in codes(report), "what is measured needs no typical ranges"


def test_an_overestimate_within_the_band_is_told_with_its_doubt() -> None:
    report = assess(subject(OPUS, measured=measured(4_500_000, 4)))
    assert "ShortHistory" in codes(report)
    assert "may be less than twice" in finding(report, "PlannedFromMaximum").message
    assert (
        "may be" not in finding(assess(subject(OPUS, measured=measured(4_500_000, 14))), "PlannedFromMaximum").message
    )


def test_just_under_twice_is_no_overestimate() -> None:
    assert "PlannedFromMaximum" not in codes(assess(subject(OPUS, measured=measured(5_500_000, 14))))


def test_less_planned_than_used() -> None:
    report = assess(subject(OPUS, declared=declared(tokens_per_task=4_000), measured=measured(1_200_000, 14)))
    found = usd(finding(report, "PlannedBelowMeasured"))
    assert found == pytest.approx(Decimal("343.2") * (Decimal("36.5") / Decimal("26.4") - 1))
    close = assess(subject(OPUS, declared=declared(tokens_per_task=5_000), measured=measured(1_200_000, 14)))
    assert codes(close).isdisjoint({"PlannedBelowMeasured", "PlannedFromMaximum"})


def test_short_history_gives_its_band() -> None:
    found = finding(assess(subject(OPUS, measured=measured(1_200_000, 3))), "ShortHistory")
    spend = Decimal("21.9") * 5 + Decimal("14.6") * 25
    assert "only 3 days" in found.message
    assert f"${spend / 2}".rstrip("0").rstrip(".") in found.message
    assert "ShortHistory" not in codes(assess(subject(OPUS, measured=measured(1_200_000, 7))))


def test_declared_above_what_is_typical() -> None:
    report = assess(subject(OPUS, declared=declared(tasks_per_day=60)))
    assert usd(finding(report, "ManyTasks")) == 8580 * (1 - Decimal(50) / 60)
    assert usd(finding(report, "AboveTypical")) == 8580 - 8580 * Decimal(500_000) / 3_000_000
    assert "more than power users" in finding(report, "AboveTypical").message
    assert codes(assess(subject(OPUS, declared=declared(tokens_per_task=16_000)))).isdisjoint(
        {"ManyTasks", "AboveTypical"}
    )


def test_one_model_for_everything() -> None:
    alone = finding(assess(subject(OPUS)), "SingleModelPlanning")
    assert usd(alone) == 4290
    found = finding(assess(subject(OPUS, FLASH)), "SingleModelPlanning")
    assert usd(found) == (4290 - Decimal("64.68")) / 10
    # 1/3 = (1 - s) + s/66.3, and so for a fifth.
    assert "3x with 68% routed and 5x with 81% routed" in found.message
    asked = finding(assess(subject(OPUS, FLASH, simple_share=figure("simple_share", "0.7"))), "SingleModelPlanning")
    assert usd(asked) == (4290 - Decimal("64.68")) * Decimal("0.7")
    assert "lasts 3.2x as long" in asked.message


def test_stretches_beyond_the_price_ratio_are_not_promised() -> None:
    found = finding(assess(subject(OPUS, priced("half", "1.25", "6.25"))), "SingleModelPlanning")
    assert "3x with 89% routed" in found.message
    assert "5x with" not in found.message


def test_the_cheaper_model_planned_with_is_no_finding() -> None:
    assert "SingleModelPlanning" not in codes(assess(subject(FLASH, OPUS)))
    assert "SingleModelPlanning" not in codes(assess(subject(OPUS, priced("near", "4", "20"))))


def test_missing_caching() -> None:
    report = assess(subject(OPUS, repeated_share=figure("repeated_share", "0.6")))
    found = finding(report, "MissingCaching")
    assert usd(found) == Decimal("118.8") * Decimal("4.5")
    assert "54% of what input costs" in found.message
    assert "typical" not in found.message
    assert "if 60% of the prompt repeats, as is typical" in finding(assess(subject(OPUS)), "MissingCaching").message
    unknown = finding(assess(subject(FLASH)), "MissingCaching")
    assert "not known" in unknown.message
    assert usd(unknown) == Decimal("27.72")


@pytest.mark.parametrize(("cached", "flagged"), [("0.6", False), ("0.41", False), ("0.39", True), ("0.2", True)])
def test_caching_far_under_the_repeated_share(cached: str, flagged: bool) -> None:
    asked = subject(OPUS, declared=declared(cached_share=cached), repeated_share=figure("repeated_share", "0.6"))
    assert ("MissingCaching" in codes(assess(asked))) is flagged


def test_measured_hits_far_under_what_was_declared() -> None:
    plan = declared(cached_share="0.6")
    found = finding(
        assess(subject(OPUS, declared=plan, measured=measured(1_200_000, 14, Decimal("0.1")))), "MissingCaching"
    )
    assert usd(found) == Decimal("21.9") * Decimal("0.5") * Decimal("4.5")
    fine = assess(subject(OPUS, declared=plan, measured=measured(1_200_000, 14, Decimal("0.55"))))
    assert "MissingCaching" not in codes(fine)


@pytest.mark.parametrize(
    ("latency", "saved"),
    [
        (LatencyClass.DEFERRABLE, ("UseBatch", 2145)),
        (LatencyClass.BACKGROUND, ("UseFlex", 858)),
        (LatencyClass.INTERACTIVE, None),
    ],
)
def test_tiers_for_work_that_can_wait(latency: LatencyClass, saved: tuple[str, int] | None) -> None:
    batch, flex = priced("opus", "2.5", "12.5", tier=Tier.BATCH), priced("opus", "4", "20", tier=Tier.FLEX)
    report = assess(subject(OPUS, latency=latency, tiers=(batch, flex)))
    found = {each.code: usd(each) for each in report.findings if each.code.startswith("Use")}
    assert found == (dict([saved]) if saved else {})
    assert len(report.tier_costs) == {"Deferrable": 2, "Background": 1, "Interactive": 0}[latency.value]


def test_a_cap_too_low() -> None:
    low = figure("cap", 4000, "USD")
    found = finding(assess(subject(OPUS, cap=low)), "CapTooLow")
    assert usd(found) == 290
    assert "not known" in found.message
    for worth, said in (("3", "keep spending"), ("1", "raise the cap, or"), ("0.1", "lower the cost")):
        report = assess(
            subject(OPUS, cap=low, success_rate=figure("success", 1), revenue_per_success=figure("worth", worth, "USD"))
        )
        assert said in finding(report, "CapTooLow").message


def test_caps_at_risk_reached_by_growth_and_never_reached() -> None:
    assert usd(finding(assess(subject(OPUS, cap=figure("cap", 5000, "USD"))), "CapAtRisk")) == 710
    grown = assess(subject(OPUS, declared=declared(growth="0.1"), cap=figure("cap", 10_000, "USD")))
    assert "month 10" in finding(grown, "CapReachedByGrowth").message
    idle = finding(assess(subject(OPUS, cap=figure("cap", 10_000, "USD"))), "CapNeverReached")
    assert usd(idle) == 5710
    assert codes(assess(subject(OPUS, cap=figure("cap", 8_000, "USD")))).isdisjoint({"CapAtRisk", "CapNeverReached"})
    assert "CapNeverReached" not in codes(
        assess(subject(OPUS, measured=measured(5_000_000, 3), cap=figure("cap", 5_000)))
    )


def test_what_a_success_costs_and_brings() -> None:
    report = assess(subject(OPUS, success_rate=figure("s", "0.65"), revenue_per_success=figure("r", "0.5", "USD")))
    assert report.per_success is not None
    assert report.per_success.value == 1
    assert report.returned is not None
    assert report.returned.value == Decimal("0.5")
    assert usd(finding(report, "CostAboveRevenue")) == Decimal("0.5") * 4290
    good = assess(subject(OPUS, success_rate=figure("s", "0.65"), revenue_per_success=figure("r", 4, "USD")))
    assert "CostAboveRevenue" not in codes(good)
    assert assess(subject(OPUS, success_rate=figure("s", 0))).per_success is None


def test_retries_and_tool_loops_have_their_dollars() -> None:
    found = finding(assess(subject(OPUS, declared=declared(retries="0.2", tool_loops="0.3"))), "Inflated")
    assert usd(found) == 2145
    assert "add 50%" in found.message
    assert "Inflated" not in codes(assess(subject(OPUS, declared=declared(retries="0.05"))))


def test_a_year_without_growth() -> None:
    found = finding(assess(subject(OPUS)), "NoGrowthPlanned")
    assert usd(found) == 4290 * Decimal("1.1") ** 11
    assert "NoGrowthPlanned" not in codes(assess(subject(OPUS, declared=declared(growth="-0.02"))))


def test_nothing_used_and_nothing_allowed() -> None:
    report = assess(subject(OPUS, FLASH, measured=measured(0, 14), cap=figure("cap", 0, "USD")))
    assert report.costs[0].total.value == 0
    assert codes(report) <= {"PlannedFromMaximum"}


def test_no_demand_is_an_error() -> None:
    with pytest.raises(DemandError, match="budget: no demand is declared and none is measured"):
        assess(subject(OPUS, declared=None))


SHARES = st.decimals("0", "1", places=2)
PRICES = st.decimals("0", "100", places=3)


@for_all(st.data())
def test_whatever_is_asked_adds_up(data: st.DataObject) -> None:
    """Parts make up totals, bands hold their value, no finding has negative dollars."""
    draw = data.draw
    plan = declared(
        developers=draw(st.integers(1, 10**4)),
        tasks_per_day=draw(st.integers(1, 10**3)),
        tokens_per_task=draw(st.integers(1, 10**5)),
        input_share=str(draw(SHARES)),
        cached_share=str(draw(SHARES)),
        retries=str(draw(SHARES)),
        growth=str(draw(st.decimals("-0.5", "1", places=2))),
    )
    names = [f"model-{number}" for number in range(draw(st.integers(1, 3)))]
    options = [priced(name, str(draw(PRICES)), str(draw(PRICES)), str(draw(PRICES))) for name in names]
    history = draw(st.none() | st.builds(measured, st.integers(0, 10**9), st.integers(1, 20), st.none() | SHARES))
    terms = {
        name: figure(name, str(value))
        for name, values in (("cap", PRICES), ("success_rate", SHARES), ("revenue_per_success", PRICES))
        if (value := draw(st.none() | values)) is not None
    }
    waits = draw(st.sampled_from(LatencyClass))
    batch = priced("batch", str(draw(PRICES)), str(draw(PRICES)), tier=Tier.BATCH)
    report = assess(subject(*options, declared=plan, measured=history, latency=waits, tiers=(batch,), **terms))
    for cost in (*report.declared_costs, *report.measured_costs):
        assert cost.input.value + cost.output.value == cost.total.value
        if cost.total.low is not None and cost.total.high is not None:
            assert cost.total.low <= cost.total.value <= cost.total.high
    assert all(each.usd is None or each.usd.value >= 0 for each in report.findings)
    assert report.cap is not None
    document([report], None)
    assert "\n".join(trace_lines(report))
    assert list(sections(report))


def test_every_dollar_is_traced_to_its_price_and_demand() -> None:
    report = assess(subject(OPUS, FLASH, declared=declared(growth="0.1"), measured=measured(1_200_000, 3)))
    assert len(report.findings) > 3
    totals = [cost.total for cost in report.costs]
    for found in (*totals, *report.months, *(each.usd for each in report.findings if each.usd)):
        leaves = [each for _, each in traced(found) if not each.inputs]
        assert all(each.source for each in leaves), found.name
        assert any("price list, Standard price of 2026-06-01" in each.source for each in leaves), found.name
