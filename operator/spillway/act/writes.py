"""What a write came to, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a write ended."""

    WRITTEN = "Written"
    SUPERSEDED = "Superseded"
    """The object changed since it was observed: nothing was written, the next tick looks again."""
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Write:
    """One attempted write on somebody's object."""

    kind: str
    """What was written: "scale", "route", "annotation", "pod-deletion-cost"."""
    subject: str
    """Kind/namespace/name of the object."""
    detail: str
    """One phrase on what changed, such as "3 -> 5 replicas"."""
    outcome: Outcome
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the object now is as decided."""
        return self.outcome is Outcome.WRITTEN
