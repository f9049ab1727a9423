"""`spillway size`: how many GPUs a model takes for a concurrency, what they cost where, and when hosted costs more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import click

from spillway.advise.figures import Figure, given
from spillway.advise.prices import PriceUnknownError, Tariff, Tier
from spillway.advise.sizing.answer import Facts, size
from spillway.advise.sizing.cost import Hours
from spillway.advise.sizing.errors import SizingError
from spillway.advise.sizing.gpus import find_gpu
from spillway.advise.sizing.memory import Precision, Quantization
from spillway.advise.sizing.placement import Need
from spillway.cli.output import Form
from spillway.cli.size.output import print_answer
from spillway.cli.size.prices import offers
from spillway.cli.token_prices import tariff_of
from spillway.observe.gpu_prices import CatalogueError
from spillway.observe.sizing_data import find_model, gpu_types, profiles
from spillway.observe.tariffs import Tariffs

CONTEXT = 8192
"""Tokens of a stream where nobody says."""


def size_command(asked: Mapping[str, Any]) -> int:
    """Answer the question that the flags put. Raises click's errors, each one line."""
    try:
        answer = size(
            _need(asked),
            _facts(asked),
            _hours(asked),
            asked["spot"],
            _compared(asked["compare"]),
            given("input share", asked["input_share"], "%", "--input-share"),
        )
    except SizingError as error:
        raise click.UsageError(str(error)) from None
    except (CatalogueError, PriceUnknownError) as error:
        raise click.ClickException(str(error)) from None
    form = Form(as_json=asked["output"] == "json", no_color=asked["no_color"])
    print_answer(answer, asked["output"], form, asked["explain"])
    return 0


def _need(asked: Mapping[str, Any]) -> Need:
    model = find_model(asked["model"])
    context = asked["context"] or min(CONTEXT, model.max_context or CONTEXT)
    return Need(
        model,
        Precision(Quantization(asked["quantization"]), 1 if asked["kv_cache"] == "fp8" else 2),
        given("concurrency", asked["concurrency"], "streams", "--concurrency"),
        given("context", context, "tokens", "--context" if asked["context"] else "--context, by default"),
        _given("tokens a second asked for", asked["tokens_per_second"], "tokens/s", "--tokens-per-second"),
        given("spare", asked["spare"], "replicas", "--spare"),
        asked["tensor_parallel"],
    )


def _hours(asked: Mapping[str, Any]) -> Hours:
    return Hours(
        _given("hours a day", asked["hours_per_day"], "h", "--hours-per-day"),
        given("workdays", asked["workdays"], "days", "--workdays"),
    )


def _facts(asked: Mapping[str, Any]) -> Facts:
    known = gpu_types()
    gpus = tuple(dict.fromkeys(find_gpu(each, known) for each in asked["gpu"])) or known
    return Facts(gpus, offers(asked, gpus), profiles())


def _compared(texts: Sequence[str]) -> list[Tariff]:
    now = datetime.now(UTC)
    return [tariff_of("--compare", text, Tier.STANDARD, Tariffs(), now)[1] for text in texts]


def _given(name: str, number: float, unit: str, flag: str) -> Figure:
    if not math.isfinite(number):
        raise SizingError(f"{flag}: must be a number, it is {number}")
    return given(name, Decimal(repr(number)).normalize() if number % 1 else Decimal(int(number)), unit, flag)
