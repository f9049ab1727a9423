"""Checks of Prometheus, its labels, the engines, gateways and GPU exporters, and of what can be decided. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from spillway.api import LaneType
from spillway.cli.doctor.facts import Facts
from spillway.cli.doctor.result import Check, failed, listed, passed, skipped, warned
from spillway.config import OperatorConfig
from spillway.decide.decision import Decision, LaneDecision
from spillway.decide.snapshot import PlanSnapshot, Series
from spillway.observe.metrics import MetricsView
from spillway.observe.readings import PodKey
from spillway.observe.scope import LaneScope

PROMETHEUS = "Prometheus"
ENGINES = "engine metrics"
LABELS = "metric labels"
GATEWAYS = "gateways"
GPUS = "GPU metrics"
PRICES = "prices"
FIRST = "recommendation"
GRACE = "grace period"

SCRAPE_FIX = "scrape port 8000, path /metrics, of the engines' pods (a PodMonitor, or annotations prometheus.io/*)"


def check_prometheus(facts: Facts) -> Iterable[Check]:
    """Whether Prometheus answers."""
    view = facts.metrics
    if view is None:
        yield skipped(PROMETHEUS, "not asked: no configuration")
        return
    if view.error:
        yield failed(PROMETHEUS, view.error, _address_fix(view.error))
        return
    for warning in view.warnings:
        yield warned(PROMETHEUS, warning, "look at the load of Prometheus, or raise prometheus.timeoutSeconds")
    yield passed(PROMETHEUS, f"{view.queries} queries answered in {view.seconds:.1f} s")


def _address_fix(error: str) -> str:
    if "HTTP 401" in error or "HTTP 403" in error:
        return "set prometheus.bearerTokenFile, or the tenant header by prometheus.tenant"
    if "certificate" in error or "TLS" in error:
        return "set prometheus.caFile to the CA of its certificate"
    return "check prometheus.url; from outside the cluster: kubectl port-forward, and --prometheus-url"


def stale_seconds(config: OperatorConfig) -> float:
    """Samples older than this are stale."""
    return max(4 * config.prometheus.scrape_interval_seconds, 2 * config.tick_seconds)


def check_engines(facts: Facts) -> Iterable[Check]:
    """Whether the engines of each lane are seen, under the configured labels, and freshly."""
    view, config = facts.metrics, facts.config
    if facts.view is None or config is None or view is None or view.error:
        return
    lanes = [lane for scope in facts.view.plans for lane in scope.lanes if lane.target is not None]
    pods = {key for lane in lanes for key in ready_pods(lane)}
    lost = [lane for lane in lanes if ready_pods(lane) and not any(key in view.engines for key in ready_pods(lane))]
    if lost:
        yield from _unseen(facts, config, lost, pods)
    elif pods:
        names = config.prometheus.labels
        yield passed(LABELS, f"{names.namespace} and {names.pod} name the pods")
    for lane in lanes:
        if lane not in lost:
            yield from _seen(lane, view, stale_seconds(config), facts.now)


def ready_pods(lane: LaneScope) -> list[PodKey]:
    """The lane's Ready pods that are not going away."""
    target = lane.target
    if target is None:
        return []
    return [(target.namespace, pod.name) for pod in target.pods if pod.ready and not pod.deleting]


def _unseen(facts: Facts, config: OperatorConfig, lost: Sequence[LaneScope], pods: set[PodKey]) -> Iterable[Check]:
    names = listed([lane.key for lane in lost])
    samples = facts.probe.engine_samples
    if not samples:
        yield failed(ENGINES, f"no vLLM or SGLang series in Prometheus; lanes {names} are blind", SCRAPE_FIX)
        return
    configured = config.prometheus.labels
    if renamed := renamed_labels(samples, pods):
        namespace, pod = renamed
        message = (
            f"the pods of {names} are found by {namespace} and {pod}, not {configured.namespace} and {configured.pod}"
        )
        fix = f"set prometheus.labels: {{namespace: {namespace}, pod: {pod}}}"
        yield failed(LABELS, message, fix)
        return
    present = listed(sorted({label for sample in samples for label in sample if label != "__name__"}), 8)
    if not any(configured.pod in sample and configured.namespace in sample for sample in samples):
        message = f"engine series carry no {configured.namespace} and {configured.pod} (labels: {present})"
        yield failed(LABELS, message, "keep them in the scrape's relabelling, or name them in prometheus.labels")
        return
    yield failed(ENGINES, f"engine series exist, but none of the pods of {names}", SCRAPE_FIX)


def renamed_labels(samples: Iterable[Mapping[str, str]], pods: set[PodKey]) -> tuple[str, str] | None:
    """The labels (namespace, pod) whose values name one of ``pods``: found by value, whatever they are called."""
    for sample in samples:
        for pod_label, pod in sample.items():
            for namespace_label, namespace in sample.items():
                if namespace_label != pod_label and (namespace, pod) in pods:
                    return namespace_label, pod_label
    return None


def _seen(lane: LaneScope, view: MetricsView, limit_seconds: float, now: float) -> Iterable[Check]:
    ready = ready_pods(lane)
    if not ready:
        yield skipped(ENGINES, f"lane {lane.key}: no Ready pod to look at")
        return
    newest = {key: max(engine.at for engine in view.engines[key]) for key in ready if key in view.engines}
    fresh = [key for key, at in newest.items() if now - at <= limit_seconds]
    if not fresh:
        age = now - max(newest.values())
        message = f"lane {lane.key}: the newest sample is {age:.0f} s old, more than {limit_seconds:.0f} s"
        yield failed(ENGINES, message, "set prometheus.scrapeIntervalSeconds to the engines' real scrape interval")
    elif len(fresh) < len(ready):
        message = f"lane {lane.key}: {len(fresh)} of {len(ready)} Ready pods report"
        yield warned(ENGINES, message, SCRAPE_FIX)
    else:
        yield passed(ENGINES, f"lane {lane.key}: {len(fresh)} of {len(ready)} Ready pods report")
    yield from _engine_kind(lane, view, fresh)


def _engine_kind(lane: LaneScope, view: MetricsView, pods: Sequence[PodKey]) -> Iterable[Check]:
    own = lane.resource.spec.self_hosted
    found = {engine.engine for key in pods for engine in view.engines[key]}
    if own and found and own.engine not in found:
        message = f"lane {lane.key}: spec.selfHosted.engine is {own.engine}, its pods export {listed(sorted(found))}"
        yield failed(ENGINES, message, "correct spec.selfHosted.engine")


def check_gateways(facts: Facts) -> Iterable[Check]:
    """Whether each configured gateway's counters are there."""
    view, config = facts.metrics, facts.config
    if config is None or view is None or view.error:
        return
    if not config.gateways:
        fix = "configure one in gateways: demand is then known by class, and hosted spending"
        yield warned(GATEWAYS, "none configured: demand is read from the engines alone", fix)
    for gateway in config.gateways:
        reading = view.gateways.get(gateway.name)
        labels = ",".join(f"{name}={value}" for name, value in sorted(gateway.labels.items())) or "any"
        if reading is not None and reading.series:
            yield passed(GATEWAYS, f"{gateway.name}: {len(reading.series)} series of {gateway.type} ({labels})")
        elif reading is not None and reading.alive_at is not None:
            fix = "right before the first request; else check that its metrics are switched on"
            yield warned(GATEWAYS, f"{gateway.name}: scraped, but no request counted yet ({labels})", fix)
        elif not gateway.labels:
            fix = "right before its first request; give gateways[].labels to tell that from not being scraped"
            yield warned(GATEWAYS, f"{gateway.name}: no series of {gateway.type} yet", fix)
        else:
            fix = "scrape it, and let gateways[].labels select its series"
            yield failed(GATEWAYS, f"{gateway.name}: no series of {gateway.type} ({labels})", fix)


def check_gpus(facts: Facts) -> Iterable[Check]:
    """Whether DCGM's figures reach the lanes' pods."""
    view = facts.metrics
    if facts.view is None or view is None or view.error:
        return
    pods = {key for scope in facts.view.plans for lane in scope.lanes for key in ready_pods(lane)}
    if not pods:
        return
    seen = len(pods & view.gpus.busy.keys())
    if not facts.probe.gpu_series:
        yield warned(GPUS, "no DCGM series: the figure `busy` is not known", "install the DCGM exporter and scrape it")
    elif not seen:
        fix = "set DCGM_EXPORTER_KUBERNETES=true, and keep pod and namespace (or exported_*) in its scrape"
        yield warned(GPUS, "DCGM series name none of the lanes' pods", fix)
    else:
        yield passed(GPUS, f"DCGM names {seen} of {len(pods)} Ready pods")


def check_prices(facts: Facts) -> Iterable[Check]:
    """Whether every hosted lane has a price."""
    lanes = [lane for snapshot, _ in facts.plans for lane in snapshot.lanes]
    hosted = [lane for lane in lanes if lane.resource.spec.type is LaneType.HOSTED_REALTIME]
    for lane in hosted:
        spec = lane.resource.spec.hosted
        if lane.token_price is None and spec is not None:
            message = f"lane {lane.resource.metadata.key}: nobody prices {spec.provider}/{spec.model}; it is not used"
            yield failed(PRICES, message, "set spec.hosted.price")
    priced = [f"{lane.name}: {lane.token_price.source}" for lane in hosted if lane.token_price]
    if priced:
        yield passed(PRICES, listed(priced))


def check_first_recommendation(facts: Facts) -> Iterable[Check]:
    """Whether a recommendation can be made, on how much history, and else what is waited for."""
    if facts.metrics is not None and facts.metrics.error:
        yield skipped(FIRST, "nothing is recommended while Prometheus can't be read")
        return
    for snapshot, decision in facts.plans:
        yield _recommendation(snapshot, decision)
        yield from _history(snapshot)


def _recommendation(snapshot: PlanSnapshot, decision: Decision) -> Check:
    plan = snapshot.key
    if not snapshot.metrics.usable:
        message = f"plan {plan}: {snapshot.metrics.reason}: {snapshot.metrics.message}"
        return failed(FIRST, message, "mend the metrics first; everything but min and max is held until then")
    if blind := [lane for lane in decision.lanes if _waits(lane)]:
        said = listed([f"lane {lane.name}: {lane.reason.message}" for lane in blind])
        fix = "set spec.selfHosted.profile to size a lane before it has been measured under load"
        return warned(FIRST, f"plan {plan}: {said}", fix)
    sizes = [
        f"{lane.name} {lane.current} -> {lane.recommended}" for lane in decision.lanes if lane.recommended is not None
    ]
    return passed(FIRST, f"plan {plan} ({snapshot.plan.spec.mode}): {listed(sizes) or decision.reason.message}")


def _waits(lane: LaneDecision) -> bool:
    return lane.bounds_only or (lane.current is not None and lane.recommended is None)


def observed_seconds(history: Iterable[Series]) -> float:
    """Reach of the history: the longest time between its first and last known point."""
    reaches = [0.0]
    for series in history:
        known = [index for index, value in enumerate(series.values) if value is not None]
        if known:
            reaches.append((known[-1] - known[0]) * series.step_seconds)
    return max(reaches)


def _history(snapshot: PlanSnapshot) -> Iterable[Check]:
    seasons = snapshot.plan.spec.forecast.seasonality_seconds
    for each in snapshot.classes:
        if each.demand is None:
            fix = "let spec.match name the model or route as the series do (kubectl explain workloadclass.spec.match)"
            yield failed(FIRST, f"class {each.key}: no series tells its demand", fix)
            continue
        known = observed_seconds(each.demand.history)
        missing = [season for season in seasons if known < season]
        if missing:
            rhythm = min(missing)
            learned = f"a rhythm of {span(rhythm)} is learned in {span(rhythm - known)}"
            message = f"class {each.key}: {span(known)} of history; {learned}"
            yield warned(FIRST, message, "nothing to do: until then the forecast goes by level and trend")
        else:
            yield passed(FIRST, f"class {each.key}: {span(known)} of history from {each.demand.source} counters")


def span(seconds: float) -> str:
    """A time in the largest unit that fits, such as "3.5 h"."""
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.0f} s"


def check_grace(facts: Facts) -> Iterable[Check]:
    """Whether pods are given the time that their requests take."""
    if facts.view is None:
        return
    for scope in facts.view.plans:
        for lane in scope.lanes:
            yield from _lane_grace(lane, facts.probe.p99_seconds)


def _lane_grace(lane: LaneScope, p99_seconds: Mapping[PodKey, float]) -> Iterable[Check]:
    target = lane.target
    if target is None or target.termination_grace_seconds is None:
        return
    times = [p99_seconds[key] for pod in target.pods if (key := (target.namespace, pod.name)) in p99_seconds]
    if not times:
        return
    longest, grace = max(times), target.termination_grace_seconds
    if grace < longest:
        message = f"lane {lane.key}: pods get {grace:.0f} s to end, 1% of the requests take over {longest:.0f} s"
        fix = (
            f"set terminationGracePeriodSeconds: {max(60, round(longest * 1.5 / 10) * 10)}, and drain in a preStop hook"
        )
        yield warned(GRACE, message, fix)
    else:
        yield passed(GRACE, f"lane {lane.key}: {grace:.0f} s for requests of {longest:.0f} s (p99)")
