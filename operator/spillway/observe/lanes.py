"""One lane's figures: engines and GPUs by the pods that its target owns, hosted traffic by the egress' counters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from spillway.api import CapacityLane, Engine
from spillway.api.providers import OWN_PROVIDER, PROVIDERS
from spillway.decide.snapshot import (
    EngineState,
    Finding,
    GpuState,
    HostedState,
    PodState,
    Reading,
    Severity,
    TargetState,
)
from spillway.observe.counters import EngineRow, GatewayRow, Sources
from spillway.observe.gpu_peaks import gpu_peak
from spillway.observe.queries import warm_seconds
from spillway.observe.readings import PodEngine, PodKey
from spillway.observe.scope import ClusterView, LaneScope
from spillway.observe.service import service_samples
from spillway.observe.tenancy import allowed_rows, may_claim


@dataclass(frozen=True, slots=True)
class OwnLane:
    """A self-hosted lane with what its own pods report."""

    scope: LaneScope
    target: TargetState
    """With the pods' gauges."""
    engines: tuple[PodEngine, ...]
    """Fresh readings of the target's pods, in the lane's engine."""
    rows: tuple[EngineRow, ...]
    """History of the target's workload."""
    state: EngineState
    newest_at: float | None
    findings: tuple[Finding, ...] = ()

    @property
    def name(self) -> str:
        """Name of the lane."""
        return self.scope.resource.metadata.name

    @property
    def pod_keys(self) -> tuple[PodKey, ...]:
        """The target's pods."""
        return tuple((self.target.namespace, pod.name) for pod in self.target.pods)


@dataclass(frozen=True, slots=True)
class HostedLane:
    """A hosted lane with the egress' counters that are its own."""

    scope: LaneScope
    rows: tuple[GatewayRow, ...]
    state: HostedState

    @property
    def name(self) -> str:
        """Name of the lane."""
        return self.scope.resource.metadata.name


def combine(values: Iterable[tuple[float | None, float]], how: Callable[[list[float]], float]) -> Reading | None:
    """The known values combined, dated by the newest sample behind them; None when none is known."""
    known = [(value, at) for value, at in values if value is not None]
    if not known:
        return None
    return Reading(how([value for value, _ in known]), max(at for _, at in known))


def own_lane(scope: LaneScope, sources: Sources) -> OwnLane | None:
    """The lane's engines now and over time; None without a target."""
    spec, target = scope.resource.spec.self_hosted, scope.target
    if spec is None or target is None:
        return None
    now = sources.metrics.at
    by_pod: dict[str, list[PodEngine]] = {}
    others: set[Engine] = set()
    for pod in target.pods:
        for engine in sources.metrics.engines.get((target.namespace, pod.name), ()):
            if engine.engine is spec.engine:
                by_pod.setdefault(pod.name, []).append(engine)
            else:
                others.add(engine.engine)
    # An engine whose gauges are NaN is scraped and tells nothing: it does not report.
    every = [e for engines in by_pod.values() for e in engines if e.get("running") is not None]
    fresh = tuple(engine for engine in every if now - engine.at <= sources.fresh_seconds)
    rows = tuple(
        row
        for row in sources.engines.rows(target.namespace, target.kind, target.name)
        if row.engine == spec.engine.value
    )
    reporting = {name for name, engines in by_pod.items() if any(e in fresh for e in engines)}
    findings = [*_engine_mismatch(scope.resource, spec.engine, others if not by_pod else ())]
    findings += _silent_pods(scope.resource, target, reporting, sources)
    return OwnLane(
        scope=scope,
        target=replace(target, pods=tuple(_with_gauges(pod, by_pod.get(pod.name, ())) for pod in target.pods)),
        engines=fresh,
        rows=rows,
        state=_engine_state(scope.resource, fresh, len(reporting), rows, sources),
        newest_at=max((engine.at for engine in every), default=None),
        findings=tuple(findings),
    )


def settled(pod: PodState, sources: Sources) -> bool:
    """Whether the pod has been Ready for long enough that its metrics must be there."""
    wait = warm_seconds(sources.config.prometheus) + sources.fresh_seconds
    return pod.ready and not pod.deleting and pod.ready_at is not None and sources.metrics.at - pod.ready_at > wait


def _with_gauges(pod: PodState, engines: Sequence[PodEngine]) -> PodState:
    def gauge(key: str, how: Callable[[list[float]], float]) -> Reading | None:
        return combine([(engine.get(key), engine.at) for engine in engines], how)

    return replace(pod, running=gauge("running", sum), waiting=gauge("waiting", sum), kv_usage=gauge("kv_usage", max))


def _engine_mismatch(lane: CapacityLane, wanted: Engine, others: Collection[Engine]) -> list[Finding]:
    return [
        Finding(
            Severity.WARNING,
            "EngineMismatch",
            f"CapacityLane {lane.metadata.key}: its pods export the metrics of {other.value}; "
            f"set spec.selfHosted.engine to {other.value} (it is {wanted.value})",
            f"CapacityLane/{lane.metadata.key}",
        )
        for other in sorted(others)
    ]


def _silent_pods(
    lane: CapacityLane, target: TargetState, reporting: Collection[str], sources: Sources
) -> list[Finding]:
    silent = [pod.name for pod in target.pods if settled(pod, sources) and pod.name not in reporting]
    if not silent or not reporting:
        return []
    message = (
        f"CapacityLane {lane.metadata.key}: {len(silent)} Ready pods of {target.kind} {target.name} export no fresh "
        f"engine metrics ({silent[0]}); check that Prometheus scrapes them"
    )
    return [Finding(Severity.WARNING, "PodsNotReporting", message, f"CapacityLane/{lane.metadata.key}")]


def _engine_state(
    lane: CapacityLane, engines: Sequence[PodEngine], reporting: int, rows: Sequence[EngineRow], sources: Sources
) -> EngineState:
    def figure(key: str, how: Callable[[list[float]], float] = sum) -> Reading | None:
        return combine([(engine.get(key), engine.at) for engine in engines], how)

    return EngineState(
        pods_reporting=reporting,
        running=figure("running"),
        waiting=figure("waiting"),
        kv_usage=figure("kv_usage", max),
        input_tokens_per_second=figure("input_tokens"),
        output_tokens_per_second=figure("output_tokens"),
        requests_per_second=figure("requests"),
        time_to_first_token_seconds=_mean(figure("ttft_sum"), figure("ttft_count")),
        inter_token_latency_seconds=_mean(figure("itl_sum"), figure("itl_count")),
        preemptions_per_second=figure("preemptions"),
        rejections_per_second=figure("rejections"),
        samples=service_samples(sources.metrics.engine_history.fine, rows, _kv_size(lane, engines)),
    )


def _mean(total: Reading | None, count: Reading | None) -> Reading | None:
    if total is None or count is None or count.value <= 0:
        return None
    return Reading(total.value / count.value, total.at)


def _kv_size(lane: CapacityLane, engines: Sequence[PodEngine]) -> float | None:
    """Tokens that one replica's KV cache holds: what the engines say, else the profile."""
    sizes = [size for e in engines if (size := e.kv_size_tokens or e.get("kv_size_tokens")) is not None]
    if sizes:
        return sum(sizes) / len(sizes)
    profile = lane.spec.self_hosted.profile if lane.spec.self_hosted else None
    return float(profile.kv_cache_tokens) if profile and profile.kv_cache_tokens else None


def gpu_state(lane: OwnLane, cluster: ClusterView, sources: Sources) -> GpuState:
    """The lane's GPU figures: exporters by owned pods, requests from the cluster or kube-state-metrics."""
    gpus = sources.metrics.gpus
    requested = lane.scope.gpus_requested
    if requested is None:
        known = [gpus.requested[key] for key in lane.pod_keys if key in gpus.requested]
        requested = sum(known) if known else None
    busy = [gpus.busy[key] for key in lane.pod_keys if key in gpus.busy]
    return GpuState(
        requested=requested,
        allocatable=cluster.gpus_allocatable if cluster.gpus_allocatable is not None else gpus.allocatable,
        busy=combine([(reading.value, reading.at) for reading in busy], lambda v: sum(v) / len(v)),
        effective=_effective(lane),
    )


def _effective(lane: OwnLane) -> Reading | None:
    """max(MFU, MBU). Engines that don't estimate export 0 forever: that is missing, not idle."""
    spec = lane.scope.resource.spec.self_hosted
    peak = gpu_peak(spec.gpu.type) if spec else None
    if peak is None:
        return None
    shares: list[tuple[float | None, float]] = []
    for engine in lane.engines:
        flops = engine.get("flops") or 0.0
        moved = (engine.get("read_bytes") or 0.0) + (engine.get("write_bytes") or 0.0)
        if flops > 0 or moved > 0:
            share = max(flops / peak.flops_per_second, moved / peak.bytes_per_second)
            shares.append((min(1.0, share), engine.at))
    return combine(shares, lambda v: sum(v) / len(v))


def hosted_lane(
    scope: LaneScope, siblings: Sequence[LaneScope], namespaces: Collection[str], sources: Sources
) -> HostedLane | None:
    """A hosted lane's counters at the egress. ``namespaces``: of the plan and its classes, whose traffic it is."""
    hosted = scope.resource.spec.hosted
    if hosted is None:
        return None
    names = (hosted.model, f"{hosted.provider}/{hosted.model}")
    found = [row for name in names for row in sources.egress.labelled("model", name)]
    rows = tuple(row for row in allowed_rows(found, namespaces) if is_own(row, scope, siblings))
    known_zero = may_claim(sources.egress.gateways, namespaces, hosted.model)
    return HostedLane(scope, rows, _hosted_state(rows, sources if known_zero else None))


def is_own(row: GatewayRow, scope: LaneScope, siblings: Sequence[LaneScope]) -> bool:
    """Of several lanes with one model, the provider decides; else the first by name has the series."""
    same = [other for other in siblings if _model(other) == _model(scope)]
    provider = row.labels.get("api_provider", "")
    if provider == OWN_PROVIDER:
        # A LiteLLM at the front counts own engines, too, and their model may have the hosted one's name.
        return False
    named = [other for other in same if provider in _providers(other)]
    first = min(named or same, key=lambda other: other.key)
    return first.key == scope.key


def _providers(scope: LaneScope) -> tuple[str, ...]:
    """The lane's provider by its own name and by LiteLLM's."""
    hosted = scope.resource.spec.hosted
    return () if hosted is None else (hosted.provider, PROVIDERS.get(hosted.provider, hosted.provider))


def _model(scope: LaneScope) -> str:
    return scope.resource.spec.hosted.model if scope.resource.spec.hosted else ""


def rate_of(rows: Iterable[GatewayRow], key: str) -> Reading | None:
    """Sum of one counter's rate over gateway rows."""
    return combine([(row.now.values.get(key), row.now.at) for row in rows if row.now is not None], sum)


def _hosted_state(rows: Sequence[GatewayRow], sources: Sources | None) -> HostedState:
    alive_at = sources.egress.alive_at if sources else None

    def figure(key: str) -> Reading | None:
        if alive_at is not None and not any(row.now for row in rows):
            # The egress is up and has never counted this model: it creates a series at the first request.
            return Reading(0.0, alive_at)
        return rate_of(rows, key)

    return HostedState(figure("requests"), figure("input_tokens"), figure("output_tokens"), figure("errors"))
