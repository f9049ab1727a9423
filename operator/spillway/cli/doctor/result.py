"""What a check came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"
    """It could not be looked at, for a reason that another check tells."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    area: str
    verdict: Verdict
    message: str
    fix: str = ""
    """One line on how to mend it."""


def passed(area: str, message: str) -> Check:
    """As it should be."""
    return Check(area, Verdict.PASS, message)


def warned(area: str, message: str, fix: str) -> Check:
    """Works, but not as well as it could."""
    return Check(area, Verdict.WARN, message, fix)


def failed(area: str, message: str, fix: str) -> Check:
    """Must be mended."""
    return Check(area, Verdict.FAIL, message, fix)


def skipped(area: str, message: str) -> Check:
    """Could not be looked at."""
    return Check(area, Verdict.SKIP, message)


def listed(names: Sequence[str], shown: int = 3) -> str:
    """ "a, b, c and 4 more"."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")
