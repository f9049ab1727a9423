"""The demo's result: what Spillway cost and held, against constant fleets on the very same requests. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spillway.simulate.replica import Request
from spillway_dev.demo.settings import LEAD_SECONDS
from spillway_dev.fleet.config import FleetConfig
from spillway_dev.fleet.replay import StaticFleet, at_least, smallest_static


@dataclass(frozen=True, slots=True)
class Result:
    """What one way of serving the day cost and held. Attainments are shares of requests and of tokens."""

    name: str
    gpu_usd: float
    hosted_usd: float
    gpu_hours: float
    requests: int
    failed: int
    attainment: float
    token_attainment: float
    spilled_token_share: float
    held: bool

    @property
    def usd(self) -> float:
        """GPU and hosted dollars together."""
        return self.gpu_usd + self.hosted_usd


@dataclass(frozen=True, slots=True)
class Summary:
    """Spillway beside the smallest constant fleet that holds the SLO, and the smallest that is as good."""

    day_seconds: float
    target: float
    spillway: Result
    static: Result | None
    as_good: Result | None

    def saving(self, other: Result) -> float:
        """Share of the other's dollars that Spillway saves; negative where it costs more."""
        return 1.0 - self.spillway.usd / other.usd if other.usd else 0.0

    def verdict(self) -> str:
        """One honest sentence."""
        own, static = self.spillway, self.static
        if static is None:
            return "No constant fleet of up to 64 replicas holds the SLO on this day."
        if not own.held:
            return (
                f"Spillway did NOT hold the SLO ({own.attainment:.2%} of requests and {own.token_attainment:.2%} of "
                f"tokens, {self.target:.0%} promised): its cost is no match for that of a fleet that did."
            )
        share = self.saving(static)
        if share < 0:
            return f"Spillway held the SLO and cost {-share:.0%} MORE than {static.name}."
        return f"Spillway held the SLO at {share:.0%} less than {static.name}."


def spillway_result(score: Mapping[str, Any]) -> Result:
    """Spillway's own result, from the fleet's score."""
    classes = list(score["classes"].values())
    requests = sum(each["requests"] for each in classes)
    tokens = sum(each["tokens"] for each in classes)
    gpu_seconds = sum(lane["gpu_seconds"] for lane in score["lanes"].values())
    return Result(
        name="Spillway",
        gpu_usd=sum(lane["gpu_usd"] for lane in score["lanes"].values()),
        hosted_usd=sum(each["hosted_usd"] for each in classes),
        gpu_hours=gpu_seconds / 3600.0,
        requests=requests,
        failed=sum(each["failed"] for each in classes),
        attainment=sum(each["met"] for each in classes) / requests if requests else 0.0,
        token_attainment=sum((each["token_attainment"] or 0.0) * each["tokens"] for each in classes) / tokens
        if tokens
        else 0.0,
        spilled_token_share=sum(each["hosted_tokens"] for each in classes) / tokens if tokens else 0.0,
        held=bool(score["held"]),
    )


def static_result(fleet: StaticFleet | None) -> Result | None:
    """A constant fleet's result."""
    if fleet is None:
        return None
    return Result(
        name=f"{fleet.replicas} constant GPUs",
        gpu_usd=fleet.gpu_usd,
        hosted_usd=0.0,
        gpu_hours=fleet.gpu_seconds / 3600.0,
        requests=fleet.score.requests,
        failed=fleet.score.failed,
        attainment=fleet.attainment,
        token_attainment=fleet.token_attainment,
        spilled_token_share=0.0,
        held=fleet.held,
    )


def summarise(
    config: FleetConfig, requests: list[Request], score: Mapping[str, Any], static: StaticFleet | None
) -> Summary:
    """The whole comparison; searches for the constant fleet that is as good as Spillway was."""
    own = spillway_result(score)
    good = at_least(own.attainment, own.token_attainment)
    as_good = smallest_static(config, requests, -LEAD_SECONDS, good)
    return Summary(
        day_seconds=config.demand.day_seconds,
        target=max(traffic.attainment_percent for traffic in config.classes) / 100.0,
        spillway=own,
        static=static_result(static),
        as_good=static_result(as_good),
    )
