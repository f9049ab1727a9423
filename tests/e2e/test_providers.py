"""A provider that refuses, in a cluster: told, given less, and given more again once it takes it."""

from __future__ import annotations

import math

from support.world import World, own_lane


def reason(world: World) -> str:
    lanes = world.status().get("lanes", [])
    return next((str(lane.get("reason")) for lane in lanes if lane["name"] == "hosted"), "")


def test_a_provider_that_refuses_gets_less_until_it_takes_more(world: World) -> None:
    world.standard(replicas=1)
    world.apply(own_lane(world.namespace, replicas={"min": 1, "max": 1}))
    world.fleet.demand_rps = 60  # one replica serves 10
    world.start_operator()
    world.wait(lambda: world.weights()["egress"] > 60, "overflow")
    assert reason(world) != "ProviderRefuses"

    world.fleet.hosted_takes_rps = 20
    world.wait(lambda: reason(world) == "ProviderRefuses", "the provider's refusals are told")
    # 16 of 60, as 20 were taken; a part of the reading is from before.
    world.wait(lambda: world.weights()["egress"] <= 45, "less for who refuses")

    world.fleet.hosted_takes_rps = math.inf
    world.wait(lambda: world.weights()["egress"] > 60, "all that own replicas can't take", 300)
