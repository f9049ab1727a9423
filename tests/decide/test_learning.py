"""What is learned from look to look: budgets, bursts, service, curves; and that memory holds it, bounded, exactly."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace

import numpy as np
import pytest

from decide.builders import NOW, World, curve, demand, engine, hosted_lane, own_lane, plan, reading, samples, workload
from decide.gateways import CHAT, GPU, REMEMBERED, capped, chat, made, own, ticks, world
from spillway.decide import decide
from spillway.decide.budget import SETTLING_SECONDS
from spillway.decide.codec import canonical, codec_of
from spillway.decide.demand import class_demands
from spillway.decide.eligibility import placements
from spillway.decide.learning import LOOSE_ALLOWANCE, Learned, kept, learn
from spillway.decide.memory import Memory
from spillway.decide.snapshot import ClassSnapshot, HostedState, PlanSnapshot, Series


def looked(snapshot: PlanSnapshot, memory: Memory = REMEMBERED) -> Learned:
    return learn(snapshot, placements(snapshot), class_demands(snapshot, memory), memory)


def remembering(found: Learned) -> Memory:
    return replace(REMEMBERED, services=found.services, curves=found.curves, budgets=found.budgets, bursts=found.bursts)


def attained(share: float | None, at: float, by_lane: dict[str, float] | None = None) -> World:
    """One class of 100 requests a second, and how many of the own ones met the objective."""
    item = ClassSnapshot(workload(), demand(100.0, by_lane=by_lane, at=at))
    if share is not None:
        item = replace(item, attainment=reading(share, at))
    return World(classes=(item,), at=at)


def after_an_hour(share: float | None, by_lane: dict[str, float] | None = None) -> Learned:
    """An hour of looks, each a minute, after the settling time."""
    memory = remembering(looked(attained(1.0, NOW).snapshot()))
    for minute in range(61):
        at = NOW + SETTLING_SECONDS + 60.0 * minute
        found = looked(attained(share, at, by_lane).snapshot(), memory)
        memory = remembering(found)
    return found


def test_misses_of_own_requests_are_spent() -> None:
    budget = after_an_hour(0.98).budgets[CHAT]
    assert budget.missed / budget.total == pytest.approx(0.02)
    assert budget.allowance(0.99) < 0.01
    assert after_an_hour(1.0).budgets[CHAT].allowance(0.99) > 0.01


def test_only_own_requests_count_as_missed_and_all_as_served() -> None:
    budget = after_an_hour(0.96, {"gpu": 25.0, "hosted": 75.0}).budgets[CHAT]
    assert budget.missed / budget.total == pytest.approx(0.01)
    assert budget.hosted / budget.total == pytest.approx(0.75)
    hosted = after_an_hour(0.0, {"hosted": 100.0}).budgets[CHAT]
    assert hosted.missed == 0.0
    assert hosted.hosted == hosted.total


def test_without_attainment_only_time_passes() -> None:
    budget = after_an_hour(None).budgets[CHAT]
    assert (budget.total, budget.missed, budget.log_allowance) == (0.0, 0.0, 0.0)
    assert budget.at == NOW + SETTLING_SECONDS + 3600.0
    old = replace(attained(None, NOW), classes=(replace(attained(0.5, NOW - 90).classes[0], demand=demand(100.0)),))
    assert looked(old.snapshot(), remembering(after_an_hour(1.0))).budgets[CHAT].missed == 0.0  # stale


def test_a_class_without_an_objective_may_miss_half() -> None:
    free = replace(chat(resource=workload(slo=None)), attainment=reading(0.6))
    found = looked(World(classes=(free,)).snapshot())
    assert found.budgets[CHAT].allowance(1.0 - LOOSE_ALLOWANCE) <= LOOSE_ALLOWANCE
    assert found.curves[GPU].valve.cap == 64.0
    assert found.curves[GPU].hold_seconds[CHAT] == 0.0


def test_bursts_come_from_the_finest_series() -> None:
    random = np.random.default_rng(1)
    counts = random.negative_binomial(75, 1 / 6, 480)  # 375 a step: variance six times the mean
    rates = np.convolve(counts, np.ones(4), "valid") / 60
    fine = Series(NOW - 15 * (len(rates) - 1), 15.0, tuple(rates.tolist()))
    coarse = curve(lambda at: 25.0 + 20 * math.sin(at / 500), 480, 300.0)
    item = ClassSnapshot(workload(), demand(float(rates[-1]), history=(fine, coarse)))
    found = looked(World(classes=(item,)).snapshot())
    assert found.bursts[CHAT].dispersion == pytest.approx(6.0, rel=0.25)
    calm = looked(world(25.0).snapshot())
    assert calm.bursts[CHAT].dispersion == pytest.approx(1.0, abs=0.05)
    busy = found.curves[GPU].response.left_at(3, 2.5)
    assert busy > 1.5 * calm.curves[GPU].response.left_at(3, 2.5)
    # What the coarse series says alone is nothing about bursts.
    alone = ClassSnapshot(workload(), demand(25.0, history=(coarse,)))
    assert CHAT not in looked(World(classes=(alone,)).snapshot()).bursts


def test_service_is_learned_from_the_engines() -> None:
    slow = engine(samples=samples(lambda batch: 30 + 2 * batch, [1.0, 4.0, 9.0, 16.0, 25.0, 40.0] * 40))
    lane = own()
    found = looked(world(lane=replace(lane, engine=slow)).snapshot()).services[GPU].coefficients
    prior = looked(world(lane=lane).snapshot()).services[GPU].coefficients
    assert found is not None
    assert prior is not None
    assert (prior.alpha_ms, prior.beta_ms) == (10.0, 0.5)
    # Half of what was seen is believed at least.
    assert found.alpha_ms + 20 * found.beta_ms > 0.5 * (30 + 2 * 20)


def test_slower_service_takes_more_of_a_replica() -> None:
    quick = looked(world().snapshot()).curves[GPU]
    slow = looked(world(lane=own(profile={"alphaMs": "20", "betaMsPerSequence": "1"})).snapshot()).curves[GPU]
    assert slow.request_seconds[CHAT] > 1.9 * quick.request_seconds[CHAT]
    assert slow.valve.cap < quick.valve.cap


def test_the_first_table_reaches_as_far_as_the_load() -> None:
    found = looked(world(400.0, lane=own(2)).snapshot()).curves[GPU]
    assert found.most > 1.4 * 400.0 * found.request_seconds[CHAT]


def test_what_is_unknown_is_left_out() -> None:
    nothing = looked(World(classes=(replace(chat(), demand=None),)).snapshot())
    assert nothing.curves == {}
    assert nothing.bursts == {}
    assert nothing.budgets[CHAT].total == 0.0
    mixless = looked(world(classes=(chat(tokens=None),)).snapshot())
    assert mixless.curves == {}
    assert mixless.services.keys() == {GPU}
    assert looked(World(classes=()).snapshot()).curves == {}


def test_kept_is_what_was_known() -> None:
    found = looked(world().snapshot())
    memory = remembering(found)
    assert kept(memory) == found


def test_lanes_and_classes_that_are_gone_are_forgotten() -> None:
    _, memory = made(world())
    other = ClassSnapshot(workload("other", slo={"timeToFirstTokenMs": 4000}), demand(20.0))
    backends = {"class": "other", "ownership": "Adopted", "httpRoute": "o", "rule": "o", "backends": {"new": "n"}}
    moved = replace(
        world(at=NOW + 300),
        plan=plan(lanes=["new", "hosted"], routing={"bindings": [backends]}),
        classes=(replace(other, demand=demand(20.0, at=NOW + 300)),),
        lanes=(replace(own_lane("new"), target=own(at=NOW + 300).target), hosted_lane()),
    )
    _, after = made(moved, memory)
    assert after.services.keys() == {"new"}
    assert after.curves.keys() <= {"new"}
    assert after.budgets.keys() == {"ai/other"}
    assert after.planned is not None
    assert after.planned.steadies.keys() <= {"ai/other"}


def through(memory: Memory) -> Memory:
    """Written to text and read back."""
    codec = codec_of(Memory)
    found: Memory = codec.decode(json.loads(canonical(codec.encode(memory))))
    return found


def swinging(at: float) -> World:
    """A demand that swings, with attainment and engines that report."""
    rate = 60 + 40 * math.sin(at / 900)
    item = replace(chat(rate, at), attainment=reading(0.99 + 0.008 * math.sin(at / 300), at))
    lane = own(at=at, profile={"prefillMsPerKToken": "333"})
    seen = tuple(replace(s, at=at - 15 * i) for i, s in enumerate(samples(lambda b: 12 + 0.6 * b, [5.0, 20.0, 40.0])))
    refusing = HostedState(reading(4.0, at), reading(0.0, at), reading(0.0, at), reading(2.0, at))
    lanes = (replace(lane, engine=engine(at=at, samples=seen)), replace(hosted_lane(), hosted=refusing))
    return world(at=at, classes=(item,), lanes=lanes)


def test_all_that_is_remembered_reads_back() -> None:
    memory = ticks(60, swinging, seconds=15.0)[-1][1]
    for each in fields(Memory):
        assert getattr(memory, each.name) or each.name == "hosted_shares", f"{each.name} is empty: nothing is tested"
    assert memory.planned is not None
    assert memory.planned.steadies
    assert memory.planned.calibrations[GPU].promises
    assert memory.budgets[CHAT].since == NOW
    assert memory.lanes[GPU].cap_owed != 0.0
    found = through(memory)
    for each in fields(Memory):
        assert getattr(found, each.name) == getattr(memory, each.name), each.name
    assert canonical(codec_of(Memory).encode(found)) == canonical(codec_of(Memory).encode(memory))


def test_decisions_do_not_depend_on_whether_memory_was_written() -> None:
    plain = written = REMEMBERED
    for tick in range(40):
        at = NOW + 15.0 * tick
        one, plain = made(swinging(at), plain)
        other, written = made(swinging(at), through(written))
        assert one == other
    assert through(plain) == written


def test_memory_is_bounded() -> None:
    """Hours of ticks: what is written stops growing."""
    memory, sizes = REMEMBERED, []
    for tick in range(960):
        _, memory = made(swinging(NOW + 60.0 * tick), memory)
        if tick % 240 == 239:
            sizes.append(len(canonical(codec_of(Memory).encode(memory))))
    history = [len(canonical(codec_of(Memory).encode(replace(memory, forecasts={})))), sizes[-1]]
    assert history[0] < 250_000
    assert history[1] < 500_000


def test_the_same_snapshot_twice_changes_nothing_but_the_record_of_it() -> None:
    """A tick that is decided again (a restart of the process) must not count its measurements twice."""
    _, memory = ticks(20, swinging, seconds=15.0)[-1]
    last = swinging(NOW + 19 * 15.0)
    _, again = made(last, memory)
    assert again.budgets == memory.budgets
    assert again.bursts == memory.bursts
    assert again.forecasts == memory.forecasts


def test_without_caps_it_is_planned_as_well_and_weights_move_the_traffic() -> None:
    snapshot = replace(capped(world()), actuators=World().snapshot().actuators)
    decision, plain = decide(snapshot, REMEMBERED)
    assert plain.planned is not None
    assert decision.routes
    assert decision.lanes[0].in_flight_cap is None
