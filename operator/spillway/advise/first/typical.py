"""What GPUs typically cost on demand, for a first manifest: a marked stand-in until somebody puts the real price in.

Medians over regions of the on-demand list prices of 1 June 2026, in US dollars a GPU-hour, from a public catalogue of
cloud offers (CC BY 4.0). A type that is not listed has none: never another type's price.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

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
