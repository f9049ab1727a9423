"""What a hosted lane's tokens cost: the contract first, else the dated list price of ``genai-prices``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, Provider, StartDateConstraint, TieredPrices

from spillway.api import CapacityLane, LaneType
from spillway.decide.snapshot import Finding, Severity, TokenPrice
from spillway.observe.tariffs import PACKAGE, base

_CACHE_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Quote:
    """A lane's price, or why there is none."""

    price: TokenPrice | None = None
    finding: Finding | None = None


class PriceBook:
    """Prices of hosted lanes. An unknown price is a finding, and never another model's or tier's price in silence."""

    def __init__(self) -> None:
        """A book over the price data that the installed package carries; nothing is downloaded."""
        self._known: dict[tuple[str, str, int], TokenPrice | None] = {}

    def quote(self, lane: CapacityLane, now: float) -> Quote:
        """The price in force at ``now`` (Unix seconds) of a HostedRealtime lane; empty for every other type."""
        hosted = lane.spec.hosted
        if hosted is None or lane.spec.type is not LaneType.HOSTED_REALTIME:
            return Quote()
        if hosted.price is not None:
            contract = hosted.price
            cached = contract.cached_input_usd_per_m_tok
            return Quote(
                TokenPrice(
                    input_usd_per_mtok=contract.input_usd_per_m_tok,
                    cached_input_usd_per_mtok=contract.input_usd_per_m_tok if cached is None else cached,
                    output_usd_per_mtok=contract.output_usd_per_m_tok,
                    source="contract",
                )
            )
        if (price := self._list_price(hosted.provider, hosted.model, now)) is not None:
            return Quote(price)
        subject = f"CapacityLane/{lane.metadata.namespace}/{lane.metadata.name}"
        message = (
            f"CapacityLane {lane.metadata.key}: {PACKAGE} has no price for spec.hosted.model {hosted.model!r} "
            f"of provider {hosted.provider!r}; set spec.hosted.price"
        )
        return Quote(finding=Finding(Severity.ERROR, "PriceUnknown", message, subject))

    def _list_price(self, provider: str, model: str, now: float) -> TokenPrice | None:
        key = (provider, model, int(now // _CACHE_SECONDS))
        if key not in self._known:
            if len(self._known) > 1000:
                self._known.clear()
            self._known[key] = self._look_up(provider, model, datetime.fromtimestamp(now, UTC))
        return self._known[key]

    def _look_up(self, provider_id: str, model_ref: str, at: datetime) -> TokenPrice | None:
        if provider_id == "litellm":
            return None  # the package would guess a provider from the model's name
        snapshot = get_snapshot()
        try:
            provider, model = snapshot.find_provider_model(model_ref, None, provider_id, None)
        except LookupError:
            return None
        price = model.get_prices(at)
        amount_in, amount_out = base(price.input_mtok), base(price.output_mtok)
        if amount_in is None or amount_out is None:
            return None
        cached = base(price.cache_read_mtok)
        return TokenPrice(
            input_usd_per_mtok=amount_in,
            cached_input_usd_per_mtok=amount_in if cached is None else cached,
            output_usd_per_mtok=amount_out,
            source=self._source(provider, model, price, at),
        )

    def _source(self, provider: Provider, model: ModelInfo, price: ModelPrice, at: datetime) -> str:
        owner = provider
        if not any(model is own for own in provider.models):
            owners = (other for other in get_snapshot().providers if any(model is own for own in other.models))
            owner = next(owners, provider)
        parts = [f"{PACKAGE}: {owner.id}/{model.id}, {_since(model, at)}"]
        if owner is not provider:
            parts.append(f"taken for {provider.id}")
        if isinstance(price.input_mtok, TieredPrices):
            parts.append("base tier of a price that rises with the prompt's length")
        return ", ".join(parts)


def _since(model: ModelInfo, at: datetime) -> str:
    """The date from which the price in force holds, as far as the package knows one."""
    if isinstance(model.prices, list):
        active = [price for price in model.prices if _dated(price, at)]
        if active:
            constraint = active[-1].constraint
            assert isinstance(constraint, StartDateConstraint)  # noqa: S101 - what _dated found
            return f"in force since {constraint.start_date.isoformat()}"
    return "list price without a start date"


def _dated(price: ConditionalPrice, at: datetime) -> bool:
    return isinstance(price.constraint, StartDateConstraint) and price.constraint.active(at)
