"""One look at the running demo: the fleet's truth, the operator's own metrics, the plan's status."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from spillway_dev.cluster import Cluster, KubectlError
from spillway_dev.demo.settings import NAMESPACE, PLAN, DemoError
from spillway_dev.demo.stack import Endpoints

TIMEOUT_SECONDS = 5.0
FIGURES = ("allocated", "busy", "effective", "load", "saturation")


@dataclass(frozen=True, slots=True)
class Sample:
    """What one look saw; None is "not known". Times in seconds on the demand's clock."""

    at_s: float
    finished: bool
    requests_per_second: float
    spilled_share: float
    replicas: int
    ready: int
    starting: int
    recommended: int | None
    gpu_usd: float
    hosted_usd: float
    gpu_usd_per_hour: float
    attainment: float | None
    utilization: Mapping[str, float | None]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PlanView:
    """The plan's decision as its status tells it, and its unmet conditions."""

    reason: str = ""
    message: str = ""


class Sampler:
    """Reads samples. The plan is read by kubectl, as a person would."""

    def __init__(self, endpoints: Endpoints, cluster: Cluster, lane: str) -> None:
        self._endpoints = endpoints
        self._cluster = cluster
        self._lane = lane
        self._plan = PlanView()

    def score(self) -> dict[str, Any]:
        """The fleet's score.

        Raises DemoError where the fleet does not answer.
        """
        score: dict[str, Any] = json.loads(_fetch(f"{self._endpoints.fleet}/score", "fleet simulator"))
        return score

    def refresh_plan(self) -> None:
        """Read the plan's status; what was read last stays where the apiserver is slow."""
        try:
            status = self._cluster.get("capacityplans.spillway.dev", PLAN, NAMESPACE).get("status") or {}
        except KubectlError:
            return
        decision = status.get("decision") or {}
        self._plan = PlanView(decision.get("reason", ""), decision.get("message", ""))

    def sample(self) -> Sample:
        """One look at everything.

        Raises DemoError where a part does not answer.
        """
        score = self.score()
        figures = parse_figures(_fetch(f"{self._endpoints.operator}/metrics", "operator"), self._lane)
        return build_sample(score, figures, self._plan, self._lane)


@dataclass(frozen=True, slots=True)
class OperatorFigures:
    """What the operator's own metrics say of the lane."""

    recommended: int | None
    utilization: Mapping[str, float | None]


def parse_figures(text: str, lane: str) -> OperatorFigures:
    """The lane's figures in the operator's exposition; a missing series is None."""
    recommended: int | None = None
    utilization: dict[str, float | None] = dict.fromkeys(FIGURES)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("lane") != lane:
                continue
            if sample.name == "spillway_lane_replicas" and sample.labels.get("state") == "recommended":
                recommended = int(sample.value)
            elif sample.name == "spillway_lane_utilization_ratio" and sample.labels["figure"] in utilization:
                utilization[sample.labels["figure"]] = sample.value
    return OperatorFigures(recommended, utilization)


def build_sample(score: Mapping[str, Any], figures: OperatorFigures, plan: PlanView, lane: str) -> Sample:
    """Join the three sources."""
    own = score["lanes"][lane]
    classes = score["classes"].values()
    requests = sum(each["requests"] for each in classes)
    return Sample(
        at_s=score["now_s"],
        finished=score["finished"],
        requests_per_second=score["rates"]["requests_per_second"],
        spilled_share=score["rates"]["spilled_share"],
        replicas=own["pods"],
        ready=own["ready"],
        starting=own["starting"],
        recommended=figures.recommended,
        gpu_usd=own["gpu_usd"],
        hosted_usd=sum(each["hosted_usd"] for each in classes),
        gpu_usd_per_hour=own["usd_per_hour"],
        attainment=sum(each["met"] for each in classes) / requests if requests else None,
        utilization=figures.utilization,
        reason=plan.reason,
        message=plan.message,
    )


def _fetch(url: str, name: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - our own http address
            body: bytes = answer.read()
    except OSError as error:
        raise DemoError(f"{name}: {url} does not answer ({error})") from error
    return body.decode()
