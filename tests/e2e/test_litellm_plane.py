"""LiteLLM as a plan's only gateway, end to end: written, rolled out, loaded, and moved only when it is worth it."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from spillway_dev.upstreams import Load, LoadOptions
from support.chat import chat
from support.proxied import CLIENT_KEY
from support.proxy_world import ProxyWorld, proxy_world

__all__ = ["proxy_world"]

pytestmark = pytest.mark.timeout(900)


async def test_a_proxy_is_configured_and_moved_by_rollouts(proxy_world: ProxyWorld) -> None:
    world = proxy_world
    world.deploy()
    world.start_operator()
    world.wait_rolled_out()
    world.wait_condition("Ready", "True")
    answers = await world.clients.ask([chat("chat", 3)] * 20, 4)
    assert Counter((answer.status, answer.lane) for answer in answers) == {(200, "gpu"): 20}
