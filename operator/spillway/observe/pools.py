"""GPU pools: how many GPUs a lane's namespace may use, and how many of them other plans ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from spillway.config import GpuPool
from spillway.decide.snapshot import Finding, Severity
from spillway.observe.scope import LaneScope, PlanScope


def _pool_of(lane: LaneScope) -> str | None:
    own = lane.resource.spec.self_hosted
    return own.gpu.pool if own else None


def _asked(scopes: Iterable[PlanScope]) -> dict[tuple[str, str, str], int]:
    """GPUs asked for by (pool, namespace, plan)."""
    asked: dict[tuple[str, str, str], int] = {}
    for scope in scopes:
        for lane in scope.lanes:
            own, pool = lane.resource.spec.self_hosted, _pool_of(lane)
            if own and pool and lane.target:
                key = (pool, lane.resource.metadata.namespace, scope.plan.metadata.key)
                asked[key] = asked.get(key, 0) + lane.target.replicas * own.gpu.per_replica
    return asked


def _bounded(lane: LaneScope, pool: GpuPool, plan_key: str, asked: Mapping[tuple[str, str, str], int]) -> LaneScope:
    namespace = lane.resource.metadata.namespace
    limit = min(pool.shares.get(namespace, 0), pool.gpus) if pool.shares else pool.gpus
    others = sum(
        gpus
        for (name, where, plan), gpus in asked.items()
        if name == pool.name and plan != plan_key and (where == namespace or not pool.shares)
    )
    return replace(lane, pool_gpus=limit, pool_gpus_others=others)


def with_pools(scopes: Sequence[PlanScope], pools: Iterable[GpuPool]) -> list[PlanScope]:
    """The scopes with each lane's pool limit; a pool that is not configured is an error of its lane."""
    by_name, asked, done = {pool.name: pool for pool in pools}, _asked(scopes), []
    for scope in scopes:
        lanes, findings = [], list(scope.findings)
        for lane in scope.lanes:
            name = _pool_of(lane)
            if name is None or name in by_name:
                bounded = _bounded(lane, by_name[name], scope.plan.metadata.key, asked) if name else lane
                lanes.append(bounded)
                continue
            meta = lane.resource.metadata
            message = f"lane {meta.name}: gpu.pool {name} is not among the operator's gpuPools: add it there"
            findings.append(Finding(Severity.ERROR, "PoolNotFound", message, f"CapacityLane/{meta.key}"))
            lanes.append(replace(lane, pool_gpus=0))
        done.append(replace(scope, lanes=tuple(lanes), findings=tuple(findings)))
    return done
