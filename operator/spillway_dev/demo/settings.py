"""Names and settings that the demo, its manifests and its views share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
EXAMPLES = REPOSITORY / "examples"
FLEET_CONFIG = EXAMPLES / "demo" / "fleet.yaml"
CHART = REPOSITORY / "charts" / "spillway"

PAGE = REPOSITORY / ".demo" / "summary.html"
"""Not in Git."""

OPERATOR_NAMESPACE = "spillway-system"
RELEASE = "spillway"
NAMESPACE = "inference"
PLAN = "main"
DEPLOYMENT = "vllm-coder"

GPU_NODES = 2
GPUS_PER_NODE = 8
POD_STARTUP_SECONDS = 5.0
SCRAPE_SECONDS = 2.0
TICK_SECONDS = 3.0
LEAD_SECONDS = 35.0
"""Live traffic of the end of the day before, while the operator takes over; served and not scored."""
INITIAL_REPLICAS = 6
"""What somebody left the Deployment at before Spillway came."""
LIVE_SCRAPES = 5
"""Scrapes of live traffic that are waited for before the operator starts."""


class DemoError(Exception):
    """A part could not be started or has failed; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the person asked for."""

    day_seconds: float = 360.0
    seed: int = 1
    keep: bool = False
    page: Path = PAGE
    """Where the summary's page is written."""
