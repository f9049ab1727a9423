"""The one spill module: every baseline overflows to hosted lanes by one of these rules, with one threshold.

queue: each engine answers 503 over `threshold` waiting requests, and the request is retried at a hosted lane;
cap: at most `threshold` requests in flight for each Ready replica, the rest goes hosted at once;
hold: the cap, and over it a request first waits at the proxy for a share of its TTFT objective; none: no overflow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from spillway.simulate.baselines.facts import BaselineError, LaneFacts, Scaler, lane_facts
from spillway.simulate.baselines.profile import Mix
from spillway.simulate.policy import Action, Known, LaneOverflow, Observation, Sample

DEFAULT_QUEUE = 10
"""Twice the queue of 5 at which llm-d and the vLLM recipes call a replica saturated: spilling at 5 itself would hide
from several scalers the very queue that they scale on."""
DEFAULT_HOLD_SHARE = 0.5
DEFAULT_SEQUENCES = 256
"""vLLM's --max-num-seqs, where there is no profile."""
UNTIMED_HOLD_SECONDS = 1800.0
"""Hold of classes without a TTFT objective (deferrable ones)."""
MIX_REFRESH_SECONDS = 900.0


class SpillKind(StrEnum):
    """Which actuator spills."""

    NONE = "none"
    QUEUE = "queue"
    CAP = "cap"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class SpillRule:
    """An actuator with its threshold; the same for all own lanes."""

    kind: SpillKind
    threshold: int | None = None
    """Waiting requests for `queue`, in flight for `cap` and `hold`, of one replica. None: the default, which is 10
    waiting, or the largest batch of the lane's declared profile within the strictest ITL objective at the mix seen."""
    hold_share: float = DEFAULT_HOLD_SHARE
    """Longest hold as a share of a class's TTFT objective."""
    cap_share: float = 1.0
    """Of the default cap."""

    def __post_init__(self) -> None:
        if self.threshold is not None and self.threshold < (0 if self.kind is SpillKind.QUEUE else 1):
            raise BaselineError(f"spill rule {self.kind}: threshold {self.threshold} is too small")
        if self.hold_share < 0.0 or self.cap_share <= 0.0:
            raise BaselineError(f"spill rule {self.kind}: hold_share must not be negative, cap_share be above 0")


def rule_parameters(kind: SpillKind) -> tuple[str, ...]:
    """Names of a rule's parameters, as `rule_of` takes them."""
    return {
        SpillKind.NONE: (),
        SpillKind.QUEUE: ("spill_threshold",),
        SpillKind.CAP: ("spill_threshold", "cap_share"),
        SpillKind.HOLD: ("spill_threshold", "cap_share", "hold_share"),
    }[kind]


def rule_of(kind: SpillKind, parameters: Mapping[str, float]) -> SpillRule:
    """The rule of a kind with these parameters over its defaults."""
    threshold = parameters.get("spill_threshold")
    return SpillRule(
        kind,
        None if threshold is None else round(threshold),
        parameters.get("hold_share", DEFAULT_HOLD_SHARE),
        parameters.get("cap_share", 1.0),
    )


TUNING_GRID: Mapping[SpillKind, tuple[Mapping[str, float], ...]] = {
    SpillKind.NONE: ({},),
    SpillKind.QUEUE: tuple({"spill_threshold": limit} for limit in (0.0, 2.0, 5.0, 10.0, 20.0)),
    SpillKind.CAP: tuple({"cap_share": share} for share in (0.3, 0.45, 0.6, 0.8, 1.0)),
    SpillKind.HOLD: tuple(
        {"cap_share": cap, "hold_share": hold} for cap in (0.3, 0.45, 0.6, 0.8, 1.0) for hold in (0.4, 0.75)
    ),
}
"""What tuning tries, by kind. Caps are shares of what the profile allows, so that they carry over to other traffic."""


def default_cap(lane: LaneFacts, mix: Mix | None) -> int:
    """Largest batch that the declared profile allows within the strictest ITL objective.

    Before any request has ended its mix is not known, and prompts and context are left out of the iteration.
    """
    if lane.service is None:
        return DEFAULT_SEQUENCES
    if not math.isfinite(lane.itl_s):
        return lane.service.max_sequences
    return lane.service.largest_batch(mix or Mix(0.0, 1.0), lane.itl_s)


class Composed:
    """A scaler with a spill rule: the `Policy` that a run takes. Its name is the scaler's."""

    def __init__(self, scaler: Scaler, rule: SpillRule) -> None:
        self.name = scaler.name
        self.tick_seconds = scaler.tick_seconds
        self.spill = rule.kind
        self.rule = rule
        self._scaler = scaler
        self._facts: tuple[LaneFacts, ...] = ()
        self._overflow: tuple[LaneOverflow, ...] = ()
        self._hold_s: tuple[float, ...] = ()
        self._refresh_at = 0.0
        self._last: Action | None = None

    def start(self, known: Known) -> Action:
        """The scaler's first replicas, with the rule's actuators armed."""
        self._facts = lane_facts(known)
        replicas = self._scaler.start(known)
        if self.rule.kind is SpillKind.HOLD:
            self._hold_s = tuple(_hold_s(known, index, self.rule.hold_share) for index in range(len(known.classes)))
        self._overflow = self._limits(None)
        return self._action(replicas)

    def act(self, seen: Observation) -> Action:
        """The scaler's replicas; thresholds follow the mix where they are the default."""
        if seen.now >= self._refresh_at and self.rule.threshold is None and seen.samples:
            self._refresh_at = seen.now + MIX_REFRESH_SECONDS
            overflow = self._limits(seen.samples[-1])
            if overflow != self._overflow:
                self._overflow, self._last = overflow, None
        replicas = self._scaler.act(seen)
        if self._last is not None and self._last.replicas == replicas:
            return self._last
        return self._action(replicas)

    def _action(self, replicas: tuple[int, ...]) -> Action:
        self._last = Action(replicas, self._overflow, self._hold_s, self._scaler.hosted_share())
        return self._last

    def _limits(self, sample: Sample | None) -> tuple[LaneOverflow, ...]:
        kind, threshold = self.rule.kind, self.rule.threshold
        if kind is SpillKind.NONE:
            return ()
        if kind is SpillKind.QUEUE:
            return tuple(
                LaneOverflow(queue_limit=DEFAULT_QUEUE if threshold is None else threshold) for _ in self._facts
            )
        return tuple(
            LaneOverflow(cap=self._cap(lane, sample) if threshold is None else threshold) for lane in self._facts
        )

    def _cap(self, lane: LaneFacts, sample: Sample | None) -> int:
        return max(1, round(self.rule.cap_share * default_cap(lane, _mix(sample, lane))))


def _mix(sample: Sample | None, lane: LaneFacts) -> Mix | None:
    if sample is None:
        return None
    seen = [sample.classes[index] for index in lane.classes]
    ended = sum(item.ended for item in seen)
    if ended < 100.0:
        return None
    return Mix(
        max(sum(item.ended_input_tokens for item in seen) / ended, 1.0),
        max(sum(item.ended_output_tokens for item in seen) / ended, 1.0),
    )


def _hold_s(known: Known, index: int, share: float) -> float:
    slo = known.classes[index].spec.slo
    return UNTIMED_HOLD_SECONDS if slo is None else share * slo.time_to_first_token_ms / 1000.0
