"""From the checked file and manifests to `World` (what is true) and `Known` (what a policy knows)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from spillway.api import CapacityLane, CapacityPlan, DataPolicy, LatencyClass, OverflowMode, RoutingPlane, WorkloadClass
from spillway.simulate.policy import Known, LaneInfo
from spillway.simulate.scenario.demand import Demand, MeanRequest
from spillway.simulate.scenario.errors import ScenarioError
from spillway.simulate.scenario.manifests import Resources
from spillway.simulate.scenario.model import HostedLaneTruth, OwnLaneTruth, ScenarioFile
from spillway.simulate.scenario.table import coefficients, read_table
from spillway.simulate.world import ClassTruth, HostedTruth, OwnTruth, World


def build_world(file: ScenarioFile, resources: Resources, demand: Demand, folder: Path, origin: str) -> World:
    """Everything but the requests. Raises ScenarioError."""
    _check_names(file, resources, origin)
    own = tuple(_own(lane, file.truth, folder, origin) for lane in resources.own)
    hosted = tuple(_hosted(lane, file.hosted, origin) for lane in resources.hosted)
    classes = tuple(
        _class(item, resources, hosted, demand.mean_request(index), file.billing.cached_share)
        for index, item in enumerate(resources.classes)
    )
    for item in classes:
        if not item.own and not item.hosted:
            raise ScenarioError(
                f"{origin}: WorkloadClass {item.key}: no lane of the plan may serve it; "
                "mend equivalentModels, the lanes' models or the plan's lanes"
            )
    return World(
        classes=classes,
        own=own,
        hosted=hosted,
        node_release_s=file.billing.node_release_seconds,
        warmup_s=file.time.warmup_seconds,
        duration_s=file.time.duration_seconds,
        metrics_lag_s=file.time.metrics_lag_seconds,
        cached_share=file.billing.cached_share,
        gaps=demand.gaps(),
        gpu_pools=tuple(sorted(file.gpu_pools.items())),
    )


def build_known(file: ScenarioFile, resources: Resources, world: World) -> Known:
    """What every policy is told beforehand."""
    return Known(
        plan=resources.plan,
        classes=resources.classes,
        own=tuple(LaneInfo(lane, truth.startup_mean_s) for lane, truth in zip(resources.own, world.own, strict=True)),
        hosted=resources.hosted,
        metrics_lag_s=world.metrics_lag_s,
        gpu_pools=dict(file.gpu_pools),
    )


def class_numbers(classes: Sequence[WorkloadClass]) -> dict[str, int]:
    """Position by "namespace/name", and by name alone where that is unambiguous."""
    names = [item.metadata.name for item in classes]
    numbers = {item.metadata.key: index for index, item in enumerate(classes)}
    return numbers | {name: index for index, name in enumerate(names) if names.count(name) == 1}


def _check_names(file: ScenarioFile, resources: Resources, origin: str) -> None:
    for field, given, lanes, kind in (
        ("truth", file.truth, resources.own, "SelfHosted"),
        ("hosted", file.hosted, resources.hosted, "HostedRealtime"),
    ):
        known = [lane.metadata.name for lane in lanes]
        for name in given:
            if name not in known:
                names = ", ".join(known) or "none"
                raise ScenarioError(
                    f"{origin}: {field}.{name}: the plan has no {kind} lane of that name; it has {names}"
                )
    pools = {lane.spec.self_hosted.gpu.pool for lane in resources.own if lane.spec.self_hosted is not None}
    for name in file.gpu_pools:
        if name not in pools:
            names = ", ".join(sorted(pool for pool in pools if pool)) or "none"
            raise ScenarioError(f"{origin}: gpuPools.{name}: no lane of the plan is in that pool; they are in {names}")


def _own(lane: CapacityLane, truths: Mapping[str, OwnLaneTruth], folder: Path, origin: str) -> OwnTruth:
    name, spec = lane.metadata.name, lane.spec.self_hosted
    assert spec is not None  # noqa: S101 - checked with the manifests
    if name not in truths:
        raise ScenarioError(f"{origin}: truth.{name}: is missing; say what that SelfHosted lane really does")
    truth = truths[name]
    table = None if truth.table is None else read_table(folder / truth.table, truth.noise_sigma)
    if table is not None:
        fit = coefficients(table)
        formula = (fit.alpha_ms, fit.beta_ms_per_seq, fit.gamma_ms_per_ktoken, fit.prefill_ms_per_ktoken)
    else:
        formula = (
            truth.alpha_ms or 0.0,
            truth.beta_ms_per_seq or 0.0,
            truth.gamma_ms_per_k_token_kv or 0.0,
            truth.prefill_ms_per_k_token or 0.0,
        )
    return OwnTruth(
        name=name,
        startup_mean_s=truth.startup_seconds.mean,
        startup_sigma=truth.startup_seconds.sigma,
        max_num_seqs=truth.max_num_seqs,
        max_batched_tokens=truth.max_batched_tokens,
        kv_cache_tokens=truth.kv_cache_tokens,
        max_queued=truth.max_queued_per_replica,
        alpha_ms=formula[0],
        beta_ms_per_seq=formula[1],
        gamma_ms_per_ktoken=formula[2],
        prefill_ms_per_ktoken=formula[3],
        table=table,
        min_replicas=spec.replicas.min,
        max_replicas=spec.replicas.max,
        usd_per_replica_hour=float(spec.price.avoidable_usd_per_gpu_hour) * spec.gpu.per_replica,
        gpus_per_replica=spec.gpu.per_replica,
        pool=spec.gpu.pool,
        stockouts=tuple(sorted(truth.stock_outs)),
    )


def _hosted(lane: CapacityLane, truths: Mapping[str, HostedLaneTruth], origin: str) -> HostedTruth:
    name, spec = lane.metadata.name, lane.spec.hosted
    assert spec is not None  # noqa: S101 - checked with the manifests
    if name not in truths:
        raise ScenarioError(f"{origin}: hosted.{name}: is missing; give that HostedRealtime lane ttftMs and itlMs")
    if spec.price is None:
        raise ScenarioError(
            f"{origin}: CapacityLane {lane.metadata.key}: spec.hosted.price: is missing; pin the price, "
            "a backtest takes none from the price package"
        )
    truth, price, limits = truths[name], spec.price, spec.limits
    cached = price.input_usd_per_m_tok if price.cached_input_usd_per_m_tok is None else price.cached_input_usd_per_m_tok
    return HostedTruth(
        name=name,
        ttft_p50_s=truth.ttft_ms.p50 / 1000.0,
        ttft_p99_s=truth.ttft_ms.p99 / 1000.0,
        itl_p50_s=truth.itl_ms.p50 / 1000.0,
        itl_p99_s=truth.itl_ms.p99 / 1000.0,
        error_rate=truth.error_rate,
        outages=tuple(sorted(truth.outages)),
        usd_per_input_token=float(price.input_usd_per_m_tok) / 1e6,
        usd_per_cached_input_token=float(cached) / 1e6,
        usd_per_output_token=float(price.output_usd_per_m_tok) / 1e6,
        requests_per_minute=_limit(None if limits is None else limits.requests_per_minute),
        tokens_per_minute=_limit(None if limits is None else limits.tokens_per_minute),
        concurrency=_limit(None if limits is None else limits.concurrency),
    )


def _limit(given: int | None) -> float:
    return float("inf") if given is None else float(given)


def _class(
    item: WorkloadClass,
    resources: Resources,
    hosted: Sequence[HostedTruth],
    mean: MeanRequest,
    cached_share: float,
) -> ClassTruth:
    spec, key = item.spec, item.metadata.key
    deferrable = spec.latency is LatencyClass.DEFERRABLE
    no_slo = deferrable or spec.slo is None
    own = tuple(i for i, lane in enumerate(resources.own) if _may_serve(resources.plan, item, lane))
    outside = spec.data_policy is DataPolicy.ANY and resources.plan.spec.overflow.mode is not OverflowMode.NEVER
    allowed = [i for i, lane in enumerate(resources.hosted) if outside and _may_serve(resources.plan, item, lane)]
    allowed.sort(key=lambda index: (_usd(hosted[index], mean, cached_share), index))
    return ClassTruth(
        key=key,
        latency=spec.latency,
        ttft_slo_s=float("inf") if no_slo or spec.slo is None else spec.slo.time_to_first_token_ms / 1000.0,
        itl_slo_s=float("inf") if no_slo or spec.slo is None else spec.slo.inter_token_latency_ms / 1000.0,
        attainment=resources.attainments[key],
        own=own,
        hosted=tuple(allowed),
        deadline_s=resources.deadlines_s[key],
    )


def _may_serve(plan: CapacityPlan, item: WorkloadClass, lane: CapacityLane) -> bool:
    """An equivalent model, and a backend of the class's route where the plan binds one."""
    if not set(item.spec.equivalent_models) & set(lane.spec.models):
        return False
    routing = plan.spec.routing
    if routing.plane is RoutingPlane.NONE:
        return True
    bound = next((b for b in routing.bindings if b.class_ == item.metadata.name), None)
    return bound is None or lane.metadata.name in bound.backends


def _usd(lane: HostedTruth, mean: MeanRequest, cached_share: float) -> float:
    """Price of the class's mean request."""
    per_input = cached_share * lane.usd_per_cached_input_token + (1 - cached_share) * lane.usd_per_input_token
    return mean.input_tokens * per_input + mean.output_tokens * lane.usd_per_output_token
