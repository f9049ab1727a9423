"""Decisions for a gateway that caps and holds: the small plans of `builders`, decided tick by tick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from decide.builders import NOW, World, demand, engine, hosted_lane, own_lane, own_resource, target, traffic, workload
from spillway.api import CapacityLane, WorkloadClass
from spillway.decide import decide
from spillway.decide.decision import Decision, LaneDecision
from spillway.decide.memory import LaneMemory, Memory
from spillway.decide.snapshot import Actuators, ClassSnapshot, LaneSnapshot, PlanSnapshot

CHAT, GPU = "ai/chat", "gpu"
REMEMBERED = Memory(lanes={GPU: LaneMemory(first_seen_at=NOW - 10_000, last_replicas=4)})


def capped(world: World, hold: bool = True) -> PlanSnapshot:
    """The world behind a gateway that caps, and holds where said so."""
    return replace(world.snapshot(), actuators=Actuators(in_flight_cap=True, hold=hold))


def made(world: World, memory: Memory = REMEMBERED, hold: bool = True) -> tuple[Decision, Memory]:
    """The decision and what is remembered."""
    return decide(capped(world, hold), memory)


def gpu(decision: Decision) -> LaneDecision:
    """The decision on the own lane."""
    found = decision.lane(GPU)
    assert found is not None
    return found


def own(number: int = 4, ready: int | None = None, at: float = NOW, **self_hosted: object) -> LaneSnapshot:
    """An own lane that may go down to zero unless told otherwise."""
    resource: CapacityLane = own_resource(**({"replicas": {"min": 0, "max": 40}} | self_hosted))
    return own_lane(resource=resource, state=target(number, ready, at=at), engine=engine(at=at))


def chat(rate: float = 41.0, at: float = NOW, resource: WorkloadClass | None = None, **fields: object) -> ClassSnapshot:
    """The class with its demand at one moment."""
    spec = resource or workload(slo={"timeToFirstTokenMs": 4000})
    tokens = fields.pop("tokens", (200.0, 100.0))
    return ClassSnapshot(spec, demand(rate, at=at, tokens=tokens), **fields)  # type: ignore[arg-type]


def world(
    rate: float = 41.0, usd_out: str = "1.0", lane: LaneSnapshot | None = None, at: float = NOW, **fields: object
) -> World:
    """One class at a rate, one own lane, one hosted lane at a price for output tokens."""
    base = {"classes": (chat(rate, at),), "lanes": (lane or own(at=at), hosted_lane(usd_out=usd_out)), "at": at}
    return World(**(base | fields))  # type: ignore[arg-type]


def ticks(
    number: int, world_at: Callable[[float], World], seconds: float = 3.0, memory: Memory = REMEMBERED
) -> list[tuple[Decision, Memory]]:
    """Decisions in a row, each with what it left behind."""
    found = []
    for tick in range(number):
        decision, memory = made(world_at(NOW + tick * seconds), memory)
        found.append((decision, memory))
    return found


__all__ = ["CHAT", "GPU", "REMEMBERED", "capped", "chat", "gpu", "made", "own", "ticks", "traffic", "world"]
