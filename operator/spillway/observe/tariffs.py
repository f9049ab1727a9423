"""Dated tariffs of hosted models by tier: a lane's contract first, else the list price of ``genai-prices``.

Where the package has no price of the tier asked for, it answers with the standard price. Here that is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal

import genai_prices
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from spillway.advise.prices import PriceUnknownError, Tariff, Tier
from spillway.api import CapacityLane, HostedSpec, LaneType

PACKAGE = f"genai-prices {genai_prices.__version__}"
TIER_OF_LANE = {LaneType.HOSTED_REALTIME: Tier.STANDARD, LaneType.FLEX: Tier.FLEX, LaneType.BATCH: Tier.BATCH}
CONTEXTS = {
    Tier.BATCH: {"processing": "batch"},
    Tier.FLEX: {"service_tier": "flex"},
    Tier.PRIORITY: {"service_tier": "priority"},
}
"""How the package names a tier that is not the standard one."""
PRICED = ("input_mtok", "cache_read_mtok", "output_mtok")
WAY_OUT = "give the price itself, such as --model NAME=IN/OUT or spec.hosted.price of a lane"

Amounts = tuple[Decimal | None, Decimal | None, Decimal | None]
"""Input, cached input, output, in US dollars per million tokens."""


class Tariffs:
    """``advise.prices.TokenPrices`` over contracts of lanes and the installed price package; nothing is downloaded."""

    def __init__(self, lanes: Sequence[CapacityLane] = ()) -> None:
        """``lanes``: those whose contract prices come first."""
        self._lanes = tuple(lanes)

    def tariff(self, provider: str | None, model: str, tier: Tier, at: datetime) -> Tariff:
        """The tariff in force at a moment; the first lane with a contract for it, else the list price.

        Raises PriceUnknownError: no such model, or no price of this tier.
        """
        for lane in self._lanes:
            hosted = lane.spec.hosted
            if hosted is None or hosted.price is None or TIER_OF_LANE.get(lane.spec.type) is not tier:
                continue
            if hosted.model == model and provider in (None, hosted.provider):
                return contract(lane, hosted)
        return list_tariff(provider, model, tier, at)

    def of_lane(self, lane: CapacityLane, at: datetime) -> Tariff:
        """What a hosted lane's tokens cost at its type's tier. Raises PriceUnknownError, also for own GPUs."""
        hosted, tier = lane.spec.hosted, TIER_OF_LANE.get(lane.spec.type)
        if hosted is None or tier is None:
            raise PriceUnknownError(
                f"CapacityLane {lane.metadata.key}: price unknown: type {lane.spec.type} is not paid by the token"
            )
        if hosted.price is not None:
            return contract(lane, hosted)
        try:
            return list_tariff(hosted.provider, hosted.model, tier, at)
        except PriceUnknownError as error:
            raise PriceUnknownError(f"CapacityLane {lane.metadata.key}: {error}") from error


def contract(lane: CapacityLane, hosted: HostedSpec) -> Tariff:
    """The contract price of a lane that has one; it carries no date."""
    price = hosted.price
    assert price is not None  # noqa: S101 - the callers have looked
    return Tariff(
        provider=hosted.provider,
        model=hosted.model,
        tier=TIER_OF_LANE[lane.spec.type],
        input_usd_per_mtok=price.input_usd_per_m_tok,
        cached_input_usd_per_mtok=price.cached_input_usd_per_m_tok,
        output_usd_per_mtok=price.output_usd_per_m_tok,
        source=f"contract of CapacityLane {lane.metadata.key}",
        as_of=None,
    )


def list_tariff(provider: str | None, model: str, tier: Tier, at: datetime) -> Tariff:
    """The package's price in force at a moment. ``provider`` None: found by the model's name, or its PROVIDER/ prefix.

    Raises PriceUnknownError.
    """
    asked, info = _find(provider, model)
    owner = _owner(asked, info)
    found = _standard(info, at) if tier is Tier.STANDARD else _variant(asked, owner, info, tier, at)
    price_in, cached, price_out = found.amounts
    if price_in is None or price_out is None:
        missing = "input" if price_in is None else "output"
        raise PriceUnknownError(
            f"price unknown: {PACKAGE} has no {tier.value} price of {missing} tokens of {owner.id}/{info.id}; {WAY_OUT}"
        )
    return Tariff(
        provider=asked.id,
        model=info.id,
        tier=tier,
        input_usd_per_mtok=price_in,
        cached_input_usd_per_mtok=cached,
        output_usd_per_mtok=price_out,
        source=f"{PACKAGE}: {owner.id}/{info.id}",
        as_of=at.astimezone(UTC).date(),
        in_force_since=found.since,
        note="; ".join(_notes(asked, owner, info, found, at)),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    amounts: Amounts
    since: date | None
    tiered: bool
    """Whether a price rises with the prompt's length."""
    standard: bool


def _find(provider_id: str | None, model: str) -> tuple[Provider, ModelInfo]:
    tries = [(provider_id, model)]
    if provider_id is None and "/" in model:
        prefix, _, rest = model.partition("/")
        tries.append((prefix, rest))
    snapshot = get_snapshot()
    for provider, ref in tries:
        if provider == "litellm":
            continue  # the package would guess a provider from the model's name
        try:
            return snapshot.find_provider_model(ref, None, provider, None)
        except LookupError:
            continue
    of = f" of provider {provider_id!r}" if provider_id else ""
    hint = "" if provider_id else "write PROVIDER/NAME, or "
    raise PriceUnknownError(f"price unknown: {PACKAGE} does not know model {model!r}{of}; {hint}{WAY_OUT}")


def _owner(provider: Provider, info: ModelInfo) -> Provider:
    """Whose list the model stands in: the package lends models of one provider to another."""
    if any(info is own for own in provider.models):
        return provider
    owners = (other for other in get_snapshot().providers if any(info is own for own in other.models))
    return next(owners, provider)


def _standard(info: ModelInfo, at: datetime) -> _Found:
    price, since = info.get_prices(at), None
    if isinstance(info.prices, list):
        chosen = next((each for each in info.prices if each.prices is price), None)
        constraint = chosen.constraint if chosen is not None else None
        if isinstance(constraint, StartDateConstraint):
            since = constraint.start_date
        if constraint is not None and not constraint.active(at):
            # None of them is in force: the package takes the first all the same.
            raise PriceUnknownError(
                f"price unknown: {PACKAGE} has no price of {info.id} in force on {at:%Y-%m-%d}; {WAY_OUT}"
            )
    return _Found(_amounts(price), since, _rises(price), True)


def _variant(asked: Provider, owner: Provider, info: ModelInfo, tier: Tier, at: datetime) -> _Found:
    where = f"{owner.id}/{info.id}"
    if owner is not asked:
        raise PriceUnknownError(
            f"price unknown: {PACKAGE} has no {tier.value} price of {info.id} at {asked.id} (it lends {where}'s "
            f"standard price); {WAY_OUT}"
        )
    named = [each for each in info.price_variants or () if _fits(each, tier)]
    active = [each for each in named if each.constraint is None or each.constraint.active(at)]
    chosen = {key: next((each for each in active if getattr(each.prices, key) is not None), None) for key in PRICED}
    price_in, price_out = chosen["input_mtok"], chosen["output_mtok"]
    if price_in is None or price_out is None:
        raise PriceUnknownError(f"price unknown: {_why(where, tier, named, at)}; {WAY_OUT}")
    merged = ModelPrice(**{key: getattr(each.prices, key) for key, each in chosen.items() if each is not None})
    starts = [
        each.constraint.start_date for each in (price_in, price_out) if isinstance(each.constraint, StartDateConstraint)
    ]
    return _Found(_amounts(merged), max(starts, default=None), _rises(merged), False)


def _fits(variant: PriceVariant, tier: Tier) -> bool:
    return all(CONTEXTS[tier].get(key) == value for key, value in variant.when.items())


def _why(where: str, tier: Tier, named: Sequence[PriceVariant], at: datetime) -> str:
    """Why the package has none: no variant, one that starts later, or one without both prices."""
    later = [
        each.constraint.start_date
        for each in named
        if isinstance(each.constraint, StartDateConstraint) and each.constraint.start_date > at.astimezone(UTC).date()
    ]
    if later and len(later) == len(named):
        first = min(later).isoformat()
        return f"{PACKAGE} has no {tier.value} price of {where} for {at:%Y-%m-%d}; its first is in force from {first}"
    if named:
        return f"{PACKAGE} has no {tier.value} price of both input and output tokens of {where} for {at:%Y-%m-%d}"
    return f"{PACKAGE} has no {tier.value} price of {where}"


def _amounts(price: ModelPrice) -> Amounts:
    return base(price.input_mtok), base(price.cache_read_mtok), base(price.output_mtok)


def base(price: Decimal | TieredPrices | None) -> Decimal | None:
    """A price, or the lowest tier of one that rises with the prompt's length."""
    return price.base if isinstance(price, TieredPrices) else price


def _rises(price: ModelPrice) -> bool:
    return any(isinstance(getattr(price, key), TieredPrices) for key in PRICED)


def _notes(asked: Provider, owner: Provider, info: ModelInfo, found: _Found, at: datetime) -> Iterator[str]:
    if found.since is None:
        yield "the package gives no start date"
    if owner is not asked:
        yield f"list price of {owner.id}, taken for {asked.id}"
    if found.tiered:
        yield "base tier of a price that rises with the prompt's length"
    if found.standard and (spread := _over_the_day(info, at)):
        yield spread


def _over_the_day(info: ModelInfo, at: datetime) -> str:
    """What a price that depends on the hour ranges over; empty for every other."""
    if not isinstance(info.prices, list):
        return ""
    hours = [each.constraint for each in info.prices if isinstance(each.constraint, TimeOfDateConstraint)]
    if not hours:
        return ""
    moment = at.astimezone(UTC)
    edges = {time(0, tzinfo=UTC), *(edge for each in hours for edge in (each.start_time, each.end_time))}
    prices = [_amounts(info.get_prices(datetime.combine(moment.date(), _aware(edge)))) for edge in edges]
    inputs = sorted(each[0] for each in prices if each[0] is not None)
    outputs = sorted(each[2] for each in prices if each[2] is not None)
    if not inputs or not outputs:
        return ""
    spread = f"{inputs[0]}-{inputs[-1]} in, {outputs[0]}-{outputs[-1]} out"
    return f"price of {moment:%H:%M} UTC; over the day {spread} USD/Mtok"


def _aware(edge: time) -> time:
    return edge if edge.tzinfo else edge.replace(tzinfo=UTC)
