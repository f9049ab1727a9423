"""Short ways to a question."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from spillway.advise.figures import Figure, given
from spillway.advise.prices import GpuOffer
from spillway.advise.sizing.cost import Hours
from spillway.advise.sizing.gpus import GpuType, find_gpu
from spillway.advise.sizing.memory import Precision, Quantization
from spillway.advise.sizing.placement import Need
from spillway.observe.sizing_data import find_model, gpu_types

TODAY = date(2026, 6, 1)
A100 = find_gpu("A100-80GB", gpu_types())


def gpu(name: str) -> GpuType:
    return find_gpu(name, gpu_types())


def need(
    model: str = "Llama-3.1-70B",
    quantization: str = "4bit",
    concurrency: int = 10,
    context: int = 8192,
    tokens_per_second: float = 30,
    spare: int = 0,
    tensor_parallel: int | None = None,
) -> Need:
    return Need(
        find_model(model),
        Precision(Quantization(quantization)),
        given("concurrency", concurrency, "streams", "--concurrency"),
        given("context", context, "tokens", "--context"),
        given("tokens a second asked for", Decimal(str(tokens_per_second)), "tokens/s", "--tokens-per-second"),
        given("spare", spare, "replicas", "--spare"),
        tensor_parallel,
    )


def hours(per_day: int = 24, workdays: int = 30) -> Hours:
    return Hours(
        given("hours a day", per_day, "h", "--hours-per-day"), given("workdays", workdays, "days", "--workdays")
    )


def offer(
    gpu: str = "A100-80GB", price: str = "2", provider: str = "own", spot: bool = False, region: str = ""
) -> GpuOffer:
    return GpuOffer(gpu, provider, region, spot, Decimal(price), None, "test", TODAY)


def share_of(percent: int) -> Figure:
    return given("input share", percent, "%", "--input-share")
