"""Limits that hold although nobody watches: a flood of hosted requests, with the operator alive and killed."""

from __future__ import annotations

import asyncio
import time

import pytest

from support.chat import chat
from support.proxy_world import ProxyWorld, Traffic, proxy_world

__all__ = ["proxy_world"]

PROMPT_TOKENS = 1_000
REQUEST_USD = (1.00 * PROMPT_TOKENS + 4.00) / 1e6
"""One output token, at the hosted lane's contract price; see `support.world.hosted_lane`."""
CLIENTS = 8
SECONDS = 30.0

pytestmark = pytest.mark.timeout(900)


def deploy(world: ProxyWorld, **plan_spec: object) -> None:
    """A plan of the hosted lane alone, so that everything is paid for."""
    routing = world.routed({"hosted": f"{world.paid.url}/v1"})
    world.deploy({"valueTier": "Standard"}, lanes=["hosted"], routing=routing, **plan_spec)
    world.paid.set(prompt_tokens=PROMPT_TOKENS, token_seconds=0.2)


async def flood(world: ProxyWorld) -> tuple[float, float]:
    """Ask as fast as answers come; returns the dollars that were really spent, and the seconds that it took."""
    began = time.monotonic()
    async with Traffic(world, CLIENTS, 1, most=5_000) as traffic:
        await asyncio.sleep(SECONDS)
    told = traffic.paid_tokens
    return (1.00 * told["input"] + 4.00 * told["output"]) / 1e6, time.monotonic() - began


@pytest.mark.parametrize("alive", [True, False], ids=["alive", "killed"])
async def test_dollars_end_at_the_ceiling_and_what_is_in_flight(proxy_world: ProxyWorld, alive: bool) -> None:
    world, ceiling = proxy_world, 0.02
    deploy(world, valueTiers=[{"name": "Standard", "maxSpillUsdPerHour": str(ceiling)}])
    operator = world.start_operator()
    world.wait_rolled_out()
    if not alive:
        operator.kill()
    # The next hour, which has a ceiling of its own, must not begin meanwhile.
    world.wait(lambda: time.gmtime().tm_min < 59, "the next hour", 90)
    spent, _ = await flood(world)
    assert spent >= ceiling * 0.9, "the flood was enough to reach the ceiling"
    # What is in flight when it is reached, and what was answered in the moment in which answers are counted.
    assert spent <= ceiling + 2 * CLIENTS * REQUEST_USD
    answers = await world.clients.ask([chat("chat")] * 5, 1)
    assert all(answer.status == 429 for answer in answers), answers


@pytest.mark.parametrize("alive", [True, False], ids=["alive", "killed"])
async def test_a_ceiling_an_hour_is_a_rate(proxy_world: ProxyWorld, alive: bool) -> None:
    world, ceiling = proxy_world, 1.2
    deploy(world, overflow={"mode": "Split", "ceilingUsd": {"perHour": str(ceiling)}})
    operator = world.start_operator()
    world.wait_rolled_out()
    limits = world.noted()["armed"]["hosted"]
    assert limits["tokensPerMinute"] == 5_000, "a sixtieth of the ceiling at the dearest token's price"
    if not alive:
        operator.kill()
    spent, seconds = await flood(world)
    # Calendar minutes that were touched, each with what goes over it while answers are counted.
    minutes = int(seconds // 60) + 2
    assert ceiling / 60 * 0.2 <= spent <= minutes * (ceiling / 60 + 2 * CLIENTS * REQUEST_USD)
