"""The HorizontalPodAutoscaler's algorithm as kube-controller-manager 1.36 runs it, as pure functions and one state.

Sources, both in kubernetes/pkg/controller/podautoscaler: replica_calculator.go (from metrics to a proposal) and
horizontal.go (stabilisation, rate limits, bounds). Metrics are compared as integers of thousandths, as there.
`tests/e2e/test_hpa_baseline.py` runs it against the real controller.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

TOLERANCE = 0.1
DOWNSCALE_WINDOW_SECONDS = 300.0
"""kube-controller-manager's --horizontal-pod-autoscaler-downscale-stabilization."""
MOST_REPLICAS = 2**31 - 1


class PolicyKind(StrEnum):
    """Unit of a scaling policy's value."""

    PODS = "Pods"
    PERCENT = "Percent"


class Select(StrEnum):
    """Which of several scaling policies counts: the one that allows the largest change, the smallest, or none."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """At most `value` pods or percent in `period_s`."""

    kind: PolicyKind
    value: int
    period_s: float


@dataclass(frozen=True, slots=True)
class ScalingRules:
    """One direction of spec.behavior."""

    policies: tuple[ScalingPolicy, ...]
    window_s: float
    select: Select = Select.MAX
    tolerance: float = TOLERANCE


@dataclass(frozen=True, slots=True)
class Behavior:
    """spec.behavior with its defaults filled in."""

    up: ScalingRules = ScalingRules(
        (ScalingPolicy(PolicyKind.PODS, 4, 15.0), ScalingPolicy(PolicyKind.PERCENT, 100, 15.0)), 0.0
    )
    down: ScalingRules = ScalingRules((ScalingPolicy(PolicyKind.PERCENT, 100, 15.0),), DOWNSCALE_WINDOW_SECONDS)


@dataclass(frozen=True, slots=True)
class PodList:
    """Names of a target's pods by state; terminating and failed ones are left out."""

    ready: tuple[str, ...] = ()
    running_unready: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Pods in all: the scale's status.replicas."""
        return len(self.ready) + len(self.running_unready) + len(self.pending)


def value_proposal(total: float, target: float, *, current: int, ready: int, tolerance: float = TOLERANCE) -> int:
    """External or Object metric with a Value target: the metric's total against one figure for all.

    Args:
        current: the scale's spec.replicas.
        ready: pods that are Running and Ready.
    """
    ratio = _milli(total) / _milli(target)
    if current == 0:
        return math.ceil(ratio)
    if _within(ratio, tolerance):
        return current
    return min(math.ceil(ratio * ready), MOST_REPLICAS)


def average_proposal(total: float, target: float, *, replicas: int, tolerance: float = TOLERANCE) -> int:
    """External or Object metric with an AverageValue target: the total, shared by `replicas` pods in any state."""
    usage, per_pod = _milli(total), _milli(target)
    ratio = usage / (per_pod * replicas) if replicas else math.inf
    return replicas if _within(ratio, tolerance) else min(math.ceil(usage / per_pod), MOST_REPLICAS)


def pods_proposal(
    values: Mapping[str, float], target: float, pods: PodList, *, current: int, tolerance: float = TOLERANCE
) -> int | None:
    """Pods metric with an AverageValue target; None where no pod that counts has a value.

    On the way up, pending pods and pods without a value count 0; on the way down, pods without a value count exactly
    the target. Where that turns the direction, or ends within the tolerance, `current` stays.
    """
    goal = _milli(target)
    running = pods.ready + pods.running_unready
    known = {name: _milli(values[name]) for name in running if name in values}
    missing = [name for name in running if name not in values]
    if not known:
        return None
    ratio = _ratio(known, goal)
    up_with_unready = bool(pods.pending) and ratio > 1.0
    if not up_with_unready and not missing:
        return current if _within(ratio, tolerance) else math.ceil(ratio * len(known))
    if ratio < 1.0:
        known |= dict.fromkeys(missing, goal)
    elif ratio > 1.0:
        known |= dict.fromkeys(missing, 0)
    if up_with_unready:
        known |= dict.fromkeys(pods.pending, 0)
    again = _ratio(known, goal)
    turned = (ratio < 1.0 < again) or (again < 1.0 < ratio)
    if _within(again, tolerance) or turned:
        return current
    proposal = math.ceil(again * len(known))
    wrong_way = (again < 1.0 and proposal > current) or (again > 1.0 and proposal < current)
    return current if wrong_way else proposal


@dataclass(slots=True)
class Hpa:
    """One HorizontalPodAutoscaler: the controller's memory of recommendations and of its own scale events.

    Without a `behavior` it runs as an object without spec.behavior does: at most max(2 n, 4) replicas a step up, and
    the highest recommendation of the last `downscale_window_s`.
    """

    minimum: int
    maximum: int
    behavior: Behavior | None = field(default_factory=Behavior)
    downscale_window_s: float = DOWNSCALE_WINDOW_SECONDS
    _recommendations: list[tuple[float, int]] = field(default_factory=list)
    _ups: list[tuple[float, int]] = field(default_factory=list)
    _downs: list[tuple[float, int]] = field(default_factory=list)

    def step(self, now: float, current: int, proposals: Sequence[int | None]) -> int:
        """One sync: spec.replicas from now on.

        Args:
            now: seconds.
            current: spec.replicas now.
            proposals: one for each metric; None for one that could not be had. The highest counts; with any missing
                nothing is scaled down.
        """
        if not self._recommendations:
            self._recommendations.append((now, current))
        if current == 0:
            return 0  # Somebody switched it off: without the HPAScaleToZero gate it stays off.
        if current > self.maximum:
            return self._moved(now, current, self.maximum)
        if current < self.minimum:
            return self._moved(now, current, self.minimum)
        found = [proposal for proposal in proposals if proposal is not None]
        if not found or (len(found) < len(proposals) and max(found) < current):
            return current
        proposal = max(found)
        if self.behavior is None:
            wanted = self._plain(now, current, proposal)
        else:
            wanted = self._limited(now, current, self._stabilised(now, current, proposal, self.behavior), self.behavior)
        return self._moved(now, current, wanted)

    def _plain(self, now: float, current: int, proposal: int) -> int:
        cutoff = now - self.downscale_window_s
        self._recommendations = [item for item in self._recommendations if item[0] >= cutoff]
        highest = max((value for _, value in self._recommendations), default=proposal)
        self._recommendations.append((now, proposal))
        return max(self.minimum, min(max(highest, proposal), self.maximum, max(2 * current, 4)))

    def _stabilised(self, now: float, current: int, proposal: int, behavior: Behavior) -> int:
        up_cutoff, down_cutoff = now - behavior.up.window_s, now - behavior.down.window_s
        oldest = min(up_cutoff, down_cutoff)
        lowest = highest = proposal
        for at, value in self._recommendations:
            if at > up_cutoff and value < lowest:
                lowest = value
            if at > down_cutoff and value > highest:
                highest = value
        self._recommendations = [item for item in self._recommendations if item[0] >= oldest]
        self._recommendations.append((now, proposal))
        return min(max(current, lowest), highest)

    def _limited(self, now: float, current: int, wanted: int, behavior: Behavior) -> int:
        if wanted > current:
            limit = max(self._up_limit(now, current, behavior.up), current)
            return min(wanted, self.maximum, limit)
        if wanted < current:
            limit = min(self._down_limit(now, current, behavior.down), current)
            return max(wanted, self.minimum, limit)
        return wanted

    def _up_limit(self, now: float, current: int, rules: ScalingRules) -> int:
        if rules.select is Select.DISABLED:
            return current
        limits = []
        for policy in rules.policies:
            began = self._at_period_start(now, current, policy.period_s)
            if policy.kind is PolicyKind.PODS:
                limits.append(began + policy.value)
            else:
                limits.append(math.ceil(began * (1 + policy.value / 100)))
        return min(limits) if rules.select is Select.MIN else max(limits)

    def _down_limit(self, now: float, current: int, rules: ScalingRules) -> int:
        if rules.select is Select.DISABLED:
            return current
        limits = []
        for policy in rules.policies:
            began = self._at_period_start(now, current, policy.period_s)
            if policy.kind is PolicyKind.PODS:
                limits.append(began - policy.value)
            else:
                limits.append(int(began * (1 - policy.value / 100)))
        return max(limits) if rules.select is Select.MIN else min(limits)

    def _at_period_start(self, now: float, current: int, period_s: float) -> int:
        cutoff = now - period_s
        added = sum(change for at, change in self._ups if at > cutoff)
        removed = sum(change for at, change in self._downs if at > cutoff)
        return current - added + removed

    def _moved(self, now: float, current: int, wanted: int) -> int:
        if self.behavior is None or wanted == current:
            return wanted
        up = wanted > current
        rules = self.behavior.up if up else self.behavior.down
        longest = max((policy.period_s for policy in rules.policies), default=0.0)
        kept = [event for event in (self._ups if up else self._downs) if event[0] >= now - longest]
        kept.append((now, abs(wanted - current)))
        if up:
            self._ups = kept
        else:
            self._downs = kept
        return wanted


def _milli(value: float) -> int:
    # Quantities are rounded up to thousandths.
    return math.ceil(round(value * 1000.0, 6))


def _within(ratio: float, tolerance: float) -> bool:
    return 1.0 - tolerance <= ratio <= 1.0 + tolerance


def _ratio(values: Mapping[str, int], target: int) -> float:
    return (sum(values.values()) // len(values)) / target
