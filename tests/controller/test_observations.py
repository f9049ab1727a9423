"""Where observations are kept, against an apiserver in memory: room for all, and what to say where there isn't."""

from __future__ import annotations

import logging
import re

import pytest

from spillway.advise.structural.record import HOUR_SECONDS, Record, Sight, seen
from spillway.advise.structural.text import from_text
from spillway.controller import observations
from spillway.controller.observations import NAME, ObservationKeeper, page_key
from spillway.kube import CONFIG_MAPS
from support.proposals import NOW, OBSERVE, MemoryKube, Stage, config

BASIS = "a" * 16
SHORT = "ConfigMap spillway/spillway-observations has room for less of what was observed than proposals.observeSeconds"


def keeper(kube: MemoryKube) -> ObservationKeeper:
    return ObservationKeeper(kube, config("spillway"))


def pages(kube: MemoryKube) -> dict[str, str]:
    return dict(kube.objects[CONFIG_MAPS, f"spillway/{NAME}"]["data"])


async def enter(book: ObservationKeeper, plan: str, ticks: int, step: float = 50.0, start: float = NOW) -> float:
    """What so many ticks show of a lane with eight bounds; when the last was."""
    for number in range(ticks):
        sight = Sight(number % 5, True, {n: 1.0 / (n + 1) for n in range(8)})
        book.enter(plan, BASIS, {"gpu": sight}, start + number * step)
    return start + (ticks - 1) * step


@pytest.mark.parametrize(
    ("plan", "key"),
    [
        ("ai/main", "ai.main.json"),
        ("ai/team.main", "ai.team.main.json"),
        (f"{'n' * 63}/{'p' * 184}", f"{'n' * 63}.{'p' * 184}.json"),
        (f"{'n' * 63}/{'p' * 185}", None),
        (f"{'n' * 63}/{'p' * 253}", None),
    ],
)
def test_a_page_has_a_key_that_the_apiserver_takes(plan: str, key: str | None) -> None:
    found = page_key(plan)
    assert key is None or found == key
    assert len(found) <= 253
    assert re.fullmatch(r"[-._a-zA-Z0-9]+", found)
    assert found.endswith(".json")
    assert found.startswith(plan.partition("/")[0] + ".")
    assert page_key(f"{plan[:-1]}q") != found


async def test_a_plan_of_a_long_name_is_kept_and_read_back() -> None:
    kube, plan = MemoryKube(), f"{'n' * 63}/{'p' * 253}"
    book = keeper(kube)
    assert await book.load()
    at = await enter(book, plan, 5)
    book.keep([plan])
    await book.save(at)
    again = keeper(kube)
    assert await again.load()
    again.keep([plan])
    assert again.records(plan)["gpu"].seconds == 200
    again.keep(["ai/other"])
    assert again.records(plan) == {}


async def test_plans_without_own_lanes_take_no_room(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(observations, "MOST_CHARACTERS", 3000)
    kube = MemoryKube()
    book = keeper(kube)
    assert await book.load()
    for number in range(200):
        book.enter(f"ai/empty-{number}", BASIS, {}, NOW)
    at = await enter(book, "ai/main", 60)
    await book.save(at)
    assert list(pages(kube)) == ["ai.main.json"]
    assert from_text(pages(kube)["ai.main.json"])["gpu"].seconds == 59 * 50
    assert caplog.text == ""
    assert book.short("ai/main") == ""


async def test_a_page_that_holds_too_little_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(observations, "MOST_CHARACTERS", 1500)
    kube = MemoryKube()
    book = ObservationKeeper(kube, config("spillway", observe=20 * int(HOUR_SECONDS)))
    assert await book.load()
    with monkeypatch.context() as often:
        often.setattr(observations, "seen", _an_hour_each)
        at = await enter(book, "ai/main", 40, HOUR_SECONDS)
    await enter(book, "ai/other", 2, 50.0, at - 50)
    for number in range(3):
        book.enter("ai/main", BASIS, {"gpu": Sight(1, True)}, at + number)
        await book.save(at + number * 61)
    kept = from_text(pages(kube)["ai.main.json"])["gpu"]
    assert 0 < kept.seconds < 20 * HOUR_SECONDS
    (said,) = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert said.startswith("ConfigMap spillway/spillway-observations, key ai.main.json: there is room for ")
    assert said.endswith(
        "hours of observation, and a proposal wants 20.0: what is older is lost when the operator restarts"
    )
    assert book.short("ai/main").startswith(SHORT)
    assert book.short("ai/other") == ""
    monkeypatch.setattr(observations, "MOST_CHARACTERS", 900_000)
    book.enter("ai/main", BASIS, {"gpu": Sight(1, True)}, at + 300)
    await book.save(at + 300)
    assert book.short("ai/main") == ""


def _an_hour_each(before: Record | None, basis: str, sight: Sight, now: float, _: float) -> Record:
    return seen(before, basis, sight, now, float(HOUR_SECONDS))


async def test_a_plan_whose_page_is_cut_says_so_where_nothing_is_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observations, "MOST_CHARACTERS", 60)
    stage = Stage(MemoryKube(), "spillway")
    stage.make()
    found = await stage.tick(4)
    assert (found.states, found.short[: len(SHORT)]) == ({}, SHORT)
    assert OBSERVE > 150
