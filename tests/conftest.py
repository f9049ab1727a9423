"""Fixtures for all tests. Those of a cluster are in tests/support/clusters.py."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

# A runner in the background may hand down an ignored SIGINT, which every child would inherit: no Ctrl-C then.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests are imported by path; what they share is the package `support` in this folder.
sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("support.plane_cases")

pytest_plugins = [
    "support.clusters",
    "support.world",
    "support.gateways",
    "support.live",
    "support.selection",
    "support.lane_changes",
]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parents[1]
