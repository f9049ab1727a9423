"""Days of a plan's demand out of Prometheus, bin by bin: what a backtest on a user's own history is made of.

The expressions and the join are those of the operator's ticks: engines by the workload of a lane's target, gateways by
the class's match, a counter that several classes may claim to the oldest of them. Only the rate window is the bin's
width, so that a bin's rate times its width is the bin's total.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spillway.api import CapacityLane
from spillway.config import GatewayType, OperatorConfig
from spillway.decide.snapshot import ServiceSample, TargetState
from spillway.observe.claims import Unit, by_age, gateway_rows, hosted_units, own_units
from spillway.observe.counters import GatewayRow, Sources, index_sources
from spillway.observe.demand import summed
from spillway.observe.history import HistoryGrid, HistoryKey, Values, parse_matrix
from spillway.observe.lanes import OwnLane, hosted_lane, own_lane
from spillway.observe.metrics import HistoryView, MetricsView
from spillway.observe.prometheus import Evaluation, PrometheusClient, PrometheusError
from spillway.observe.queries import RATE_SCRAPES, Query, build_queries
from spillway.observe.scope import LaneScope, PlanScope
from spillway.observe.service import service_samples

CHUNK_SECONDS = 86_400
"""Asked for at once."""


@dataclass(frozen=True, slots=True, eq=False)
class PastDemand:
    """One class: totals by bin, NaN where nothing was observed."""

    requests: Values
    input_tokens: Values
    output_tokens: Values
    cached_tokens: Values | None = None
    """The part of the input that a cache held; None where nobody counts it."""


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What Prometheus holds of a plan. Bin i begins at start + i*width_s (Unix seconds)."""

    start: float
    width_s: float
    classes: Mapping[str, PastDemand]
    """By class key; only those whose traffic is counted."""
    samples: Mapping[str, tuple[ServiceSample, ...]]
    """By own lane: moments of steady service."""
    warnings: tuple[str, ...] = ()


async def read_past(config: OperatorConfig, scope: PlanScope, end: float, days: float, width_s: int) -> Past:
    """Read the bins of the last days before `end` (Unix seconds). Raises PrometheusError."""
    last = math.floor(end / width_s) * width_s
    bins = max(2, round(days * 86_400 / width_s))
    queries = wide_queries(config, width_s)
    client = PrometheusClient(config.prometheus)
    try:
        client.refresh_credentials()
        grids = {query.name: await read_grid(client, query, last, bins, width_s) for query in queries}
    finally:
        client.close()
    kinds = {kind.value: kind for kind in GatewayType}
    metrics = MetricsView(
        at=last,
        engine_history=HistoryView(fine=grids["engines"]),
        gateway_history={kinds[name]: HistoryView(fine=grid) for name, grid in grids.items() if name in kinds},
    )
    return _Join(scope, index_sources(metrics, config), grids["engines"]).past(width_s)


def wide_queries(config: OperatorConfig, width_s: int) -> tuple[Query, ...]:
    """The operator's history queries with rate windows of a bin's width; the client's limits stay as they are."""
    wide = config.prometheus.model_copy(update={"scrape_interval_seconds": width_s / RATE_SCRAPES})
    return build_queries(config.model_copy(update={"prometheus": wide})).fine


async def read_grid(client: PrometheusClient, query: Query, end: float, bins: int, width_s: int) -> HistoryGrid:
    """One query over `bins` points up to `end` (Unix seconds), a day at a time. Raises PrometheusError."""
    grid = HistoryGrid(end, width_s, bins)
    series: dict[HistoryKey, Values] = {}
    per_chunk = max(1, CHUNK_SECONDS // width_s)
    for first in range(0, bins, per_chunk):
        last = min(bins, first + per_chunk) - 1
        when = Evaluation(end=grid.start + last * width_s, start=grid.start + first * width_s, step_seconds=width_s)
        try:
            answer = await client.query(query.expression, when, parse_matrix)
        except PrometheusError as error:
            raise PrometheusError(f"history of {query.name} could not be read: {error}") from error
        for key, (times, values) in answer.items():
            row = series.setdefault(key, grid.empty())
            row[np.rint((times - grid.start) / width_s).astype(np.int64)] = values
    return replace(grid, series=series)


class _Join:
    """Gives each counter to one class at most."""

    def __init__(self, scope: PlanScope, sources: Sources, engines: HistoryGrid) -> None:
        self._scope, self._sources, self._engines = scope, sources, engines
        self._classes = by_age(scope.classes)
        self._own = [found for lane in scope.lanes if (found := _own_lane(lane, sources)) is not None]
        namespaces = {scope.plan.metadata.namespace, *(item.metadata.namespace for item in scope.classes)}
        siblings = [lane for lane in scope.lanes if lane.resource.spec.hosted is not None]
        hosted = [lane for each in siblings if (lane := hosted_lane(each, siblings, namespaces, sources)) is not None]
        self._own_units = own_units(self._own, self._classes, engines.step_seconds)
        self._units = (*self._own_units, *hosted_units(hosted, self._classes))
        self._warnings: list[str] = []

    def past(self, width_s: int) -> Past:
        """Front gateways first, then engines and egress for the rest."""
        rows = self._rows()
        classes = {}
        for item in self._classes:
            key = item.metadata.key
            found = self._by_gateway(key, rows[key]) if key in rows else self._by_units(key, rows)
            if found is None:
                self._warnings.append(f"WorkloadClass {key}: Prometheus has no traffic of its own: no requests")
            else:
                cached = self._cached(key, rows, found[1])
                width = np.float32(width_s)
                totals = [values * width for values in found]
                classes[key] = PastDemand(totals[0], totals[1], totals[2], None if cached is None else cached * width)
        samples = {
            lane.name: service_samples(self._engines, lane.rows, _kv_tokens(lane.scope.resource)) for lane in self._own
        }
        # A point tells of the bin that ends there.
        return Past(self._engines.start - width_s, width_s, classes, samples, tuple(self._warnings))

    def _rows(self) -> dict[str, tuple[GatewayRow, ...]]:
        claimed: dict[int, str] = {}
        rows: dict[str, tuple[GatewayRow, ...]] = {}
        for item in self._classes:
            key = item.metadata.key
            found = gateway_rows(item, self._scope, self._sources)
            mine = tuple(row for row in found if id(row) not in claimed)
            if found and not mine:
                self._ambiguous(key, claimed[id(found[0])])
            if mine:
                rows[key] = mine
                claimed |= {id(row): key for row in mine}
        return rows

    def _by_gateway(self, key: str, rows: Sequence[GatewayRow]) -> tuple[Values, Values, Values] | None:
        parts = [row.fine for row in rows]
        requests = summed(parts, "requests")
        if requests is None:
            requests = summed(parts, "proxy_requests")
        if requests is None:
            return None
        tokens = [summed(parts, tag) for tag in ("input_tokens", "output_tokens")]
        if tokens[0] is None or tokens[1] is None:
            # The gateway counts requests alone: tokens a request are those of the engines and the egress.
            shares = self._tokens_per_request([unit for unit in self._units if key in unit.claimants])
            if shares is None:
                self._warnings.append(f"WorkloadClass {key}: nothing counts its tokens; its requests cannot be used")
                return None
            return requests, requests * shares[0], requests * shares[1]
        return requests, tokens[0], tokens[1]

    def _by_units(self, key: str, counted: Mapping[str, object]) -> tuple[Values, Values, Values] | None:
        claimed = [unit for unit in self._units if key in unit.claimants]
        heirs = {id(unit): next((c for c in unit.claimants if c not in counted), None) for unit in claimed}
        mine = [unit for unit in claimed if heirs[id(unit)] == key]
        if claimed and not mine:
            self._ambiguous(key, str(heirs[id(claimed[0])]))
        found = [
            summed([unit.fine for unit in mine], tag) for tag in ("requests_done", "input_tokens", "output_tokens")
        ]
        if found[0] is None or found[1] is None or found[2] is None:
            return None
        return found[0], found[1], found[2]

    def _cached(self, key: str, rows: Mapping[str, Sequence[GatewayRow]], tokens_in: Values) -> Values | None:
        """Cached input by whoever counts it: the gateway, or the engines and the egress as the share that they see."""
        counted = summed([row.fine for row in rows.get(key, ())], "cached_tokens")
        if counted is not None:
            return counted
        parts = [unit.fine for unit in self._units if key in unit.claimants]
        cached, seen = summed(parts, "cached_tokens"), summed(parts, "input_tokens")
        if cached is None or seen is None:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(seen > 0, np.minimum(cached / seen, 1.0), 0.0)
        return np.asarray(tokens_in * share, dtype=np.float32)

    def _tokens_per_request(self, units: Sequence[Unit]) -> tuple[Values, Values] | None:
        parts = [unit.fine for unit in units]
        done, tokens_in, tokens_out = (summed(parts, tag) for tag in ("requests_done", "input_tokens", "output_tokens"))
        if done is None or tokens_in is None or tokens_out is None:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            both = (np.where(done > 0, tokens / done, np.nan).astype(np.float32) for tokens in (tokens_in, tokens_out))
        per_input, per_output = both
        return per_input, per_output

    def _ambiguous(self, key: str, other: str) -> None:
        self._warnings.append(f"WorkloadClass {key}: its traffic can't be told from that of {other}, which has it all")


def _own_lane(lane: LaneScope, sources: Sources) -> OwnLane | None:
    """The lane's history by its target's name; without a cluster the target is what the lane refers to."""
    spec = lane.resource.spec.self_hosted
    if spec is None:
        return None
    if lane.target is None:
        ref, namespace = spec.target_ref, lane.resource.metadata.namespace
        lane = replace(lane, target=TargetState(ref.kind, ref.name, namespace, "", "", 0, 0, ()))
    return own_lane(lane, sources)


def _kv_tokens(lane: CapacityLane) -> float | None:
    own = lane.spec.self_hosted
    return None if own is None or own.profile is None else own.profile.kv_cache_tokens
