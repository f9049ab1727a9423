"""Realised requests as memory-mapped files: made once for each seed, read by every worker without a copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spillway.simulate.world import Workload

COLUMNS = ("arrival_s", "class_index", "input_tokens", "output_tokens")


def save(folder: Path, seed: int, workload: Workload) -> None:
    """Write one seed's requests."""
    for column in COLUMNS:
        np.save(folder / f"{seed}-{column}.npy", getattr(workload, column))


def load(folder: Path, seed: int) -> Workload:
    """One seed's requests; pages are shared between processes until somebody writes to them."""
    columns = (np.load(folder / f"{seed}-{column}.npy", mmap_mode="c") for column in COLUMNS)
    return Workload(*(np.asarray(column) for column in columns))
