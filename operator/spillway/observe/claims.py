"""Which class may claim which traffic: gateway rows by the class's ``match``, engines and egress by its models."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spillway.api import DataPolicy, WorkloadClass
from spillway.decide.snapshot import Reading, RouteState
from spillway.observe.counters import GatewayRow, Sources
from spillway.observe.history import Values, add
from spillway.observe.lanes import HostedLane, OwnLane, combine, rate_of
from spillway.observe.queries import RATE_SCRAPES
from spillway.observe.readings import PodEngine
from spillway.observe.scope import PlanScope
from spillway.observe.tenancy import allowed_rows, may_read_routes


@dataclass(frozen=True, slots=True)
class Unit:
    """Traffic that is counted apart: one model of one own lane, or one row of a hosted lane's egress counters."""

    lane: str
    claimants: tuple[str, ...]
    """Keys of the classes whose traffic it may be, oldest first."""
    requests: Reading | None
    """Arrivals a second."""
    fine: Mapping[str, Values]
    """Measures over time; ``requests`` are arrivals."""
    coarse: Mapping[str, Values]


def by_age(classes: Iterable[WorkloadClass]) -> list[WorkloadClass]:
    """Oldest first: on a conflict the oldest class (then the lower UID) keeps what it claims."""
    return sorted(classes, key=lambda c: (c.metadata.creation_timestamp or "9999", c.metadata.uid, c.metadata.key))


def gateway_rows(item: WorkloadClass, plan: PlanScope, sources: Sources) -> list[GatewayRow]:
    """The front gateways' rows that count all of the class's traffic: LiteLLM (with tokens) before Envoy."""
    match = item.spec.match
    found: list[GatewayRow] = []
    if match.model:
        found = sources.litellm_front.labelled("requested_model", match.model)
    elif match.team:
        found = [row for label in ("team", "team_alias") for row in sources.litellm_front.labelled(label, match.team)]
    if allowed := allowed_rows(_distinct(found), {item.metadata.namespace}):
        return allowed
    namespace = plan.plan.metadata.namespace
    place = rule_of(item, plan.routes)
    if place is None:
        return []
    rows = sources.envoy_front.by_route.get((namespace, *place), [])
    return [row for row in rows if may_read_routes(row.gateway, namespace)]


def rule_of(item: WorkloadClass, routes: Sequence[RouteState]) -> tuple[str, int] | None:
    """Route and rule index that carry the class: its binding's, else that of ``match.routeRule``."""
    wanted = item.spec.match.route_rule
    for route in routes:
        bound = route.class_name == item.metadata.name
        named = wanted is not None and (route.route, route.rule) == (wanted.route, wanted.rule)
        if (named if wanted else bound) and route.rule_index is not None:
            return route.route, route.rule_index
    return None


def _distinct(rows: Iterable[GatewayRow]) -> list[GatewayRow]:
    return list({id(row): row for row in rows}.values())


def served(item: WorkloadClass, models: Collection[str]) -> set[str]:
    """Models of a lane that answer for the class."""
    common = set(item.spec.equivalent_models) & set(models)
    asked = item.spec.match.model
    return {asked} if asked in common else common


def own_units(lanes: Iterable[OwnLane], classes: Sequence[WorkloadClass], step_seconds: float) -> list[Unit]:
    """What the own lanes' engines count, by lane and model. ``classes``: oldest first; the fine history's step."""
    return [unit for lane in lanes for unit in _lane_units(lane, classes, step_seconds)]


def _lane_units(lane: OwnLane, classes: Sequence[WorkloadClass], step_seconds: float) -> Iterable[Unit]:
    models = lane.scope.resource.spec.models
    by_model: dict[str, list[PodEngine]] = {row.model: [] for row in lane.rows}
    for engine in lane.engines:
        by_model.setdefault(engine.model, []).append(engine)
    for model, engines in by_model.items():
        rows = [row for row in lane.rows if row.model == model]
        fine, coarse = merged([row.fine for row in rows]), merged([row.coarse for row in rows])
        if (arrivals := arrivals_over_time(fine, step_seconds)) is not None:
            fine["requests_done"], fine["requests"] = fine["requests"], arrivals
        yield Unit(
            lane=lane.name,
            claimants=tuple(c.metadata.key for c in classes if may_use(c, model, models)),
            requests=combine([(arrivals_now(engine), engine.at) for engine in engines], lambda v: max(0.0, sum(v))),
            fine=fine,
            coarse=coarse,
        )


def merged(parts: Sequence[Mapping[str, Values]]) -> dict[str, Values]:
    """Histories of several workloads (a LeaderWorkerSet's groups) as one: each measure summed."""
    total: dict[str, Values] = {}
    for part in parts:
        for tag, values in part.items():
            known = add(total.get(tag), values)
            if known is not None:
                total[tag] = known
    return total


def may_use(item: WorkloadClass, model: str, models: Collection[str]) -> bool:
    """Whether an engine's series of ``model`` may be the class's; a name outside the lane's list may be any of it."""
    wanted = served(item, models)
    return model in wanted if model in models else bool(wanted)


def arrivals_now(engine: PodEngine) -> float | None:
    """Completed requests and the growth of those in flight, a second."""
    done = engine.get("requests")
    if done is None:
        return None
    return done + (engine.get("running_slope") or 0.0) + (engine.get("waiting_slope") or 0.0)


def arrivals_over_time(fine: Mapping[str, Values], step_seconds: float) -> Values | None:
    """Completed requests and the growth of those in flight, a second; growth counts only among the same pods."""
    done, running, pods = fine.get("requests"), fine.get("running"), fine.get("pods")
    if done is None or running is None or pods is None:
        return done
    waiting = fine.get("waiting")
    in_flight = running if waiting is None else running + np.nan_to_num(waiting)
    growth = np.zeros_like(done)
    growth[RATE_SCRAPES:] = (in_flight[RATE_SCRAPES:] - in_flight[:-RATE_SCRAPES]) / (RATE_SCRAPES * step_seconds)
    with np.errstate(invalid="ignore"):
        growth[RATE_SCRAPES:][pods[RATE_SCRAPES:] != pods[:-RATE_SCRAPES]] = 0.0
    return np.asarray(np.maximum(done + np.nan_to_num(growth), 0.0), dtype=np.float32)


def hosted_units(lanes: Iterable[HostedLane], classes: Sequence[WorkloadClass]) -> list[Unit]:
    """What the egress counts for the hosted lanes, row by row."""
    units = []
    for lane in lanes:
        able = [c for c in classes if may_go_hosted(c, lane.scope.resource.spec.models)]
        for row in lane.rows:
            units.append(
                Unit(
                    lane=lane.name,
                    claimants=tuple(c.metadata.key for c in narrowed(able, row)),
                    requests=rate_of([row], "requests"),
                    fine={**row.fine, **({"requests_done": row.fine["requests"]} if "requests" in row.fine else {})},
                    coarse=row.coarse,
                )
            )
    return units


def may_go_hosted(item: WorkloadClass, models: Collection[str]) -> bool:
    """Whether the class's traffic may be served by a hosted lane with these models."""
    return item.spec.data_policy is DataPolicy.ANY and bool(set(item.spec.equivalent_models) & set(models))


def narrowed(classes: Sequence[WorkloadClass], row: GatewayRow) -> Sequence[WorkloadClass]:
    """Those whose ``match`` the row's labels name, if any does; else all."""
    teams = {row.labels.get("team"), row.labels.get("team_alias")} - {None, ""}
    model = row.labels.get("requested_model")
    named = [c for c in classes if c.spec.match.team in teams or (model and c.spec.match.model == model)]
    return named or classes
