"""Random numbers by counter: the same (key, counter) gives the same draw in every run and for every policy."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from spillway.simulate.fleet.jit import compiled
from spillway.simulate.world import Floats

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_MASK = (1 << 64) - 1

NOISE_STEPS = 8192
"""Equally likely values that stand for a lognormal factor; a power of two."""


@compiled
def bits(key: np.uint64, counter: int) -> np.uint64:
    """64 random bits (splitmix64)."""
    z = key + (np.uint64(counter) + np.uint64(1)) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return np.uint64(z ^ (z >> np.uint64(31)))


@compiled
def uniform(key: np.uint64, counter: int) -> float:
    """Uniform on [0, 1)."""
    return np.float64(bits(key, counter) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@compiled
def normals(key: np.uint64, counter: int) -> tuple[float, float]:
    """Two independent standard normal draws (Box-Muller), from `counter` and `counter + 1`."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(key, counter)))
    angle = 2.0 * math.pi * uniform(key, counter + 1)
    return radius * math.cos(angle), radius * math.sin(angle)


def stream_key(*parts: int) -> int:
    """The key of an independent stream, from whole numbers such as (seed, purpose, lane)."""
    key = 0x5EED
    for part in parts:
        key = int(_python_bits(key ^ (part & _MASK), part))
    return key


def lognormal_mean(mean: float, sigma: float, key: int) -> float:
    """One draw of a lognormal with this mean and this sigma of its logarithm."""
    normal, _ = normals(np.uint64(key), 0)
    return mean * math.exp(sigma * normal - sigma * sigma / 2.0)


def noise_factors(sigma: float) -> Floats:
    """Equally likely factors of a lognormal with that sigma, with a mean of exactly 1; (NOISE_STEPS,)."""
    quantiles = (np.arange(NOISE_STEPS) + 0.5) / NOISE_STEPS
    normal = NormalDist()
    factors = np.exp(sigma * np.array([normal.inv_cdf(q) for q in quantiles]))
    return np.asarray(factors / factors.mean(), dtype=np.float64)


def _python_bits(key: int, counter: int) -> int:
    z = (key + (counter + 1) * int(_GOLDEN)) & _MASK
    z = ((z ^ (z >> 30)) * int(_FIRST)) & _MASK
    z = ((z ^ (z >> 27)) * int(_SECOND)) & _MASK
    return z ^ (z >> 31)
