"""Whether the operator still reports on a plan: it renews a status even when nothing changes."""

from __future__ import annotations

from spillway.api import CapacityPlanStatus
from spillway.cli.view.text import moment
from spillway.report.status import RENEWAL_SECONDS

SLACK_SECONDS = 60.0
"""Of ticks and clocks, where a status doesn't say how long it holds."""


def reported_at(status: CapacityPlanStatus) -> float | None:
    """When the operator last told a decision, Unix time in seconds; None where it never has."""
    return None if status.decision is None else moment(status.decision.at)


def silent_seconds(status: CapacityPlanStatus, now: float) -> float | None:
    """For how long it has said nothing, where that is longer than a living operator ever is; else None.

    A plan that it never reported on is silent for 0 seconds.
    """
    at = reported_at(status)
    if at is None or status.decision is None:
        return 0.0
    until = moment(status.decision.valid_until)
    limit = at + RENEWAL_SECONDS + SLACK_SECONDS if until is None else until
    return now - at if now > limit else None
