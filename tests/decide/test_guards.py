"""A table of cases, each through the whole decision: what is recommended, may it be written, and which guard bit.

The world: 41 requests/s need 3 replicas at $1.00 a million hosted output tokens (a replica serves 15.24), 4 run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from decide.builders import (
    GONE,
    NOW,
    World,
    engine,
    hosted_lane,
    own_lane,
    own_resource,
    plan,
    pods,
    reading,
    route,
    target,
    traffic,
    workload,
)
from spillway.decide import decide
from spillway.decide.decision import Decision, LaneDecision
from spillway.decide.memory import LaneMemory, Memory
from spillway.decide.snapshot import ClassSnapshot, Confidence, Finding, Severity

OLD = LaneMemory(first_seen_at=NOW - 10_000, last_replicas=4)


def remembered(**fields: Any) -> Memory:
    return Memory(lanes={"gpu": replace(OLD, **fields)})


def lane_of(decision: Decision) -> LaneDecision:
    found = decision.lane("gpu")
    assert found is not None
    return found


def guards(**changes: int) -> dict[str, Any]:
    return {"guards": {"scaleDownStabilizationSeconds": 0} | changes}


@dataclass(frozen=True)
class Case:
    name: str
    recommended: int | None
    codes: tuple[str, ...] = ()
    """Guards that must have bitten."""
    world: World = field(default_factory=World)
    memory: Memory = field(default_factory=remembered)
    writable: bool = True
    held: str | None = None
    reason: str | None = None


def spec_of(low: int, high: int) -> dict[str, Any]:
    return {"replicas": {"min": low, "max": high}}


def world_with(lane: Any = None, rate: float | None = None, **fields: Any) -> World:
    if lane is not None:
        fields["lanes"] = (lane, hosted_lane())
    if rate is not None:
        fields["classes"] = (traffic(rate=rate),)
    return World(**fields)


BY_KUBECTL = {"replicas_manager": "kubectl", "replicas_written_at": NOW - 100, "baseline_replicas": 2}

CASES = [
    Case("nothing to guard against", 3, reason="TroughScaleDown"),
    Case("blind", 4, ("HoldBlind",), World(metrics=GONE), writable=False, held="HoldBlind"),
    Case(
        "blind, max below current", 2, ("HoldBlind", "MaxReplicas"),
        world_with(own_lane(resource=own_resource(**spec_of(0, 2))), metrics=GONE), held="HoldBlind",
    ),
    Case(
        "blind, min above current", 6, ("HoldBlind", "MinReplicas"),
        world_with(own_lane(resource=own_resource(**spec_of(6, 16))), metrics=GONE), held="HoldBlind",
    ),
    Case(
        "blind and stepped", 6, ("MinReplicas", "ScaleUpStep"),
        world_with(
            own_lane(resource=own_resource(**spec_of(9, 16))), metrics=GONE, plan=plan(**guards(maxScaleUpPerMinute=2))
        ), held="HoldBlind",
    ),
    Case(
        "ready pods that don't report", 4, ("LaneBlind",),
        world_with(own_lane(state=target(pods=pods(4, running=None)), engine=None)), writable=False,
    ),
    Case(
        "no demand known", 4, ("DemandUnknown",), World(classes=(replace(traffic(), demand=None),)), writable=False
    ),
    Case("demand stale", 4, ("DemandStale",), World(classes=(traffic(at=NOW - 60),)), writable=False),
    Case("mix unknown", 4, ("TokenMixUnknown",), World(classes=(traffic(tokens=None),)), writable=False),
    Case(
        "service unknown", 4, ("ServiceUnknown",), world_with(own_lane(resource=own_resource(profile=None))),
        writable=False,
    ),
    Case("no class", 4, ("NoClasses",), World(classes=()), writable=False, reason="NoClasses"),
    Case("min", 5, ("MinReplicas",), world_with(own_lane(resource=own_resource(**spec_of(5, 16))))),
    Case("max", 2, ("MaxReplicas",), world_with(own_lane(resource=own_resource(**spec_of(1, 2))))),
    Case("pool", 5, ("PoolExhausted",), world_with(own_lane(pool_gpus=8, pool_gpus_others=3), rate=150)),
    Case(
        "pool is no reason to remove", 4, ("PoolExhausted",),
        world_with(own_lane(pool_gpus=8, pool_gpus_others=6), rate=150),
    ),
    Case(
        "step up", 6, ("ScaleUpStep",), world_with(rate=150, plan=plan(**guards(maxScaleUpPerMinute=2)))
    ),
    Case(
        "step up, half used", 5, ("ScaleUpStep",), world_with(rate=150, plan=plan(**guards(maxScaleUpPerMinute=2))),
        remembered(changes=((NOW - 30, 1),)),
    ),
    Case(
        "step up, used long ago", 6, ("ScaleUpStep",), world_with(rate=150, plan=plan(**guards(maxScaleUpPerMinute=2))),
        remembered(changes=((NOW - 62, 2),)),
    ),
    Case(
        "the spec's own change counts, whoever made it", 4, ("ScaleUpStep",),
        world_with(rate=150, plan=plan(**guards(maxScaleUpPerMinute=2))), remembered(last_replicas=2),
    ),
    Case(
        "step down", 3, ("ScaleDownStep",),
        world_with(rate=5, plan=plan(**guards(maxScaleDownPerMinute=1)), lanes=(own_lane(), hosted_lane())),
    ),
    Case(
        "restarted within the minute of our write: the budget counts as used", 4, ("ScaleUpStep",),
        world_with(
            own_lane(state=target(replicas_manager="spillway-controller", replicas_written_at=NOW - 59)), rate=150
        ), Memory(),
    ),
    Case(
        "restarted later", 10, (),
        world_with(
            own_lane(state=target(replicas_manager="spillway-controller", replicas_written_at=NOW - 62)), rate=150
        ), Memory(),
    ),
    Case(
        "stabilizing", 4, ("Stabilizing",), World(plan=plan(**guards(scaleDownStabilizationSeconds=300))),
        remembered(recommendations=((NOW - 299, 5),)),
    ),
    Case(
        "stabilized", 3, (), World(plan=plan(**guards(scaleDownStabilizationSeconds=300))),
        remembered(recommendations=((NOW - 301, 5), (NOW - 299, 3))),
    ),
    Case(
        "restarted: the window starts anew", 4, ("Stabilizing",),
        World(plan=plan(**guards(scaleDownStabilizationSeconds=300))), Memory(),
    ),
    Case(
        "what runs would not fit", 4, ("ScaleInWouldSaturate",), world_with(own_lane(engine=engine(running=180.0)))
    ),
    Case(
        "the KV cache would not fit", 4, ("ScaleInWouldSaturate",),
        world_with(own_lane(engine=engine(kv_usage=reading(0.8)))),
    ),
    Case("nobody tells what runs", 4, ("ScaleInWouldSaturate",), world_with(own_lane(engine=engine(running=None)))),
    Case(
        "max is obeyed though what runs would not fit", 2, ("MaxReplicas",),
        world_with(own_lane(resource=own_resource(**spec_of(1, 2)), engine=engine(running=180.0))),
    ),
    Case(
        "an autoscaler", 3, (), world_with(own_lane(state=target(autoscaler="HorizontalPodAutoscaler/vllm"))),
        writable=False, reason="AutoscalerConflict",
    ),
    Case(
        "a controller owner", 3, (), world_with(own_lane(state=target(controller_owner="InferenceService/llama"))),
        writable=False, reason="ControllerOwned",
    ),
    Case(
        "an error in the lane", 3, (),
        World(findings=(Finding(Severity.ERROR, "Conflict", "taken by other/plan", "CapacityLane/ai/gpu"),)),
        writable=False, reason="LaneInvalid",
    ),
    Case(
        "an error elsewhere", 3, (),
        World(findings=(Finding(Severity.ERROR, "Conflict", "taken", "CapacityLane/ai/other"),)),
    ),
    Case("paused", 3, (), World(plan=plan(paused=True)), writable=False, held="Paused", reason="Paused"),
    Case("stopped", 3, (), World(stopped="Emergency stop."), writable=False, held="Stopped", reason="Stopped"),
    Case("recommend", 3, (), World(plan=plan(mode="Recommend")), writable=False),
    Case("observe", None, (), World(plan=plan(mode="Observe")), writable=False, held="ObserveOnly"),
    Case("a person's scale", 3, (), world_with(own_lane(state=target(**BY_KUBECTL))), writable=False,
         reason="ManualOverride"),
    Case("a person's scale to what is recommended", 4, (), world_with(own_lane(state=target(**BY_KUBECTL)), rate=56)),
    Case(
        "a person's scale that once was recommended", 3, (), world_with(own_lane(state=target(**BY_KUBECTL))),
        remembered(override_replicas=4, override_since=NOW - 100, override_over=True),
    ),
    Case(
        "a person's scale long ago", 3, (),
        world_with(own_lane(state=target(**BY_KUBECTL))),
        remembered(override_replicas=4, override_since=NOW - 3601),
    ),
    Case(
        "a person's scale before the first of ours", 3, (),
        world_with(own_lane(state=target(**BY_KUBECTL | {"baseline_replicas": None}))),
    ),
    Case(
        "kubectl apply is no person's scale", 3, (),
        world_with(own_lane(state=target(**BY_KUBECTL | {"replicas_manager": "kubectl-client-side-apply"}))),
    ),
    Case(
        "zero not allowed without a hosted lane", 1, ("ZeroNotAllowed",),
        World(lanes=(own_lane(replicas=1, resource=own_resource(**spec_of(0, 16)), engine=engine(0.0)),),
              classes=(traffic(rate=0.0),)),
    ),
    Case(
        "zero not allowed for what may not leave", 1, ("ZeroNotAllowed",),
        world_with(
            own_lane(replicas=1, resource=own_resource(**spec_of(0, 16)), engine=engine(0.0)),
            classes=(traffic(rate=0.0, resource=workload(dataPolicy="SelfHostedOnly")),),
        ),
    ),
    Case(
        "zero waits for the drain", 1, ("Draining",),
        world_with(own_lane(replicas=1, resource=own_resource(**spec_of(0, 16))), rate=0.1),
    ),
    Case(
        "a class that is bound but missing", 4, ("ClassMissing",),
        World(plan=plan(routing={"bindings": [
            {"class": name, "ownership": "Adopted", "httpRoute": name, "rule": name,
             "backends": {"gpu": "vllm", "hosted": "egress"}} for name in ("chat", "gone")
        ]})),
    ),
    Case(
        "one class of two unknown", 4, ("DemandUnknown",),
        World(classes=(traffic(rate=14), replace(traffic("other", resource=workload("other")), demand=None)),
              plan=plan(routing={"plane": "None", "bindings": []}), lanes=(own_lane(), hosted_lane())),
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_guard(case: Case) -> None:
    decision, _ = decide(case.world.snapshot(), case.memory)
    lane = lane_of(decision)
    assert lane.recommended == case.recommended
    assert set(case.codes) <= {reason.code for reason in lane.guards}
    assert lane.writable == case.writable
    assert (decision.held.code if decision.held else None) == case.held
    if case.reason is not None:
        assert case.reason in (lane.reason.code, decision.reason.code)
    assert lane.reason.message


def test_a_missing_target_is_one_clear_line() -> None:
    decision, _ = decide(World(lanes=(replace(own_lane(), target=None), hosted_lane())).snapshot(), Memory())
    lane = lane_of(decision)
    assert (lane.current, lane.recommended, lane.writable, lane.reason.code) == (None, None, False, "TargetMissing")
    assert lane.reason.message == "Deployment vllm does not exist; create it or mend spec.selfHosted.targetRef."


@pytest.mark.parametrize(
    ("note", "recommended"), [((59.0, 4, 8), 4), ((59.0, 4, 4), 10), ((62.0, 4, 8), 10)], ids=["used", "owned", "old"]
)
def test_after_a_restart_the_note_on_the_target_tells(note: tuple[float, int, int], recommended: int) -> None:
    """A person's scale since, or a write that only took ownership, changes nothing about that."""
    age, before, after = note
    state = target(last_scale_at=NOW - age, last_scale_from=before, last_scale_to=after)
    decision, _ = decide(world_with(own_lane(state=state), rate=150).snapshot(), Memory())
    assert lane_of(decision).recommended == recommended


def test_a_class_that_is_counted_with_another_blocks_nothing() -> None:
    twin = ClassSnapshot(workload("twin", slo={"interTokenLatencyMs": 26}), None, Confidence.AMBIGUOUS)
    seen = replace(traffic(rate=14.0), attribution=Confidence.AMBIGUOUS)
    decision, _ = decide(World(classes=(seen, twin)).snapshot(), remembered())
    assert lane_of(decision).replica_requests_per_second == pytest.approx(32 / 2.6, rel=0.06)  # the twin's 26 ms bind
    assert lane_of(decision).recommended == 1
    assert {reason.code for reason in lane_of(decision).guards} == {"MinReplicas"}
    assert decision.costs.expected is not None


def test_the_restart_budget_lasts_until_the_minute_is_over() -> None:
    state = target(replicas_manager="spillway-controller", replicas_written_at=NOW - 30)
    world = world_with(own_lane(state=state), rate=150)
    memory = Memory()
    seen = []
    for seconds in (0, 15, 29, 32):
        at = NOW + seconds
        moved = replace(world, at=at, classes=(traffic(rate=150, at=at),), lanes=(
            own_lane(state=target(at=at, replicas_manager="spillway-controller", replicas_written_at=NOW - 30),
                     engine=engine(at=at)), hosted_lane()))  # fmt: skip
        decision, memory = decide(moved.snapshot(), memory)
        seen.append(lane_of(decision).recommended)
    assert seen == [4, 4, 4, 10]


def test_a_manual_override_is_over_once_the_plan_agrees() -> None:
    state = target(**BY_KUBECTL)
    agreed, memory = decide(world_with(own_lane(state=state), rate=56).snapshot(), remembered())
    assert lane_of(agreed).reason.code != "ManualOverride"
    later, _ = decide(world_with(own_lane(state=state)).snapshot(), memory)
    assert lane_of(later).writable


def test_two_lanes_of_one_pool_do_not_take_the_same_gpus() -> None:
    pooled = {"gpu": {"pool": "h100"}}
    lanes = tuple(
        own_lane(name, 2, resource=own_resource(name, **pooled, targetRef={"name": name}), pool_gpus=6)
        for name in ("a", "b")
    )
    split = plan(lanes=["a", "b"], routing={"plane": "None", "bindings": []})
    decision, _ = decide(World(plan=split, lanes=lanes, classes=(traffic(rate=300),), routes=()).snapshot(), Memory())
    assert sum(lane.recommended or 0 for lane in decision.lanes) == 6


def test_the_least_loaded_pods_go_first_and_unready_ones_before() -> None:
    running = (9.0, 2.0, 5.0)
    state = target(5, 4, pods=tuple(
        replace(pod, running=reading(running[i])) if i < 3 else pod for i, pod in enumerate(pods(4, 1, running=0.0))
    ))  # fmt: skip
    decision, _ = decide(world_with(own_lane(state=state), rate=14).snapshot(), remembered())
    lane = lane_of(decision)
    assert lane.recommended == 1
    assert lane.pods_to_remove == ("vllm-4", "vllm-3", "vllm-1", "vllm-2")


ZERO = own_resource(replicas={"min": 0, "max": 16})


def idle(at: float, running: float = 0.0) -> Any:
    return own_lane(replicas=1, resource=ZERO, state=target(1, at=at), engine=engine(running, at=at))


def test_to_zero_in_order_weights_then_drain_then_replicas() -> None:
    steps = []
    memory = remembered(last_replicas=1)
    weights, running = {"gpu": 100, "hosted": 0}, 3.0
    for tick in range(6):
        at = NOW + 3 * tick
        world = World(
            at=at, classes=(traffic(rate=0.1, at=at),), lanes=(idle(at, running), hosted_lane()),
            routes=(route(**weights),),
        )  # fmt: skip
        decision, memory = decide(world.snapshot(), memory)
        lane = lane_of(decision)
        steps.append((weights["gpu"], running, lane.recommended, lane.reason.code))
        weights = dict(decision.routes[0].weights)
        running = max(0.0, running - 1.0)
    assert [step[2] for step in steps[:3]] == [1, 1, 1]
    assert steps[0][3] == "Draining"
    assert (0, 0.0, 0, "ToZero") in steps


def test_from_zero_hosted_carries_until_warm() -> None:
    world = World(
        classes=(traffic(rate=41.0),), lanes=(own_lane(resource=ZERO, state=target(0), engine=None), hosted_lane()),
        routes=(route(gpu=0, hosted=100),),
    )  # fmt: skip
    decision, memory = decide(world.snapshot(), remembered(last_replicas=0))
    assert lane_of(decision).recommended == 3
    assert lane_of(decision).reason.code == "FromZero"
    assert decision.routes[0].weights == {"gpu": 0, "hosted": 100}
    starting = replace(world, lanes=(own_lane(resource=ZERO, state=target(3, 0), engine=None), hosted_lane()))
    decision, _ = decide(starting.snapshot(), memory)
    assert decision.routes[0].weights == {"gpu": 0, "hosted": 100}
    assert lane_of(decision).reason.code == "WarmingUp"


def test_max_zero_is_obeyed_even_blind() -> None:
    ordered = own_lane(resource=own_resource(replicas={"min": 0, "max": 0}))
    decision, _ = decide(World(lanes=(ordered, hosted_lane()), metrics=GONE).snapshot(), remembered())
    assert lane_of(decision).recommended == 0
    assert lane_of(decision).writable
