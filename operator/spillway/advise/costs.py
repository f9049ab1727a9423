"""What a month's demand costs at a tariff, by the month, the developer, the task and the successful task."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from spillway.advise.demand import Demand
from spillway.advise.figures import Figure, computed, given
from spillway.advise.prices import Tariff

MTOK = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Priced:
    """A model that may do the work, with its tariff."""

    name: str
    """As it was asked for: the flag's name, or the lane's."""
    tariff: Tariff
    origin: str = ""
    """Overrides the tariff's own origin, where there is more to say."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a month costs with one model; all in US dollars."""

    option: Priced
    input: Figure
    """With what is read from the cache."""
    output: Figure
    total: Figure
    per_task: Figure
    per_developer: Figure | None

    @property
    def name(self) -> str:
        """Of the model."""
        return self.option.name


def price_figures(option: Priced) -> tuple[Figure, Figure, Figure]:
    """Input, cached input and output, in USD/Mtok. Cached input without a price of its own costs what input does."""
    tariff, name = option.tariff, option.name
    origin = option.origin or tariff.origin
    cached = tariff.cached_input_usd_per_mtok
    own = given(f"input price of {name}", tariff.input_usd_per_mtok, "USD/Mtok", origin)
    return (
        own,
        computed(f"cached input price of {name}", own.value, "USD/Mtok", "input price: none of its own is known", own)
        if cached is None
        else given(f"cached input price of {name}", cached, "USD/Mtok", origin),
        given(f"output price of {name}", tariff.output_usd_per_mtok, "USD/Mtok", origin),
    )


def cost_of(demand: Demand, option: Priced) -> Cost:
    """What the demand costs with one model: tokens x price. The same tokens for every model, whatever its tokenizer."""
    price_in, price_cached, price_out = price_figures(option)
    fresh = demand.input.value - demand.cached.value
    usd_in = (fresh * price_in.value + demand.cached.value * price_cached.value) / MTOK
    if demand.cached.value:
        input_usd = computed(
            "input cost",
            usd_in,
            "USD",
            "((input tokens - cached) x input price + cached x cached price) / 1,000,000",
            demand.input,
            demand.cached,
            price_in,
            price_cached,
        )
    else:
        input_usd = computed(
            "input cost", usd_in, "USD", "input tokens x input price / 1,000,000", demand.input, price_in
        )
    output_usd = computed(
        "output cost",
        demand.output.value * price_out.value / MTOK,
        "USD",
        "output tokens x output price / 1,000,000",
        demand.output,
        price_out,
    )
    total = _banded(
        computed(
            f"cost a month with {option.name}",
            input_usd.value + output_usd.value,
            "USD",
            "input cost + output cost",
            input_usd,
            output_usd,
        ),
        demand,
    )
    return Cost(option, input_usd, output_usd, total, _per_task(total, demand), _per_developer(total, demand))


def _per_task(total: Figure, demand: Demand) -> Figure:
    one = "request" if demand.measured else "task"
    value = total.value / demand.tasks.value if demand.tasks.value else Decimal(0)
    return computed(f"cost per {one}", value, "USD", f"cost a month / {demand.tasks.name}", total, demand.tasks)


def _per_developer(total: Figure, demand: Demand) -> Figure | None:
    people = demand.developers
    if people is None:
        return None
    return computed("cost per developer", total.value / people.value, "USD", "cost a month / developers", total, people)


def _banded(figure: Figure, demand: Demand) -> Figure:
    band = demand.relative_band
    return figure if band is None else figure.banded(figure.value * band[0], figure.value * band[1])


def successes(demand: Demand, rate: Figure) -> Figure:
    """Tasks a month that reach their end; ``rate`` from 0 to 1."""
    value = demand.tasks.value * rate.value
    return computed("successful tasks a month", value, "tasks", "tasks a month x success rate", demand.tasks, rate)


def cost_per_success(cost: Cost, demand: Demand, rate: Figure) -> Figure | None:
    """What one successful task costs: the failed ones are paid as well. None where nothing succeeds."""
    good = successes(demand, rate)
    if not good.value:
        return None
    value = cost.total.value / good.value
    return computed(
        "cost per successful task", value, "USD", "cost a month / successful tasks a month", cost.total, good
    )
