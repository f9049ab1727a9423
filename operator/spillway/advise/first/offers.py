"""Which of many offers are for a lane's GPU, and the price in their middle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from statistics import median

from spillway.advise.prices import GpuOffer

CENT = Decimal("0.01")


def matching(offers: Iterable[GpuOffer], gpu_type: str, provider: str) -> tuple[GpuOffer, ...]:
    """On-demand offers for a lane's GPU type, of its provider where that is known and has any; else of all.

    "nvidia-h100-nvl" is an "H100NVL" and no "H100": the most specific name wins.
    """
    names = _names(gpu_type)
    fitting = [each for each in offers if not each.spot and _bare(each.gpu) in names]
    longest = max((len(_bare(each.gpu)) for each in fitting), default=0)
    best = [each for each in fitting if len(_bare(each.gpu)) == longest]
    own = [each for each in best if each.provider == provider]
    return tuple(own or best)


def _bare(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _names(gpu_type: str) -> set[str]:
    """Every run of the type's words, joined."""
    words = gpu_type.lower().replace(".", "-").split("-")
    return {"".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}


def middle(offers: Sequence[GpuOffer]) -> Decimal:
    """Median of the providers' medians, in US dollars a GPU-hour, to cents. Raises ValueError without any."""
    if not offers:
        raise ValueError("no offers")
    by_provider: dict[str, list[Decimal]] = {}
    for each in offers:
        by_provider.setdefault(each.provider, []).append(each.usd_per_gpu_hour)
    return Decimal(median([median(prices) for prices in by_provider.values()])).quantize(CENT)
