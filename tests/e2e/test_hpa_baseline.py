"""The HPA baseline against the real HorizontalPodAutoscaler: the same metric series, the same replica series.

Several HPAs run side by side, each on a Deployment of its own. Whenever kube-controller-manager asks for an HPA's
metric, the answer is the next figure of a series, and the baseline's engine takes the very step: it sees the scale and
the pods as they are in the cluster at that moment. What the controller then does to the Deployment is compared with it.
The answers keep a distance of 1.3 s, so that no event's age is near the edge of a window of whole seconds.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from spillway.simulate.baselines.hpa_engine import (
    Behavior,
    Hpa,
    PodList,
    PolicyKind,
    ScalingPolicy,
    ScalingRules,
    Select,
    average_proposal,
    pods_proposal,
    value_proposal,
)
from spillway_dev.controlplane import ControlPlane
from spillway_dev.nodes import STARTUP_ANNOTATION, GpuNode
from spillway_dev.processes import wait_until
from support.metrics_api import MetricsApi

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

PACE_SECONDS = 1.3
GPUS = 3
"""Of each HPA's own node: that many pods run, the others stay Pending, which makes unready pods that don't change."""
LOWEST, HIGHEST = 1, 16
WAVES = (3.0, 40.0, 40.0, 12.0, 0.0, 9.0, 9.9, 60.0, 5.0, 5.0, 5.0, 2.0, 1.0, 30.0, 30.0, 0.5, 0.5, 0.5, 0.5, 11.0, 2.0,
         2.0, 1.1, 1.0, 0.9, 0.0, 0.0, 0.0)  # fmt: skip
QUICK = Behavior(
    up=ScalingRules((ScalingPolicy(PolicyKind.PODS, 3, 4.0), ScalingPolicy(PolicyKind.PERCENT, 50, 4.0)), 3.0),
    down=ScalingRules((ScalingPolicy(PolicyKind.PODS, 2, 4.0), ScalingPolicy(PolicyKind.PERCENT, 40, 2.0)), 5.0,
                      Select.MIN),
)  # fmt: skip
DEFAULT_WITH_SHORT_WINDOW = Behavior(down=ScalingRules((ScalingPolicy(PolicyKind.PERCENT, 100, 15.0),), 6.0))


@dataclass(slots=True)
class Case:
    """One HPA with its series."""

    name: str
    kind: str
    """Value, AverageValue or Pods."""
    target: float
    series: Sequence[float]
    behavior: Behavior | None
    core: client.CoreV1Api
    apps: client.AppsV1Api
    namespace: str
    engine: Hpa = field(init=False)
    expected: list[int] = field(default_factory=list)
    """After each answer, by the engine."""
    found: list[int] = field(default_factory=list)
    """spec.replicas when the controller asked."""
    unready: list[int] = field(default_factory=list)
    failure: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _answered_at: float = -math.inf

    def __post_init__(self) -> None:
        self.engine = Hpa(LOWEST, HIGHEST, self.behavior)

    @property
    def done(self) -> bool:
        """The controller asked once more after the last figure, or nothing fits any more."""
        return bool(self.failure) or len(self.found) > len(self.series)

    def external(self) -> float | None:
        """What the controller gets."""
        answer = self._next()
        return None if answer is None else answer[0]

    def by_pod(self) -> Mapping[str, float] | None:
        """The same for each pod: the figure, but none for every fourth of those that run."""
        answer = self._next()
        return None if answer is None else _spread(answer[0], answer[1])

    def _next(self) -> tuple[float, PodList] | None:
        with self._lock:
            if self.done:
                return None
            time.sleep(max(0.0, self._answered_at + PACE_SECONDS - time.monotonic()))
            scale = self.apps.read_namespaced_deployment_scale(self.name, self.namespace)
            pods = self._pods()
            replicas = scale.spec.replicas or 0
            settled = scale.status.replicas == replicas == pods.count and len(pods.ready) == min(replicas, GPUS)
            if not settled:
                return None  # An error for the controller, which then leaves things as they are.
            self._answered_at = time.monotonic()
            self.found.append(replicas)
            self.unready.append(pods.count - len(pods.ready))
            if self.expected and self.expected[-1] != replicas:
                self.failure = f"after {len(self.expected)} answers"
            if self.done:
                return None
            figure = self.series[len(self.found) - 1]
            self.expected.append(
                self.engine.step(self._answered_at, replicas, [self._proposal(figure, replicas, pods)])
            )
            return figure, pods

    def _proposal(self, figure: float, replicas: int, pods: PodList) -> int | None:
        if self.kind == "Value":
            return value_proposal(figure, self.target, current=replicas, ready=len(pods.ready))
        if self.kind == "AverageValue":
            return average_proposal(figure, self.target, replicas=pods.count)
        return pods_proposal(_spread(figure, pods), self.target, pods, current=replicas)

    def _pods(self) -> PodList:
        found = self.core.list_namespaced_pod(self.namespace, label_selector=f"app={self.name}").items
        ready, unready, pending = [], [], []
        for pod in found:
            if pod.metadata.deletion_timestamp is not None:
                # Until it is gone the controller may still count it: not settled.
                unready.append(pod.metadata.name)
            elif pod.status.phase == "Pending":
                pending.append(pod.metadata.name)
            elif any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions or ()):
                ready.append(pod.metadata.name)
            else:
                unready.append(pod.metadata.name)
        return PodList(tuple(sorted(ready)), tuple(unready), tuple(pending))

    def manifests(self) -> list[dict[str, Any]]:
        """Deployment and HPA."""
        labels = {"app": self.name}
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels, "annotations": {STARTUP_ANNOTATION: "10ms"}},
                    "spec": {
                        "terminationGracePeriodSeconds": 1,
                        "nodeSelector": {"hpa": self.name},
                        "containers": [{"name": "c", "image": "c", "resources": {"limits": {"nvidia.com/gpu": 1}}}],
                    },
                },
            },
        }
        spec: dict[str, Any] = {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": self.name},
            "minReplicas": LOWEST,
            "maxReplicas": HIGHEST,
            "metrics": [self._metric()],
        }
        if self.behavior is not None:
            spec["behavior"] = {"scaleUp": _rules(self.behavior.up), "scaleDown": _rules(self.behavior.down)}
        autoscaler = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": spec,
        }
        return [deployment, autoscaler]

    def _metric(self) -> dict[str, Any]:
        goal = f"{round(self.target * 1000)}m"
        if self.kind == "Pods":
            return {
                "type": "Pods",
                "pods": {"metric": {"name": self.name}, "target": {"type": "AverageValue", "averageValue": goal}},
            }
        field_name = "value" if self.kind == "Value" else "averageValue"
        target = {"type": self.kind, field_name: goal}
        return {"type": "External", "external": {"metric": {"name": self.name}, "target": target}}


def _spread(figure: float, pods: PodList) -> dict[str, float]:
    return {name: figure + index for index, name in enumerate(pods.ready) if index % 4 != 3}


def _rules(rules: ScalingRules) -> dict[str, Any]:
    return {
        "stabilizationWindowSeconds": round(rules.window_s),
        "selectPolicy": str(rules.select),
        "policies": [
            {"type": str(policy.kind), "value": policy.value, "periodSeconds": round(policy.period_s)}
            for policy in rules.policies
        ],
    }


@pytest.fixture
def cases(control_plane: ControlPlane, namespace: str) -> Iterator[list[Case]]:
    api = config.new_client_from_config(config_file=str(control_plane.kubeconfig))
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)

    def case(name: str, kind: str, target: float, series: Sequence[float], behavior: Behavior | None) -> Case:
        return Case(name, kind, target, series, behavior, core, apps, namespace)

    made = [
        case("value", "Value", 5.0, WAVES, DEFAULT_WITH_SHORT_WINDOW),
        case("value-quick", "Value", 5.0, WAVES, QUICK),
        case("average", "AverageValue", 5.0, WAVES, DEFAULT_WITH_SHORT_WINDOW),
        case("average-quick", "AverageValue", 3.0, WAVES, QUICK),
        case("pods-quick", "Pods", 4.0, WAVES, QUICK),
        # Without spec.behavior nothing comes down for five minutes: the way up is all there is to compare.
        case("plain", "AverageValue", 5.0, (3.0, 11.0, 21.0, 400.0, 400.0, 400.0, 9.0, 9.0), None),
    ]
    control_plane.add_nodes(*(GpuNode(f"hpa-{each.name}", gpus=GPUS, labels={"hpa": each.name}) for each in made))
    yield made
    api.close()
    control_plane.kubectl("delete", "node", *(f"hpa-{each.name}" for each in made))


def test_the_engine_takes_the_controllers_steps(
    control_plane: ControlPlane, namespace: str, cases: list[Case], tmp_path: Path
) -> None:
    with MetricsApi(control_plane, namespace, tmp_path / "metrics") as served:
        for case in cases:
            if case.kind == "Pods":
                served.pods[case.name] = case.by_pod
            else:
                served.external[case.name] = case.external
        control_plane.apply([manifest for case in cases for manifest in case.manifests()])
        wait_until(lambda: all(case.done for case in cases), "every series to be played", 150, 0.5)
        control_plane.kubectl("delete", "hpa", "--all", "-n", namespace)
    for case in cases:
        assert not case.failure, f"{case.name} {case.failure}: engine {case.expected}, controller {case.found}"
        assert case.found[1:] == case.expected
    # The series must have moved them, both ways, and with pods that could not run.
    for case in cases:
        rises = [b - a for a, b in zip(case.found, case.found[1:], strict=False)]
        assert max(rises) >= 2
        assert case.name == "plain" or min(rises) < 0
        assert max(case.unready) > 0
