"""The HPA baseline against the real HorizontalPodAutoscaler: the same metric series, the same replica series.

Several HPAs run side by side, each on a Deployment of its own. Whenever kube-controller-manager asks for an HPA's
metric, the answer is the next figure of a series, and the baseline's engine takes the very step: it sees the scale and
the pods as they are in the cluster at that moment. What the controller then does to the Deployment is compared with it.

All windows are odd numbers of seconds and the answers stand on a grid of 2 s: every event's age is a second away from
the edge of a window. Where the controller or this process was too late for that (it asks again a second after it has
acted), the case is void, and is played again from the start.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
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
from spillway_dev.controlplane import ControlPlane, ControlPlaneOptions
from spillway_dev.nodes import STARTUP_ANNOTATION, GpuNode
from spillway_dev.processes import wait_until
from support.metrics_api import MetricsApi

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1800)]

PACE_SECONDS = 2.0
SYNC_SECONDS = ControlPlaneOptions().hpa_sync_seconds
LATE_SECONDS = 0.5
"""Most that the controller may take to act on an answer."""
BESIDE_GRID_SECONDS = 0.25
"""Most that an answer may stand beside the grid; with the former it is less than the second that ages have."""
LOOK_SECONDS = 0.2
"""Between two looks at pods that are at rest: the controller's own list may be a little older."""
ATTEMPTS = 6
GPUS = 3
"""Of each HPA's own node: that many pods run, the others stay Pending, which makes unready pods that don't change."""
LOWEST, HIGHEST = 1, 16
WAVES = (3.0, 40.0, 40.0, 12.0, 0.0, 9.0, 9.9, 60.0, 5.0, 5.0, 5.0, 2.0, 1.0, 30.0, 30.0, 0.5, 0.5, 0.5, 0.5, 11.0, 2.0,
         2.0, 1.1, 1.0, 0.9, 0.0, 0.0, 0.0)  # fmt: skip
QUICK = Behavior(
    up=ScalingRules((ScalingPolicy(PolicyKind.PODS, 3, 7.0), ScalingPolicy(PolicyKind.PERCENT, 50, 7.0)), 5.0),
    down=ScalingRules((ScalingPolicy(PolicyKind.PODS, 2, 7.0), ScalingPolicy(PolicyKind.PERCENT, 40, 3.0)), 7.0,
                      Select.MIN),
)  # fmt: skip
DEFAULT_WITH_SHORT_WINDOW = Behavior(down=ScalingRules((ScalingPolicy(PolicyKind.PERCENT, 100, 15.0),), 9.0))


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
    void: str = ""
    """What came too late for a comparison."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _grid_at: float = -math.inf
    _answered_at: float | None = None
    """The last answer, until the controller asks again."""

    def __post_init__(self) -> None:
        self.engine = Hpa(LOWEST, HIGHEST, self.behavior)

    @property
    def done(self) -> bool:
        """The controller asked once more after the last figure, or nothing fits any more."""
        return bool(self.failure or self.void) or len(self.found) > len(self.series)

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
            self._note_ask(time.monotonic())
            if self.done:
                return None
            seen = self._look_twice()
            if seen is None:
                return None  # An error for the controller, which then leaves things as they are.
            replicas, pods = seen
            now = self._on_grid()
            self.found.append(replicas)
            self.unready.append(pods.count - len(pods.ready))
            if self.expected and self.expected[-1] != replicas:
                self.failure = f"after {len(self.expected)} answers"
            if self.done:
                return None
            figure = self.series[len(self.found) - 1]
            self.expected.append(self.engine.step(now, replicas, [self._proposal(figure, replicas, pods)]))
            self._answered_at = now
            return figure, pods

    def _note_ask(self, now: float) -> None:
        """The first ask after an answer tells how late the controller acted on it."""
        if self._answered_at is None:
            return
        took = now - self._answered_at - SYNC_SECONDS
        self._answered_at = None
        if took > LATE_SECONDS:
            self.void = f"the controller took {took:.1f} s for answer {len(self.found)}"

    def _look_twice(self) -> tuple[int, PodList] | None:
        """Replicas and pods a moment before the next answer is due, where they are at rest."""
        before = self.look()
        if not self.found:
            # The controller has begun to remember at its first ask.
            self._grid_at = time.monotonic()
            if before is None:
                self.void = "not at rest at first"
        if before is None or not self.found:
            return before
        soon = time.monotonic() + 2 * LOOK_SECONDS - self._grid_at
        self._grid_at += math.ceil(soon / PACE_SECONDS) * PACE_SECONDS
        time.sleep(max(0.0, self._grid_at - LOOK_SECONDS - time.monotonic()))
        return before if before == self.look() else None

    def _on_grid(self) -> float:
        """Wait until the answer is due."""
        time.sleep(max(0.0, self._grid_at - time.monotonic()))
        now = time.monotonic()
        if now - self._grid_at > BESIDE_GRID_SECONDS:
            self.void = f"answer {len(self.found) + 1} was {now - self._grid_at:.1f} s late"
        return now

    def look(self) -> tuple[int, PodList] | None:
        """spec.replicas and the pods, where they are at rest: as many as wanted, and Ready as far as there is room."""
        scale = self.apps.read_namespaced_deployment_scale(self.name, self.namespace)
        pods, replicas = self._pods(), scale.spec.replicas or 0
        at_rest = scale.status.replicas == replicas == pods.count and len(pods.ready) == min(replicas, GPUS)
        return (replicas, pods) if at_rest else None

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

    def deployment(self) -> dict[str, Any]:
        """The Deployment, which runs on a node of its own."""
        labels = {"app": self.name}
        return {
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

    def autoscaler(self) -> dict[str, Any]:
        """The HorizontalPodAutoscaler of it."""
        spec: dict[str, Any] = {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": self.name},
            "minReplicas": LOWEST,
            "maxReplicas": HIGHEST,
            "metrics": [self._metric()],
        }
        if self.behavior is not None:
            spec["behavior"] = {"scaleUp": _rules(self.behavior.up), "scaleDown": _rules(self.behavior.down)}
        return {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": spec,
        }

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


Play = Callable[[str], Case]
"""Makes a case anew; its name gets this suffix."""


@pytest.fixture
def plays(control_plane: ControlPlane, namespace: str) -> Iterator[list[Play]]:
    api = config.new_client_from_config(config_file=str(control_plane.kubeconfig))
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    nodes = []

    def play(name: str, kind: str, target: float, series: Sequence[float], behavior: Behavior | None) -> Play:
        def made(suffix: str) -> Case:
            case = Case(f"{name}-{suffix}", kind, target, series, behavior, core, apps, namespace)
            nodes.append(GpuNode(f"hpa-{case.name}", gpus=GPUS, labels={"hpa": case.name}))
            control_plane.add_nodes(nodes[-1])
            return case

        return made

    yield [
        play("value", "Value", 5.0, WAVES, DEFAULT_WITH_SHORT_WINDOW),
        play("value-quick", "Value", 5.0, WAVES, QUICK),
        play("average", "AverageValue", 5.0, WAVES, DEFAULT_WITH_SHORT_WINDOW),
        play("average-quick", "AverageValue", 3.0, WAVES, QUICK),
        play("pods-quick", "Pods", 4.0, WAVES, QUICK),
        # Without spec.behavior nothing comes down for five minutes: the way up is all there is to compare.
        play("plain", "AverageValue", 5.0, (3.0, 11.0, 21.0, 400.0, 400.0, 400.0, 9.0, 9.0), None),
    ]
    api.close()
    control_plane.kubectl("delete", "node", *(node.name for node in nodes))


def played(control_plane: ControlPlane, served: MetricsApi, cases: Sequence[Case]) -> None:
    """Play the series of these cases side by side."""
    for case in cases:
        if case.kind == "Pods":
            served.pods[case.name] = case.by_pod
        else:
            served.external[case.name] = case.external
    control_plane.apply([case.deployment() for case in cases])
    wait_until(lambda: all(case.look() is not None for case in cases), "Deployments at rest", 180, 0.5)
    control_plane.apply([case.autoscaler() for case in cases])
    wait_until(lambda: all(case.done for case in cases), "every series to be played", 400, 0.5)
    control_plane.kubectl("delete", "hpa", "--all", "-n", cases[0].namespace)


def test_the_engine_takes_the_controllers_steps(
    control_plane: ControlPlane, namespace: str, plays: list[Play], tmp_path: Path
) -> None:
    with MetricsApi(control_plane, namespace, tmp_path / "metrics") as served:
        for attempt in range(1, ATTEMPTS + 1):
            cases = [play(str(attempt)) for play in plays]
            played(control_plane, served, cases)
            for case in cases:
                if not case.void:
                    compared(case)
            plays = [play for play, case in zip(plays, cases, strict=True) if case.void]
            if not plays:
                return
    pytest.fail(f"too slow for windows of seconds: {[f'{case.name}: {case.void}' for case in cases if case.void]}")


def compared(case: Case) -> None:
    """The same series of replicas, which moved both ways and had pods that could not run."""
    assert not case.failure, f"{case.name} {case.failure}: engine {case.expected}, controller {case.found}"
    assert case.found[1:] == case.expected
    rises = [b - a for a, b in pairwise(case.found)]
    assert max(rises) >= 2
    assert case.behavior is None or min(rises) < 0
    assert max(case.unready) > 0
