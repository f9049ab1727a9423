"""Small real HTTP upstreams that answer as OpenAI's chat API does, and a bounded load generator, all on loopback."""

from __future__ import annotations

from spillway_dev.upstreams.load import Load, LoadOptions, LoadReport
from spillway_dev.upstreams.process import Upstream

__all__ = ["Load", "LoadOptions", "LoadReport", "Upstream"]
