"""Tariffs: dated, by tier, and never the standard price in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import genai_prices
import pytest
from genai_prices.data_snapshot import DataSnapshot, get_snapshot, set_custom_snapshot
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
)

from spillway.advise.prices import PriceUnknownError, Tariff, Tier
from spillway.api import CapacityLane
from spillway.observe.prices import PriceBook
from spillway.observe.tariffs import CONTEXTS, Tariffs, base, list_tariff
from support.observed import hosted_lane, own_lane

Listed = Callable[..., None]

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def price(model: str, tier: Tier = Tier.STANDARD, at: datetime = NOON, provider: str | None = None) -> Tariff:
    return Tariffs().tariff(provider, model, tier, at)


def lane_of(kind: str, lane: CapacityLane) -> CapacityLane:
    document = lane.to_wire()
    document["spec"]["type"] = kind
    return CapacityLane.parse(document)


@pytest.fixture
def listed() -> Iterator[Listed]:
    """A price list of one model whose tiers lack this and that."""

    def put(variants: list[PriceVariant], prices: ModelPrice | list[ConditionalPrice] | None = None) -> None:
        standard = prices or ModelPrice(input_mtok=Decimal(2), cache_read_mtok=Decimal(1), output_mtok=Decimal(8))
        model = ModelInfo(id="m", match=ClauseEquals("m"), prices=standard, price_variants=variants)
        provider = Provider(id="p", name="P", api_pattern="p", models=[model], model_match=ClauseEquals("m"))
        set_custom_snapshot(DataSnapshot(providers=[provider], from_auto_update=False))

    yield put
    set_custom_snapshot(None)


def batch(start: date | None = None, **prices: Decimal) -> PriceVariant:
    return PriceVariant({"processing": "batch"}, ModelPrice(**prices), StartDateConstraint(start) if start else None)


def by_their_ids() -> Iterator[tuple[Provider, ModelInfo]]:
    """Every listed model that its own name finds."""
    for provider in get_snapshot().providers:
        for model in provider.models:
            try:
                found = get_snapshot().find_provider_model(model.id, None, provider.id, None)[1]
            except LookupError:
                continue
            if found is model:
                yield provider, model


def test_a_tariff_says_package_date_and_since_when() -> None:
    found = price("gpt-5-nano", Tier.FLEX)
    assert (found.provider, found.model, found.tier) == ("openai", "gpt-5-nano", Tier.FLEX)
    assert found.source == f"genai-prices {genai_prices.__version__}: openai/gpt-5-nano"
    assert found.as_of == date(2026, 11, 20)
    assert found.in_force_since == date(2026, 10, 12)
    assert found.origin == f"{found.source}, Flex price of 2026-11-20, in force since 2026-10-12"


@pytest.mark.parametrize("tier", [Tier.BATCH, Tier.FLEX, Tier.PRIORITY])
def test_no_tier_of_any_model_is_the_standard_price_in_silence(tier: Tier) -> None:
    """Over the whole price list: a tariff comes from variants in force, or is refused."""
    known = refused = 0
    for provider, model in by_their_ids():
        active = [
            each.prices
            for each in model.price_variants or ()
            if each.when == CONTEXTS[tier] and (each.constraint is None or each.constraint.active(NOON))
        ]
        if all(any(getattr(p, key) is not None for p in active) for key in ("input_mtok", "output_mtok")):
            known += 1
            resolved = model.get_prices(NOON, CONTEXTS[tier])
            found = list_tariff(provider.id, model.id, tier, NOON)
            assert found.input_usd_per_mtok == base(resolved.input_mtok)
            assert found.output_usd_per_mtok == base(resolved.output_mtok)
        else:
            refused += 1
            with pytest.raises(PriceUnknownError, match="price unknown"):
                list_tariff(provider.id, model.id, tier, NOON)
    assert known > 3
    assert refused > 500


def test_a_tier_that_is_not_in_force_yet_is_refused() -> None:
    with pytest.raises(PriceUnknownError) as refused:
        price("gpt-5-nano", Tier.BATCH, datetime(2026, 10, 13, 23, 59, tzinfo=UTC))
    assert "no Batch price of openai/gpt-5-nano for 2026-10-13; its first is in force from 2026-10-14" in str(
        refused.value
    )
    assert price("gpt-5-nano", Tier.BATCH, datetime(2026, 10, 14, tzinfo=UTC)).input_usd_per_mtok == Decimal("0.025")


def test_an_empty_or_partial_variant_is_refused(listed: Listed) -> None:
    listed([batch()])
    with pytest.raises(PriceUnknownError, match="no Batch price of both input and output tokens of p/m"):
        list_tariff("p", "m", Tier.BATCH, NOON)
    listed([batch(input_mtok=Decimal(1))])
    with pytest.raises(PriceUnknownError, match="both input and output"):
        list_tariff("p", "m", Tier.BATCH, NOON)
    listed([])
    with pytest.raises(PriceUnknownError, match="has no Batch price of p/m"):
        list_tariff("p", "m", Tier.BATCH, NOON)


def test_the_cached_price_of_another_tier_is_not_taken(listed: Listed) -> None:
    listed([batch(input_mtok=Decimal(1), output_mtok=Decimal(4))])
    assert list_tariff("p", "m", Tier.BATCH, NOON).cached_input_usd_per_mtok is None
    assert list_tariff("p", "m", Tier.STANDARD, NOON).cached_input_usd_per_mtok == 1


def test_keys_of_several_variants_are_joined_and_dated_by_the_later(listed: Listed) -> None:
    early, late = date(2026, 1, 1), date(2026, 6, 1)
    listed(
        [
            batch(date(2027, 1, 1), input_mtok=Decimal(9), output_mtok=Decimal(9)),
            batch(early, input_mtok=Decimal(1)),
            batch(late, input_mtok=Decimal(7), output_mtok=Decimal(4)),
        ]
    )
    found = list_tariff("p", "m", Tier.BATCH, NOON)
    assert (found.input_usd_per_mtok, found.output_usd_per_mtok, found.in_force_since) == (1, 4, late)


def test_a_standard_price_that_is_not_in_force_is_refused(listed: Listed) -> None:
    start = StartDateConstraint(date(2027, 1, 1))
    listed([], [ConditionalPrice(start, prices=ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1)))])
    with pytest.raises(PriceUnknownError, match="in force on 2026-11-20"):
        list_tariff("p", "m", Tier.STANDARD, NOON)


def test_the_price_of_the_day_with_its_spread_over_the_hours() -> None:
    before = price("deepseek-v4-flash", at=datetime(2026, 6, 1, 12, tzinfo=UTC))
    assert (before.input_usd_per_mtok, before.output_usd_per_mtok) == (Decimal("0.14"), Decimal("0.28"))
    now = price("deepseek-v4-flash")
    assert (now.input_usd_per_mtok, now.in_force_since) == (Decimal("0.15"), date(2026, 9, 10))
    assert "price of 12:00 UTC; over the day 0.15-0.3 in, 0.6-1.2 out" in now.note
    peak = price("deepseek-v4-flash", at=NOON.replace(hour=2))
    assert (peak.input_usd_per_mtok, peak.in_force_since) == (Decimal("0.30"), None)


def test_a_price_that_rises_and_one_without_a_date_say_so() -> None:
    assert "base tier" in price("gemini-2.5-pro").note
    assert "no start date" in price("gpt-5-nano").note


def test_another_providers_price_is_said_and_its_tiers_are_refused() -> None:
    assert "list price of openai, taken for azure" in price("gpt-5-nano", provider="azure").note
    with pytest.raises(PriceUnknownError, match="no Batch price of gpt-5-nano at azure"):
        price("gpt-5-nano", Tier.BATCH, provider="azure")


@pytest.mark.parametrize(
    ("provider", "model"), [(None, "gpt-99"), ("openai", "gpt-99"), ("nobody", "gpt-5-nano"), ("litellm", "gpt-5-nano")]
)
def test_an_unknown_model_is_one_line_with_a_way_out(provider: str | None, model: str) -> None:
    with pytest.raises(PriceUnknownError) as refused:
        price(model, provider=provider)
    assert model in str(refused.value)
    assert "--model NAME=IN/OUT" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_provider_may_stand_before_the_name() -> None:
    assert price("groq/qwen/qwen3-32b") == price("qwen/qwen3-32b", provider="groq")
    assert price("openai/gpt-5-nano").provider == "openai"


def test_contracts_come_first_each_for_its_own_tier() -> None:
    cheap = {"inputUsdPerMTok": "0.01", "outputUsdPerMTok": "0.02"}
    lane = hosted_lane("ns", price=cheap)
    lanes = [
        own_lane("ns"),
        lane,
        lane_of("Batch", hosted_lane("ns", name="nightly", price=cheap | {"inputUsdPerMTok": "0"})),
    ]
    known = Tariffs(lanes)
    found = known.tariff("openai", "gpt-5-nano", Tier.STANDARD, NOON)
    assert (found.input_usd_per_mtok, found.cached_input_usd_per_mtok) == (Decimal("0.01"), None)
    assert found.origin == "contract of CapacityLane ns/hosted, Standard price as given, without a date"
    assert known.tariff(None, "gpt-5-nano", Tier.BATCH, NOON).input_usd_per_mtok == 0
    assert "genai-prices" in known.tariff(None, "gpt-5-nano", Tier.FLEX, NOON).source
    assert "genai-prices" in known.tariff("azure", "gpt-5-nano", Tier.STANDARD, NOON).source


def test_lanes_are_priced_by_their_type() -> None:
    lane = hosted_lane("ns")
    prices = [Tariffs().of_lane(each, NOON) for each in (lane, lane_of("Flex", lane), lane_of("Batch", lane))]
    assert [each.tier for each in prices] == [Tier.STANDARD, Tier.FLEX, Tier.BATCH]
    assert prices[0].input_usd_per_mtok == 2 * prices[2].input_usd_per_mtok
    with pytest.raises(PriceUnknownError, match=r"CapacityLane ns/gpu.*not paid by the token"):
        Tariffs().of_lane(own_lane("ns"), NOON)
    with pytest.raises(PriceUnknownError, match="CapacityLane ns/hosted: price unknown"):
        Tariffs().of_lane(lane_of("Batch", hosted_lane("ns", model="gpt-4", provider="azure")), NOON)


def test_standard_prices_are_those_that_decisions_rest_on() -> None:
    """Over the whole price list: what a lane is quoted for `decide` is what advice calculates with."""
    agreed = 0
    for provider, model in by_their_ids():
        lane = hosted_lane("ns", model=model.id, provider=provider.id)
        quoted = PriceBook().quote(lane, NOON.timestamp()).price
        if quoted is None:
            with pytest.raises(PriceUnknownError):
                Tariffs().of_lane(lane, NOON)
            continue
        found = Tariffs().of_lane(lane, NOON)
        assert (found.input_usd_per_mtok, found.output_usd_per_mtok) == (
            quoted.input_usd_per_mtok,
            quoted.output_usd_per_mtok,
        )
        assert found.source in quoted.source
        agreed += 1
    assert agreed > 500
