"""``spillway backtest --from-prometheus``: a scenario out of a user's own history."""

from __future__ import annotations

import csv
import gzip
import io
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import yaml

from spillway.api import API_VERSION, CapacityLane, CapacityPlan, WorkloadClass
from spillway.cli.connection import Connection
from spillway.config import OperatorConfig, load_config
from spillway.decide.service import Coefficients, coefficients_of, learned
from spillway.kube import CLASSES, LANES, PLANS, Kube
from spillway.observe.cluster import ClusterReader
from spillway.observe.past import Past, read_past
from spillway.observe.prices import PriceBook
from spillway.observe.prometheus import PrometheusError
from spillway.observe.scope import LaneScope, PlanScope
from spillway.simulate.scenario import ScenarioError
from spillway.simulate.scenario.errors import read_yaml
from spillway.simulate.scenario.manifests import load_resources
from spillway.simulate.traces import BIN_COLUMNS

BIN_SECONDS = 300
QUERY_SECONDS = 60.0
"""A day of bins may take Prometheus longer than a tick's figures."""
WARMUP_SHARE = 0.25
STARTUP_SECONDS, STARTUP_SIGMA = 300.0, 0.2
KV_CACHE_TOKENS = 450_000
HOSTED_TTFT_MS, HOSTED_ITL_MS = 700.0, 15.0
P99_OF_TTFT, P99_OF_ITL = 3.0, 2.0
"""How far a hosted API's 99th percentile lies above its typical latency, where nothing is known of it."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """What is asked for on the command line."""

    url: str
    plan: str | None
    days: float
    manifests: tuple[Path, ...]
    config: Path | None
    save: Path | None
    connection: Connection


@dataclass(frozen=True, slots=True)
class _Plan:
    """A plan with its objects, as written and as understood."""

    scope: PlanScope
    documents: tuple[Document, ...]


async def save_history(asked: HistoryRequest) -> Path:
    """Read the history, write manifests, trace and scenario to a folder; returns the scenario file.

    Raises ScenarioError, ConfigError, KubeError, click.ClickException, OSError.
    """
    config = load_config(asked.config, {**os.environ, "SPILLWAY_PROMETHEUS_URL": asked.url})
    prometheus = config.prometheus.model_copy(update={"timeout_seconds": QUERY_SECONDS})
    config = config.model_copy(update={"prometheus": prometheus})
    plan = _from_files(asked) if asked.manifests else await _from_cluster(asked, config)
    now = time.time()
    try:
        past = await read_past(config, plan.scope, now, asked.days, BIN_SECONDS)
    except PrometheusError as error:
        raise click.ClickException(f"Prometheus {asked.url}: {error}") from error
    bins = known_bins(past, plan.scope)
    for warning in past.warnings:
        click.echo(f"warning: {warning}", err=True)
    folder = asked.save or Path(f"backtest-{plan.scope.plan.metadata.name}")
    folder.mkdir(parents=True, exist_ok=True)
    _write_manifests(folder, plan, now)
    write_trace(folder / "demand.csv.gz", past, bins)
    path = folder / "scenario.yaml"
    document = _scenario(plan.scope, past, bins, config)
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    click.echo(f"{path}: {(bins.stop - bins.start) * past.width_s / 86_400:.1f} days of {asked.url}", err=True)
    return path


def _from_files(asked: HistoryRequest) -> _Plan:
    resources = load_resources(asked.manifests)
    if asked.plan is not None and asked.plan != resources.plan.metadata.key:
        raise ScenarioError(f"--plan {asked.plan}: the manifests hold CapacityPlan {resources.plan.metadata.key}")
    lanes = tuple(LaneScope(lane) for lane in (*resources.own, *resources.hosted))
    documents = [item for path in asked.manifests for item in _own_documents(read_yaml(path, "manifest"))]
    return _Plan(PlanScope(resources.plan, resources.classes, lanes, ()), tuple(documents))


def _own_documents(documents: Sequence[Any]) -> list[Document]:
    found: list[Document] = []
    for document in documents:
        items = document.get("items") if document.get("kind") == "List" else [document]
        found += [item for item in items or () if item.get("apiVersion") == API_VERSION]
    return found


async def _from_cluster(asked: HistoryRequest, config: OperatorConfig) -> _Plan:
    async with await asked.connection.connect() as kube:
        view = await ClusterReader(kube, config).read(time.time())
        keys = [scope.plan.metadata.key for scope in view.plans]
        wanted = asked.plan or (keys[0] if len(keys) == 1 else None)
        scope = next((each for each in view.plans if each.plan.metadata.key == wanted), None)
        if scope is None:
            found = ", ".join(keys) or "none"
            raise click.ClickException(f"--plan NAMESPACE/NAME: name one of the cluster's CapacityPlans: {found}")
        return _Plan(scope, await _written(kube, scope))


async def _written(kube: Kube, scope: PlanScope) -> tuple[Document, ...]:
    """The objects as users wrote them: what the server added stays behind."""
    wanted = [
        (PLANS, CapacityPlan.KIND, scope.plan.metadata),
        *((LANES, CapacityLane.KIND, lane.resource.metadata) for lane in scope.lanes),
        *((CLASSES, WorkloadClass.KIND, item.metadata) for item in scope.classes),
    ]
    documents = []
    for resource, kind, metadata in wanted:
        found = await kube.get(resource, metadata.namespace, metadata.name)
        names = {"name": metadata.name, "namespace": metadata.namespace}
        documents.append({"apiVersion": API_VERSION, "kind": kind, "metadata": names, "spec": found["spec"]})
    return tuple(documents)


def known_bins(past: Past, scope: PlanScope) -> slice:
    """From the first bin in which anything was observed to the last."""
    known = [np.isfinite(demand.requests) for demand in past.classes.values()]
    seen = np.flatnonzero(np.logical_or.reduce(known)) if known else np.zeros(0, dtype=np.int64)
    requests = sum(float(np.nansum(demand.requests)) for demand in past.classes.values())
    if len(seen) < 2 or requests < 1:
        raise click.ClickException(
            f"Prometheus holds no demand of CapacityPlan {scope.plan.metadata.key}: check --days, the configuration's "
            "gateways (--config) and that engines are scraped; spillway doctor says what is missing"
        )
    return slice(int(seen[0]), int(seen[-1]) + 1)


def _write_manifests(folder: Path, plan: _Plan, now: float) -> None:
    book = PriceBook()
    lanes = {lane.resource.metadata.key: lane.resource for lane in plan.scope.lanes}
    documents = []
    for document in plan.documents:
        metadata = document["metadata"]
        lane = lanes.get(f"{metadata.get('namespace', 'default')}/{metadata['name']}")
        written = document
        if document["kind"] == CapacityLane.KIND and lane is not None and lane.spec.hosted is not None:
            written = _pinned(document, lane, book, now)
        documents.append(written)
    text = "---\n".join(yaml.safe_dump(each, sort_keys=False, allow_unicode=True) for each in documents)
    (folder / "manifests.yaml").write_text(text, encoding="utf-8")


def _pinned(document: Document, lane: CapacityLane, book: PriceBook, now: float) -> Document:
    """The lane with its list price, where it has no contract price."""
    if lane.spec.hosted is None or lane.spec.hosted.price is not None:
        return document
    quote = book.quote(lane, now)
    if quote.price is None:
        raise click.ClickException(
            quote.finding.message if quote.finding else f"CapacityLane {lane.metadata.key}: price?"
        )
    price = quote.price
    click.echo(f"warning: CapacityLane {lane.metadata.key}: list price pinned ({price.source})", err=True)
    amounts = {
        "inputUsdPerMTok": price.input_usd_per_mtok,
        "cachedInputUsdPerMTok": price.cached_input_usd_per_mtok,
        "outputUsdPerMTok": price.output_usd_per_mtok,
    }
    hosted = {**document["spec"]["hosted"], "price": {name: f"{value:f}" for name, value in amounts.items()}}
    return {**document, "spec": {**document["spec"], "hosted": hosted}}


def write_trace(path: Path, past: Past, bins: slice) -> None:
    with io.TextIOWrapper(gzip.open(path, "wb"), encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(BIN_COLUMNS)
        for number in range(bins.start, bins.stop):
            at = round((number - bins.start) * past.width_s)
            for key, demand in past.classes.items():
                values = (demand.requests[number], demand.input_tokens[number], demand.output_tokens[number])
                rows.writerow([at, key, *("" if np.isnan(value) else f"{value:.2f}" for value in values)])


def _scenario(scope: PlanScope, past: Past, bins: slice, config: OperatorConfig) -> Document:
    duration = round((bins.stop - bins.start) * past.width_s)
    warmup = round(min(86_400.0, duration * WARMUP_SHARE) // past.width_s * past.width_s)
    own = [lane for lane in scope.lanes if lane.resource.spec.self_hosted is not None]
    hosted = [lane.resource for lane in scope.lanes if lane.resource.spec.type == "HostedRealtime"]
    used = {lane.resource.spec.self_hosted.gpu.pool for lane in own if lane.resource.spec.self_hosted is not None}
    pools = {pool.name: pool.gpus for pool in config.gpu_pools if pool.name in used}
    return {
        "apiVersion": API_VERSION,
        "kind": "Scenario",
        "metadata": {"name": f"{scope.plan.metadata.name}-history"},
        "manifests": ["manifests.yaml"],
        "traces": [{"file": "demand.csv.gz", "classes": {key: key for key in past.classes}}],
        "truth": {lane.resource.metadata.name: _own_truth(lane, past) for lane in own},
        "hosted": {lane.metadata.name: _hosted_truth(lane) for lane in hosted},
        **({"gpuPools": pools} if pools else {}),
        "time": {
            "warmupSeconds": warmup,
            "durationSeconds": duration,
            "metricsLagSeconds": config.prometheus.scrape_interval_seconds,
        },
        "seeds": [1, 2, 3],
    }


def _own_truth(lane: LaneScope, past: Past) -> Document:
    resource = lane.resource
    spec = resource.spec.self_hosted
    assert spec is not None  # noqa: S101 - the caller chose own lanes
    name, key = resource.metadata.name, resource.metadata.key
    known = _learned(key, past.samples.get(name, ())) if spec.profile is None else coefficients_of(spec.profile)
    startup = spec.startup_seconds or lane.startup_seconds_observed
    if startup is None:
        click.echo(f"warning: CapacityLane {key}: start-up time unknown, taken as {STARTUP_SECONDS:g} s", err=True)
    if known.kv_cache_tokens is None:
        click.echo(f"warning: CapacityLane {key}: kvCacheTokens unknown, taken as {KV_CACHE_TOKENS}", err=True)
    return {
        "startupSeconds": {"mean": float(startup or STARTUP_SECONDS), "sigma": STARTUP_SIGMA},
        "maxNumSeqs": round(known.max_sequences),
        "kvCacheTokens": round(known.kv_cache_tokens or KV_CACHE_TOKENS),
        "alphaMs": known.alpha_ms,
        "betaMsPerSeq": known.beta_ms,
        "gammaMsPerKTokenKV": known.gamma_ms_per_ktoken,
        "prefillMsPerKToken": known.prefill_ms_per_ktoken,
    }


def _learned(key: str, samples: Sequence[Any]) -> Coefficients:
    """What the engines' metrics say of a replica. Raises click.ClickException where they say too little."""
    end = max((sample.at for sample in samples), default=0.0)
    state = learned(None, None, list(samples), end)
    if not state.informed:
        raise click.ClickException(
            f"CapacityLane {key}: its engines' history tells too little of its service ({state.samples} moments); "
            "declare spec.selfHosted.profile"
        )
    click.echo(f"CapacityLane {key}: service learned from {state.samples} moments of its engines", err=True)
    return state.coefficients


def _hosted_truth(lane: CapacityLane) -> Mapping[str, Any]:
    latency = None if lane.spec.hosted is None else lane.spec.hosted.latency
    if latency is None:
        click.echo(
            f"warning: CapacityLane {lane.metadata.key}: latency unknown, taken as {HOSTED_TTFT_MS:g} ms to the first "
            f"token and {HOSTED_ITL_MS:g} ms between tokens; declare spec.hosted.latency",
            err=True,
        )
    ttft = HOSTED_TTFT_MS if latency is None else float(latency.time_to_first_token_ms)
    itl = HOSTED_ITL_MS if latency is None else float(latency.inter_token_latency_ms)
    return {
        "ttftMs": {"p50": ttft, "p99": ttft * P99_OF_TTFT},
        "itlMs": {"p50": itl, "p99": itl * P99_OF_ITL},
    }
