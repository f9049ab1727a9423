"""GPU pools: shares by namespace, and what other plans ask for."""

from __future__ import annotations

from typing import Any

from spillway.api import CapacityLane, CapacityPlan
from spillway.config import GpuPool
from spillway.decide.snapshot import TargetState
from spillway.observe.pools import with_pools
from spillway.observe.scope import LaneScope, PlanScope


def target(replicas: int) -> TargetState:
    return TargetState("Deployment", "v", "a", "u", "1", replicas, replicas, ())


def lane(name: str, replicas: int | None, namespace: str = "a", pool: str | None = "h100", gpus: int = 2) -> LaneScope:
    gpu: dict[str, Any] = {"type": "h100", "perReplica": gpus} | ({"pool": pool} if pool else {})
    own = {
        "targetRef": {"name": name},
        "gpu": gpu,
        "price": {"usdPerGpuHour": "1"},
        "replicas": {"max": 4},
    }
    resource = CapacityLane.parse(
        {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"type": "SelfHosted", "models": ["m"], "selfHosted": own},
        }
    )
    return LaneScope(resource, None if replicas is None else target(replicas))


def scope(name: str, *lanes: LaneScope) -> PlanScope:
    namespace = lanes[0].resource.metadata.namespace
    names = [each.resource.metadata.name for each in lanes]
    plan = CapacityPlan.parse({"metadata": {"name": name, "namespace": namespace}, "spec": {"lanes": names}})
    return PlanScope(plan, (), lanes, ())


def bounds(scopes: list[PlanScope]) -> list[tuple[int | None, int]]:
    return [(each.pool_gpus, each.pool_gpus_others) for found in scopes for each in found.lanes]


def test_a_pool_without_shares_is_everybodys_and_counts_everybody() -> None:
    scopes = [scope("x", lane("x1", 3), lane("x2", 1)), scope("y", lane("y1", 2, namespace="b"))]
    # A plan's own lanes are not among the others: the decision counts those itself.
    assert bounds(with_pools(scopes, [GpuPool(name="h100", gpus=16)])) == [(16, 4), (16, 4), (16, 8)]


def test_shares_bound_a_namespace_and_count_it_alone() -> None:
    scopes = [scope("x", lane("x1", 3)), scope("z", lane("z1", 1)), scope("y", lane("y1", 2, namespace="b"))]
    pool = GpuPool(name="h100", gpus=16, shares={"a": 10})
    # Namespace b is not listed, so it has no share at all.
    assert bounds(with_pools(scopes, [pool])) == [(10, 2), (10, 6), (0, 0)]
    assert bounds(with_pools(scopes[:1], [GpuPool(name="h100", gpus=4, shares={"a": 10})])) == [(4, 0)]


def test_a_lane_without_a_pool_is_unbounded_and_a_missing_target_asks_for_nothing() -> None:
    scopes = [scope("x", lane("x1", None)), scope("y", lane("y1", 2)), scope("z", lane("z1", 9, pool=None))]
    assert bounds(with_pools(scopes, [GpuPool(name="h100", gpus=8)])) == [(8, 4), (8, 0), (None, 0)]


def test_a_pool_that_nobody_configured_stops_growth_and_is_told() -> None:
    (found,) = with_pools([scope("x", lane("x1", 3, pool="typo"))], [GpuPool(name="h100", gpus=8)])
    assert found.lanes[0].pool_gpus == 0
    (finding,) = found.findings
    assert (finding.reason, finding.subject) == ("PoolNotFound", "CapacityLane/a/x1")
    assert "typo" in finding.message
