"""What each class asks for: the token mix of few and of many requests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decide.builders import World, demand, reading
from decide.gateways import CHAT, REMEMBERED, chat
from spillway.decide.demand import MIX_REQUESTS, class_demands
from spillway.decide.memory import Memory
from spillway.decide.service import Mix

KNOWN = Mix(2000.0, 400.0, 0.5)
TICK_SECONDS = 30.0


def mix_after(rate: float, memory: Memory, inputs: float = 1000.0, outputs: float = 100.0) -> Mix | None:
    """The mix after a tick in which so many requests a second came, and these tokens were counted."""
    asked = replace(
        demand(rate),
        input_tokens_per_request=reading(inputs),
        output_tokens_per_request=reading(outputs),
        cached_input_share=None,
    )
    world = World(classes=(replace(chat(), demand=asked),))
    return class_demands(replace(world.snapshot(), tick_seconds=TICK_SECONDS), memory)[CHAT].mix


def knowing(mix: Mix) -> Memory:
    return replace(REMEMBERED, mixes={CHAT: mix})


def test_the_first_measurement_is_taken_as_it_is() -> None:
    assert mix_after(0.01, replace(REMEMBERED, mixes={})) == Mix(1000.0, 100.0, 0.0)


def test_answers_that_few_requests_end_with_change_little() -> None:
    """Where traffic stops the longest answers end last, where it begins the shortest first: neither is the mix."""
    found = mix_after(1 / TICK_SECONDS, knowing(KNOWN), outputs=4000.0)
    assert found is not None
    assert found.output_tokens == pytest.approx(400.0, rel=0.05)
    assert mix_after(0.0, knowing(KNOWN), outputs=4000.0) == KNOWN


def test_a_busy_class_is_believed_at_once() -> None:
    found = mix_after(1000.0, knowing(KNOWN))
    assert found is not None
    assert found.input_tokens == pytest.approx(1000.0, rel=0.01)
    assert found.output_tokens == pytest.approx(100.0, rel=0.03)
    assert found.cached_share == pytest.approx(0.0, abs=0.01)


def test_so_many_requests_weigh_as_much_as_what_is_known() -> None:
    found = mix_after(MIX_REQUESTS / TICK_SECONDS, knowing(KNOWN))
    assert found == Mix(pytest.approx(1500.0), pytest.approx(250.0), pytest.approx(0.25))


def test_without_tokens_the_known_mix_stays() -> None:
    asked = replace(demand(10.0), input_tokens_per_request=None)
    world = World(classes=(replace(chat(), demand=asked),))
    assert class_demands(world.snapshot(), knowing(KNOWN))[CHAT].mix == KNOWN
