"""What a baseline's user configures it with: each own lane's bounds, price, objectives and declared profile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from spillway.api import DataPolicy, LatencyClass, WorkloadClass
from spillway.simulate.baselines.profile import Service
from spillway.simulate.policy import Known, LaneInfo, Observation


class BaselineError(ValueError):
    """A baseline cannot run on this scenario or with these parameters; one line that names the way out."""


@dataclass(frozen=True, slots=True)
class LaneFacts:
    """One own lane beforehand."""

    index: int
    name: str
    minimum: int
    """Fewest replicas a baseline asks for: the lane's, and at least 1, the minimum of every product here."""
    maximum: int
    usd_per_hour: float
    """List price of one replica, all its GPUs."""
    startup_s: float
    classes: tuple[int, ...]
    """Indices into `Known.classes` of those that may be served here."""
    ttft_s: float
    """Strictest time to first token over the classes with an objective; infinite without one."""
    itl_s: float
    service: Service | None
    """The declared profile."""

    def bounded(self, replicas: float) -> int:
        """`replicas` within the lane's bounds."""
        return int(min(max(replicas, self.minimum), self.maximum))

    def declared(self, baseline: str) -> Service:
        """The declared profile.

        Raises:
            BaselineError: the lane declares none.
        """
        if self.service is None:
            raise BaselineError(
                f"CapacityLane {self.name}: spec.selfHosted.profile is missing, and baseline {baseline} is configured "
                "from it: declare one, or leave this baseline out"
            )
        return self.service


class Scaler(Protocol):
    """Decides replicas, not overflow: `spill.Composed` puts both together. One instance serves one run."""

    name: str
    tick_seconds: float

    def start(self, known: Known) -> tuple[int, ...]:
        """Replicas by own lane at time 0."""

    def act(self, seen: Observation) -> tuple[int, ...]:
        """Replicas by own lane from now on."""

    def hosted_share(self) -> tuple[float, ...]:
        """Share of each class that is sent to hosted lanes at once, constant through the run; empty: none."""


def may_serve(lane: LaneInfo, item: WorkloadClass) -> bool:
    """Whether the lane runs a model that may answer for the class."""
    return not set(lane.resource.spec.models).isdisjoint(item.spec.equivalent_models)


def may_be_hosted(known: Known, item: WorkloadClass) -> bool:
    """Whether a hosted lane may take the class."""
    allowed = set(item.spec.equivalent_models)
    anywhere = any(not allowed.isdisjoint(lane.spec.models) for lane in known.hosted)
    return anywhere and item.spec.data_policy is DataPolicy.ANY


def lane_facts(known: Known) -> tuple[LaneFacts, ...]:
    """The facts of every own lane, in the order of `Known.own`."""
    return tuple(_facts(known, index, lane) for index, lane in enumerate(known.own))


def _facts(known: Known, index: int, lane: LaneInfo) -> LaneFacts:
    own = lane.resource.spec.self_hosted
    if own is None:
        raise BaselineError(f"CapacityLane {lane.resource.metadata.name}: is among own lanes, but not SelfHosted")
    classes = tuple(i for i, item in enumerate(known.classes) if may_serve(lane, item))
    slos = [
        known.classes[i].spec.slo
        for i in classes
        if known.classes[i].spec.latency is not LatencyClass.DEFERRABLE and known.classes[i].spec.slo is not None
    ]
    return LaneFacts(
        index=index,
        name=lane.resource.metadata.name,
        minimum=min(max(1, own.replicas.min), own.replicas.max),
        maximum=own.replicas.max,
        usd_per_hour=float(own.price.usd_per_gpu_hour) * own.gpu.per_replica,
        startup_s=lane.startup_mean_s,
        classes=classes,
        ttft_s=min((slo.time_to_first_token_ms / 1000.0 for slo in slos if slo is not None), default=math.inf),
        itl_s=min((slo.inter_token_latency_ms / 1000.0 for slo in slos if slo is not None), default=math.inf),
        service=None if own.profile is None else Service.declared(own.profile),
    )


def model_groups(lanes: tuple[LaneFacts, ...]) -> tuple[tuple[int, ...], ...]:
    """Own lanes that share a class, directly or through others: the variants of one model."""
    groups: list[set[int]] = []
    for lane in lanes:
        joined = {lane.index}
        rest = []
        for group in groups:
            if any(set(lanes[i].classes) & set(lane.classes) for i in group):
                joined |= group
            else:
                rest.append(group)
        groups = [*rest, joined]
    return tuple(tuple(sorted(group)) for group in sorted(groups, key=min))
