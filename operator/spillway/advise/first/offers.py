"""What GPUs typically cost on demand, for a first manifest: a marked stand-in until somebody puts the real price in.

Medians over regions of the on-demand list prices of 1 June 2026, in US dollars a GPU-hour, from a public catalogue of
cloud offers (CC-BY-4.0). A type that is not listed has none: never another type's price.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from statistics import median

from spillway.advise.prices import GpuOffer

AS_OF = date(2026, 6, 1)
SOURCE = "median of public on-demand list prices"
_MEDIANS: dict[str, dict[str, str]] = {
    "A10": {"azure": "3.12", "oci": "2.00", "lambda": "1.29"},
    "A10G": {"aws": "2.25"},
    "A100": {"aws": "3.43", "azure": "4.78", "gcp": "3.22", "oci": "3.52", "lambda": "1.99", "runpod": "1.49"},
    "B200": {"gcp": "11.28", "oci": "14.00", "lambda": "6.84", "nebius": "7.15", "runpod": "5.89"},
    "GH200": {"lambda": "2.29"},
    "H100": {"aws": "8.26", "gcp": "10.98", "oci": "10.00", "lambda": "4.09", "nebius": "3.85", "runpod": "3.29"},
    "H100-NVL": {"azure": "9.07", "runpod": "3.19"},
    "H200": {"azure": "13.25", "oci": "10.00", "nebius": "4.50", "runpod": "4.83"},
    "L4": {"aws": "1.99", "gcp": "1.10", "runpod": "0.39"},
    "L40S": {"aws": "4.07", "oci": "3.50", "nebius": "2.28"},
    "T4": {"aws": "1.32", "azure": "1.10", "gcp": "0.67"},
    "V100": {"azure": "3.82", "gcp": "2.59", "oci": "2.95", "lambda": "0.79"},
}


def typical_offers() -> tuple[GpuOffer, ...]:
    """The table as offers."""
    return tuple(
        GpuOffer(gpu, provider, "", False, Decimal(usd), None, SOURCE, AS_OF)
        for gpu, by_provider in _MEDIANS.items()
        for provider, usd in by_provider.items()
    )


def matching(offers: Iterable[GpuOffer], gpu_type: str, provider: str) -> tuple[GpuOffer, ...]:
    """On-demand offers for a lane's GPU type, of its provider where that is known and has any; else of all."""
    parts = set(gpu_type.lower().split("-"))
    fitting = [each for each in offers if not each.spot and set(each.gpu.lower().split("-")) <= parts]
    # "h100-nvl" is no "h100": the most specific name wins.
    longest = max((len(each.gpu.split("-")) for each in fitting), default=0)
    best = [each for each in fitting if len(each.gpu.split("-")) == longest]
    own = [each for each in best if each.provider == provider]
    return tuple(own or best)


def middle(offers: Sequence[GpuOffer]) -> Decimal:
    """Median of the offers, in US dollars a GPU-hour, to cents. Raises ValueError without any."""
    if not offers:
        raise ValueError("no offers")
    return Decimal(median([each.usd_per_gpu_hour for each in offers])).quantize(Decimal("0.01"))
