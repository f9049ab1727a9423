"""Whole decisions: sentences, routes, findings, costs, several classes and lanes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from decide.builders import (
    NOW,
    World,
    curve,
    engine,
    hosted_lane,
    hosted_resource,
    own_lane,
    own_resource,
    plan,
    reading,
    route,
    target,
    traffic,
    workload,
)
from spillway.decide import decide
from spillway.decide.decision import ClassDecision, Decision, LaneDecision
from spillway.decide.memory import LaneMemory, Memory
from spillway.decide.snapshot import GpuState, HostedState, RouteState

OLD = LaneMemory(first_seen_at=NOW - 10_000, last_replicas=4)
REMEMBERED = Memory(lanes={"gpu": OLD})


def made(world: World, memory: Memory = REMEMBERED) -> Decision:
    return decide(world.snapshot(), memory)[0]


def gpu(decision: Decision) -> LaneDecision:
    found = decision.lane("gpu")
    assert found is not None
    return found


def two(*extra: str) -> tuple[RouteState, ...]:
    return (route(), *(route(name) for name in extra))


def bound(*names: str, lanes: tuple[str, ...] = ("gpu", "hosted")) -> dict[str, object]:
    backends = {lane: f"{lane}-backend" for lane in lanes}
    bindings = [
        {"class": name, "ownership": "Adopted", "httpRoute": name, "rule": name, "backends": backends} for name in names
    ]
    return {"routing": {"bindings": bindings}}


def by_key(decision: Decision) -> dict[str, ClassDecision]:
    return {item.key: item for item in decision.classes}


def test_the_sentence_has_its_figures() -> None:
    lane = gpu(made(World(classes=(traffic(rate=100.0),))))
    assert lane.reason.code == "ScaleUp"
    assert lane.reason.message == (
        "Demand is forecast at 100 req/s (90%: 100) in 63 s. 7 replicas serve 97.8; "
        "one more would cost $3.85/h and save $0.86/h of hosted tokens."
    )


def test_demand_that_rises_with_the_season_is_met_before_it_comes() -> None:
    def rate(at: float) -> float:
        return 20 + 160 * (1 - math.cos(2 * math.pi * (at - NOW) / 360)) / 2

    rising = traffic(rate=rate(NOW), history=(curve(rate, 480, 2.0),))
    dear = (own_lane(), hosted_lane(usd_out="3"))
    decision = made(World(plan=plan(forecast={"seasonalitySeconds": [360]}), classes=(rising,), lanes=dear))
    assert rate(NOW) == 20
    assert 5 <= (gpu(decision).recommended or 0) <= 10  # 60 req/s a minute ahead, 100 half a minute later
    assert decision.classes[0].forecast["0.5"] == pytest.approx(rate(NOW + 63), rel=0.1)


def test_hosted_lane_that_is_cheaper_takes_all() -> None:
    decision = made(World(lanes=(own_lane(), hosted_lane(usd_out="0.2"))))
    assert gpu(decision).desired == 1
    assert gpu(decision).recommended == 1
    assert "MinReplicas" in {reason.code for reason in gpu(decision).guards}


def test_what_may_not_leave_is_sized_for_itself_and_stays_at_home() -> None:
    classes = (traffic(rate=30.0), traffic("secret", 30.0, resource=workload("secret", dataPolicy="SelfHostedOnly")))
    decision = made(World(plan=plan(**bound("chat", "secret")), classes=classes,
                          lanes=(own_lane(replicas=1), hosted_lane(usd_out="0.2")), routes=two("secret")))  # fmt: skip
    assert gpu(decision).desired == 3  # 30 req/s with headroom; the other class is cheaper at the API
    routes = {moved.class_name: moved for moved in decision.routes}
    assert routes["secret"].weights == {"gpu": 100, "hosted": 0}
    assert routes["chat"].weights["hosted"] == 100
    assert by_key(decision)["ai/secret"].hosted_share == 0.0


def test_a_secret_class_is_brought_home_even_when_blind_or_held() -> None:
    secret = traffic(resource=workload(dataPolicy="SelfHostedOnly"))
    leaked = World(classes=(secret,), routes=(route(gpu=40, hosted=60),))
    for world in (leaked, replace(leaked, classes=(replace(secret, demand=None),))):
        decision = made(world)
        assert decision.routes[0].weights == {"gpu": 100, "hosted": 0}
        assert decision.routes[0].reason.code == "DataPolicy"
        assert decision.routes[0].writable


def test_overflow_never() -> None:
    decision = made(World(plan=plan(overflow={"mode": "Never"}), routes=(route(gpu=40, hosted=60),)))
    assert decision.routes[0].weights == {"gpu": 100, "hosted": 0}
    assert gpu(decision).desired == 4  # all of it, at the attainment quantile


def test_deferrable_demand_justifies_no_gpu() -> None:
    later = traffic("later", 200.0, resource=workload("later", latency="Deferrable", slo=None))
    decision = made(World(plan=plan(**bound("chat", "later")), classes=(traffic(), later), routes=two("later")))
    assert gpu(decision).desired == 3
    assert by_key(decision)["ai/later"].hosted_share == pytest.approx(1.0)
    alone = made(World(plan=plan(**bound("later")), classes=(later,), routes=(route("later"),)))
    assert gpu(alone).desired == 0
    assert "deferrable" in gpu(alone).reason.message


def test_background_is_spilled_first() -> None:
    slow = traffic("slow", 30.0, resource=workload("slow", latency="Background"))
    world = World(plan=plan(**bound("chat", "slow")), classes=(traffic(rate=30.0), slow),
                  lanes=(own_lane(replicas=3), hosted_lane(usd_out="3")), routes=two("slow"))  # fmt: skip
    decision, memory = decide(world.snapshot(), REMEMBERED)
    shares = {key: item.hosted_share for key, item in by_key(decision).items()}
    assert shares["ai/chat"] == 0.0
    serves = memory.curves["gpu"].usable_work(3) / memory.curves["gpu"].request_seconds["ai/chat"]
    assert 35 < serves < 3 * 64 / 4.2
    assert shares["ai/slow"] == pytest.approx((60 - serves) / 30, abs=0.03)


def test_the_cheaper_hosted_lane_within_its_limits_then_the_next() -> None:
    small = hosted_lane("hosted", "1", resource=hosted_resource(limits={"requestsPerMinute": 600}))
    other = hosted_lane("other", "2", resource=hosted_resource("other"))
    world = World(
        plan=plan(lanes=["gpu", "hosted", "other"], **bound("chat", lanes=("gpu", "hosted", "other"))),
        lanes=(own_lane(state=target(4, 0)), small, other),
        classes=(traffic(rate=40.0),),
        routes=(route(gpu=100, hosted=0, other=0),),
    )
    assert made(world).routes[0].weights == {"gpu": 0, "hosted": 25, "other": 75}


def test_the_ceiling_is_obeyed_and_said() -> None:
    # 100 output tokens at $1 a million: 1 request/s costs $0.36 an hour; $3.60 buy 10 of 100.
    world = World(plan=plan(overflow={"ceilingUsd": {"perHour": "3.6"}}), classes=(traffic(rate=100.0),))
    decision = made(world)
    assert decision.routes[0].weights == {"gpu": 90, "hosted": 10}
    assert decision.classes[0].reason is not None
    assert decision.classes[0].reason.code == "CeilingReached"
    assert gpu(decision).desired == 7  # own GPUs must take 90, six serve 81


def test_two_gpu_types_split_by_warm_capacity() -> None:
    lanes = (
        own_lane("gpu", 2, resource=own_resource("gpu", replicas={"min": 0, "max": 2})),
        own_lane("big", 4, resource=own_resource("big", price={"usdPerGpuHour": "5"}, targetRef={"name": "big"})),
    )
    world = World(plan=plan(lanes=["gpu", "big"], **bound("chat", lanes=("gpu", "big"))), lanes=lanes,
                  routes=(route(gpu=50, big=50),), classes=(traffic(rate=60.0),))  # fmt: skip
    decision = made(world)
    assert gpu(decision).recommended == 2
    big = decision.lane("big")
    assert big is not None
    assert big.recommended == 3  # 60 at the attainment quantile less the cheap lane's two
    weights = decision.routes[0].weights
    assert weights["gpu"] + weights["big"] == 100
    assert weights["gpu"] == pytest.approx(39, abs=3)


def test_findings() -> None:
    lanes = (
        own_lane(resource=own_resource(replicas={"min": 0, "max": 16}, profile={"alphaMs": "50"})),
        hosted_lane(token_price=None),
        hosted_lane("batch", resource=hosted_resource("batch", "Batch")),
        hosted_lane("flex", resource=hosted_resource("flex", "Flex")),
    )
    found = {(f.reason, f.subject.rsplit("/", 1)[1]) for f in made(World(lanes=lanes)).findings}
    assert found == {
        ("Unsupported", "batch"), ("Unsupported", "flex"), ("PriceUnknown", "hosted"), ("NoFallbackLane", "gpu"),
        ("SloUnreachable", "gpu"),
    }  # fmt: skip


def test_pods_that_never_get_ready_are_told() -> None:
    stuck = target(4, 2)
    stuck = replace(stuck, pods=tuple(replace(pod, created_at=NOW - 200) for pod in stuck.pods))
    found = made(World(lanes=(own_lane(state=stuck), hosted_lane()))).findings
    assert [(f.reason, "2 pods" in f.message) for f in found] == [("CapacityUnavailable", True)]


def test_another_tool_that_sets_replicas_is_told() -> None:
    state = target(4, replicas_manager="argocd-controller", last_scale_at=NOW - 500, last_scale_from=2, last_scale_to=6)
    found = made(World(lanes=(own_lane(state=state), hosted_lane()))).findings
    assert [f.reason for f in found] == ["ReplicasContested"]


@pytest.mark.parametrize(
    ("price", "billed"),
    [
        ({"usdPerGpuHour": "2"}, 8.0),
        ({"usdPerGpuHour": "2", "commitment": "Owned"}, 32.0),
        ({"usdPerGpuHour": "2", "commitment": "Reserved", "releaseValueUsdPerGpuHour": "0.5"}, 26.0),
    ],
)
def test_dollars_by_commitment(price: dict[str, str], billed: float) -> None:
    costs = made(World(lanes=(own_lane(resource=own_resource(price=price)), hosted_lane()))).costs
    assert costs.billed == pytest.approx(billed)
    assert costs.static == pytest.approx(32.0)
    assert costs.saving == pytest.approx(32.0 - billed)
    assert costs.hosted == 0.0
    assert costs.expected is not None


def test_hosted_dollars_and_shares_as_measured() -> None:
    state = HostedState(reading(4.1), reading(1000.0), reading(500.0))
    item = traffic(by_lane={"gpu": 36.9, "hosted": 4.1})
    decision = made(World(classes=(item,), lanes=(own_lane(), hosted_lane(hosted=state))))
    hosted = decision.lane("hosted")
    assert hosted is not None
    assert hosted.usd_per_hour == pytest.approx(3600 * 500 * 1e-6)
    assert hosted.usd_per_mtok == pytest.approx(1.8 / (1500 * 3600 / 1e6))
    assert hosted.spill_share == pytest.approx(0.1)
    assert decision.costs.billed == pytest.approx(4 * 3.85 + 1.8)


def test_classes_share_the_own_bill_by_work_beside_their_hosted_dollars() -> None:
    chat = traffic(by_lane={"gpu": 30.0, "hosted": 10.0})
    rag = traffic("rag", 20.0, by_lane={"gpu": 20.0})
    one, other = made(World(classes=(chat, rag), lanes=(own_lane(), hosted_lane()))).classes
    assert one.own_usd_per_hour is not None
    assert other.own_usd_per_hour is not None
    assert one.own_usd_per_hour + other.own_usd_per_hour == pytest.approx(4 * 3.85)
    assert other.usd_per_hour == other.own_usd_per_hour, "nothing of it is hosted"
    # 10 requests a second of 100 tokens out at $1 per million.
    assert (one.usd_per_hour or 0.0) - one.own_usd_per_hour == pytest.approx(3600 * 10 * 100 * 1e-6)


def test_missing_is_missing() -> None:
    unread = hosted_lane(hosted=HostedState(None, None, None))
    world = World(lanes=(own_lane(gpu=None), unread), routes=(route(gpu=80, hosted=20),))
    decision = made(world)
    assert decision.costs.hosted is None
    assert decision.costs.billed is None
    assert decision.costs.saving is None
    assert gpu(decision).utilization.allocated is None
    assert gpu(decision).utilization.busy is None
    unused = made(replace(world, routes=(route(),)))
    assert unused.costs.hosted == 0.0


def test_the_five_utilization_figures() -> None:
    lane = own_lane(gpu=GpuState(4.0, 16.0, reading(0.8), reading(0.3)), engine=engine(running=40.0, waiting=4.0))
    decided = gpu(made(World(lanes=(lane, hosted_lane()))))
    made_of = decided.utilization
    assert made_of.allocated == 0.25
    assert made_of.busy == 0.8
    assert made_of.effective == 0.3
    assert decided.replica_requests_per_second == pytest.approx(64 / 4.2, rel=0.05)
    assert made_of.load == pytest.approx(41 / (4 * (decided.replica_requests_per_second or 0.0)))
    assert made_of.saturation == 0.1


def test_a_lane_that_is_gone_freezes_its_rule() -> None:
    world = World(
        plan=plan(**bound("chat", lanes=("gpu", "hosted", "gone"))), routes=(route(gpu=50, hosted=0, gone=50),)
    )
    decision = made(world)
    assert not decision.routes[0].changed
    assert not decision.routes[0].writable


def test_a_route_that_cannot_be_moved_is_no_overflow() -> None:
    broken = replace(route(), problem="Backend egress is not in the rule.")
    decision = made(World(routes=(broken,)))
    assert not decision.routes[0].changed
    assert not decision.routes[0].writable
    assert decision.routes[0].reason.code == "RouteUnusable"
    assert gpu(decision).desired == 4  # nothing can leave, so own GPUs take all


def test_one_bad_lane_leaves_the_others_alone() -> None:
    lanes = (
        own_lane("gpu", 1),
        own_lane("bad", 1, resource=own_resource("bad", profile=None, targetRef={"name": "x"}),
                 state=target(1, autoscaler="HorizontalPodAutoscaler/x")),
    )  # fmt: skip
    world = World(plan=plan(lanes=["gpu", "bad"], routing={"plane": "None", "bindings": []}), lanes=lanes, routes=(),
                  classes=(traffic(rate=60.0),))  # fmt: skip
    decision = made(world)
    assert gpu(decision).recommended == 5
    assert gpu(decision).writable
    bad = decision.lane("bad")
    assert bad is not None
    assert (bad.writable, bad.reason.code) == (False, "AutoscalerConflict")


def test_recommend_tells_weights_but_writes_none() -> None:
    decision = made(World(plan=plan(mode="Recommend"), classes=(traffic(rate=100.0),)))
    assert decision.routes[0].changed
    assert not decision.routes[0].writable
    assert decision.held is None


def test_the_last_known_mix_serves_while_nothing_comes() -> None:
    _, memory = decide(World().snapshot(), REMEMBERED)
    later = NOW + 1200
    lanes = (own_lane(state=target(at=later), engine=engine(at=later)), hosted_lane())
    quiet = World(classes=(traffic(rate=0.0, tokens=None, at=later),), lanes=lanes, at=later)
    assert gpu(made(quiet)).reason.code == "TokenMixUnknown"
    decision, _ = decide(quiet.snapshot(), memory)
    assert gpu(decision).desired == 1  # the lane's minimum
