"""The chain of figures: what it tells is what the decision used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decide.builders import (
    GONE,
    NOW,
    World,
    hosted_lane,
    own_lane,
    own_resource,
    plan,
    route,
    target,
    traffic,
    workload,
)
from spillway.api.why import WhyStep
from spillway.decide import decide
from spillway.decide.chain import MOST_CLASS_LINKS, MOST_LANE_LINKS, guard_links
from spillway.decide.decision import ClassDecision, Decision, LaneDecision, Link, Reason
from spillway.decide.memory import LaneMemory, Memory
from spillway.decide.snapshot import PlanSnapshot

OLD = Memory(lanes={"gpu": LaneMemory(first_seen_at=NOW - 10_000, last_replicas=4)})


def decided(world: World, memory: Memory = OLD) -> tuple[Decision, Memory]:
    return decide(world.snapshot(), memory)


def gpu(decision: Decision, name: str = "gpu") -> LaneDecision:
    found = decision.lane(name)
    assert found is not None
    return found


def links(chain: tuple[Link, ...], step: WhyStep) -> list[Link]:
    return [link for link in chain if link.step is step]


def link(chain: tuple[Link, ...], step: WhyStep) -> Link:
    (found,) = links(chain, step)
    return found


def chat(decision: Decision) -> ClassDecision:
    return decision.classes[0]


def test_figures_are_those_that_the_decision_used() -> None:
    decision, memory = decided(World(classes=(traffic(rate=100.0),)))
    lane, planned = gpu(decision), memory.planned
    assert planned is not None
    sizing, curve = planned.sizings["gpu"], memory.curves["gpu"]
    chain = lane.chain
    assert link(chain, WhyStep.DEMAND).value == 100.0
    assert link(chain, WhyStep.FORECAST).value == planned.quantiles["ai/chat"]["0.5"]
    assert "in 63 s" in link(chain, WhyStep.FORECAST).text  # 60 s of start-up and a tick
    assert link(chain, WhyStep.SERVICE).value == lane.replica_requests_per_second
    assert link(chain, WhyStep.SERVICE).value == pytest.approx(1 / curve.request_seconds["ai/chat"])
    usable = curve.usable_work(sizing.replicas)
    assert f"{100 * usable / sizing.replicas:.0f}% of full" in link(chain, WhyStep.SERVICE).text
    assert f"serve {usable / curve.request_seconds['ai/chat']:.1f} " in link(chain, WhyStep.SERVICE).text
    assert link(chain, WhyStep.PRICE).value == sizing.usd_per_replica_hour
    assert f"one more would save ${sizing.next_saves_usd_per_hour:.2f} of" in link(chain, WhyStep.PRICE).text
    assert f"${sizing.hosted_usd_per_hour:.2f}/h left" in link(chain, WhyStep.PRICE).text
    assert link(chain, WhyStep.CHEAPEST).value == sizing.replicas == lane.desired
    assert link(chain, WhyStep.RECOMMENDED).value == lane.recommended


def test_the_steps_come_in_the_order_of_deciding() -> None:
    decision, _ = decided(World(classes=(traffic(rate=100.0),), plan=plan(guards={"maxScaleUpPerMinute": 1})))
    assert [each.step.value for each in gpu(decision).chain] == [
        "Demand",
        "Forecast",
        "Service",
        "Price",
        "Cheapest",
        "Guard",
        "Recommended",
        "Overflow",
    ]


def test_each_guard_has_the_number_before_and_after() -> None:
    capped = own_resource(replicas={"min": 1, "max": 6})
    world = World(
        classes=(traffic(rate=20.0),),
        lanes=(own_lane(resource=capped, state=target(12)), hosted_lane()),
        plan=plan(mode="Recommend", guards={"scaleDownStabilizationSeconds": 300, "maxScaleDownPerMinute": 2}),
    )
    fresh = Memory(lanes={"gpu": LaneMemory(first_seen_at=NOW - 100, last_replicas=12)})
    decision, _ = decided(world, fresh)
    lane = gpu(decision)
    first, second, third = links(lane.chain, WhyStep.GUARD)
    assert (first.value, second.value, third.value) == (12, 6, 10)
    assert first.text.startswith(f"{lane.desired} -> 12: Nothing is removed in the first 300 s")
    assert second.text == "12 -> 6: replicas.max is 6."
    assert third.text.startswith("6 -> 10: At most 2 replicas may be removed a minute")
    assert lane.recommended == 10


def test_a_bound_that_binds_without_moving_the_number_says_so() -> None:
    capped = own_resource(replicas={"min": 1, "max": 4})
    world = World(classes=(traffic(rate=100.0),), lanes=(own_lane(resource=capped), hosted_lane()))
    decision, _ = decided(world)
    assert link(gpu(decision).chain, WhyStep.GUARD).text == "binds: replicas.max is 4."


def test_dollars_and_share_of_overflow_are_those_of_the_class() -> None:
    decision, _ = decided(World(classes=(traffic(rate=100.0),)))
    share = chat(decision).hosted_share
    assert share is not None
    assert 0 < share < 1
    overflow = link(gpu(decision).chain, WhyStep.OVERFLOW)
    assert overflow.value == pytest.approx(100 * share)
    # 100 output tokens a request at $1 per million
    assert f"hosted at ${3600 * 100 * share * 100 / 1e6:.2f}/h" in overflow.text
    assert link(chat(decision).chain, WhyStep.OVERFLOW).value == overflow.value
    assert link(chat(decision).chain, WhyStep.PRICE).value == pytest.approx(36.0)


def test_demand_names_the_classes() -> None:
    bindings = [
        {
            "class": name,
            "ownership": "Adopted",
            "httpRoute": name,
            "rule": name,
            "backends": {"gpu": "a", "hosted": "b"},
        }
        for name in ("chat", "code")
    ]
    code = traffic("code", rate=5.0, resource=workload("code"))
    world = World(plan=plan(routing={"bindings": bindings}), classes=(traffic(), code), routes=(route(), route("code")))
    decision, _ = decided(world)
    demand = link(gpu(decision).chain, WhyStep.DEMAND)
    assert demand.value == 46.0
    assert demand.text == "chat 41, code 5; 13,800 tokens/s"


@pytest.mark.parametrize(
    ("world", "said"),
    [
        (World(metrics=GONE), "Prometheus does not answer."),
        (World(plan=plan(paused=True)), "spec.paused is true"),
        (World(plan=plan(mode="Observe")), "mode is Observe"),
        (World(stopped="Namespace ai says stop."), "Namespace ai says stop."),
        (World(classes=()), "No class of the plan may use lane gpu"),
        (
            World(lanes=(own_lane(resource=own_resource(profile=None)), hosted_lane())),
            "What a replica of lane gpu serves is not known yet",
        ),
    ],
    ids=["blind", "paused", "observe", "stopped", "no-class", "unknown-service"],
)
def test_what_holds_is_told_with_what_is_known(world: World, said: str) -> None:
    decision, _ = decided(world)
    held = link(gpu(decision).chain, WhyStep.HELD)
    assert said in held.text
    assert held.value == 4
    assert link(gpu(decision).chain, WhyStep.RECOMMENDED).value == gpu(decision).recommended


def test_what_is_not_known_has_no_figure() -> None:
    decision, _ = decided(World(metrics=GONE))
    chain = gpu(decision).chain
    assert not links(chain, WhyStep.FORECAST)
    assert not links(chain, WhyStep.CHEAPEST)
    assert "what one saves is not known" in link(chain, WhyStep.PRICE).text
    unmeasured = replace(traffic(), demand=None)
    decision, _ = decided(World(classes=(unmeasured,)))
    demand = link(gpu(decision).chain, WhyStep.DEMAND)
    assert demand.value is None
    assert "No metric tells the demand of class ai/chat" in demand.text


def test_a_persons_number_is_told_as_what_holds() -> None:
    by_hand = target(9, replicas_manager="kubectl-scale", baseline_replicas=4)
    decision, _ = decided(World(lanes=(own_lane(state=by_hand), hosted_lane())))
    assert "kubectl-scale set 9 replicas" in link(gpu(decision).chain, WhyStep.HELD).text


def test_gateways_that_spill_by_themselves_leave_the_share_open() -> None:
    snapshot = World(classes=(traffic(rate=100.0),)).snapshot()
    actuators = replace(snapshot.actuators, in_flight_cap=True)
    decision, _ = decide(replace(snapshot, actuators=actuators), OLD)
    assert link(gpu(decision).chain, WhyStep.OVERFLOW).value is None
    assert link(chat(decision).chain, WhyStep.OVERFLOW).value is None


def worlds() -> list[PlanSnapshot]:
    many = tuple(traffic(f"c{i}", resource=workload(f"c{i}")) for i in range(12))
    short = own_resource(replicas={"min": 0, "max": 3}, gpu={"pool": "p"})
    return [
        World(classes=many).snapshot(),
        World(
            lanes=(own_lane(resource=short, state=target(20), pool_gpus=2), hosted_lane()), classes=(traffic(rate=500),)
        ).snapshot(),
    ]


@pytest.mark.parametrize("snapshot", worlds())
def test_chains_are_bounded(snapshot: PlanSnapshot) -> None:
    decision, _ = decide(snapshot, Memory())
    assert all(len(lane.chain) <= MOST_LANE_LINKS for lane in decision.lanes)
    assert all(len(each.chain) <= MOST_CLASS_LINKS for each in decision.classes)
    assert gpu(decision).chain[-1].step is WhyStep.OVERFLOW


def test_many_guards_are_told_in_three_steps_with_the_last_number() -> None:
    bites = [Reason("Blind", "no number")] + [Reason("Some", f"Because {n}.", n) for n in (5, 6, 8, 8, 7)]
    told = guard_links(4, bites)
    assert [each.value for each in told] == [5, 6, 7]
    assert told[0].text == "4 -> 5: Because 5."
    assert told[-1].text == "after 2 guards more, 8 -> 7: Because 7."


def test_telling_changes_nothing_of_what_is_decided() -> None:
    snapshot = World(classes=(traffic(rate=100.0),)).snapshot()
    told, remembered = decide(snapshot, OLD)
    plain, same = decide(snapshot, OLD, tell=False)
    assert remembered == same
    assert not gpu(plain).chain
    stripped = replace(
        told,
        lanes=tuple(replace(lane, chain=()) for lane in told.lanes),
        classes=tuple(replace(each, chain=()) for each in told.classes),
    )
    assert stripped == plain
