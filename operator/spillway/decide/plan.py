"""What was planned for own lanes, as frozen values that memory keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spillway.decide.allocate import Sizing
from spillway.decide.allocation import AllocationState
from spillway.decide.compared import Compared


@dataclass(frozen=True, slots=True, eq=False)
class Planned(Compared):
    """The last solve, kept in memory."""

    at: float
    sizings: Mapping[str, Sizing]
    quantiles: Mapping[str, Mapping[str, float]]
    """Forecast at the shortest lead by class and quantile ("0.1", "0.5", "0.9"), requests a second."""
    state: AllocationState | None
