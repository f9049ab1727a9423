"""Prices: contract, dated list price, or a finding; never another model's or tier's price in silence."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest

from spillway.decide.snapshot import Severity, TokenPrice
from spillway.observe.prices import PriceBook
from support.observed import hosted_lane, own_lane


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def price(provider: str, model: str, when: str = "2026-11-20T12:00:00") -> TokenPrice | None:
    return PriceBook().quote(hosted_lane("ns", provider=provider, model=model), at(when)).price


def test_a_contract_comes_first() -> None:
    lane = hosted_lane("ns", price={"inputUsdPerMTok": "0.04", "outputUsdPerMTok": "0.3"})
    quote = PriceBook().quote(lane, 0)
    assert quote.price == TokenPrice(Decimal("0.04"), Decimal("0.04"), Decimal("0.3"), "contract")
    lane = hosted_lane("ns", price={"inputUsdPerMTok": "0.04", "cachedInputUsdPerMTok": "0", "outputUsdPerMTok": "0.3"})
    found = PriceBook().quote(lane, 0).price
    assert found is not None
    assert found.cached_input_usd_per_mtok == 0, "a cached price of 0 is a price"


def test_a_contract_makes_an_unknown_model_usable() -> None:
    lane = hosted_lane(
        "ns", provider="nobody", model="nothing", price={"inputUsdPerMTok": "1", "outputUsdPerMTok": "2"}
    )
    assert PriceBook().quote(lane, 0).price is not None


def test_the_list_price_says_where_it_is_from() -> None:
    found = price("openai", "gpt-5-nano")
    assert found is not None
    assert found.input_usd_per_mtok == Decimal("0.05")
    assert found.cached_input_usd_per_mtok == Decimal("0.005")
    assert found.output_usd_per_mtok == Decimal("0.4")
    assert found.source.startswith(f"genai-prices {genai_prices.__version__}: openai/gpt-5-nano")


def test_the_price_of_the_day_is_taken_and_dated() -> None:
    before, after = (price("deepseek", "deepseek-v4-flash", f"2026-{day}T12:00:00") for day in ("08-01", "09-20"))
    assert before is not None
    assert after is not None
    assert before.input_usd_per_mtok != after.input_usd_per_mtok
    assert after.source.endswith("in force since 2026-09-10")


def test_another_providers_list_price_is_never_silent() -> None:
    found = price("azure", "gpt-5-nano")
    assert found is not None
    assert "openai/gpt-5-nano" in found.source
    assert found.source.endswith("taken for azure")


def test_a_price_that_rises_with_the_prompt_says_so() -> None:
    found = price("google", "gemini-2.5-pro")
    assert found is not None
    assert found.input_usd_per_mtok == Decimal("1.25")
    assert "base tier" in found.source


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "gpt-99-imaginary"), ("nobody", "gpt-5-nano"), ("litellm", "gpt-5-nano")],
)
def test_an_unknown_price_is_an_error_with_a_way_out(provider: str, model: str) -> None:
    quote = PriceBook().quote(hosted_lane("ns", provider=provider, model=model), at("2026-11-20T12:00:00"))
    assert quote.price is None
    assert quote.finding is not None
    assert (quote.finding.severity, quote.finding.reason) == (Severity.ERROR, "PriceUnknown")
    assert quote.finding.subject == "CapacityLane/ns/hosted"
    assert "set spec.hosted.price" in quote.finding.message
    assert model in quote.finding.message


def test_only_hosted_realtime_lanes_are_priced() -> None:
    quote = PriceBook().quote(own_lane("ns"), 0)
    assert (quote.price, quote.finding) == (None, None)
