"""How well measured profiles are predicted: ``PYTHONPATH=operator:tests python -m simulate.profiles.table``."""

from __future__ import annotations

import math
import sys

import numpy as np
from numpy.typing import NDArray

from simulate.profiles.fitting import Fit, fit, halves
from simulate.profiles.measured import Profile, profiles


def predicted(profile: Profile) -> tuple[NDArray[np.float64], tuple[Fit, Fit]]:
    """Relative error at every point, each by the fit to the half that it is not in; and the two fits."""
    first, second = halves(profile)
    fits = fit(first), fit(second)
    errors = [fits[0].ms(p) / p.ms - 1 for p in second] + [fits[1].ms(p) / p.ms - 1 for p in first]
    return np.abs(np.array(errors)), fits


def form_of(found: Fit) -> str:
    """The form in a word or two."""
    shape = "table" if found.form.table else "formula"
    return shape if math.isinf(found.form.cache_tokens) else f"{shape} + KV cache {found.form.cache_tokens:,.0f}"


def main() -> None:
    """Print the table and its summary."""
    within, medians = [], []
    for profile in profiles():
        errors, fits = predicted(profile)
        within.append(errors <= 0.15)
        medians.append(float(np.median(errors)))
        sys.stdout.write(
            f"{profile.source:14}{profile.name:34}{errors.size:4d} points  median {medians[-1]:6.1%}"
            f"  p90 {np.quantile(errors, 0.9):7.1%}  within 15% {np.mean(within[-1]):5.0%}"
            f"  {form_of(fits[0])} / {form_of(fits[1])}\n"
        )
    good = sum(m <= 0.15 for m in medians)
    share = np.mean(np.concatenate(within))
    sys.stdout.write(f"{good} of {len(medians)} profiles with a median within 15%; {share:.0%} of all points\n")


if __name__ == "__main__":
    main()
