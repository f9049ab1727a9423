"""Caps and holds as they are decided: rounding, who is held, and what is said of a class."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from decide.builders import NOW, World, hosted_lane, own_lane, own_resource, plan, reading, target, workload
from decide.gateways import CHAT, GPU, REMEMBERED, capped, chat, gpu, made, own, ticks, world
from spillway.decide import decide
from spillway.decide.curves import Curve
from spillway.decide.decision import LaneDecision, Reason
from spillway.decide.gateway import owed, with_valve
from spillway.decide.memory import LaneMemory, Memory
from spillway.decide.response import Valve
from spillway.decide.snapshot import Actuators, LaneSnapshot, MetricsReason

LANE = LaneDecision(GPU, 4, 4, 4, 4, Reason("Steady", "."))


def with_cap(cap: float) -> dict[str, Curve]:
    found = made(world())[1].curves[GPU]
    return {GPU: replace(found, valve=Valve(cap, 1.0))}


def in_turn(caps: list[float]) -> list[int]:
    """Caps decided tick by tick, what rounding leaves over carried along."""
    memory, found = LaneMemory(NOW), []
    curves = with_cap(2.0)
    for cap in caps:
        curves = {GPU: replace(curves[GPU], valve=Valve(cap, 1.0))}
        decided = with_valve(capped(world()), LANE, curves, memory)
        memory = owed(decided, curves, memory)
        assert decided.in_flight_cap is not None
        assert abs(memory.cap_owed) <= 1.0
        found.append(decided.in_flight_cap)
    return found


@pytest.mark.parametrize("cap", [1.0, 1.25, 2.5, 2.9, 17.337, 64.0])
def test_a_cap_between_two_whole_ones_averages_out(cap: float) -> None:
    found = in_turn([cap] * 80)
    assert np.mean(found) == pytest.approx(cap, abs=1 / 80)
    assert set(found) <= {int(cap), int(cap) + 1}
    # Evenly in turn: over any stretch the sum is never a whole request away.
    assert np.abs(np.cumsum(np.array(found) - cap)).max() <= 0.5 + 1e-9


def test_a_cap_that_moves_carries_little_along() -> None:
    found = in_turn([2.5, 40.2, 2.5, 40.2, 1.0, 1.0, 1.0])
    assert np.abs(np.array(found) - [2.5, 40.2, 2.5, 40.2, 1.0, 1.0, 1.0]).max() < 1.0


def test_at_least_one_request_is_let_in() -> None:
    assert in_turn([1.0, 0.2, 0.2, 0.2]) == [1, 1, 1, 1]


def test_decisions_take_turns() -> None:
    """Through whole decisions: the mean over ticks is the valve that was made."""
    found = ticks(60, lambda at: world(at=at, lane=own(at=at, profile={"prefillMsPerKToken": "333"})))
    caps = [gpu(decision).in_flight_cap or 0 for decision, _ in found]
    valves = [memory.curves[GPU].valve.cap for _, memory in found]
    assert abs(valves[-1] - round(valves[-1])) > 0.05
    assert np.mean(caps) == pytest.approx(np.mean(valves), abs=0.02)
    assert len(set(caps)) == 2


def test_no_cap_without_a_curve_or_a_gateway_that_caps() -> None:
    unknown, _ = made(world(classes=(chat(tokens=None),)))
    assert gpu(unknown).in_flight_cap is None
    learned, _ = made(world(lane=own(profile=None)))
    assert (gpu(learned).in_flight_cap or 0) > 1  # without a prior, that of a typical engine
    plain, memory = decide(world().snapshot(), REMEMBERED)
    assert gpu(plain).in_flight_cap is None
    assert plain.classes[0].hold_seconds is None
    assert memory.lanes[GPU].cap_owed == 0.0


def test_nothing_is_held_where_no_replica_is_ready() -> None:
    held, _ = made(world())
    assert held.classes[0].hold_seconds is not None
    assert held.classes[0].hold_seconds > 0.0
    starting, _ = made(world(lane=own(4, 0)))
    assert starting.classes[0].hold_seconds == 0.0
    assert (starting.classes[0].reason or LANE.reason).code == "HostedOnly"
    without, _ = made(world(), hold=False)
    assert without.classes[0].hold_seconds is None
    assert gpu(without).in_flight_cap == gpu(held).in_flight_cap


def test_the_hold_follows_the_hosted_lane() -> None:
    """What is held still has time for the hosted lane's slow tail."""
    holds = []
    for ms in (200, 800, 1200):
        slow = hosted_lane()
        spec = slow.resource.spec
        assert spec.hosted is not None
        latency = {"timeToFirstTokenMs": ms, "interTokenLatencyMs": 20}
        hosted = type(spec.hosted).model_validate(spec.hosted.model_dump(by_alias=True) | {"latency": latency})
        resource = slow.resource.model_copy(update={"spec": spec.model_copy(update={"hosted": hosted})})
        found, _ = made(replace(world(), lanes=(own(), replace(slow, resource=resource))))
        holds.append(found.classes[0].hold_seconds or 0.0)
    assert holds[0] > holds[1] > holds[2] > 0.0
    assert all(hold + 3 * ms / 1000 <= 4.0 for hold, ms in zip(holds, (200, 800, 1200), strict=True))


def test_the_shortest_hold_of_the_lanes_that_serve() -> None:
    """A second lane that prefills slowly leaves less time; while it has no replica, it doesn't count."""

    def both(ready: int) -> float:
        slow = own_resource("slow", targetRef={"name": "slow"}, profile={"prefillMsPerKToken": "5000"})
        lanes = (own(), own_lane("slow", resource=slow, state=target(2, ready)), hosted_lane())
        backends = {"gpu": "vllm", "slow": "slow", "hosted": "egress"}
        binding = {"class": "chat", "ownership": "Adopted", "httpRoute": "chat", "rule": "chat", "backends": backends}
        joined = plan(lanes=["gpu", "slow", "hosted"], routing={"bindings": [binding]})
        found, memory = made(replace(world(), plan=joined, lanes=lanes))
        assert memory.curves["slow"].hold_seconds[CHAT] < memory.curves[GPU].hold_seconds[CHAT]
        return found.classes[0].hold_seconds or 0.0

    assert both(ready=1) < both(ready=0)


SECRET = workload(slo={"timeToFirstTokenMs": 4000}, dataPolicy="SelfHostedOnly")


@pytest.mark.parametrize(
    ("fields", "share", "code"),
    [
        ({}, 0.0, "Spilling"),
        ({"lane": own(4, 0)}, 1.0, "HostedOnly"),
        ({"classes": (chat(resource=SECRET),)}, 0.0, "OwnOnly"),
        ({"classes": (chat(at=NOW - 120),)}, None, "DemandStale"),
    ],
)
def test_what_is_said_of_a_class(fields: dict[str, object], share: float | None, code: str) -> None:
    decision, _ = made(world(**fields))  # type: ignore[arg-type]
    found = decision.classes[0]
    assert found.reason is not None
    assert (found.hosted_share, found.reason.code) == (share, code)
    assert found.reason.message.endswith(".")
    assert decision.routes == (), "the gateway spills by itself"


def test_a_class_without_an_objective_for_the_first_token_is_not_held() -> None:
    free = workload(slo=None)
    decision, _ = made(world(classes=(chat(resource=free),)))
    assert decision.classes[0].hold_seconds == 0.0
    assert gpu(decision).in_flight_cap == 64  # what the engine runs at once


def test_the_measured_cache_lowers_the_cap() -> None:
    """Engines that show more tokens per request in flight than the mix tells."""

    def full(share: float) -> LaneSnapshot:
        lane = own(profile={"kvCacheTokens": 30_000})
        assert lane.target is not None
        pods = tuple(replace(pod, running=reading(20.0), kv_usage=reading(share)) for pod in lane.target.pods)
        return replace(lane, target=replace(lane.target, pods=pods))

    caps = [gpu(made(world(lane=full(share)))[0]).in_flight_cap or 0 for share in (0.1, 0.5, 0.9)]
    assert caps[0] > caps[1] > caps[2]
    assert caps[2] * 0.9 * 30_000 / 20 <= 30_000


def test_caps_and_holds_outlast_the_metrics() -> None:
    """A gateway without news keeps what it was told, and its record; nothing is opened for want of metrics."""
    before, memory = ticks(20, lambda at: world(at=at))[-1]
    later = NOW + 600.0
    stale = chat(at=NOW + 60)
    gone = replace(world().metrics, reason=MetricsReason.ERROR)
    for odd in (world(at=later, classes=(stale,)), world(at=later, classes=(stale,), metrics=gone)):
        decision, kept = made(odd, memory)
        assert abs((gpu(decision).in_flight_cap or 0) - (gpu(before).in_flight_cap or 0)) <= 1
        assert decision.classes[0].hold_seconds == before.classes[0].hold_seconds
        assert gpu(decision).recommended == gpu(decision).current
        assert kept.planned is not None
        assert memory.planned is not None
        assert kept.planned.steadies == memory.planned.steadies
        assert kept.planned.calibrations == memory.planned.calibrations
        assert kept.budgets[CHAT] == replace(memory.budgets[CHAT], at=later)


def test_actuators_default_to_weights() -> None:
    assert World().snapshot().actuators == Actuators(weights=True, in_flight_cap=False, hold=False, spill=False)
    assert {field.name for field in dataclasses.fields(Actuators)} == {"weights", "in_flight_cap", "hold", "spill"}


def test_a_restart_keeps_caps() -> None:
    """Nothing remembered: the cap is that of the mix and the profile at once."""
    fresh, _ = made(world(), Memory())
    known = ticks(20, lambda at: world(at=at))[-1][0]
    assert abs((gpu(fresh).in_flight_cap or 0) - (gpu(known).in_flight_cap or 0)) <= 1
