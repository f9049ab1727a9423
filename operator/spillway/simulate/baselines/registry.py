"""Every scaler by name: product, default parameters, the grid that tuning tries, and how it is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from spillway.simulate.baselines import (
    aibrix,
    dynamo,
    dynamo_load,
    hpa,
    keda,
    keda_slo,
    knative,
    wva_model,
    wva_saturation,
)
from spillway.simulate.baselines.facts import BaselineError, Scaler
from spillway.simulate.baselines.fixed import ApiOnly, StaticPeak

NAMES = (
    "hpa",
    "keda-queue",
    "keda-slo",
    "wva-saturation",
    "wva-model",
    "aibrix-apa",
    "aibrix-kpa",
    "dynamo-sla",
    "dynamo-load",
    "knative-kpa",
    "static-peak",
    "api-only",
)
"""Those that every comparison has."""

API_ONLY, STATIC_PEAK = "api-only", "static-peak"
Parameters = Mapping[str, float]
Build = Callable[[str, Parameters], Scaler]


@dataclass(frozen=True, slots=True)
class Entry:
    """One baseline."""

    product: str
    """Product and version."""
    defaults: Parameters
    grid: tuple[Parameters, ...]
    """What tuning tries: each is put over the defaults."""
    build: Build | None
    """None for those that need to know the peak: static-peak, api-only."""


def _grid(parameter: str, *values: float, **others: float) -> tuple[Parameters, ...]:
    return tuple({parameter: value, **others} for value in values)


_QUEUE_GRID = (
    *_grid("waiting_per_replica", 1.0, 5.0),
    *_grid("running_per_replica", 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, waiting_per_replica=5.0),
)
_KV_GRID = _grid("kv_usage", 0.03, 0.06, 0.12, 0.25, 0.5, 0.75)
_SLO_SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
_WVA_GRID = (
    *_grid("kv_threshold", 0.03, 0.06, 0.12, 0.25, 0.5, 0.8),
    *_grid("queue_threshold", 1.0, 2.0),
)

CATALOGUE: Mapping[str, Entry] = {
    "hpa": Entry(
        "HorizontalPodAutoscaler, Kubernetes 1.36, vLLM production-stack's recipe",
        hpa.DEFAULTS,
        (
            *_grid("waiting_total", 1.0, 10.0),
            *_grid("running_per_replica", 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, waiting_total=0.0),
        ),
        hpa.hpa,
    ),
    "keda-queue": Entry("KEDA 2.x, vLLM production-stack tutorial 20", keda.QUEUE, _QUEUE_GRID, keda.keda_queue),
    "keda-queue-llmd": Entry("KEDA 2.x, llm-d queue overlay", keda.LLMD_QUEUE, _QUEUE_GRID, keda.keda_queue_llmd),
    "keda-queue-guard": Entry(
        "KEDA 2.x, llm-d queue guard",
        keda.GUARD,
        _grid("running_per_replica", 4.0, 8.0, 16.0, 32.0, 64.0, 128.0),
        keda.keda_queue_guard,
    ),
    "keda-queue-tokens": Entry(
        "KEDA 2.x, token-aware",
        keda.TOKENS,
        (*_grid("queue_seconds", 0.5, 1.5, 4.0), *_grid("kv_usage", 0.05, 0.2, 0.4)),
        keda.keda_queue_tokens,
    ),
    "keda-slo": Entry(
        "KEDA 2.x, llm-d SLO-aware, never fewer while replicas start",
        keda_slo.DEFAULTS,
        tuple({"up_at": up, "down_at": round(up * 0.73, 2)} for up in (0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95)),
        keda_slo.keda_slo,
    ),
    "keda-slo-as-written": Entry(
        "KEDA 2.x, llm-d SLO-aware", keda_slo.DEFAULTS, ({},), partial(keda_slo.keda_slo, corrected=False)
    ),
    "wva-saturation": Entry(
        "llm-d Workload Variant Autoscaler v0.9, saturation V2",
        wva_saturation.V2_DEFAULTS,
        _WVA_GRID,
        wva_saturation.wva_saturation,
    ),
    "wva-saturation-v1": Entry(
        "llm-d Workload Variant Autoscaler v0.9, saturation V1",
        wva_saturation.V1_DEFAULTS,
        _grid("kv_threshold", 0.12, 0.25, 0.5, 0.8),
        wva_saturation.wva_saturation_v1,
    ),
    "wva-model": Entry(
        "llm-d Workload Variant Autoscaler, model-based, newer form",
        wva_model.DEFAULTS,
        _grid("slo_share", *_SLO_SHARES),
        wva_model.wva_model,
    ),
    "wva-model-v04": Entry(
        "llm-d Workload Variant Autoscaler v0.4, model-based",
        wva_model.DEFAULTS,
        _grid("slo_share", *_SLO_SHARES),
        partial(wva_model.wva_model, form=wva_model.Form.FIRST),
    ),
    "wva-model-ekf": Entry(
        "llm-d Workload Variant Autoscaler, model-based, learned by a Kalman filter",
        wva_model.DEFAULTS,
        _grid("slo_share", *_SLO_SHARES),
        partial(wva_model.wva_model, form=wva_model.Form.LEARNED),
    ),
    "aibrix-apa": Entry("AIBrix APA, times Ready replicas", aibrix.DEFAULTS, _KV_GRID, aibrix.aibrix_apa),
    "aibrix-apa-as-written": Entry(
        "AIBrix APA", aibrix.DEFAULTS, _KV_GRID, partial(aibrix.aibrix_apa, corrected=False)
    ),
    "aibrix-kpa": Entry(
        "AIBrix KPA, times Ready replicas, cooldown by the maximum", aibrix.DEFAULTS, _KV_GRID, aibrix.aibrix_kpa
    ),
    "aibrix-kpa-as-written": Entry(
        "AIBrix KPA", aibrix.DEFAULTS, _KV_GRID, partial(aibrix.aibrix_kpa, corrected=False)
    ),
    "dynamo-sla": Entry(
        "NVIDIA Dynamo SLA planner, aggregated, ARIMA",
        dynamo.DEFAULTS,
        _grid("slo_share", *_SLO_SHARES),
        dynamo.dynamo_sla,
    ),
    "dynamo-load": Entry(
        "NVIDIA Dynamo load-based planner, latency target",
        dynamo_load.DEFAULTS,
        _grid("slo_share", *_SLO_SHARES),
        dynamo_load.dynamo_load,
    ),
    "dynamo-load-throughput": Entry(
        "NVIDIA Dynamo load-based planner, throughput target",
        dynamo_load.THROUGHPUT_DEFAULTS,
        _grid("up_utilization", 0.3, 0.5, 0.7, 1.0, down_utilization=0.2),
        dynamo_load.dynamo_load_throughput,
    ),
    "knative-kpa": Entry(
        "Knative Serving KPA",
        knative.DEFAULTS,
        _grid("concurrency_limit", 6.0, 12.0, 24.0, 48.0, 96.0, 192.0, 0.0),
        knative.knative_kpa,
    ),
    "static-peak": Entry(
        "99.9th percentile of demand, all the time",
        {"peak_share": 1.0},
        _grid("peak_share", 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        None,
    ),
    "api-only": Entry("everything hosted that may be", {}, ({},), None),
}
VARIANTS = tuple(name for name in CATALOGUE if name not in NAMES)
"""Further recipes and forms as written, run when asked for by name."""


def parameters_of(name: str, parameters: Parameters | None = None) -> Parameters:
    """The defaults of a baseline with `parameters` over them.

    Raises:
        BaselineError: no such baseline or parameter.
    """
    if name not in CATALOGUE:
        raise BaselineError(f"baseline {name}: unknown; there are {', '.join(CATALOGUE)}")
    defaults = CATALOGUE[name].defaults
    unknown = set(parameters or {}) - set(defaults)
    if unknown:
        known = ", ".join(defaults) or "none"
        raise BaselineError(f"baseline {name}: parameter {min(unknown)} is unknown; there are: {known}")
    return {**defaults, **(parameters or {})}


def scaler(name: str, parameters: Parameters | None = None, *, peak_replicas: Sequence[int] | None = None) -> Scaler:
    """A fresh scaler for one run, without a spill rule.

    Args:
        parameters: put over the defaults.
        peak_replicas: by own lane, of `fixed.peak_replicas`: all classes for static-peak, those that may not be hosted
            for api-only (left out where there are none).

    Raises:
        BaselineError: no such baseline or parameter, or static-peak without its peak.
    """
    full = parameters_of(name, parameters)
    build = CATALOGUE[name].build
    if build is not None:
        return build(name, full)
    if name == API_ONLY:
        return ApiOnly(name, peak_replicas or ())
    if peak_replicas is None:
        raise BaselineError(f"baseline {name}: peak_replicas must be given (fixed.peak_replicas counts them)")
    return StaticPeak(name, full, peak_replicas)
