"""One own lane as a decision sees it: its classes, service, lead time, warm replicas and what stands in the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from spillway.api import LatencyClass
from spillway.api.lane import SelfHostedSpec
from spillway.decide.ceilings import tier_usd_per_hour
from spillway.decide.curves import Curve
from spillway.decide.decision import Reason
from spillway.decide.demand import ClassDemand, fresh
from spillway.decide.eligibility import Placement, is_invalid, outlets, self_hosted
from spillway.decide.guards import pool_room
from spillway.decide.overflow import Load
from spillway.decide.reasons import Code, because, count
from spillway.decide.snapshot import ClassSnapshot, Finding, LaneSnapshot, PlanSnapshot, PodState, Severity

DEFAULT_STARTUP_SECONDS = 300.0
WARM_SCRAPES = 2
"""A pod takes traffic once it has been Ready for this many scrapes and reports."""
STUCK_STARTUPS = 3
"""A pod that isn't Ready after this many start-up times is stuck."""


@dataclass(frozen=True, slots=True)
class LaneView:
    """One own lane at one tick."""

    lane: LaneSnapshot
    spec: SelfHostedSpec
    classes: tuple[str, ...]
    """Keys of the classes that may be served here."""
    service: Curve | None
    """What its replicas do at the present mix; None where that is not known."""
    startup_seconds: float
    warm: int
    """Replicas that are Ready, settled and report."""
    blind: bool
    """Ready pods, but none of them reports."""
    running: float | None
    waiting: float | None
    kv_usage: float | None
    pool_replicas: int | None
    """Replicas that the GPU pool has room for beside the plan's other lanes; None when unbounded."""
    problem: Reason | None
    """Why it can't be sized, if it can't."""
    rates: Mapping[str, float]
    """Requests a second now of the classes that may be served here, over all lanes."""
    unknown_class: Reason | None
    """A class whose demand is not known: nothing is removed on a guess."""

    @property
    def name(self) -> str:
        """The lane's name."""
        return self.lane.name

    @property
    def current(self) -> int | None:
        """Replicas asked for now."""
        return None if self.lane.target is None else self.lane.target.replicas

    @property
    def ready(self) -> int | None:
        """Replicas Ready now."""
        return None if self.lane.target is None else self.lane.target.ready_replicas

    @property
    def usd_per_replica_hour(self) -> float:
        """What the bill falls by when one replica goes."""
        return float(self.spec.price.avoidable_usd_per_gpu_hour) * self.spec.gpu.per_replica

    @property
    def usd_per_work(self) -> float:
        """Dollars of a replica for the mean request: what makes one lane dearer than another."""
        seconds = [] if self.service is None else [s for s in self.service.request_seconds.values() if s > 0]
        return self.usd_per_replica_hour * (float(np.mean(seconds)) if seconds else 1.0)


def lane_views(
    snapshot: PlanSnapshot,
    places: Mapping[str, Placement],
    demands: Mapping[str, ClassDemand],
    curves: Mapping[str, Curve],
) -> dict[str, LaneView]:
    """The plan's own lanes, by name."""
    found = {}
    for lane in self_hosted(snapshot):
        spec = lane.resource.spec.self_hosted
        if spec is not None:
            found[lane.name] = _view(snapshot, lane, spec, places, demands, curves.get(lane.name))
    return found


def _view(
    snapshot: PlanSnapshot,
    lane: LaneSnapshot,
    spec: SelfHostedSpec,
    places: Mapping[str, Placement],
    demands: Mapping[str, ClassDemand],
    curve: Curve | None,
) -> LaneView:
    keys = tuple(key for key, place in places.items() if lane.name in place.own)
    problems = {key: reason for key in keys if (reason := demands[key].problem()) is not None}
    known = [key for key in keys if key not in problems]
    if curve is not None:
        known = [key for key in known if key in curve.request_seconds]
    service = curve if known else None
    problem = None
    if not keys:
        problem = because(Code.NO_CLASSES, f"No class of the plan may use lane {lane.name}; check spec.models.")
    elif not known and problems:
        problem = next(iter(problems.values()))
    elif service is None:
        message = (
            f"What a replica of lane {lane.name} serves is not known yet: set spec.selfHosted.profile, or let at least"
            " one replica serve so that it is learned."
        )
        problem = because(Code.SERVICE_UNKNOWN, message)
    engine, warm = lane.engine, _warm(snapshot, lane)
    return LaneView(
        lane=lane,
        spec=spec,
        classes=tuple(known),
        service=service,
        startup_seconds=startup_seconds(lane),
        warm=warm,
        blind=warm == 0 and _blind(snapshot, lane),
        running=None if engine is None else fresh(engine.running, snapshot),
        waiting=None if engine is None else fresh(engine.waiting, snapshot),
        kv_usage=None if engine is None else fresh(engine.kv_usage, snapshot),
        pool_replicas=pool_room(lane, _taken_gpus(snapshot, lane)),
        problem=problem,
        rates={key: now.value for key in known if (now := demands[key].now) is not None},
        unknown_class=next((why for key, why in problems.items() if not demands[key].counted_elsewhere), None),
    )


def _taken_gpus(snapshot: PlanSnapshot, lane: LaneSnapshot) -> int:
    """GPUs that the plan's other lanes of the same pool ask for now."""
    pool = None if lane.resource.spec.self_hosted is None else lane.resource.spec.self_hosted.gpu.pool
    total = 0
    for other in self_hosted(snapshot):
        spec = other.resource.spec.self_hosted
        if other.name != lane.name and spec is not None and spec.gpu.pool == pool and other.target is not None:
            total += other.target.replicas * spec.gpu.per_replica
    return total


def _attainment(item: ClassSnapshot) -> float:
    slo = item.resource.spec.slo
    return 0.5 if slo is None else float(slo.attainment_percent) / 100


def startup_seconds(lane: LaneSnapshot) -> float:
    """From creation to Ready: declared, else as observed."""
    spec = lane.resource.spec.self_hosted
    if spec is not None and spec.startup_seconds is not None:
        return float(spec.startup_seconds)
    return lane.startup_seconds_observed or DEFAULT_STARTUP_SECONDS


def _settled(snapshot: PlanSnapshot, pod: PodState, scrapes: float) -> bool:
    if not pod.ready or pod.deleting:
        return False
    return pod.ready_at is None or snapshot.at - pod.ready_at >= scrapes * snapshot.scrape_seconds


def _warm(snapshot: PlanSnapshot, lane: LaneSnapshot) -> int:
    """Pods that are Ready, settled and report; where no pod is told apart, the engines' own count bounds it."""
    if lane.target is None:
        return 0
    settled = [pod for pod in lane.target.pods if _settled(snapshot, pod, WARM_SCRAPES)]
    reporting = sum(fresh(pod.running, snapshot) is not None for pod in settled)
    if reporting or lane.engine is None or any(pod.running is not None for pod in lane.target.pods):
        return reporting
    return min(len(settled), lane.engine.pods_reporting)


def _blind(snapshot: PlanSnapshot, lane: LaneSnapshot) -> bool:
    """Whether pods have been Ready for long enough to report; of a lane where none does."""
    if lane.target is None:
        return False
    wait = 4 + 2 * snapshot.tick_seconds / snapshot.scrape_seconds
    return any(_settled(snapshot, pod, wait) for pod in lane.target.pods)


def loads_of(
    snapshot: PlanSnapshot,
    places: Mapping[str, Placement],
    demands: Mapping[str, ClassDemand],
    limits: Mapping[str, float],
) -> dict[str, Load]:
    """What sizing and sharing need to know of each class that can be sized."""
    tiers = {tier.name: tier for tier in snapshot.plan.spec.value_tiers}
    found = {}
    for key, demand in demands.items():
        if demand.problem() is not None or demand.mix is None:
            continue
        spec = demand.item.resource.spec
        tier = tiers.get(spec.value_tier or "")
        limit = None if tier is None else tier.max_spill_usd_per_hour
        found[key] = Load(
            key=key,
            latency=spec.latency,
            outlets=outlets(places[key], demand.mix, limits),
            attainment=_attainment(demand.item),
            miss_usd=0.0 if tier is None or tier.miss_usd is None else float(tier.miss_usd),
            tier=None if tier is None else tier.name,
            tier_usd_per_hour=tier_usd_per_hour(
                snapshot, spec.value_tier, float("inf") if limit is None else float(limit)
            ),
        )
    return found


def sized_loads(view: LaneView, loads: Mapping[str, Load]) -> list[Load]:
    """The classes that justify own GPUs on this lane: all but deferrable ones."""
    return [loads[key] for key in view.classes if loads[key].latency is not LatencyClass.DEFERRABLE]


def view_findings(snapshot: PlanSnapshot, view: LaneView) -> list[Finding]:
    """Warnings about an own lane: an SLO out of reach, pods that never get Ready."""
    subject = f"CapacityLane/{view.lane.resource.metadata.key}"
    found = []
    if view.service is not None and not view.service.reachable:
        message = (
            f"lane {view.name}: even a single request misses the strictest SLO of its classes; relax spec.slo of the"
            " class, or mend spec.selfHosted.profile of the lane"
        )
        found.append(Finding(Severity.WARNING, Code.SLO_UNREACHABLE.value, message, subject))
    stuck = _stuck_pods(snapshot, view)
    if stuck:
        message = (
            f"lane {view.name}: {count(stuck, 'pod')} not Ready {STUCK_STARTUPS} start-up times after creation;"
            " look at the events of the pods"
        )
        found.append(Finding(Severity.WARNING, Code.CAPACITY_UNAVAILABLE.value, message, subject))
    return found


def _stuck_pods(snapshot: PlanSnapshot, view: LaneView) -> int:
    if view.lane.target is None:
        return 0
    limit = STUCK_STARTUPS * view.startup_seconds
    return sum(
        not pod.ready and not pod.deleting and snapshot.at - pod.created_at > limit for pod in view.lane.target.pods
    )


def invalid(snapshot: PlanSnapshot, view: LaneView) -> Reason | None:
    """The error in the lane's spec or in who decides on it, as a reason."""
    finding = is_invalid(snapshot, view.lane)
    return None if finding is None else because(Code.LANE_INVALID, finding.message)
