"""What must hold for any snapshot."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

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
    price,
    reading,
    route,
    samples,
    steady,
    target,
    traffic,
    workload,
)
from spillway.api.why import WhyStep
from spillway.decide import decide
from spillway.decide.chain import MOST_LANE_LINKS
from spillway.decide.codec import canonical, codec_of
from spillway.decide.decision import ClassDecision, LaneDecision
from spillway.decide.memory import LaneMemory, Memory
from spillway.decide.snapshot import Actuators, ClassSnapshot, PlanSnapshot, Series

rates = st.one_of(st.just(0.0), st.floats(0.01, 400.0))


@st.composite
def histories(draw: st.DrawFn) -> Series:
    values = draw(st.lists(st.one_of(st.none(), rates), min_size=1, max_size=120))
    return Series(NOW - 2.0 * (len(values) - 1), 2.0, tuple(values))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    low = draw(st.integers(0, 6))
    high = draw(st.integers(low, 20))
    replicas = draw(st.integers(0, 22))
    ready = draw(st.integers(0, replicas))
    spec = own_resource(
        replicas={"min": low, "max": high},
        price={"usdPerGpuHour": str(draw(st.sampled_from(["0", "1.5", "3.85"])))},
        profile=draw(st.sampled_from([None, {"kvCacheTokens": 9000}, {}])),
    )
    fields: dict[str, Any] = {
        "replicas_manager": draw(st.sampled_from([None, "spillway-controller", "kubectl", "helm"]))
    }
    if draw(st.booleans()):
        fields |= {"baseline_replicas": 3, "last_scale_at": NOW - draw(st.floats(0, 100))}
    state = target(replicas, ready, pods=pods(ready, replicas - ready, draw(st.sampled_from([None, 3.0]))), **fields)
    gauges = engine(draw(st.floats(0, 900)), draw(st.floats(0, 50)), kv_usage=reading(draw(st.floats(0, 1))))
    lane = own_lane(resource=spec, state=state, engine=draw(st.sampled_from([gauges, None])))
    item = workload(
        dataPolicy=draw(st.sampled_from(["Any", "SelfHostedOnly"])),
        latency=draw(st.sampled_from(["Interactive", "Background", "Deferrable"])),
    )
    history = draw(st.one_of(st.just(()), histories().map(lambda h: (h,))))
    tokens = draw(st.sampled_from([(200.0, 100.0), (8000.0, 1.0), (0.0, 500.0), None]))
    chat = traffic(rate=draw(rates), resource=item, history=history, tokens=tokens)
    if draw(st.integers(0, 9)) == 0:
        chat = replace(chat, demand=None)
    hosted = draw(st.integers(0, 100))
    cost = draw(st.sampled_from([None, price(), price(usd_out="0"), price("2", "9")]))
    return World(
        plan=plan(
            mode=draw(st.sampled_from(["Observe", "Recommend", "Apply"])),
            paused=draw(st.booleans()) and draw(st.booleans()),
            overflow={
                "mode": draw(st.sampled_from(["Split", "Split", "Never"])),
                "ceilingUsd": draw(st.sampled_from([{}, {"perHour": "0"}, {"perHour": "3"}])),
            },
            guards={
                "maxScaleUpPerMinute": draw(st.integers(1, 5)),
                "maxScaleDownPerMinute": draw(st.integers(1, 5)),
                "scaleDownStabilizationSeconds": draw(st.sampled_from([0, 60])),
            },
        ),
        classes=(chat,),
        lanes=(lane, hosted_lane(token_price=cost)),
        routes=draw(st.sampled_from([(), (route(gpu=100 - hosted, hosted=hosted),)])),
        metrics=draw(st.sampled_from([World().metrics, World().metrics, GONE])),
    )


@st.composite
def memories(draw: st.DrawFn) -> Memory:
    if draw(st.booleans()):
        return Memory()
    lane = LaneMemory(
        first_seen_at=NOW - draw(st.floats(0, 1000)),
        recommendations=tuple((NOW - 50.0 + i, draw(st.integers(0, 20))) for i in range(draw(st.integers(0, 3)))),
        last_replicas=draw(st.one_of(st.none(), st.integers(0, 22))),
        low_saturation_since=draw(st.one_of(st.none(), st.just(NOW - 30))),
        zero_weight_since=draw(st.one_of(st.none(), st.just(NOW - 30))),
    )
    return Memory(lanes={"gpu": lane}, hosted_shares={"ai/chat": draw(st.floats(0, 1))})


@settings(max_examples=400, deadline=None)
@given(worlds(), memories())
def test_any_snapshot(world: World, memory: Memory) -> None:
    snapshot = world.snapshot()
    before = copy.deepcopy((snapshot, memory))
    decision, after = decide(snapshot, memory)
    assert (snapshot, memory) == before, "the arguments are left as they are"
    assert decide(snapshot, memory) == (decision, after), "deterministic"
    lane = decision.lane("gpu")
    assert lane is not None
    spec = world.lanes[0].resource.spec.self_hosted
    assert spec is not None
    guards, current = world.plan.spec.guards, lane.current
    assert current is not None
    acting = world.plan.spec.mode == "Apply" and not world.plan.spec.paused
    assert acting or not (lane.writable or any(moved.writable for moved in decision.routes))
    if world.plan.spec.mode == "Observe":
        assert lane.recommended is None
        assert not any(moved.changed for moved in decision.routes)
        return
    new = lane.recommended
    assert new is not None
    assert current - guards.max_scale_down_per_minute <= new <= current + guards.max_scale_up_per_minute
    low, high = spec.replicas.min, spec.replicas.max
    toward = (current < low and current <= new <= low) or (current > high and high <= new <= current)
    lifted = new == 1 and low == 0 and any(reason.code in ("ZeroNotAllowed", "Draining") for reason in lane.guards)
    assert low <= new <= high or toward or lifted
    for moved in decision.routes:
        assert not moved.changed or sum(moved.weights.values()) == 100
        assert all(weight >= 0 for weight in moved.weights.values())
        if world.classes[0].resource.spec.data_policy == "SelfHostedOnly":
            assert moved.weights.get("hosted", 0) == 0
        elif not world.metrics.usable and world.plan.spec.overflow.mode == "Split":
            assert not moved.changed
    if not world.metrics.usable:
        assert lane.desired is None
        assert new == current or not low <= current <= high
    assert lane.pods_to_remove == () or len(lane.pods_to_remove) <= current - new
    assert lane.reason.message
    assert decision.reason.message
    assert len(decision.plan_hash) == 12
    _chain_leads_there(lane)


def _chain_leads_there(lane: LaneDecision) -> None:
    """Each step of the chain begins where the one before ended; the last is what is recommended."""
    assert len(lane.chain) <= MOST_LANE_LINKS
    by_step = {link.step: link for link in lane.chain}
    assert by_step[WhyStep.RECOMMENDED].value == lane.recommended
    number = lane.current if lane.desired is None else lane.desired
    if lane.desired is not None:
        assert by_step[WhyStep.CHEAPEST].value == lane.desired
    else:
        assert WhyStep.CHEAPEST not in by_step
        assert WhyStep.HELD in by_step
    for link in lane.chain:
        if link.step is WhyStep.GUARD:
            assert link.value is not None
            assert "after" in link.text or link.text.startswith(("binds: ", f"{number} -> {link.value}: "))
            number = int(link.value)
    assert number == lane.recommended


@st.composite
def capped_worlds(draw: st.DrawFn) -> PlanSnapshot:
    """A gateway that can cap (and mostly hold), one or two classes, one or two own lanes, whatever is measured."""
    world = draw(worlds())
    keys = draw(st.sampled_from([("chat",), ("chat", "batch"), ("chat", "chat2")]))
    classes = [_measured(draw, item) for item in world.classes]
    for name in keys[1:]:
        tokens = draw(st.sampled_from([(200.0, 100.0), (8000.0, 1.0), (0.0, 0.5), None]))
        latency = draw(st.sampled_from(["Interactive", "Background", "Deferrable"]))
        spec = workload(name, latency=latency, dataPolicy=draw(st.sampled_from(["Any", "SelfHostedOnly"])),
                        slo=draw(st.sampled_from([{}, {"attainmentPercent": "99.999"}, None])))  # fmt: skip
        other = traffic(name, draw(rates), resource=spec, history=(draw(histories()),), tokens=tokens)
        classes.append(other if draw(st.booleans()) else replace(other, demand=None))
    lanes = list(world.lanes)
    if draw(st.booleans()):
        resource = own_resource("big", targetRef={"name": "big"}, price={"usdPerGpuHour": "5"}, startupSeconds=900)
        seen = samples(lambda batch: 10 + batch / 2, draw(st.lists(st.floats(0, 64), max_size=5)))
        big = own_lane("big", draw(st.integers(0, 5)), resource=resource, engine=engine(samples=seen))
        lanes.append(big)
    bindings = [
        {"class": name, "ownership": "Adopted", "httpRoute": name, "rule": name,
         "backends": {lane.name: lane.name for lane in lanes}}
        for name in keys
    ]  # fmt: skip
    spec_of = world.plan.spec.model_dump(by_alias=True, mode="json", exclude_none=True)
    spec_of |= {"lanes": [lane.name for lane in lanes]}
    spec_of["routing"] |= {"bindings": bindings}
    made = replace(world, plan=plan(**spec_of), classes=tuple(classes), lanes=tuple(lanes)).snapshot()
    return replace(made, actuators=Actuators(in_flight_cap=True, hold=draw(st.sampled_from([True, True, False]))))


def _measured(draw: st.DrawFn, item: ClassSnapshot) -> ClassSnapshot:
    attained = draw(st.one_of(st.none(), st.floats(0, 1)))
    by_lane = draw(st.sampled_from([{}, {"gpu": reading(3.0)}, {"gpu": reading(3.0), "hosted": reading(1.0)}]))
    demand = None if item.demand is None else replace(item.demand, requests_per_second_by_lane=by_lane)
    return replace(item, demand=demand, attainment=None if attained is None else reading(attained))


@settings(max_examples=150, deadline=None)
@given(capped_worlds(), memories(), st.sampled_from([3.0, 60.0, 7200.0, -60.0]))
def test_any_snapshot_of_a_gateway_that_caps(snapshot: PlanSnapshot, memory: Memory, later: float) -> None:
    before = copy.deepcopy((snapshot, memory))
    decision, after = decide(snapshot, memory)
    assert (snapshot, memory) == before, "the arguments are left as they are"
    assert decide(snapshot, memory) == (decision, after), "deterministic"
    written = canonical(codec_of(Memory).encode(after))
    read = codec_of(Memory).decode(json.loads(written))
    assert read == after, "what is remembered reads back"
    # Once more with what is remembered, at another time and without fresh metrics: nothing raises.
    decide(replace(snapshot, at=snapshot.at + later), read)
    for item in decision.classes:
        _hold_is_bounded(snapshot, item)
    for lane in snapshot.lanes:
        made = decision.lane(lane.name)
        spec = lane.resource.spec.self_hosted
        assert made is not None
        assert made.in_flight_cap is None or (spec is not None and made.in_flight_cap >= 1)
        if spec is None:
            continue
        if made.in_flight_cap is not None:
            assert spec.profile is None or made.in_flight_cap <= spec.profile.max_sequences
        room = spec.replicas.max
        if lane.pool_gpus is not None:
            room = min(room, (lane.pool_gpus - lane.pool_gpus_others) // spec.gpu.per_replica)
        if made.desired is not None:
            assert 0 <= made.desired <= max(room, spec.replicas.min)
        if made.recommended is not None and made.current is not None:
            assert made.recommended <= max(spec.replicas.max, made.current)


def _hold_is_bounded(snapshot: PlanSnapshot, item: ClassDecision) -> None:
    workload_class = next(c.resource for c in snapshot.classes if c.key == item.key)
    slo = workload_class.spec.slo
    if not snapshot.actuators.hold:
        assert item.hold_seconds is None
        return
    assert item.hold_seconds is not None
    longest = 0.0 if slo is None else slo.time_to_first_token_ms / 1000
    assert 0.0 <= item.hold_seconds <= 0.8 * longest


def desired(rate: float, usd_out: str, policy: str) -> int:
    world = World(
        classes=(traffic(rate=rate, history=(steady(rate),), resource=workload(dataPolicy=policy)),),
        lanes=(own_lane(resource=own_resource(replicas={"min": 0, "max": 1000})), hosted_lane(usd_out=usd_out)),
    )
    lane = decide(world.snapshot(), Memory())[0].lane("gpu")
    assert lane is not None
    assert lane.desired is not None
    return lane.desired


@settings(max_examples=80, deadline=None)
@given(
    st.floats(0, 2000), st.floats(0, 200), st.sampled_from(["0.5", "1.0", "5"]),
    st.sampled_from(["Any", "SelfHostedOnly"]),
)  # fmt: skip
def test_more_demand_never_fewer_replicas(rate: float, more: float, usd_out: str, policy: str) -> None:
    assert desired(rate, usd_out, policy) <= desired(rate + more, usd_out, policy)


@settings(max_examples=40, deadline=None)
@given(st.floats(1, 500))
def test_dearer_tokens_never_fewer_replicas(rate: float) -> None:
    sized = [desired(rate, usd_out, "Any") for usd_out in ("0.2", "0.8", "1.0", "2.0", "20")]
    assert sized == sorted(sized)
    assert sized[-1] <= desired(rate, "20", "SelfHostedOnly") + 1
