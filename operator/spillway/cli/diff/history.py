"""The last days of a plan out of Prometheus, as a scenario for a replay of both sides of a change."""

from __future__ import annotations

import asyncio
import atexit
import math
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from spillway.api import API_VERSION, CapacityLane
from spillway.cli.backtest_history import BIN_SECONDS, QUERY_SECONDS, STARTUP_SECONDS, known_bins, write_trace
from spillway.config import ConfigError, OperatorConfig, load_config
from spillway.decide.service import learned
from spillway.observe.past import Past, read_past
from spillway.observe.prometheus import PrometheusError
from spillway.observe.scope import LaneScope, PlanScope
from spillway.simulate.scenario import ScenarioError
from spillway.simulate.sides import Ask
from spillway.simulate.sides.side import read_side
from spillway.simulate.sides.traffic import warmup_of
from spillway.simulate.sides.truths import ASSUMED_CACHE, KV_CACHE_TOKENS, LEARNED, STARTUP_SIGMA

Document = dict[str, Any]
WARMUP_DAYS = 1.0


def save(ask: Ask, documents: Sequence[Mapping[str, Any]]) -> Path:
    """Read the last days of the base's plan and write them as a scenario; its path. The folder goes with the process.

    A day more than asked for is read, for the warm-up. Own lanes of which the engines tell enough get what was learned
    as their truth; the others none. Raises ScenarioError with one line.
    """
    if ask.prometheus_url is None:
        raise ScenarioError("prometheus: its address is missing")
    resources = read_side("base", documents)
    scope = PlanScope(
        resources.plan, resources.classes, tuple(LaneScope(lane) for lane in (*resources.own, *resources.hosted)), ()
    )
    try:
        config = load_config(ask.config, {**os.environ, "SPILLWAY_PROMETHEUS_URL": ask.prometheus_url})
        prometheus = config.prometheus.model_copy(update={"timeout_seconds": QUERY_SECONDS})
        config = config.model_copy(update={"prometheus": prometheus})
        past = asyncio.run(read_past(config, scope, time.time(), ask.days + WARMUP_DAYS, BIN_SECONDS))
        bins = known_bins(past, scope)
    except PrometheusError as error:
        raise ScenarioError(f"Prometheus {ask.prometheus_url}: {error}") from error
    except ConfigError as error:
        raise ScenarioError(str(error)) from error
    except click.ClickException as error:
        raise ScenarioError(error.message) from error
    folder = Path(tempfile.mkdtemp(prefix="spillway-diff-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_trace(folder / "demand.csv.gz", past, bins)
    document = _scenario(scope, past, (bins.stop - bins.start) * past.width_s, ask, config)
    path = folder / "scenario.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def _scenario(scope: PlanScope, past: Past, seconds: float, ask: Ask, config: OperatorConfig) -> Document:
    own = [lane.resource for lane in scope.lanes if lane.resource.spec.self_hosted is not None]
    used = {lane.spec.self_hosted.gpu.pool for lane in own if lane.spec.self_hosted is not None}
    pools = {pool.name: pool.gpus for pool in config.gpu_pools if pool.name in used}
    truths = {lane.metadata.name: _truth(lane, past) for lane in own}
    return {
        "apiVersion": API_VERSION,
        "kind": "Scenario",
        "metadata": {"name": f"{scope.plan.metadata.name}-history", "source": f"Prometheus {ask.prometheus_url}"[:300]},
        "manifests": ["of-both-sides"],
        "traces": [{"file": "demand.csv.gz", "classes": {key: key for key in past.classes}}],
        "truth": {name: truth for name, truth in truths.items() if truth is not None},
        **({"gpuPools": pools} if pools else {}),
        "time": {
            "warmupSeconds": warmup_of(seconds, past.width_s),
            "durationSeconds": seconds,
            "metricsLagSeconds": config.prometheus.scrape_interval_seconds,
        },
    }


def _truth(lane: CapacityLane, past: Past) -> Document | None:
    """What the engines' history says of a replica; None where it says too little."""
    spec = lane.spec.self_hosted
    samples = list(past.samples.get(lane.metadata.name, ()))
    prior = None if spec is None else spec.profile
    state = learned(None, prior, samples, max((sample.at for sample in samples), default=0.0))
    if spec is None or not state.informed:
        return None
    known = state.coefficients
    source = f"{LEARNED} {state.samples} moments of its engines"
    return {
        "startupSeconds": {"mean": float(spec.startup_seconds or STARTUP_SECONDS), "sigma": STARTUP_SIGMA},
        "maxNumSeqs": round(known.max_sequences),
        "kvCacheTokens": round(known.kv_cache_tokens or KV_CACHE_TOKENS),
        "alphaMs": known.alpha_ms,
        "betaMsPerSeq": known.beta_ms,
        "gammaMsPerKTokenKV": known.gamma_ms_per_ktoken,
        "prefillMsPerKToken": known.prefill_ms_per_ktoken,
        "largestBatch": max(1, math.ceil(state.largest_running)),
        "source": source if known.kv_cache_tokens else f"{source}, {ASSUMED_CACHE}",
    }
