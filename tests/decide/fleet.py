"""A closed loop in virtual time: a fleet without queues, late and noisy metrics, decisions applied at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from decide.builders import World, engine, hosted_lane, own_resource, plan, price, route, workload
from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway.decide import decide
from spillway.decide.decision import Decision
from spillway.decide.memory import Memory
from spillway.decide.snapshot import (
    ClassSnapshot,
    Demand,
    DemandSource,
    HostedState,
    LaneSnapshot,
    PodState,
    Reading,
    Series,
    TargetState,
)


@dataclass
class Pod:
    name: str
    created: float
    ready_at: float


@dataclass(frozen=True)
class Moment:
    """What one tick looked like, before its decision took effect."""

    at: float
    demand: float
    """True mean requests a second."""
    replicas: int
    ready: int
    hosted_weight: float
    own_load: float
    """Own traffic over what the Ready replicas serve at a full batch; infinite with traffic and none Ready."""
    decision: Decision


@dataclass
class Fleet:
    """One own lane of 15.24 requests/s per replica (see builders.PROFILE), one hosted lane, one class."""

    rate_at: Callable[[float], float]
    season: float
    scrape: float = 2.0
    tick: float = 3.0
    startup: float = 5.0
    min_replicas: int = 0
    max_replicas: int = 16
    usd_out: str = "1.0"
    seed: int = 1
    poisson: bool = True
    stabilization: int = 15
    seconds_per_request: float = 4.2
    replica_rate: float = 64 / 4.2
    now: float = 0.0
    pods: list[Pod] = field(default_factory=list)
    replicas: int = 0
    hosted: int = 100
    memory: Memory = field(default_factory=Memory)
    moments: list[Moment] = field(default_factory=list)
    written_at: float | None = None
    up: bool = True
    """Whether metrics can be read."""

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        self._numbers = 0
        self._counts: dict[int, float] = {}
        self._days: Series | None = None
        self.plan: CapacityPlan = plan(
            forecast={"seasonalitySeconds": [int(self.season)]},
            guards={
                "scaleDownStabilizationSeconds": self.stabilization,
                "maxScaleUpPerMinute": 30,
                "maxScaleDownPerMinute": 30,
            },
        )
        self.resource: CapacityLane = own_resource(
            replicas={"min": self.min_replicas, "max": self.max_replicas}, startupSeconds=max(1, round(self.startup))
        )
        self.workload: WorkloadClass = workload()
        self.resize(max(self.min_replicas, self.replicas))

    def resize(self, replicas: int, gone: tuple[str, ...] = ()) -> None:
        surplus = len(self.pods) - replicas
        if surplus > 0:
            order = sorted(self.pods, key=lambda pod: (pod.name not in gone, -pod.created))
            for pod in order[:surplus]:
                self.pods.remove(pod)
        while len(self.pods) < replicas:
            self._numbers += 1
            self.pods.append(Pod(f"vllm-{self._numbers}", self.now, self.now + self.startup))
        self.replicas = replicas

    def _count(self, slot: int) -> float:
        """Requests that arrived in one scrape interval: the same however often it is asked."""
        if slot not in self._counts:
            mean = self.rate_at((slot + 0.5) * self.scrape) * self.scrape
            self._counts[slot] = float(self._random.poisson(mean)) if self.poisson else mean
        return self._counts[slot]

    def _history(self, points: int = 480) -> Series:
        last = math.floor(self.now / self.scrape) - 1
        rates = []
        for slot in range(last - points + 1, last + 1):
            window = [self._count(slot - back) for back in range(4)]
            rates.append(sum(window) / (4 * self.scrape))
        return Series((last - points + 2) * self.scrape, self.scrape, tuple(rates))

    def _coarse(self, step: float = 300.0, days: int = 15) -> Series:
        last = math.floor(self.now / step)
        if self._days is None or self._days.end < last * step:
            points = int(days * 86400 / step)
            values = tuple(self.rate_at((last - points + 1 + i - 0.5) * step) for i in range(points))
            self._days = Series((last - points + 1) * step, step, values)
        return self._days

    @property
    def ready(self) -> list[Pod]:
        return [pod for pod in self.pods if pod.ready_at <= self.now]

    def snapshot(self) -> World:
        fine = self._history()
        seen = fine.end
        rate = fine.values[-1] or 0.0
        share = self.hosted / 100
        ready = self.ready
        own = rate * (1 - share) if ready else 0.0
        running = own * self.seconds_per_request
        each = running / len(ready) if ready else 0.0
        waiting = max(0.0, running - 64 * len(ready))
        pods = tuple(
            PodState(
                pod.name,
                pod in ready,
                False,
                pod.created,
                pod.ready_at if pod in ready else None,
                Reading(each, seen) if pod.ready_at <= seen else None,
                Reading(0.0, seen),
            )
            for pod in self.pods
        )
        state = TargetState(
            "Deployment", "vllm", "ai", "u", "1", self.replicas, len(ready), pods,
            replicas_manager=None if self.written_at is None else "spillway-controller",
            replicas_written_at=None if self.written_at is None else float(math.floor(self.written_at)),
            baseline_replicas=None if self.written_at is None else 1,
        )  # fmt: skip
        demand = Demand(
            DemandSource.GATEWAY,
            Reading(rate, seen),
            Reading(200.0, seen) if rate > 0 else None,
            Reading(100.0, seen) if rate > 0 else None,
            None,
            {"gpu": Reading(own, seen), "hosted": Reading(rate * share, seen)},
            (fine, self._coarse()),
        )
        own_lane = LaneSnapshot(
            self.resource,
            target=state,
            engine=engine(min(running, 64.0 * len(ready)), waiting, at=seen, pods_reporting=len(ready)),
        )
        hosted = hosted_lane(
            usd_out=self.usd_out,
            hosted=HostedState(
                Reading(rate * share, seen), Reading(200 * rate * share, seen), Reading(100 * rate * share, seen)
            ),
            token_price=price(usd_out=self.usd_out),
        )
        return World(
            plan=self.plan,
            classes=(ClassSnapshot(self.workload, demand),),
            lanes=(own_lane, hosted),
            routes=(route(gpu=100 - self.hosted, hosted=self.hosted),),
            at=self.now,
            tick=self.tick,
            scrape=self.scrape,
        )

    def step(self) -> Moment:
        world = self.snapshot()
        decision, self.memory = decide(world.snapshot(), self.memory)
        demand = self.rate_at(self.now)
        own = demand * (1 - self.hosted / 100)
        served = len(self.ready) * self.replica_rate
        load = own / served if served > 0 else (math.inf if own > 0 else 0.0)
        moment = Moment(self.now, demand, self.replicas, len(self.ready), self.hosted / 100, load, decision)
        self.moments.append(moment)
        self._apply(decision)
        self.now += self.tick
        return moment

    def _apply(self, decision: Decision) -> None:
        lane = decision.lane("gpu")
        assert lane is not None
        for moved in decision.routes:
            if moved.writable:
                self.hosted = moved.weights["hosted"]
        if lane.writable and lane.recommended is not None and lane.recommended != self.replicas:
            self.resize(lane.recommended, lane.pods_to_remove)
            self.written_at = self.now

    def run(self, seconds: float) -> list[Moment]:
        start = len(self.moments)
        end = self.now + seconds
        while self.now < end:
            self.step()
        return self.moments[start:]

    def usd(self, moments: list[Moment]) -> float:
        """Dollars of these moments: GPUs from creation, hosted output tokens."""
        per_request = 100 * float(self.usd_out) / 1e6
        own = sum(m.replicas for m in moments) * 3.85 * self.tick / 3600
        return own + sum(m.demand * m.hosted_weight for m in moments) * per_request * self.tick


def day(period: float, low: float, high: float) -> Callable[[float], float]:
    """A sinusoidal day with its trough at 0."""
    return lambda at: low + (high - low) * (1 - math.cos(2 * math.pi * at / period)) / 2
