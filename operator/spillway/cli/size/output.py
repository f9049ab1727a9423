"""How `spillway size` shows its answer: a table that fits 80 columns, markdown, or JSON."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import click
from rich.text import Text

from spillway.advise.figures import Figure, cents, plain, traced
from spillway.advise.prices import GpuOffer
from spillway.advise.sizing.answer import Answer
from spillway.advise.sizing.cost import WHOLE_NODE, BreakEven, Row, origin
from spillway.advise.sizing.memory import ENGINE_RESERVE, GPU_MEMORY_UTILIZATION
from spillway.advise.sizing.placement import Placement
from spillway.cli.output import Form, console, print_json, table

SHOWN = 20
HEADINGS = ("", "GPU", "PROVIDER", "GPUS", "TP", "TOK/S", "$/GPU-H", "$/MONTH", "SPOT/MONTH")


def print_answer(answer: Answer, output: str, form: Form, explain: bool) -> None:
    """Print it in the form asked for."""
    if output == "json":
        print_json(to_document(answer))
        return
    for line in _head(answer):
        click.echo(line)
    click.echo()
    if output == "markdown":
        _markdown(answer)
    else:
        rows = [[Text(cell, style="bold green") if n == 0 else cell for cell in _cells(row, n == 0, answer.spot)]
                for n, row in enumerate(answer.rows[:SHOWN])]  # fmt: skip
        console(form).print(table(HEADINGS, rows, fixed=len(HEADINGS)))
    click.echo()
    for line in _foot(answer):
        click.echo(f"- {line}" if output == "markdown" else line)
    if explain:
        click.echo()
        _explain(answer)


def _head(answer: Answer) -> Iterator[str]:
    need = answer.need
    model = need.model
    bits = "as published" if need.precision.quantization == "none" else str(need.precision.quantization)
    yield f"{model.name}: {model.total / 1e9:.2f}B parameters, {bits} ({plain(need.precision.weight_bits(model))} bit)"
    loaded = f" ({_gb(answer.weights.high)} as loaded)" if answer.weights.high else ""
    yield f"weights {_gb(answer.weights.value)}{loaded}; KV cache {_kv(answer)}"
    spare = f", {plain(need.spare.value)} spare" if need.spare.value else ""
    streams = f"{plain(need.concurrency.value)} stream{'s' if need.concurrency.value > 1 else ''}"
    hours = answer.hours
    paid = (
        f"{plain(hours.per_day.value)} h x {plain(hours.workdays.value)} days = {plain(hours.month().value)} h a month"
    )
    yield f"{streams} at {plain(need.tokens_per_second.value)} tokens/s or more{spare}; {paid}"


def _kv(answer: Answer) -> str:
    sequence = answer.kv_sequence
    if answer.kv_token is None:
        return f"{_gb(sequence.value)} a stream by rule of thumb ({_gb(sequence.low)} to {_gb(sequence.high)})"
    context = int(answer.need.context.value)
    return f"{_gb(sequence.value)} a stream of {context:,} tokens"


def _cells(row: Row, cheapest: bool, spot: bool) -> list[str]:
    place = row.placement
    offer = row.spot if spot else row.on_demand
    return [
        "*" if cheapest else "",
        place.gpu.name,
        row.provider,
        _counted(place.gpus),
        str(place.tensor_parallel),
        f"{place.stream.value:.0f}",
        f"{offer.usd_per_gpu_hour:.2f}" if offer else "–",
        _usd(row.monthly),
        _usd(row.spot_monthly),
    ]


def _counted(gpus: Figure) -> str:
    """The count, with the band where there is one."""
    low, high = gpus.low, gpus.high
    if low is not None and high is None:
        return f"{plain(gpus.value)} ({plain(low)}+)"
    return (
        plain(gpus.value)
        if low in (None, high)
        else f"{plain(gpus.value)} ({plain(low or gpus.value)}-{plain(high or gpus.value)})"
    )


def _usd(figure: Figure | None) -> str:
    return "–" if figure is None else f"{cents(figure.value):,}"


def _gb(value: Decimal | None) -> str:
    return "" if value is None else f"{value:.1f} GB" if value >= 10 else f"{value:.2f} GB"


def _foot(answer: Answer) -> Iterator[str]:
    best = answer.cheapest
    place = best.placement
    kind = "spot" if answer.spot else "on demand"
    cost = best.cost(answer.spot)
    yield f"* cheapest {kind}: {_counted(place.gpus)} x {place.gpu.name}, {best.provider}, ${_usd(cost)} a month"
    if len(answer.rows) > SHOWN:
        yield f"{len(answer.rows) - SHOWN} dearer rows are not shown: -o json has them, --gpu and --provider choose."
    low, high = place.stream.low or place.stream.value, place.stream.high or place.stream.value
    what = "an estimate, no profile of it was measured" if place.speed.estimate else place.speed.source
    yield f"TOK/S of each stream: {place.stream.value:.0f} ({low:.0f} to {high:.0f}) on {place.gpu.name}, {what}."
    yield (
        "Prices: " + "; ".join(sorted({_dated(row) for row in answer.rows})) + "; the cheapest region of each provider."
    )
    if whole := sorted({row.provider for row in answer.rows if row.idle_gpus(answer.spot)}):
        yield f"Rented by the instance of {WHOLE_NODE} GPUs, of which the others are not counted: {', '.join(whole)}."
    yield from _limits(answer)
    for even in answer.break_evens:
        yield _break_even(even)


def _dated(row: Row) -> str:
    offer = row.on_demand or row.spot
    if offer is None:
        return ""
    return f"{offer.source} of {offer.as_of.isoformat()}" if offer.as_of else f"{offer.source}, without a date"


def _limits(answer: Answer) -> Iterator[str]:
    for note in answer.need.model.notes:
        yield f"{answer.need.model.name}: {note}."
    gpus = answer.cheapest.placement.gpus
    if gpus.note:
        yield f"{answer.cheapest.placement.gpu.name}: {gpus.note}."
    if answer.refused:
        yield "Don't serve it: " + "; ".join(f"{each.gpu.name} ({each.reason})" for each in answer.refused) + "."
    if answer.unpriced:
        yield "No price: " + ", ".join(each.gpu.name for each in answer.unpriced) + " (--price)."


def _break_even(even: BreakEven) -> str:
    tariff = even.tariff
    price = f"{tariff.model} (${plain(tariff.input_usd_per_mtok)}/${plain(tariff.output_usd_per_mtok)} per Mtok)"
    if even.tokens is None:
        return f"{price}: costs nothing, self-hosting never costs less."
    low, high = even.tokens.low, even.tokens.high
    band = f" ({_millions(low)} to {_millions(high)})" if low is not None and high is not None and low != high else ""
    able = f"these GPUs can serve {_millions(even.capacity.value)}"
    verdict = able if even.reachable else f"out of reach, {able}"
    return f"Break-even with {price}: {_millions(even.tokens.value)} tokens a month{band}; {verdict}."


def _millions(tokens: Decimal | None) -> str:
    return "" if tokens is None else f"{tokens / 1_000_000:,.1f}M"


def _markdown(answer: Answer) -> None:
    names = ["", *(heading.replace("|", "") for heading in HEADINGS[1:])]
    click.echo("| " + " | ".join(names) + " |")
    click.echo("|" + "---|" * len(names))
    for number, row in enumerate(answer.rows[:SHOWN]):
        click.echo("| " + " | ".join(_cells(row, number == 0, answer.spot)) + " |")


def _figures(answer: Answer) -> Iterator[Figure]:
    place = answer.cheapest.placement
    token = answer.kv_token
    yield answer.weights
    yield from () if token is None else (token,)
    yield answer.kv_sequence
    for figure in (place.stream, place.total, place.first_token, answer.cheapest.cost(answer.spot)):
        if figure is not None:
            yield figure
    for even in answer.break_evens:
        yield from () if even.tokens is None else (even.tokens,)
        yield even.capacity


def _explain(answer: Answer) -> None:
    """Every figure of the cheapest row with what it rests on, each told once."""
    told: set[tuple[str, Decimal]] = set()
    for figure in _figures(answer):
        above: int | None = None
        for depth, each in traced(figure):
            if above is not None and depth > above:
                continue
            known = (each.name, each.value) in told
            above = depth if known else None
            told.add((each.name, each.value))
            click.echo("  " * depth + (_line(each, " (above)") if known else _line(each, _why(each))))


def _line(figure: Figure, why: str) -> str:
    low, high = figure.low, figure.high
    band = f" ({_number(low)} to {_number(high)})" if low is not None and high is not None else ""
    return f"{figure.name}: {_number(figure.value)} {figure.unit}".rstrip() + band + why


def _why(figure: Figure) -> str:
    note = f" ({figure.note})" if figure.note else ""
    return (f" = {figure.formula}" if figure.formula else f" [{figure.source}]") + note


def _number(value: Decimal | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100_000 else plain(value.quantize(Decimal("0.001")))


def to_document(answer: Answer) -> dict[str, Any]:
    """For JSON: every figure with its inputs."""
    need = answer.need
    return {
        "model": {"name": need.model.name, "source": need.model.source, "notes": list(need.model.notes)},
        "quantization": str(need.precision.quantization),
        "parameters": need.model.parameters.to_document(),
        "weights": answer.weights.to_document(),
        "kvCachePerToken": None if answer.kv_token is None else answer.kv_token.to_document(),
        "kvCachePerSequence": answer.kv_sequence.to_document(),
        "assumptions": [each.to_document() for each in (GPU_MEMORY_UTILIZATION, ENGINE_RESERVE)],
        "pricing": "spot" if answer.spot else "onDemand",
        "rows": [_row_document(row, number == 0) for number, row in enumerate(answer.rows)],
        "notServing": [{"gpu": each.gpu.name, "reason": each.reason} for each in answer.refused],
        "withoutPrice": [_placement_document(each) for each in answer.unpriced],
        "breakEven": [_even_document(each) for each in answer.break_evens],
    }


def _row_document(row: Row, cheapest: bool) -> dict[str, Any]:
    return {
        **_placement_document(row.placement),
        "provider": row.provider,
        "cheapest": cheapest,
        "gpusOfInstance": {"onDemand": _instance(row.on_demand), "spot": _instance(row.spot)},
        "onDemand": _offer_document(row.on_demand, row.monthly),
        "spot": _offer_document(row.spot, row.spot_monthly),
    }


def _placement_document(place: Placement) -> dict[str, Any]:
    figures = {
        "gpus": place.gpus, "tokensPerSecondPerStream": place.stream, "tokensPerSecond": place.total,
        "firstTokenSeconds": place.first_token,
    }  # fmt: skip
    found: dict[str, Any] = {
        "gpu": place.gpu.name, "tensorParallel": place.tensor_parallel, "limitedBy": place.limit,
        "speedIsEstimate": place.speed.estimate,
    }  # fmt: skip
    return found | {name: figure.to_document() for name, figure in figures.items()}


def _instance(offer: GpuOffer | None) -> str | None:
    size = None if offer is None else offer.gpus_of_instance
    return None if size is None else plain(size)


def _offer_document(offer: GpuOffer | None, cost: Figure | None) -> dict[str, Any] | None:
    if offer is None or cost is None:
        return None
    return {"region": offer.region, "price": origin(offer), "monthly": cost.to_document()}


def _even_document(even: BreakEven) -> dict[str, Any]:
    return {
        "model": even.tariff.model,
        "price": even.tariff.origin,
        "tokens": None if even.tokens is None else even.tokens.to_document(),
        "capacity": even.capacity.to_document(),
        "reachable": even.reachable,
    }
