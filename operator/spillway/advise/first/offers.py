"""Which of a catalogue's offers are for a lane's GPU, and the price in their middle: a stand-in for one's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from statistics import median

from spillway.advise.prices import GpuOffer
from spillway.advise.sizing.errors import SizingError
from spillway.advise.sizing.gpus import GpuType, find_gpu

CENT = Decimal("0.01")


def matching(
    offers: Iterable[GpuOffer], known: Sequence[GpuType], gpu_type: str, provider: str
) -> tuple[GpuOffer, ...]:
    """On-demand offers for a lane's GPU type, of its provider where that is known and has any; else of all.

    None for a type that is not ``known``: never another type's price.
    """
    try:
        gpu = find_gpu(gpu_type, known)
    except SizingError:
        return ()
    fitting = [each for each in offers if not each.spot and gpu.is_offered(each)]
    own = [each for each in fitting if each.provider == provider]
    return tuple(own or fitting)


def middle(offers: Sequence[GpuOffer]) -> Decimal:
    """Median of the providers' medians, in US dollars a GPU-hour, to cents. Raises ValueError without any."""
    if not offers:
        raise ValueError("no offers")
    by_provider: dict[str, list[Decimal]] = {}
    for each in offers:
        by_provider.setdefault(each.provider, []).append(each.usd_per_gpu_hour)
    return Decimal(median([median(prices) for prices in by_provider.values()])).quantize(CENT)
