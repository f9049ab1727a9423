"""`decide` as a policy: snapshots from the simulator's samples in, replicas, caps and holds out.

The gateway of the backtest can cap and hold, so the snapshot says so, and the plan's mode is taken as Apply.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from spillway.api import CapacityLane, CapacityPlan, Mode
from spillway.decide import decide
from spillway.decide.decision import Decision
from spillway.decide.memory import Memory
from spillway.decide.snapshot import (
    Actuators,
    ClassSnapshot,
    LaneSnapshot,
    MetricsHealth,
    MetricsReason,
    PlanSnapshot,
    ServiceSample,
    TargetState,
    TokenPrice,
)
from spillway.simulate.policy import SCRAPE_SECONDS, Action, Known, LaneOverflow, Observation, Sample
from spillway.simulate.service_samples import samples_of
from spillway.simulate.spillway import readings
from spillway.simulate.spillway.foresight import announcement
from spillway.simulate.spillway.foresight import future as demand_to_come
from spillway.simulate.spillway.readings import EPOCH, FINE_POINTS
from spillway.simulate.spillway.routes import Routes
from spillway.simulate.spillway.variants import EVERYTHING, SHIPPED, Variant
from spillway.simulate.world import Floats, Workload, World

SERVICE_SAMPLES = 64
STALE_SCRAPES = 5


class SpillwayPolicy:
    """`decide`, driven by the simulator."""

    name = "spillway"

    def __init__(
        self,
        tick_seconds: float = 30.0,
        actuators: Actuators | None = None,
        *,
        learns_service: bool = True,
        future: Sequence[Floats] = (),
    ):
        """``future``: demand of each class as it will come (see `foresight`); none: it is forecast."""
        self.tick_seconds = tick_seconds
        self.decision: Decision | None = None
        self.memory = Memory()
        self.snapshot: PlanSnapshot | None = None
        self._actuators = actuators or EVERYTHING
        self._learns_service = learns_service
        self._future = tuple(future)
        self._last: Sample | None = None

    def start(self, known: Known) -> Action:
        """Begin with the fewest replicas that the lanes allow."""
        self._known = known
        self._plan = _applied(known.plan)
        self._fine: list[deque[float | None]] = [deque(maxlen=FINE_POINTS) for _ in known.classes]
        self._service: list[deque[ServiceSample]] = [deque(maxlen=SERVICE_SAMPLES) for _ in known.own]
        self._prices = [_token_price(lane) for lane in known.hosted]
        self._lanes = [lane.resource.metadata.name for lane in known.own]
        self._lanes += [lane.metadata.name for lane in known.hosted]
        self._routes: Routes | None = None
        if not self._actuators.in_flight_cap:
            own, hosted = self._lanes[: len(known.own)], self._lanes[len(known.own) :]
            self._routes = Routes(known.classes, own, hosted, known.plan)
            self._plan = self._routes.bound(self._plan)
        return Action(tuple(_least(lane.resource) for lane in known.own))

    def act(self, seen: Observation) -> Action:
        """One tick of the operator."""
        self._take_in(seen)
        self.snapshot = self._snapshot(seen)
        self.decision, self.memory = decide(self.snapshot, self.memory, tell=False)
        return self._action(self.decision, seen)

    def _take_in(self, seen: Observation) -> None:
        """The samples that have come since the last tick, oldest first."""
        samples = seen.samples
        new = 0
        while new < len(samples) and (self._last is None or samples[-1 - new].at > self._last.at):
            new += 1
        for back in range(new - 1, -1, -1):
            upto = samples if back == 0 else samples[:-back]
            self._take_in_one(upto)

    def _take_in_one(self, samples: Sequence[Sample]) -> None:
        sample = samples[-1]
        missed = 0 if self._last is None else round((sample.at - self._last.at) / SCRAPE_SECONDS) - 1
        for index, fine in enumerate(self._fine):
            fine.extend([None] * min(missed, FINE_POINTS))
            fine.append(readings.rate(samples, index))
        if self._last is not None and missed == 0 and self._learns_service:
            for index, kept in enumerate(self._service):
                kept.extend(samples_of(self._last, sample, index, EPOCH))
        self._last = sample

    def _snapshot(self, seen: Observation) -> PlanSnapshot:
        samples = seen.samples
        stale = not samples or seen.now - samples[-1].at > STALE_SCRAPES * SCRAPE_SECONDS
        health = MetricsHealth(MetricsReason.STALE, "no samples") if stale else MetricsHealth(MetricsReason.FOUND, "")
        own, hosted = range(len(self._known.own)), range(len(self._known.hosted))
        return PlanSnapshot(
            at=seen.now + EPOCH,
            plan=self._plan,
            classes=tuple(self._class(index, seen) for index in range(len(self._known.classes))),
            lanes=(*(self._own(i, seen) for i in own), *(self._hosted(i, seen) for i in hosted)),
            routes=() if self._routes is None else self._routes.states(),
            metrics=health,
            tick_seconds=self.tick_seconds,
            scrape_seconds=SCRAPE_SECONDS,
            actuators=self._actuators,
        )

    def _class(self, index: int, seen: Observation) -> ClassSnapshot:
        resource = self._known.classes[index]
        made = readings.class_snapshot(resource, index, seen.samples, self._fine[index], self._lanes)
        return replace(made, announced=announcement(self._future[index], seen.now)) if self._future else made

    def _own(self, index: int, seen: Observation) -> LaneSnapshot:
        lane, counts = self._known.own[index], seen.counts[index]
        spec = lane.resource.spec.self_hosted
        if spec is None:
            raise ValueError(f"lane {lane.resource.metadata.name} is not SelfHosted")
        target = TargetState(
            kind=spec.target_ref.kind,
            name=spec.target_ref.name,
            namespace=lane.resource.metadata.namespace,
            uid=spec.target_ref.name,
            resource_version="1",
            replicas=counts.desired,
            ready_replicas=counts.ready,
            pods=readings.pods(index, seen.samples, counts),
            owned_by_spillway=True,
            baseline_replicas=1,
        )
        return LaneSnapshot(
            resource=lane.resource,
            target=target,
            engine=readings.engine(index, seen.samples, self._service[index]),
            startup_seconds_observed=lane.startup_mean_s,
            pool_gpus=None if spec.gpu.pool is None else self._known.gpu_pools.get(spec.gpu.pool),
        )

    def _hosted(self, index: int, seen: Observation) -> LaneSnapshot:
        hosted = readings.hosted_state(len(self._known.own), index, seen.samples)
        return LaneSnapshot(self._known.hosted[index], hosted=hosted, token_price=self._prices[index])

    def _action(self, decision: Decision, seen: Observation) -> Action:
        lanes = [decision.lane(name) for name in self._lanes[: len(self._known.own)]]
        replicas = tuple(
            lane.recommended if lane is not None and lane.writable and lane.recommended is not None else counts.desired
            for lane, counts in zip(lanes, seen.counts, strict=True)
        )
        classes = {item.key: item for item in decision.classes}
        decided = [classes[resource.metadata.key] for resource in self._known.classes]
        shares = tuple(item.hosted_share or 0.0 for item in decided)
        if self._routes is not None:
            self._routes.write(decision)
            shares = tuple(self._routes.hosted_share(resource.metadata.name) for resource in self._known.classes)
        return Action(
            replicas=replicas,
            overflow=tuple(LaneOverflow(cap=None if lane is None else lane.in_flight_cap) for lane in lanes),
            hold_s=tuple(item.hold_seconds or 0.0 for item in decided),
            hosted_share=shares,
        )


def create(variant: Variant = SHIPPED, world: World | None = None, workload: Workload | None = None) -> SpillwayPolicy:
    """The policy for one run.

    The world and its requests are for variants with foresight alone; ValueError where one of these doesn't get them.
    """
    future: Sequence[Floats] = ()
    if variant.foresight:
        if world is None or workload is None:
            raise ValueError("a variant with foresight needs the world and the requests")
        future = demand_to_come(workload, len(world.classes), world.duration_s)
    return SpillwayPolicy(actuators=variant.actuators, learns_service=variant.learns_service, future=future)


def _applied(plan: CapacityPlan) -> CapacityPlan:
    spec = plan.spec.model_copy(update={"mode": Mode.APPLY, "paused": False})
    return plan.model_copy(update={"spec": spec})


def _least(lane: CapacityLane) -> int:
    return 1 if lane.spec.self_hosted is None else max(1, lane.spec.self_hosted.replicas.min)


def _token_price(lane: CapacityLane) -> TokenPrice | None:
    hosted = lane.spec.hosted
    if hosted is None or hosted.price is None:
        return None
    price = hosted.price
    cached = price.input_usd_per_m_tok if price.cached_input_usd_per_m_tok is None else price.cached_input_usd_per_m_tok
    output = Decimal(price.output_usd_per_m_tok)
    return TokenPrice(Decimal(price.input_usd_per_m_tok), Decimal(cached), output, "contract")
