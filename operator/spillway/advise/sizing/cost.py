"""What placements cost a month at dated prices, which is cheapest, and from which volume on hosted tokens cost more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from spillway.advise.figures import Figure, computed, given
from spillway.advise.prices import GpuOffer, Tariff
from spillway.advise.sizing.placement import Placement

WHOLE_NODE = 8
"""GPUs of the largest usual instance."""


@dataclass(frozen=True, slots=True)
class Hours:
    """When the GPUs are paid for."""

    per_day: Figure
    workdays: Figure

    def month(self) -> Figure:
        """Hours a month."""
        value = self.per_day.value * self.workdays.value
        return computed("hours a month", value, "h", "hours a day * workdays", self.per_day, self.workdays)


@dataclass(frozen=True, slots=True)
class Row:
    """A type of GPU at a provider."""

    placement: Placement
    provider: str
    on_demand: GpuOffer | None
    spot: GpuOffer | None
    monthly: Figure | None
    spot_monthly: Figure | None

    def idle_gpus(self, spot: bool) -> int:
        """GPUs of whole instances beyond those needed, where nothing smaller is offered; they are not in the cost."""
        offer = self.spot if spot else self.on_demand
        # A mean below a whole node may hide smaller instances.
        if offer is None or offer.gpus_of_instance is None or offer.gpus_of_instance < WHOLE_NODE:
            return 0
        return -int(self.placement.gpus.value) % WHOLE_NODE

    def cost(self, spot: bool) -> Figure | None:
        """The month's cost, on demand or spot."""
        return self.spot_monthly if spot else self.monthly


def origin(offer: GpuOffer) -> str:
    """Source, place and date of an offer."""
    kind = "spot" if offer.spot else "on demand"
    where = f" {offer.region}" if offer.region else ""
    day = f"price of {offer.as_of.isoformat()}" if offer.as_of else "price without a date"
    return f"{offer.source}: {offer.provider}{where}, {kind}, {day}"


def monthly(placement: Placement, offer: GpuOffer, hours: Hours) -> Figure:
    """GPUs * price * hours. Banded where the GPUs are."""
    price = given(f"price of one {placement.gpu.name}", offer.usd_per_gpu_hour, "USD/GPU-h", origin(offer))
    month = hours.month()
    rate = price.value * month.value
    value = placement.gpus.value * rate
    found = computed("cost a month", value, "USD", "GPUs * price * hours a month", placement.gpus, price, month)
    if placement.gpus.low is None or placement.gpus.high is None:
        return found
    return found.banded(placement.gpus.low * rate, placement.gpus.high * rate)


def rows(placements: Iterable[Placement], offers: Sequence[GpuOffer], hours: Hours, spot: bool) -> list[Row]:
    """Placements at every provider that offers their GPU, cheapest first; the cheapest region stands for a provider."""
    found: list[Row] = []
    for placement in placements:
        by_provider: dict[str, dict[bool, GpuOffer]] = {}
        for offer in offers:
            if placement.gpu.is_offered(offer):
                kinds = by_provider.setdefault(offer.provider, {})
                if offer.spot not in kinds or offer.usd_per_gpu_hour < kinds[offer.spot].usd_per_gpu_hour:
                    kinds[offer.spot] = offer
        for provider, kinds in by_provider.items():
            costs = {kind: monthly(placement, offer, hours) for kind, offer in kinds.items()}
            row = Row(placement, provider, kinds.get(False), kinds.get(True), costs.get(False), costs.get(True))
            if row.cost(spot) is not None:
                found.append(row)
    return sorted(found, key=lambda row: _order(row, spot))


def _order(row: Row, spot: bool) -> tuple[Decimal, str, str]:
    cost = row.cost(spot)
    return (cost.value if cost else Decimal("Infinity"), row.placement.gpu.name, row.provider)


@dataclass(frozen=True, slots=True)
class BreakEven:
    """From how many tokens a month on self-hosting costs less than a hosted model."""

    tariff: Tariff
    tokens: Figure | None
    """None: hosted tokens cost nothing."""
    capacity: Figure
    """Tokens that the placement can serve in its hours."""

    @property
    def reachable(self) -> bool:
        """Whether the GPUs can serve as many tokens as that takes."""
        return self.tokens is not None and self.tokens.value <= self.capacity.value


def break_even(row: Row, tariff: Tariff, input_share: Figure, hours: Hours, spot: bool) -> BreakEven | None:
    """The break-even of a row against a tariff; None where the row has no price of this kind."""
    cost, placement = row.cost(spot), row.placement
    if cost is None:
        return None
    share = input_share.value / 100
    price_in = given("hosted input", tariff.input_usd_per_mtok, "USD/Mtok", tariff.origin)
    price_out = given("hosted output", tariff.output_usd_per_mtok, "USD/Mtok", tariff.origin)
    blend = computed(
        "hosted price of a mixed token", price_in.value * share + price_out.value * (1 - share), "USD/Mtok",
        "input * share + output * (1 - share)", price_in, price_out, input_share,
    )  # fmt: skip
    tokens = None
    if blend.value > 0:
        value = cost.value / blend.value * 1_000_000
        tokens = computed("break-even", value, "tokens/month", "cost a month / hosted price * 1e6", cost, blend)
        if cost.low is not None and cost.high is not None:
            tokens = tokens.banded(cost.low / blend.value * 1_000_000, cost.high / blend.value * 1_000_000)
    return BreakEven(tariff, tokens, _capacity(placement, hours, input_share))


def _capacity(placement: Placement, hours: Hours, input_share: Figure) -> Figure:
    """Tokens a month at full concurrency: answers at the decoding speed, and the prompts that belong to them."""
    share, month = input_share.value / 100, hours.month()
    answers = placement.total.value * 3600 * month.value
    formula = (
        "tokens/s * 3600 * hours / (1 - input share): all streams busy all the time, prompts' own time not counted"
    )
    if share >= 1:
        answers, share, formula = Decimal(0), Decimal(0), "input alone: decoding says nothing of it"
    return computed(
        "tokens that these GPUs can serve a month", answers / (1 - share), "tokens/month", formula,
        placement.total, month, input_share,
    )  # fmt: skip
