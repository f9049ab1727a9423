"""Creates and deletes of proposals against an apiserver in memory: over months, and where it refuses them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from spillway.api import ChangeState
from spillway.controller import change_writes
from spillway.controller.change_writes import RETRY_SECONDS
from spillway.kube import LANE_CHANGES, KubeError
from spillway.report.lane_changes import PlanChanges
from support.proposals import DAY, OBSERVE, TICK, MemoryKube, Stage

QUOTA = KubeError(403, "Forbidden", 'exceeded quota: objects, requested: count/lanechanges.spillway.dev=1, used: 9"')
STEP = 6 * 3600.0


@pytest.fixture
def kube() -> MemoryKube:
    return MemoryKube()


@pytest.fixture
def stage(kube: MemoryKube) -> Stage:
    found = Stage(kube, "inference")
    found.make()
    return found


def open_names(found: PlanChanges) -> list[str]:
    return [name for name, state in found.states.items() if state.open]


async def rejected(stage: Stage, kube: MemoryKube, name: str) -> PlanChanges:
    notes = {"spillway.dev/rejected": "not before May"}
    kube.objects[LANE_CHANGES, f"inference/{name}"]["metadata"]["annotations"] = notes
    return await stage.tick()


async def test_a_plan_that_nobody_looks_after_is_asked_about_for_100_days(stage: Stage, kube: MemoryKube) -> None:
    """Weekly expiry and a month's keeping: never without a proposal, never two, and never refused for its name."""
    await stage.observe()
    start, made = stage.now, set()
    for step in range(int(100 * DAY / STEP)):
        stage.now = start + step * STEP
        if step % 7 == 0:
            stage.restart()
        # One that has just expired is told at one tick, and followed at the next.
        await stage.tick()
        waiting = open_names(await stage.tick()) or open_names(await stage.tick())
        assert len(waiting) == 1, f"day {step * STEP / DAY}"
        made |= {(name, kube.objects[LANE_CHANGES, f"inference/{name}"]["metadata"]["uid"]) for name in waiting}
        assert len(await stage.made()) <= 1 + 30 / 7 + 1, "ended ones go after a month"
    assert len(made) == 15, "one a week"
    assert {status for _, _, _, status in kube.asked} == {200}


async def test_two_operators_that_see_the_same_make_one(stage: Stage, kube: MemoryKube) -> None:
    """For a moment there are two; both have listed before either creates."""
    await stage.observe()
    (name,) = await stage.made()
    stage.now += 7 * DAY
    await stage.tick()
    before = {key: dict(item) for key, item in kube.objects.items()}
    (second,) = open_names(await stage.tick())
    assert second != name
    kube.objects = before
    stage.restart()
    await stage.tick()
    assert set(open_names(await stage.tick())) == {second}


async def test_one_that_this_release_cannot_read_is_not_made_beside_itself(
    stage: Stage, kube: MemoryKube, caplog: pytest.LogCaptureFixture
) -> None:
    (name,) = (await stage.observe()).states
    kube.objects[LANE_CHANGES, f"inference/{name}"]["spec"]["reason"] = "Levitate"
    assert (await stage.tick(5)).states == {}
    assert list(await stage.made()) == [name]
    assert caplog.text.count("is left alone") == 1


async def test_a_refused_create_leaves_the_rest_as_it_is(
    stage: Stage, kube: MemoryKube, caplog: pytest.LogCaptureFixture
) -> None:
    (name,) = (await stage.observe()).states
    stage.now += 7 * DAY
    kube.refused["create", LANE_CHANGES] = QUOTA
    asked = len(kube.asked)
    assert (await stage.tick()).states == {name: ChangeState.EXPIRED}, "told before anything is proposed"
    found = await stage.tick(int(10 * RETRY_SECONDS / TICK))
    assert found.states == {name: ChangeState.EXPIRED}
    (said,) = found.refused
    assert said == (
        "LowerMinimum of lane gpu would be better, and can't be proposed: the apiserver refused its LaneChange "
        "(HTTP 403 Forbidden)"
    )
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        "plan inference/main: LowerMinimum of lane gpu could not be proposed (HTTP 403 Forbidden): "
        'exceeded quota: objects, requested: count/lanechanges.spillway.dev=1, used: 9"'
    ]
    assert 2 <= len(kube.asked) - asked <= 10, "not at each tick"
    kube.refused.clear()
    found = await stage.tick(2)
    assert (len(open_names(found)), found.refused) == (1, ())


async def test_what_was_refused_for_a_moment_is_said_again_when_it_comes_back(
    stage: Stage, kube: MemoryKube, caplog: pytest.LogCaptureFixture
) -> None:
    kube.refused["create", LANE_CHANGES] = QUOTA
    await stage.observe()
    kube.refused["create", LANE_CHANGES] = KubeError(0, "Unreachable", "the apiserver did not answer: timed out")
    assert "(Unreachable)" in (await stage.tick(3)).refused[0]
    kube.refused["create", LANE_CHANGES] = QUOTA
    await stage.tick(3)
    assert [record.message.count("Forbidden") for record in caplog.records if "could not be" in record.message] == [
        1,
        0,
        1,
    ]


@pytest.mark.parametrize(
    ("error", "kept", "lines"),
    [
        (KubeError(404, "NotFound", "gone"), False, 0),
        (KubeError(409, "Conflict", "another uid"), False, 0),
        (KubeError(403, "Forbidden", "a webhook says no"), True, 1),
        (KubeError(500, "InternalError", "failed calling webhook"), True, 1),
    ],
)
async def test_a_refused_delete_leaves_the_rest_as_it_is(
    stage: Stage, kube: MemoryKube, caplog: pytest.LogCaptureFixture, error: KubeError, kept: bool, lines: int
) -> None:
    (name,) = (await stage.observe()).states
    assert (await rejected(stage, kube, name)).states == {name: ChangeState.REJECTED}
    stage.now += 30 * DAY
    kube.refused["delete", LANE_CHANGES] = error
    found = await stage.tick(8)
    assert len(open_names(found)) == 1, "and proposed once more"
    assert (found.states.get(name) is ChangeState.REJECTED) is kept
    said = [record.message for record in caplog.records if "could not be removed" in record.message]
    assert len(said) == lines
    assert all(f"LaneChange inference/{name} has ended" in each and error.message in each for each in said)
    kube.refused.clear()
    assert name not in (await stage.tick(2)).states
    assert name not in await stage.made()


@pytest.mark.parametrize(
    ("expires", "state"), [("2099-11-30T20:55:00z", ChangeState.PROPOSED), ("soon", ChangeState.EXPIRED)]
)
async def test_one_malformed_proposal_does_not_stop_the_others(
    stage: Stage, kube: MemoryKube, expires: str, state: ChangeState
) -> None:
    (name,) = (await stage.observe()).states
    item = kube.objects[LANE_CHANGES, f"inference/{name}"]
    other: dict[str, Any] = {
        "apiVersion": item["apiVersion"],
        "kind": "LaneChange",
        "metadata": {"name": "a-by-hand", "namespace": "inference"},
        "spec": item["spec"] | {"expiresAt": expires},
    }
    kube.objects = {(LANE_CHANGES, "inference/a-by-hand"): kube.put(other), **kube.objects}
    assert (await stage.tick()).states == {"a-by-hand": state, name: ChangeState.PROPOSED}
    assert (await rejected(stage, kube, name)).states == {"a-by-hand": state, name: ChangeState.REJECTED}


async def test_what_rests_on_too_much_is_said(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(change_writes, "MOST_BASIS", 3)
    found = await stage.observe()
    found = await stage.tick(int(OBSERVE / TICK))
    assert found.states == {}
    assert "it rests on 4 classes and lanes, and a LaneChange holds 3 at the most" in found.refused[0]
    assert caplog.text.count("LowerMinimum of lane gpu is not proposed") == 1
