"""`spillway size`: how many GPUs a model takes for a concurrency, what they cost where, and when hosted costs more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from spillway.advise.figures import given
from spillway.advise.prices import GpuOffer, Tariff, Tier
from spillway.advise.sizing.answer import Facts, size
from spillway.advise.sizing.cost import Hours
from spillway.advise.sizing.errors import SizingError, nearest
from spillway.advise.sizing.gpus import GpuType, find_gpu
from spillway.advise.sizing.memory import Precision, Quantization
from spillway.advise.sizing.placement import Need
from spillway.cli.output import Form
from spillway.cli.size_output import print_answer
from spillway.observe.gpu_prices import CatalogueError, read_catalogue
from spillway.observe.sizing_data import find_model, gpu_types, profiles

HIGHEST_USD = Decimal(100_000)
OWN = "own"


def size_command(asked: Mapping[str, Any]) -> int:
    """Answer the question that the flags put. Raises click's errors, each one line."""
    try:
        answer = size(
            _need(asked),
            _facts(asked),
            _hours(asked),
            asked["spot"],
            [_tariff(each) for each in asked["compare"]],
            given("input share", asked["input_share"], "%", "--input-share"),
        )
    except SizingError as error:
        raise click.UsageError(str(error)) from None
    except CatalogueError as error:
        raise click.ClickException(str(error)) from None
    form = Form(as_json=asked["output"] == "json", no_color=asked["no_color"])
    print_answer(answer, asked["output"], form, asked["explain"])
    return 0


def _need(asked: Mapping[str, Any]) -> Need:
    return Need(
        find_model(asked["model"]),
        Precision(Quantization(asked["quantization"]), 1 if asked["kv_cache"] == "fp8" else 2),
        given("concurrency", asked["concurrency"], "streams", "--concurrency"),
        given("context", asked["context"], "tokens", "--context"),
        given("tokens a second asked for", _decimal(asked["tokens_per_second"]), "tokens/s", "--tokens-per-second"),
        given("spare", asked["spare"], "replicas", "--spare"),
        asked["tensor_parallel"],
    )


def _hours(asked: Mapping[str, Any]) -> Hours:
    return Hours(
        given("hours a day", _decimal(asked["hours_per_day"]), "h", "--hours-per-day"),
        given("workdays", asked["workdays"], "days", "--workdays"),
    )


def _facts(asked: Mapping[str, Any]) -> Facts:
    known = gpu_types()
    gpus = tuple(dict.fromkeys(find_gpu(each, known) for each in asked["gpu"])) or known
    if asked["price"] is not None:
        return Facts(gpus, _own_offers(asked, gpus), profiles())
    folder: Path | None = asked["catalogue"]
    offers = read_catalogue(folder)
    return Facts(gpus, _of_providers(offers, asked["provider"]), profiles())


def _own_offers(asked: Mapping[str, Any], gpus: Sequence[GpuType]) -> list[GpuOffer]:
    """The price that the user gives, for the GPU that the user names."""
    if len(asked["gpu"]) != 1 or asked["provider"] or asked["catalogue"]:
        raise SizingError(
            "--price is the price of one GPU type: give it with one --gpu, without --provider, --catalogue"
        )
    price = _usd("--price", asked["price"])
    gpu = gpus[0]
    return [GpuOffer(gpu.name, OWN, "", asked["spot"], price, gpu.memory_gb, "--price", None)]


def _of_providers(offers: Sequence[GpuOffer], wanted: Sequence[str]) -> list[GpuOffer]:
    known = sorted({offer.provider for offer in offers})
    for each in wanted:
        if each.lower() not in known:
            near = nearest(each, known) or known
            raise SizingError(f"--provider {each}: not in the catalogue; did you mean {', '.join(near)}?")
    chosen = {each.lower() for each in wanted}
    return [offer for offer in offers if not chosen or offer.provider in chosen]


def _tariff(text: str) -> Tariff:
    """NAME=IN/OUT, in US dollars per million tokens, as the user gives it today."""
    name, sign, prices = text.rpartition("=")
    cost_in, slash, cost_out = prices.partition("/")
    if not name.strip() or not sign or not slash:
        raise SizingError(f"--compare {text}: must be NAME=IN/OUT, US dollars per million tokens, such as mid=3/15")
    return Tariff(
        provider="",
        model=name.strip(),
        tier=Tier.STANDARD,
        input_usd_per_mtok=_usd(f"--compare {name.strip()}", cost_in, zero=True),
        cached_input_usd_per_mtok=None,
        output_usd_per_mtok=_usd(f"--compare {name.strip()}", cost_out, zero=True),
        source="--compare",
        as_of=datetime.now(UTC).date(),
    )


def _usd(flag: str, text: str, zero: bool = False) -> Decimal:
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0 or (value == 0 and not zero) or value > HIGHEST_USD:
        above = "0 or above" if zero else "above 0"
        raise SizingError(f"{flag}: must be US dollars, {above} and at most {HIGHEST_USD}; it is {text!r}")
    return value


def _decimal(number: float) -> Decimal:
    return Decimal(repr(number)).normalize() if number % 1 else Decimal(int(number))
