"""Peak compute and memory bandwidth of GPUs, for the effective utilization (MFU and MBU).

Dense BF16 figures of the vendors' data sheets. A type that is not listed has no effective figure: never a guessed one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuPeak:
    """What one GPU can do at most."""

    flops_per_second: float
    bytes_per_second: float


_PEAKS: tuple[tuple[str, GpuPeak], ...] = (
    ("gb200", GpuPeak(2.5e15, 8.0e12)),
    ("b200", GpuPeak(2.25e15, 8.0e12)),
    ("h200", GpuPeak(989e12, 4.8e12)),
    ("h100-pcie", GpuPeak(756e12, 2.0e12)),
    ("h100-nvl", GpuPeak(835e12, 3.9e12)),
    ("h100", GpuPeak(989e12, 3.35e12)),
    ("a100-40gb", GpuPeak(312e12, 1.555e12)),
    ("a100", GpuPeak(312e12, 2.039e12)),
    ("l40s", GpuPeak(362e12, 0.864e12)),
    ("l40", GpuPeak(181e12, 0.864e12)),
    ("l4", GpuPeak(121e12, 0.3e12)),
    ("a10g", GpuPeak(70e12, 0.6e12)),
    ("mi325x", GpuPeak(1307e12, 6.0e12)),
    ("mi300x", GpuPeak(1307e12, 5.3e12)),
)


def gpu_peak(gpu_type: str) -> GpuPeak | None:
    """The peak of a lane's ``gpu.type``, such as "nvidia-h100-80gb"; the most specific entry wins."""
    parts = gpu_type.lower().split("-")
    for name, peak in _PEAKS:
        wanted = name.split("-")
        if all(part in parts for part in wanted):
            return peak
    return None
