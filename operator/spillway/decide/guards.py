"""What keeps a wanted number of replicas from being written as it is. Each guard that bites is a reason."""

from __future__ import annotations

from dataclasses import dataclass, replace

from spillway.api import Guards
from spillway.decide.decision import Reason
from spillway.decide.memory import LaneMemory
from spillway.decide.plan import Sizing
from spillway.decide.reasons import Code, because, count
from spillway.decide.snapshot import LaneSnapshot, TargetState

FIELD_MANAGER = "spillway-controller"
MINUTE = 60.0
CLOCK_SLACK_SECONDS = 1.0
"""Field managers record whole seconds."""
HUMAN_MANAGERS = ("kubectl", "k9s", "Lens", "OpenLens", "headlamp", "node-fetch", "Mozilla")
"""Beginnings of the field managers of tools that people scale with."""
NOT_HUMAN = ("kubectl-client-side-apply", "kubectl-last-applied")
MAX_LOAD_AFTER_SCALE_IN = 0.9


@dataclass(frozen=True, slots=True)
class Step:
    """A number of replicas on its way through the guards."""

    replicas: int
    bites: tuple[Reason, ...] = ()

    def to(self, replicas: int, code: Code, message: str) -> Step:
        """Another number, with the reason for it; unchanged where it is the same."""
        if replicas == self.replicas:
            return self
        return Step(replicas, (*self.bites, Reason(code.value, message, replicas)))

    def noted(self, code: Code, message: str) -> Step:
        """The same number, with what binds it."""
        return Step(self.replicas, (*self.bites, Reason(code.value, message, self.replicas)))


def remember(lane: LaneSnapshot, memory: LaneMemory | None, guards: Guards, now: float) -> LaneMemory:
    """The lane's memory with what the cluster shows now; a fresh one after a restart counts our last minute as used."""
    target = lane.target
    if memory is None:
        memory = LaneMemory(first_seen_at=now)
        written = None if target is None else _scaled_at(target)
        if written is not None and now - written <= MINUTE + CLOCK_SLACK_SECONDS:
            used = ((written, guards.max_scale_up_per_minute), (written, -guards.max_scale_down_per_minute))
            memory = replace(memory, changes=used)
    changes = tuple((at, delta) for at, delta in memory.changes if now - at <= MINUTE + CLOCK_SLACK_SECONDS)
    if target is not None and memory.last_replicas is not None and target.replicas != memory.last_replicas:
        changes = (*changes, (now, target.replicas - memory.last_replicas))
    window = guards.scale_down_stabilization_seconds
    return replace(
        memory,
        changes=changes,
        last_replicas=memory.last_replicas if target is None else target.replicas,
        recommendations=tuple((at, n) for at, n in memory.recommendations if now - at <= window),
    )


def _scaled_at(target: TargetState) -> float | None:
    """When Spillway last changed the number of replicas, as noted on the target before each write."""
    if target.last_scale_at is None:
        return target.replicas_written_at if target.replicas_manager == FIELD_MANAGER else None
    return None if target.last_scale_from == target.last_scale_to else target.last_scale_at


def with_recommendation(memory: LaneMemory, now: float, replicas: int) -> LaneMemory:
    """Remember what is wanted now, in as few entries as its window needs: a smaller older one never matters again."""
    kept = tuple((at, n) for at, n in memory.recommendations if n > replicas)
    return replace(memory, recommendations=(*kept, (now, replicas)))


def stabilized(step: Step, current: int, memory: LaneMemory, guards: Guards, now: float) -> Step:
    """Down only to the highest wish of the stabilization window; after a restart not before it has passed."""
    if step.replicas >= current:
        return step
    window = guards.scale_down_stabilization_seconds
    if now - memory.first_seen_at < window:
        left = window - (now - memory.first_seen_at)
        return step.to(current, Code.STABILIZING, f"Nothing is removed in the first {window} s; {left:.0f} s to go.")
    highest = min(current, max((n for _, n in memory.recommendations), default=step.replicas))
    return step.to(
        max(step.replicas, highest), Code.STABILIZING, f"Within the last {window} s {count(highest)} were needed."
    )


def stepped(step: Step, current: int, memory: LaneMemory, guards: Guards) -> Step:
    """No more replicas added or removed than the budget of this minute has left."""
    added = sum(delta for _, delta in memory.changes if delta > 0)
    removed = -sum(delta for _, delta in memory.changes if delta < 0)
    most = current + max(0, guards.max_scale_up_per_minute - added)
    least = current - max(0, guards.max_scale_down_per_minute - removed)
    if step.replicas > most:
        return step.to(
            most, Code.STEP_UP, f"At most {count(guards.max_scale_up_per_minute)} may be added a minute; {added} were."
        )
    if step.replicas < least:
        limit = count(guards.max_scale_down_per_minute)
        return step.to(least, Code.STEP_DOWN, f"At most {limit} may be removed a minute; {removed} were.")
    return step


def bounded(step: Step, lane: LaneSnapshot, current: int, pool_replicas: int | None) -> Step:
    """Within replicas.min and max, and no growth beyond what the pool has room for."""
    spec = lane.resource.spec.self_hosted
    if spec is None:
        return step
    if step.replicas < spec.replicas.min:
        step = step.to(spec.replicas.min, Code.MIN_REPLICAS, f"replicas.min is {spec.replicas.min}.")
    if step.replicas > spec.replicas.max:
        step = step.to(spec.replicas.max, Code.MAX_REPLICAS, f"replicas.max is {spec.replicas.max}.")
    if pool_replicas is not None and step.replicas > max(current, pool_replicas):
        message = f"GPU pool {spec.gpu.pool or '?'} has room for {count(pool_replicas)} of this lane."
        step = step.to(max(current, pool_replicas), Code.POOL_EXHAUSTED, message)
    return step


def binding(step: Step, lane: LaneSnapshot, sizing: Sizing, pool_replicas: int | None) -> Step:
    """The step with what keeps the cheapest number from being cheaper still, by what one replica less or more saves."""
    spec = lane.resource.spec.self_hosted
    if spec is None or step.replicas != sizing.replicas:
        return step
    if sizing.next_saves_usd_per_hour > sizing.usd_per_replica_hour:
        if step.replicas >= spec.replicas.max:
            return step.noted(Code.MAX_REPLICAS, f"replicas.max is {spec.replicas.max}.")
        if pool_replicas is not None and step.replicas >= pool_replicas:
            message = f"GPU pool {spec.gpu.pool or '?'} has room for {count(pool_replicas)} of this lane."
            return step.noted(Code.POOL_EXHAUSTED, message)
    if step.replicas == spec.replicas.min > 0 and sizing.last_saves_usd_per_hour < sizing.usd_per_replica_hour:
        return step.noted(Code.MIN_REPLICAS, f"replicas.min is {spec.replicas.min}.")
    return step


def pool_room(lane: LaneSnapshot, taken_by_plan: int) -> int | None:
    """Replicas that the lane's GPU pool has room for; None when unbounded.

    ``taken_by_plan`` are GPUs that the plan's other lanes of the same pool have or will have.
    """
    spec = lane.resource.spec.self_hosted
    if spec is None or lane.pool_gpus is None:
        return None
    return max(0, lane.pool_gpus - lane.pool_gpus_others - taken_by_plan) // spec.gpu.per_replica


def unsaturated(
    step: Step, current: int, running: float | None, batch: float | None, kv_usage: float | None, pods: int
) -> Step:
    """Scale-in only as far as what runs now still fits: traffic moves first, then replicas."""
    if step.replicas >= current or step.replicas == 0:
        return step
    if running is None:
        return step.to(current, Code.WOULD_SATURATE, "Nobody tells how many requests run, so nothing is removed.")
    fits = step.replicas
    if batch is not None:
        fits = max(fits, _ceil(running / (MAX_LOAD_AFTER_SCALE_IN * batch)))
    if kv_usage is not None and pods > 0:
        fits = max(fits, _ceil(kv_usage * min(pods, current) / MAX_LOAD_AFTER_SCALE_IN))
    message = f"{running:.0f} requests run, which needs {count(min(fits, current))} until traffic has moved."
    return step.to(min(current, fits), Code.WOULD_SATURATE, message)


def _ceil(value: float) -> int:
    return int(-(-value // 1))


def conflict(lane: LaneSnapshot) -> Reason | None:
    """Who else scales the target, or that there is none."""
    target = lane.target
    if target is None:
        spec = lane.resource.spec.self_hosted
        name = "?" if spec is None else f"{spec.target_ref.kind} {spec.target_ref.name}"
        return because(Code.TARGET_MISSING, f"{name} does not exist; create it or mend spec.selfHosted.targetRef.")
    if target.controller_owner is not None:
        message = f"{target.kind} {target.name} belongs to {target.controller_owner}, which sets its replicas."
        return because(Code.CONTROLLER_OWNED, message)
    if target.autoscaler is not None:
        message = f"{target.autoscaler} scales {target.kind} {target.name} too; delete it first."
        return because(Code.AUTOSCALER_CONFLICT, message)
    return None


def override(
    target: TargetState, recommended: int, memory: LaneMemory, guards: Guards, now: float
) -> tuple[Reason | None, LaneMemory]:
    """A person's scale that is still to be respected; over once the plan comes to the same value.

    Its age counts from when it was first seen, so after a restart a person is respected for longer, never for less.
    """
    manager = target.replicas_manager
    if manager is None or target.baseline_replicas is None or not _by_person(manager):
        if memory.override_replicas is None and memory.override_since is None and not memory.override_over:
            return None, memory
        return None, replace(memory, override_replicas=None, override_since=None, override_over=False)
    if memory.override_replicas != target.replicas or memory.override_since is None:
        memory = replace(memory, override_replicas=target.replicas, override_since=now, override_over=False)
    age = now - (memory.override_since or now)
    if target.replicas == recommended:
        memory = replace(memory, override_over=True)
    if memory.override_over or age >= guards.manual_override_seconds:
        return None, memory
    left = guards.manual_override_seconds - age
    message = f"{manager} set {count(target.replicas)}, which is respected for another {left:.0f} s."
    return because(Code.MANUAL_OVERRIDE, message), memory


def contested(target: TargetState) -> Reason | None:
    """Another tool that has written replicas since Spillway did, such as one that applies them from Git."""
    manager = target.replicas_manager
    if manager is None or target.last_scale_to is None or target.replicas == target.last_scale_to:
        return None
    if manager == FIELD_MANAGER or _by_person(manager):
        return None
    message = (
        f"{manager} sets the replicas of {target.kind} {target.name} too; remove spec.replicas from what it applies"
    )
    return because(Code.REPLICAS_CONTESTED, message)


def _by_person(manager: str) -> bool:
    return manager.startswith(HUMAN_MANAGERS) and not manager.startswith(NOT_HUMAN)
