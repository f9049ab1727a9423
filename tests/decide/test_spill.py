"""Gateways that pass on by themselves what own engines refuse: what is counted on, and what weights then say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decide.builders import NOW, World, hosted_lane, plan, route, workload
from decide.gateways import GPU, REMEMBERED, chat, gpu, own
from spillway.decide import decide
from spillway.decide.decision import Decision
from spillway.decide.snapshot import Actuators, LaneSnapshot, Severity

BINDING = {
    "class": "chat",
    "ownership": "Adopted",
    "httpRoute": "chat",
    "rule": "chat",
    "backends": {"gpu": "vllm", "hosted": "egress"},
}


def decided(able: Actuators, lane: LaneSnapshot | None = None, rate: float = 41.0, policy: str = "Any") -> Decision:
    """What is decided of one class whose gateway is to spill."""
    resource = workload(slo={"timeToFirstTokenMs": 4000}, dataPolicy=policy)
    world = World(
        classes=(chat(rate, NOW, resource),),
        lanes=(lane or own(), hosted_lane(usd_out="1.0")),
        plan=plan(lanes=["gpu", "hosted"], overflow={"mode": "Spill"}, routing={"bindings": [BINDING]}),
        routes=(route(gpu=100, hosted=0),),
    )
    return decide(replace(world.snapshot(), actuators=able), REMEMBERED)[0]


ARMED, UNARMED = Actuators(spill=True), Actuators()


def weights(decision: Decision) -> dict[str, int]:
    (found,) = decision.routes
    return dict(found.weights)


@pytest.mark.parametrize("rate", [20.0, 41.0, 400.0])
def test_while_own_replicas_serve_weights_leave_all_to_the_gateway(rate: float) -> None:
    """A weight on the fallback would be a paid split of what own engines could take."""
    decision = decided(ARMED, rate=rate)
    assert weights(decision) == {"gpu": 100, "hosted": 0}
    found = decision.classes[0]
    assert found.reason is not None
    assert (found.hosted_share, found.reason.code) == (0.0, "Spilling")


def test_without_own_replicas_all_of_it_is_hosted() -> None:
    decision = decided(ARMED, own(4, 0))
    assert weights(decision) == {"gpu": 0, "hosted": 100}
    assert decision.classes[0].hosted_share == 1.0


def test_what_may_not_spill_is_not_counted_on() -> None:
    """Engines that queue without limit, a policy that is missing: own replicas must take it all, the last one stays."""
    decision = decided(UNARMED, rate=0.05)
    reason = decision.classes[0].reason
    assert reason is not None
    assert reason.code == "OwnOnly"
    assert (gpu(decision).recommended or 0) >= 1
    assert [f.reason for f in decision.findings if f.severity is Severity.WARNING] == ["NoFallbackLane"]
    assert not [f for f in decided(ARMED, rate=0.05).findings if f.reason == "NoFallbackLane"]


def test_what_may_spill_saves_headroom() -> None:
    """The same demand: where a peak goes elsewhere, no more replicas are kept than where it can't."""
    safe, alone = gpu(decided(ARMED)).recommended, gpu(decided(UNARMED)).recommended
    assert safe is not None
    assert alone is not None
    assert safe <= alone


def test_the_data_policy_holds() -> None:
    decision = decided(ARMED, own(4, 0), policy="SelfHostedOnly")
    assert weights(decision)["hosted"] == 0
    assert decision.lane(GPU) is not None
