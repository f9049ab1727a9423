"""Facts of GPU types, and the names that lanes, catalogues and people give them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from spillway.advise.prices import GpuOffer
from spillway.advise.sizing.errors import SizingError, nearest, normal

SAME_MEMORY = Decimal("0.12")
"""Offers within this share of a type's memory are of that type: catalogues state 22 GB for 24."""


@dataclass(frozen=True, slots=True)
class GpuType:
    """What the vendor states of one GPU."""

    name: str
    memory_gb: Decimal
    bandwidth_gb_s: Decimal
    fp16_tflops: Decimal
    """Dense tensor throughput at 16 bit."""
    fp8_tflops: Decimal | None
    """None: it multiplies 8 bit at no more than the speed of 16."""
    nvlink: bool
    """Whether GPUs of a node are linked by more than PCIe."""
    source: str
    also: tuple[str, ...]
    catalogue: str
    """How price catalogues name it."""
    step_band: tuple[Decimal, Decimal] | None = None
    """Measured over estimated times, low and high, where the family has its own."""
    slowdown: Decimal = Decimal(1)
    """How many times slower than its data sheet lets expect it was measured, beside others."""

    def is_offered(self, offer: GpuOffer) -> bool:
        """Whether an offer is of this type, whole."""
        names = {normal(self.name), normal(self.catalogue), *(normal(each) for each in self.also)}
        if _bare(offer.gpu) not in names:
            return False
        if offer.memory_gb is None:
            return _bare(offer.gpu) != normal(self.catalogue) or normal(self.catalogue) in map(normal, self.also)
        return abs(offer.memory_gb - self.memory_gb) <= SAME_MEMORY * self.memory_gb


def find_gpu(wanted: str, known: Sequence[GpuType]) -> GpuType:
    """The type that a name means: "A100", "nvidia-h100-80gb", "NVIDIA A100-SXM4-80GB". Raises SizingError."""
    key = _bare(wanted)
    for gpu in known:
        if key in {normal(gpu.name), *(normal(each) for each in gpu.also)}:
            return gpu
    near = nearest(key or wanted, [gpu.name for gpu in known])
    hint = f"did you mean {', '.join(near)}?" if near else "known: " + ", ".join(gpu.name for gpu in known)
    raise SizingError(f"unknown GPU {wanted!r}: {hint}")


def _bare(name: str) -> str:
    """The name without vendor and form factor: "NVIDIA H100 80GB HBM3" is "h10080gb"."""
    key = normal(name)
    for word in ("nvidia", "amd", "instinct", "tesla", "geforce", "graphics", "hbm3e", "hbm3", "hbm2e", "hbm2"):
        key = key.replace(word, "")
    for word in ("sxm6", "sxm5", "sxm4", "sxm"):
        key = key.replace(word, "")
    return key
