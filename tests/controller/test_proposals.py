"""Proposals on a real apiserver: made once, over restarts and rejections; not made where they must not be."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from spillway.advise.structural.record import Sight
from spillway.advise.structural.text import from_text
from spillway.api import ChangeState
from spillway.controller.loop import Decided
from spillway.controller.observations import NAME, WRITE_SECONDS, ObservationKeeper
from spillway.controller.proposals import live_basis
from spillway.decide.decision import Reason
from spillway.decide.freed import Freed
from spillway.kube import CONFIG_MAPS, LANE_CHANGES, Kube, KubeError, Resource
from spillway.report.lane_changes import PlanChanges
from spillway_dev.cluster import Cluster
from support.proposals import DAY, DEARER, NEEDS_ONE, NOW, TICK, Stage, config


@pytest.fixture
async def kube(cluster: Cluster, crds: object) -> AsyncIterator[Kube]:
    async with await Kube.connect(str(cluster.kubeconfig)) as connected:
        yield connected


@pytest.fixture
def stage(cluster: Cluster, kube: Kube, namespace: str) -> Stage:
    return Stage(kube, namespace, cluster)


async def test_made_once_over_ticks_and_restarts(stage: Stage) -> None:
    stage.make()
    assert (await stage.tick(10)).states == {}
    assert await stage.made() == {}, "not yet seen for long enough"
    found = await stage.tick()
    (name,) = found.states
    assert name.startswith("main-gpu-lower-minimum-")
    before = await stage.made()
    for _ in range(3):
        stage.restart()
        again = await stage.tick(3)
        assert dict(again.states) == {name: ChangeState.PROPOSED}
    after = await stage.made()
    assert after.keys() == before.keys()
    assert after[name]["spec"] == before[name]["spec"]
    assert after[name]["status"]["state"] == "Proposed"
    assert after[name]["metadata"]["ownerReferences"][0]["kind"] == "CapacityPlan"
    assert "controller" not in after[name]["metadata"]["ownerReferences"][0]
    assert stage.events("LaneChange") == stage.events("CapacityPlan") == ["LaneChangeProposed"]


async def test_what_was_observed_outlives_the_operator(stage: Stage) -> None:
    stage.make()
    for _ in range(3):
        stage.restart()
        assert (await stage.tick(4)).states == {}
    stage.restart()
    # A restart costs one tick's gap, and what was seen since the last write.
    assert len((await stage.tick(6)).states) == 1


async def test_a_rejected_one_is_not_made_again_for_a_month(stage: Stage) -> None:
    stage.make()
    (name,) = (await stage.observe()).states
    stage.annotate(name, "spillway.dev/rejected=not before May")
    assert (await stage.tick()).states[name] is ChangeState.REJECTED
    stage.now += 29 * DAY
    stage.restart()
    assert list((await stage.observe()).states) == [name]
    stage.now += 1 * DAY
    found = await stage.tick(2)
    assert name not in await stage.made(), "kept for a month"
    assert len(found.states) == 1, "and proposed once more"


async def test_one_that_expired_is_proposed_anew_once(stage: Stage) -> None:
    stage.make()
    (name,) = (await stage.observe()).states
    stage.now += 7 * DAY
    assert (await stage.tick()).states[name] is ChangeState.EXPIRED
    states = (await stage.tick(3)).states
    assert sorted(state.value for state in states.values()) == ["Expired", "Proposed"]
    assert "LaneChangeExpired" in stage.events("CapacityPlan")


@pytest.mark.parametrize(
    ("spec", "held", "usable"),
    [
        ({"mode": "Observe"}, None, True),
        ({"approval": {"structural": "Off"}}, None, True),
        ({}, Reason("Paused", "spec.paused is true."), True),
        ({}, Reason("HoldBlind", "Prometheus is gone."), False),
    ],
    ids=["observe", "off", "paused", "blind"],
)
async def test_where_nothing_may_be_proposed(
    stage: Stage, spec: dict[str, Any], held: Reason | None, usable: bool
) -> None:
    stage.make(**spec)
    stage.held, stage.usable = held, usable
    found = await stage.observe()
    assert found == PlanChanges(known=True)
    assert await stage.made() == {}


async def test_recommend_proposes_too(stage: Stage) -> None:
    stage.make(mode="Recommend")
    assert len((await stage.observe()).states) == 1


async def test_time_without_a_figure_is_not_observed(stage: Stage) -> None:
    stage.make()
    await stage.tick(6)
    stage.freed = None
    await stage.tick(30)
    stage.freed = NEEDS_ONE
    assert (await stage.tick(5)).states == {}, "the first after a gap counts nothing"
    assert len((await stage.tick()).states) == 1


async def test_a_spec_that_changes_supersedes_and_begins_anew(stage: Stage) -> None:
    stage.make()
    (name,) = (await stage.observe()).states
    stage.make({"min": 2, "max": 8})
    stage.freed = Freed(1, {0: 3.0, 1: 3.0})
    assert dict((await stage.tick()).states) == {name: ChangeState.SUPERSEDED}
    assert list((await stage.tick(9)).states) == [name]
    states = (await stage.tick()).states
    assert len(states) == 2
    (second,) = set(states) - {name}
    assert (await stage.made())[second]["spec"]["change"][0]["patch"][0]["value"] == 2


async def test_what_would_cost_more_than_the_plan_allows_is_told_and_not_made(stage: Stage) -> None:
    stage.make({"min": 1, "max": 3}, approval={"maxMonthlyIncreaseUsd": "500"})
    stage.freed = DEARER
    found = await stage.observe()
    assert found.states == {}
    (text,) = found.too_dear
    assert "approval.maxMonthlyIncreaseUsd of $500" in text
    assert "$2,190 a month higher" in text
    stage.make({"min": 1, "max": 3}, approval={"maxMonthlyIncreaseUsd": "5000"})
    assert len((await stage.observe()).states) == 1


class Refusing(Kube):
    """A connection that may not list proposals."""

    async def list_in(self, resource: Resource, namespaces: Any) -> Any:
        if resource is LANE_CHANGES:
            raise KubeError(403, "Forbidden", "lanechanges is forbidden")
        return await super().list_in(resource, namespaces)


async def test_proposals_that_cannot_be_read_stop_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stage.make()
    monkeypatch.setattr(type(stage.kube), "list_in", Refusing.list_in)
    for _ in range(12):
        cluster, decided = await stage.view()
        assert await stage.proposals.tick(cluster, [decided], stage.now) == {}
        stage.now += TICK
    assert [record.message for record in caplog.records].count(
        "LaneChanges can't be read, so nothing is proposed: lanechanges is forbidden"
    ) == 1
    monkeypatch.undo()
    assert len((await stage.tick()).states) == 1, "and what was seen meanwhile was entered"


async def test_one_plans_failure_is_its_own(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.make()
    await stage.observe()
    cluster, decided = await stage.view()
    stranger = stage_of_nobody(decided)
    with caplog.at_level(logging.ERROR):
        found = await stage.proposals.tick(cluster, [stranger, decided], stage.now)
    assert list(found) == [decided.snapshot.key]
    assert "proposals could not be worked out" in caplog.text


def stage_of_nobody(decided: Decided) -> Decided:
    """A plan that the view of the cluster doesn't have."""
    meta = decided.snapshot.plan.metadata.model_copy(update={"name": "other"})
    other = decided.snapshot.plan.model_copy(update={"metadata": meta})
    return replace(decided, snapshot=replace(decided.snapshot, plan=other))


def keeper(kube: Kube, namespace: str) -> ObservationKeeper:
    return ObservationKeeper(kube, config(namespace))


async def page(kube: Kube, namespace: str) -> dict[str, str]:
    found = await kube.find(CONFIG_MAPS, namespace, NAME)
    assert found is not None
    data: dict[str, str] = found.get("data") or {}
    return data


async def test_observations_are_written_once_a_minute_and_read_back(kube: Kube, namespace: str) -> None:
    book = keeper(kube, namespace)
    assert await book.load()
    for step in range(5):
        book.enter("ai/main", "a" * 16, {"gpu": Sight(1, True, {0: 3.0})}, NOW + 20 * step)
        await book.save(NOW + 20 * step)
    first = from_text((await page(kube, namespace))["ai.main.json"])
    assert first["gpu"].seconds == 60, "the last write is a minute after the first"
    assert float(WRITE_SECONDS) == 60.0
    again = keeper(kube, namespace)
    assert await again.load()
    assert again.records("ai/main") == first
    again.enter("ai/main", "a" * 16, {"gpu": Sight(1, True)}, NOW + 500)
    assert again.records("ai/main")["gpu"].seconds == 60, "nobody looked meanwhile"
    again.keep([])
    await again.save(NOW + 501)
    assert await page(kube, namespace) == {}


async def test_a_page_that_cannot_be_read_begins_anew(kube: Kube, cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "configmap", NAME, "-n", namespace, "--from-literal=ai.main.json=nonsense")
    book = keeper(kube, namespace)
    assert await book.load()
    assert book.records("ai/main") == {}
    book.enter("ai/main", "a" * 16, {"gpu": Sight(1, True)}, NOW)
    cluster.kubectl("annotate", "configmap", NAME, "-n", namespace, "somebody=wrote")
    await book.save(NOW)  # a conflict: looked at again, and written at the next tick
    await book.save(NOW + 1)
    assert "gpu" in from_text((await page(kube, namespace))["ai.main.json"])
    cluster.kubectl("delete", "configmap", NAME, "-n", namespace)
    book.enter("ai/main", "a" * 16, {"gpu": Sight(1, True)}, NOW + 60)
    await book.save(NOW + 61)
    await book.save(NOW + 62)
    assert from_text((await page(kube, namespace))["ai.main.json"])["gpu"].seconds == 60


async def test_the_basis_is_the_plan_its_lanes_and_its_classes(stage: Stage) -> None:
    stage.make()
    cluster, decided = await stage.view()
    found = [(each.kind.value, each.name) for each in live_basis(cluster, decided.snapshot.plan)]
    assert found == [
        ("CapacityLane", "gpu"),
        ("CapacityLane", "hosted"),
        ("CapacityPlan", "main"),
        ("WorkloadClass", "chat"),
    ]


async def test_sights_that_cannot_be_entered_stop_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stage.make()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ObservationKeeper, "enter", broken)
    assert (await stage.tick()).known
    assert "could not be entered" in caplog.text
