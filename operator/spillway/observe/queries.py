"""The fixed list of queries: how many depends on the configuration alone, never on plans, classes, lanes or pods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spillway.config import GatewayConfig, GatewayRole, GatewayType, OperatorConfig, PrometheusConfig
from spillway.observe.engines import TABLES, EngineTable, Metric
from spillway.observe.promql import Term, grouped, matchers, selector, union, window, with_workload

RATE_SCRAPES = 4
"""Rate windows in scrape intervals: one lost scrape and jitter still leave two samples."""
ATTAINMENT_SCRAPES = 20
MIN_ATTAINMENT_SECONDS = 60.0
WARM_SECONDS = 60.0
COARSE_STEP_SECONDS = 300
HISTORY_COUNTERS = (
    "requests",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "iterations",
    "itl_sum",
    "itl_count",
    "ttft_sum",
    "ttft_count",
)
"""Of each workload's engines, as rates over time."""

MODEL = "model_name"
CACHE_LABELS = ("block_size", "num_gpu_blocks", "kv_cache_size_tokens")
LITELLM_LABELS = ("model", "requested_model", "team", "team_alias", "api_provider")
ENVOY_LABEL = "envoy_cluster_name"
PROXY_CONFIG = "config"
"""Label of the guard's series: hash of the configuration that is loaded."""
INSTANCE = "instance"
"""Prometheus' own label of the process that was scraped: counters begin anew with a process, all at once."""

LITELLM_COUNTERS: tuple[Metric, ...] = (
    Metric("requests", ("litellm_requests_metric",)),
    # Counts failures too, but carries requested_model where older versions' requests_metric does not.
    Metric("proxy_requests", ("litellm_proxy_total_requests_metric",)),
    Metric("input_tokens", ("litellm_input_tokens_metric",)),
    Metric("output_tokens", ("litellm_output_tokens_metric",)),
    Metric("cached_tokens", ("litellm_input_cached_tokens_metric",)),
)
HOSTED_TOKENS = ("input_tokens", "cached_tokens", "output_tokens")
_LITELLM_FAILURES = Metric("errors", ("litellm_deployment_failure_responses",))


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression with the part of the view that it fills."""

    name: str
    expression: str
    critical: bool = False
    """Whether nothing may be decided when it fails."""


@dataclass(frozen=True, slots=True)
class QueryList:
    """Everything that is ever asked."""

    instant: tuple[Query, ...]
    fine: tuple[Query, ...]
    coarse: tuple[Query, ...]


def rate_seconds(prometheus: PrometheusConfig) -> float:
    """Window of instant rates, in seconds."""
    return RATE_SCRAPES * prometheus.scrape_interval_seconds


def attainment_seconds(prometheus: PrometheusConfig) -> float:
    """Window over which attainment is taken, in seconds."""
    return max(ATTAINMENT_SCRAPES * prometheus.scrape_interval_seconds, MIN_ATTAINMENT_SECONDS)


def warm_seconds(prometheus: PrometheusConfig) -> float:
    """How long a pod's first samples count as start-up, in seconds."""
    return min(rate_seconds(prometheus), WARM_SECONDS)


def build_queries(config: OperatorConfig) -> QueryList:
    """All queries for a configuration."""
    prometheus = config.prometheus
    gateways = [kind for kind in GatewayType if any(gateway.type is kind for gateway in config.gateways)]
    return QueryList(
        instant=(
            Query("engines", _engines_now(prometheus), critical=True),
            Query("latency", _latency_buckets(prometheus)),
            Query("gpus", _gpus(prometheus)),
            *(Query(kind.value, _gateway_now(kind, config), critical=True) for kind in gateways),
            *(_of_proxies(config) if egress_gateways(config) else ()),
        ),
        fine=(
            Query("engines", _engine_history(prometheus)),
            *(Query(kind.value, _gateway_rates(kind, config, rate_seconds(prometheus))) for kind in gateways),
        ),
        coarse=(
            Query("engines", _engine_requests(prometheus)),
            *(Query(kind.value, _gateway_requests(kind, config)) for kind in gateways),
        ),
    )


def _pod_labels(prometheus: PrometheusConfig) -> tuple[str, str, str]:
    return (prometheus.labels.namespace, prometheus.labels.pod, MODEL)


def _engines_now(prometheus: PrometheusConfig) -> str:
    by = _pod_labels(prometheus)
    seconds = window(rate_seconds(prometheus))
    return union([term for table in TABLES for term in _engine_terms(table, by, seconds)])


def _engine_terms(table: EngineTable, by: Sequence[str], seconds: str) -> Iterable[Term]:
    prefix = f"{table.engine}/"
    for gauge in table.gauges:
        yield Term(prefix + gauge.key, gauge.expression(by, "%s"))
        if gauge.key in ("running", "waiting"):
            yield Term(f"{prefix}{gauge.key}_slope", gauge.expression(by, f"deriv(%s[{seconds}])"))
    for counter in table.counters:
        yield Term(prefix + counter.key, counter.expression(by, f"rate(%s[{seconds}])"))
    stamped = [metric for key in ("running", "output_tokens") if (metric := table.metric(key))]
    yield Term(f"{prefix}at", " or ".join(metric.expression(by, "timestamp(%s)", "max") for metric in stamped))
    if table.cache_size_info:
        yield Term(f"{prefix}cache_info", grouped("count", [*by, *CACHE_LABELS], table.cache_size_info))


def _latency_buckets(prometheus: PrometheusConfig) -> str:
    by = _pod_labels(prometheus)
    seconds = window(attainment_seconds(prometheus))
    terms = []
    for table in TABLES:
        for tag, names in (("ttft", table.time_to_first_token), ("itl", table.request_token_latency)):
            terms.append(Term(f"{table.engine}/{tag}", _best_histogram(names, by, seconds)))
    return union(terms)


def _best_histogram(names: Sequence[str], by: Sequence[str], seconds: str) -> str:
    """Buckets of the first histogram that a pod exports; two histograms' bounds must never mix."""
    parts = []
    for index, name in enumerate(names):
        buckets = grouped("sum", [*by, "le"], f"rate({name}_bucket[{seconds}])")
        better = "".join(f" unless on ({','.join(by)}) {known}_count" for known in names[:index])
        parts.append(f"({buckets}{better})")
    return " or ".join(parts)


def object_labels(prometheus: PrometheusConfig) -> tuple[tuple[str, str], ...]:
    """Label pairs (namespace, pod) that may name the pod an exporter speaks of, best first."""
    pairs = (("exported_namespace", "exported_pod"), ("namespace", "pod"))
    own = (prometheus.labels.namespace, prometheus.labels.pod)
    return pairs if own in pairs else (*pairs, own)


def _gpus(prometheus: PrometheusConfig) -> str:
    by = [label for pair in object_labels(prometheus) for label in pair]
    seconds = window(rate_seconds(prometheus))
    active, util = "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_DEV_GPU_UTIL"
    gpu = 'resource=~"nvidia_com_gpu|nvidia_com_mig_.+|amd_com_gpu|gpu_intel_com_.+"'
    requests = selector("kube_pod_container_resource_requests", gpu)
    return union(
        [
            Term(
                "busy",
                f"{grouped('avg', by, f'avg_over_time({active}[{seconds}])')}"
                f" or {grouped('avg', by, f'avg_over_time({util}[{seconds}])')} / 100",
            ),
            Term(
                "at",
                f"{grouped('max', by, f'timestamp({active})')} or {grouped('max', by, f'timestamp({util})')}",
            ),
            Term("requested", grouped("sum", by, requests)),
            Term("allocatable", f"sum({selector('kube_node_status_allocatable', gpu)})"),
        ]
    )


def _engine_history(prometheus: PrometheusConfig) -> str:
    """Figures of each workload's engines. By workload and not by pod: pods come and go, and history must stay small."""
    by = (prometheus.labels.namespace, "workload", MODEL)
    seconds = window(rate_seconds(prometheus))
    terms = []
    for table in TABLES:
        for key in ("running", "waiting", "kv_usage"):
            terms.append(_history_term(table, key, by, prometheus, f"avg_over_time(%s[{seconds}])"))
        for key in HISTORY_COUNTERS:
            terms.append(_history_term(table, key, by, prometheus, f"rate(%s[{seconds}])"))
        terms.append(_history_term(table, "running", by, prometheus, "%s", tag="pods", combine="count"))
        terms.append(_history_term(table, "running", by, prometheus, "(%s > bool 0)", tag="busy", combine="sum"))
        young = f"(%s unless %s offset {window(warm_seconds(prometheus))})"
        terms.append(_history_term(table, "running", by, prometheus, young, tag="young", combine="count"))
    return union([term for term in terms if term])


def _engine_requests(prometheus: PrometheusConfig) -> str:
    by = (prometheus.labels.namespace, "workload", MODEL)
    wrap = f"rate(%s[{COARSE_STEP_SECONDS}s])"
    terms = [_history_term(table, "requests", by, prometheus, wrap) for table in TABLES]
    return union([term for term in terms if term])


def _history_term(
    table: EngineTable,
    key: str,
    by: Sequence[str],
    prometheus: PrometheusConfig,
    wrap: str,
    *,
    tag: str = "",
    combine: str = "",
) -> Term | None:
    metric = table.metric(key)
    if metric is None:
        return None
    how = combine or ("avg" if key == "kv_usage" else "sum")
    # A pod that repeats itself by rank (SGLang) must be one series before workloads are summed.
    inner = (prometheus.labels.namespace, prometheus.labels.pod, MODEL)
    parts = []
    for name in metric.series_names():
        series = selector(name, metric.conditions)
        per_pod = grouped("max" if tag else metric.combine, inner, metric._shares(wrap.replace("%s", series), inner))
        parts.append(grouped(how, by, with_workload(per_pod, prometheus.labels.pod)))
    return Term(f"{table.engine}/{tag or key}", " or ".join(parts))


def gateway_labels(kind: GatewayType, gateways: Iterable[GatewayConfig]) -> tuple[str, ...]:
    """Label names that tell the gateways of one type apart."""
    return tuple(sorted({label for gateway in gateways if gateway.type is kind for label in gateway.labels}))


def _gateway_by(kind: GatewayType, config: OperatorConfig) -> tuple[str, ...]:
    own = LITELLM_LABELS if kind is GatewayType.LITELLM else (ENVOY_LABEL,)
    return tuple(dict.fromkeys((*gateway_labels(kind, config.gateways), *own)))


def _gateway_conditions(kind: GatewayType, config: OperatorConfig) -> str:
    """Matchers on the labels that every gateway of the type has; the join sorts the rest."""
    chosen = [gateway for gateway in config.gateways if gateway.type is kind]
    shared = set.intersection(*(set(gateway.labels) for gateway in chosen)) if chosen else set()
    return matchers({label: [gateway.labels[label] for gateway in chosen] for label in shared})


def _gateway_counters(kind: GatewayType, config: OperatorConfig) -> tuple[Metric, ...]:
    """The counters of a type of gateway, with the conditions that its gateways share."""
    conditions = _gateway_conditions(kind, config)
    if kind is GatewayType.ENVOY:
        conditions = ",".join(part for part in (conditions, f'{ENVOY_LABEL}=~"httproute/.+"') if part)
        # The name ends in _total by itself.
        return (Metric("requests", ("envoy_cluster_upstream_rq",), conditions=conditions),)
    return tuple(Metric(m.key, m.names, conditions=conditions) for m in LITELLM_COUNTERS)


def _gateway_terms(kind: GatewayType, config: OperatorConfig, seconds: float) -> list[Term]:
    by = _gateway_by(kind, config)
    wrap = f"rate(%s[{window(seconds)}])"
    return [Term(metric.key, metric.expression(by, wrap)) for metric in _gateway_counters(kind, config)]


def _gateway_rates(kind: GatewayType, config: OperatorConfig, seconds: float) -> str:
    return union(_gateway_terms(kind, config, seconds))


def _gateway_requests(kind: GatewayType, config: OperatorConfig) -> str:
    terms = _gateway_terms(kind, config, COARSE_STEP_SECONDS)
    return union([term for term in terms if term.tag in ("requests", "proxy_requests")])


def _gateway_now(kind: GatewayType, config: OperatorConfig) -> str:
    by = _gateway_by(kind, config)
    seconds = rate_seconds(config.prometheus)
    terms = _gateway_terms(kind, config, seconds)
    first, *more = _gateway_counters(kind, config)
    stamped = [first, *(metric for metric in more if metric.key == "proxy_requests")]
    terms.append(Term("at", " or ".join(metric.expression(by, "timestamp(%s)", "max") for metric in stamped)))
    own = gateway_labels(kind, config.gateways)
    if own:
        alive = selector("up", _gateway_conditions(kind, config))
        terms.append(Term("up", grouped("max", own, alive)))
        terms.append(Term("up_at", grouped("max", own, f"timestamp({alive})")))
    if kind is GatewayType.LITELLM:
        failures = Metric(_LITELLM_FAILURES.key, _LITELLM_FAILURES.names, conditions=first.conditions)
        renamed = f'label_replace(rate(%s[{window(seconds)}]), "model", "$1", "litellm_model_name", "(.*)")'
        terms.append(Term("errors", failures.expression(by, renamed)))
    return union(terms)


def egress_gateways(config: OperatorConfig) -> tuple[GatewayConfig, ...]:
    """The gateways that count hosted tokens: the LiteLLM egresses; where there is none, LiteLLM at the front."""
    litellm = [gateway for gateway in config.gateways if gateway.type is GatewayType.LITELLM]
    egress = [gateway for gateway in litellm if gateway.role is GatewayRole.EGRESS]
    return tuple(egress or litellm)


def _of_proxies(config: OperatorConfig) -> tuple[Query, ...]:
    return Query("spend", _spend(config)), Query("proxies", _proxies(config.prometheus))


def _proxies(prometheus: PrometheusConfig) -> str:
    """Which configuration each LiteLLM process has loaded, as Spillway's guard in it tells."""
    by = (prometheus.labels.namespace, prometheus.labels.pod, PROXY_CONFIG)
    return grouped("max", by, "spillway_proxy_deployments")


def _spend(config: OperatorConfig) -> str:
    """Hosted tokens as they are counted, cumulative and process by process: what money is counted from."""
    by = (INSTANCE, *gateway_labels(GatewayType.LITELLM, config.gateways), *LITELLM_LABELS)
    counters = [metric for metric in _gateway_counters(GatewayType.LITELLM, config) if metric.key in HOSTED_TOKENS]
    return union([Term(metric.key, metric.expression(tuple(dict.fromkeys(by)), "%s")) for metric in counters])
