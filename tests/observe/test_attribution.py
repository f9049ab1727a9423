"""Whose traffic is whose: by owned pods, by the operator's map, and never twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway.api import CapacityLane, WorkloadClass
from spillway.config import GatewayType
from spillway.decide.snapshot import Confidence, Demand, DemandSource, MetricsReason, PlanSnapshot, RouteState
from spillway.observe.join import build_snapshot
from spillway.observe.metrics import HistoryView, MetricsView
from spillway.observe.prices import PriceBook
from spillway.observe.scope import LaneScope, PlanScope
from support.observed import cluster, config, hosted_lane, own_lane, plan_scope, route_state, target, workload
from support.views import NOW, engine, engine_history, engines, envoy, grid, litellm, pods, series, view

CONFIG = config("http://127.0.0.1:1")


def scope(
    *classes: WorkloadClass,
    namespace: str = "ns",
    own: Sequence[CapacityLane] = (),
    hosted: Sequence[CapacityLane] | None = None,
    running: int = 1,
    routes: Sequence[RouteState] = (),
    **ready: Any,
) -> PlanScope:
    """A plan whose own lanes each have a target of the lane's name in ``targetRef``."""
    lanes = []
    for lane in own or (own_lane(namespace),):
        spec = lane.spec.self_hosted
        name = spec.target_ref.name if spec else ""
        lanes.append(LaneScope(lane, target(namespace, NOW, pods(running, name), name, **ready)))
    lanes += [LaneScope(lane) for lane in ((hosted_lane(namespace),) if hosted is None else hosted)]
    return plan_scope(namespace, lanes, classes, routes)


def join(metrics: MetricsView, *plans: PlanScope, **changes: Any) -> list[PlanSnapshot]:
    settings = config("http://127.0.0.1:1", **changes)
    return list(build_snapshot(cluster(NOW, *plans), metrics, settings, NOW, PriceBook()).plans)


def demand_of(found: PlanSnapshot, name: str = "chat") -> Demand | None:
    return next(item.demand for item in found.classes if item.resource.metadata.name == name)


def rate(found: PlanSnapshot, name: str = "chat") -> float | None:
    demand = demand_of(found, name)
    return None if demand is None else demand.requests_per_second.value


def reasons(found: PlanSnapshot) -> list[str]:
    return [finding.reason for finding in found.findings]


def confidence(found: PlanSnapshot) -> dict[str, Confidence]:
    return {item.resource.metadata.name: item.attribution for item in found.classes}


def test_engines_and_egress_add_up_without_a_front() -> None:
    metrics = view(engines("ns", engine(2), engine(3)), egress=[litellm("gpt-5-nano", 4)])
    (found,) = join(metrics, scope(workload("ns"), running=2))
    demand = demand_of(found)
    assert demand is not None
    assert demand.source is DemandSource.ENGINES
    assert demand.requests_per_second.value == 9
    assert {lane: r.value for lane, r in demand.requests_per_second_by_lane.items()} == {"gpu": 5, "hosted": 4}
    assert found.metrics.reason is MetricsReason.FOUND
    assert found.findings == ()


def test_falling_requests_in_flight_never_make_demand_negative() -> None:
    metrics = view(engines("ns", engine(1, running_slope=-5)))
    (found,) = join(metrics, scope(workload("ns")))
    assert rate(found) == 0


def test_pods_of_others_are_never_counted() -> None:
    foreign = engines("other", engine(100)) | {("ns", "stranger-0"): (engine(50),)}
    (found,) = join(view(engines("ns", engine(2)) | foreign), scope(workload("ns")))
    assert rate(found) == 2
    assert found.lanes[0].engine is not None
    assert found.lanes[0].engine.pods_reporting == 1


def test_two_classes_on_one_engine_are_one_sum() -> None:
    old, new = workload("ns", "old"), workload("ns", "new", created="2026-06-01T00:00:00Z")
    (found,) = join(view(engines("ns", engine(6)), egress=[litellm("gpt-5-nano", 1)]), scope(new, old))
    assert (rate(found, "old"), rate(found, "new")) == (7, None)
    assert confidence(found) == {"old": Confidence.AMBIGUOUS, "new": Confidence.AMBIGUOUS}
    messages = {f.subject: f.message for f in found.findings if f.reason == "AttributionAmbiguous"}
    assert set(messages) == {"WorkloadClass/ns/old", "WorkloadClass/ns/new"}
    assert "both are counted as ns/old" in messages["WorkloadClass/ns/new"]
    assert "both are counted as ns/old" in messages["WorkloadClass/ns/old"]
    assert found.metrics.reason is MetricsReason.FOUND


def test_two_models_on_one_lane_are_told_apart() -> None:
    lane = own_lane("ns", models=["llama", "lora"])
    both = {("ns", "vllm-0"): (engine(6), engine(2, "lora"))}
    classes = [
        workload("ns", "base", equivalentModels=["llama"]),
        workload("ns", "tuned", match={"model": "lora"}, equivalentModels=["lora", "llama"]),
    ]
    (found,) = join(view(both), scope(*classes, own=[lane]))
    assert (rate(found, "base"), rate(found, "tuned")) == (6, 2)
    assert "AttributionAmbiguous" not in reasons(found)
    base = demand_of(found, "base")
    assert base is not None
    assert "gpu" not in base.requests_per_second_by_lane, "the lane's sum is not this class's alone"


def test_an_engine_that_serves_under_another_name_is_its_lanes() -> None:
    (found,) = join(view(engines("ns", engine(2, "/models/llama"))), scope(workload("ns")))
    assert rate(found) == 2


def test_front_gateways_tell_classes_apart() -> None:
    classes = [
        workload("ns", "chat", match={"routeRule": {"route": "chat", "rule": "all"}}),
        workload("ns", "code", match={"header": {"name": "x-team", "value": "code"}}),
    ]
    routes = [route_state("chat", "chat", 0, "all"), route_state("code", "code", 3, "r")]
    front = [envoy("ns/chat/0", 5), envoy("ns/code/3", 7), envoy("other/chat/0", 1000), envoy("ns/chat/1", 1000)]
    (found,) = join(view(engines("ns", engine(10)), front=front), scope(*classes, routes=routes))
    assert (rate(found, "chat"), rate(found, "code")) == (5, 7)
    assert confidence(found) == {"chat": Confidence.OWN, "code": Confidence.OWN}
    assert found.findings == ()


def test_two_classes_on_one_rule_are_one_sum() -> None:
    match = {"routeRule": {"route": "chat", "rule": "all"}}
    classes = [workload("ns", "old", match=match), workload("ns", "new", "2026-06-01T00:00:00Z", match=match)]
    plan = scope(*classes, routes=[route_state("old")])
    (found,) = join(view(engines("ns", engine(4)), front=[envoy("ns/chat/0", 5)]), plan)
    assert (rate(found, "old"), rate(found, "new")) == (5, None)
    assert set(confidence(found).values()) == {Confidence.AMBIGUOUS}


def test_a_rule_that_the_plan_does_not_bind_falls_back_and_says_so() -> None:
    item = workload("ns", match={"routeRule": {"route": "chat", "rule": "nobody"}})
    plan = scope(item, routes=[route_state("chat", rule="all")])
    (found,) = join(view(engines("ns", engine(4)), front=[envoy("ns/chat/0", 5)]), plan)
    assert rate(found) == 4
    assert "RouteRuleUnknown" in reasons(found)


def test_what_a_gateway_counts_is_taken_from_what_the_rest_share() -> None:
    seen = workload("ns", "seen", match={"routeRule": {"route": "chat", "rule": "all"}})
    unseen = workload("ns", "unseen", match={"team": "x"})
    plan = scope(seen, unseen, routes=[route_state("seen")])
    metrics = view(engines("ns", engine(8)), egress=[litellm("gpt-5-nano", 2)], front=[envoy("ns/chat/0", 3)])
    (found,) = join(metrics, plan)
    assert (rate(found, "seen"), rate(found, "unseen")) == (3, 7)
    assert confidence(found)["unseen"] is Confidence.AMBIGUOUS
    (finding,) = [f for f in found.findings if f.reason == "AttributionAmbiguous"]
    assert "beyond that class" in finding.message


def test_self_hosted_only_never_claims_hosted_traffic() -> None:
    classes = [workload("ns", "secret", dataPolicy="SelfHostedOnly"), workload("ns", "chat", "2026-06-01T00:00:00Z")]
    (found,) = join(view(engines("ns", engine(4)), egress=[litellm("gpt-5-nano", 2)]), scope(*classes))
    assert (rate(found, "secret"), rate(found, "chat")) == (4, 2)


def test_at_zero_replicas_the_egress_is_all_there_is() -> None:
    (found,) = join(view(egress=[litellm("gpt-5-nano", 4)]), scope(workload("ns"), running=0))
    assert rate(found) == 4
    assert found.metrics.reason is MetricsReason.FOUND


def test_at_zero_replicas_with_nothing_that_counts_nothing_is_known() -> None:
    (found,) = join(view(alive=False), scope(workload("ns"), running=0))
    assert rate(found) is None
    assert found.metrics.reason is MetricsReason.MISSING


def test_a_blind_lane_makes_no_small_sum() -> None:
    metrics = view(egress=[litellm("gpt-5-nano", 4)])
    (found,) = join(metrics, scope(workload("ns")))
    assert rate(found) is None
    assert found.metrics.reason is MetricsReason.MISSING
    assert "Lane gpu" in found.metrics.message


def test_a_pod_that_has_only_just_started_need_not_report_yet() -> None:
    metrics = view(front=[envoy("ns/chat/0", 5)])
    plan = scope(workload("ns"), routes=[route_state()], ready_seconds=5)
    (found,) = join(metrics, plan)
    assert found.metrics.reason is MetricsReason.FOUND
    assert rate(found) == 5


def test_silent_pods_among_reporting_ones_are_said() -> None:
    (found,) = join(view(engines("ns", engine(2))), scope(workload("ns"), running=3))
    assert found.metrics.reason is MetricsReason.FOUND
    (finding,) = [f for f in found.findings if f.reason == "PodsNotReporting"]
    assert "2 Ready pods" in finding.message
    assert finding.subject == "CapacityLane/ns/gpu"


def test_stale_demand_is_stale() -> None:
    plan = scope(workload("ns"), routes=[route_state()], ready_seconds=5)
    (found,) = join(view(front=[envoy("ns/chat/0", 5, at=NOW - 61)]), plan)
    assert found.metrics.reason is MetricsReason.STALE
    assert found.metrics.newest_at == NOW - 61
    assert "61 s ago" in found.metrics.message


def test_prometheus_errors_come_before_everything() -> None:
    (found,) = join(view(error="HTTP 503"), scope(workload("ns")))
    assert found.metrics.reason is MetricsReason.ERROR
    assert found.metrics.message == "Prometheus cannot be read: HTTP 503"
    assert found.classes[0].demand is None


def test_parts_that_could_not_be_read_are_said_and_do_not_hold() -> None:
    (found,) = join(view(engines("ns", engine(2)), warnings=("gpus could not be read: x",)), scope(workload("ns")))
    assert found.metrics.usable
    assert "MetricsPartlyUnavailable" in reasons(found)


LITELLM_FRONT = [{"name": "front", "type": "LiteLLM", "role": "Front", "labels": {"job": "litellm"}}]


def fronted(*rows: Any, tenants: Sequence[dict[str, Any]] = ()) -> tuple[MetricsView, dict[str, Any]]:
    """LiteLLM alone, as front and egress in one."""
    gateways = [LITELLM_FRONT[0] | {"tenants": list(tenants)}]
    return view(engines("ns", engine(2)), front=rows), {"gateways": gateways}


def test_litellm_alone_counts_classes_and_hosted_lanes() -> None:
    metrics, changes = fronted(
        litellm("llama", 5, requested="llama"),
        litellm("gpt-5-nano", 3, requested="llama"),
        litellm("gpt-5-nano", 9, requested="something-else"),
    )
    (found,) = join(metrics, scope(workload("ns")), **changes)
    assert rate(found) == 8
    assert found.lanes[1].hosted is not None
    assert found.lanes[1].hosted.requests_per_second is not None
    assert found.lanes[1].hosted.requests_per_second.value == 12


def test_a_team_is_its_series_under_either_name() -> None:
    metrics, changes = fronted(
        litellm("llama", 5, team="t1"), litellm("gpt-5-nano", 2, team="id", team_alias="t1"), litellm("llama", 50)
    )
    (found,) = join(metrics, scope(workload("ns", match={"team": "t1"})), **changes)
    assert rate(found) == 7


def test_litellms_proxy_counter_stands_in() -> None:
    rows = [series(NOW, {"job": "litellm", "requested_model": "llama"}, proxy_requests=6.0)]
    metrics, changes = fronted(*rows)
    (found,) = join(metrics, scope(workload("ns")), **changes)
    assert rate(found) == 6


@pytest.mark.parametrize(
    ("tenant", "expected"),
    [
        ({"namespace": "ns", "models": ["llama"]}, 5.0),
        ({"namespace": "ns", "teams": ["t1"]}, 2.0),
        ({"namespace": "ns", "models": ["another"]}, None),
        ({"namespace": "other", "models": ["llama"]}, None),
    ],
)
def test_the_operators_map_decides_who_may_read_a_series(tenant: dict[str, Any], expected: float | None) -> None:
    metrics, changes = fronted(litellm("llama", 3), litellm("llama", 2, team="t1"), tenants=[tenant])
    (found,) = join(metrics, scope(workload("ns")), **changes)
    demand = demand_of(found)
    assert demand is not None
    if expected is None:
        assert demand.source is DemandSource.ENGINES, "its own pods are still its own"
        assert demand.requests_per_second.value == 2
        assert "TenantNotAllowed" in reasons(found)
    else:
        assert demand.source is DemandSource.GATEWAY
        assert demand.requests_per_second.value == expected
        assert "TenantNotAllowed" not in reasons(found)


def test_a_hosted_lane_that_the_map_denies_is_unknown_and_not_zero() -> None:
    egress = {"name": "egress", "type": "LiteLLM", "role": "Egress", "labels": {"job": "litellm"}}
    tenants = [{"namespace": "other", "models": ["gpt-5-nano"]}]
    metrics = view(engines("ns", engine(2)), egress=[litellm("gpt-5-nano", 9)])
    (found,) = join(metrics, scope(workload("ns")), gateways=[egress | {"tenants": tenants}])
    assert found.lanes[1].hosted is not None
    assert found.lanes[1].hosted.requests_per_second is None
    assert rate(found) == 2


def test_series_that_two_plans_count_are_said_to_both() -> None:
    metrics = view(engines("a", engine(2)) | engines("b", engine(3)), egress=[litellm("gpt-5-nano", 4)])
    found = join(metrics, *(scope(workload(ns), namespace=ns) for ns in ("a", "b")))
    for snapshot, other in zip(found, ("b", "a"), strict=True):
        (finding,) = snapshot.findings
        assert finding.reason == "AttributionAmbiguous"
        assert f"plan {other}/main" in finding.message
        assert finding.subject.startswith("CapacityLane/")


def test_teams_at_the_egress_tell_two_plans_apart() -> None:
    gateway = {
        "name": "egress",
        "type": "LiteLLM",
        "role": "Egress",
        "labels": {"job": "litellm"},
        "tenants": [{"namespace": ns, "teams": [f"team-{ns}"]} for ns in ("a", "b")],
    }
    rows = [litellm("gpt-5-nano", 4, team="team-a"), litellm("gpt-5-nano", 6, team="team-b")]
    metrics = view(engines("a", engine(2)) | engines("b", engine(3)), egress=rows)
    found = join(metrics, *(scope(workload(ns), namespace=ns) for ns in ("a", "b")), gateways=[gateway])
    assert [rate(snapshot) for snapshot in found] == [6, 9]
    assert all(snapshot.findings == () for snapshot in found)


def test_of_two_lanes_with_one_model_the_provider_decides() -> None:
    lanes = [hosted_lane("ns", "azure", provider="azure"), hosted_lane("ns", "openai")]
    rows = [litellm("gpt-5-nano", 1, api_provider="azure"), litellm("gpt-5-nano", 2, api_provider="openai")]
    (found,) = join(view(engines("ns", engine(2)), egress=rows), scope(workload("ns"), hosted=lanes))
    rates = {
        lane.name: lane.hosted.requests_per_second.value
        for lane in found.lanes
        if lane.hosted is not None and lane.hosted.requests_per_second is not None
    }
    assert rates == {"azure": 1, "openai": 2}
    assert rate(found) == 5


def test_an_unknown_price_is_a_finding_of_the_lane() -> None:
    lanes = [hosted_lane("ns", model="imaginary-9")]
    (found,) = join(view(engines("ns", engine(2))), scope(workload("ns"), hosted=lanes))
    assert [(f.reason, f.subject) for f in found.findings] == [("PriceUnknown", "CapacityLane/ns/hosted")]
    assert found.lanes[1].token_price is None


def history_of(found: PlanSnapshot, name: str = "chat") -> list[tuple[float | None, ...]]:
    demand = demand_of(found, name)
    return [] if demand is None else [series.values for series in demand.history]


def test_history_adds_engines_and_egress_point_by_point() -> None:
    own = grid(engine_history("ns", requests=[1, 2, None, None], running=[8] * 4, pods=[1, 1, None, None]))
    labels = (("job", "litellm"), ("model", "gpt-5-nano"))
    hosted = grid({("requests", labels): [None, 3, 4, None]})
    metrics = view(
        engines("ns", engine(2)), history=own, gateway_history={GatewayType.LITELLM: HistoryView(fine=hosted)}
    )
    (found,) = join(metrics, scope(workload("ns")))
    assert history_of(found) == [(1, 5, 4, None)]


def test_the_groups_of_a_leader_worker_set_are_one_workload() -> None:
    one = {"running": [8.0, 8.0], "pods": [1.0, 1.0]}
    parts = engine_history("ns", "vllm", requests=[1, 1], **one) | engine_history(
        "ns", "vllm-0", requests=[2, 2], **one
    )
    plan = scope(workload("ns"), kind="LeaderWorkerSet")
    (found,) = join(view(engines("ns", engine(2)), history=grid(parts)), plan)
    assert history_of(found) == [(3, 3)]


def test_histories_are_added_at_the_same_moments_even_when_one_lags() -> None:
    own = grid(engine_history("ns", requests=[1, 1, 1, 1], running=[8] * 4, pods=[1] * 4))
    labels = (("job", "litellm"), ("model", "gpt-5-nano"))
    lagging = replace(grid({("requests", labels): [10, 20, 30, 40]}), end=NOW - 15)
    metrics = view(
        engines("ns", engine(2)), history=own, gateway_history={GatewayType.LITELLM: HistoryView(fine=lagging)}
    )
    (found,) = join(metrics, scope(workload("ns")))
    assert history_of(found) == [(21, 31, 41, 1)]


def test_history_of_pods_that_are_gone_is_the_workloads() -> None:
    old = engine_history("ns", requests=[5, 5])
    foreign = engine_history("ns", workload="vllm-other", requests=[90, 90]) | engine_history("b", requests=[70, 70])
    (found,) = join(view(engines("ns", engine(2)), history=grid(old | foreign)), scope(workload("ns")))
    assert history_of(found) == [(5, 5)]


def test_tokens_per_request_are_taken_over_many_requests() -> None:
    points = 60
    own = grid(
        engine_history(
            "ns",
            requests=[2.0] * points,
            running=[8.0] * points,
            pods=[1.0] * points,
            input_tokens=[2000.0] * 30 + [4000.0] * 30,
            output_tokens=[400.0] * points,
            cached_tokens=[1000.0] * points,
        )
    )
    (found,) = join(view(engines("ns", engine(2)), history=own), scope(workload("ns")))
    demand = demand_of(found)
    assert demand is not None
    assert demand.input_tokens_per_request is not None
    assert demand.input_tokens_per_request.value == pytest.approx((10 * 1000 + 30 * 2000) / 40)
    assert demand.output_tokens_per_request is not None
    assert demand.output_tokens_per_request.value == pytest.approx(200)
    assert demand.cached_input_share is not None
    assert demand.cached_input_share.value == pytest.approx(1000 / 3500)


def test_tokens_of_an_idle_class_are_unknown_and_not_zero() -> None:
    own = grid(
        engine_history(
            "ns", requests=[0.0] * 9, running=[0.0] * 9, pods=[1.0] * 9, input_tokens=[0.0] * 9, output_tokens=[0.0] * 9
        )
    )
    (found,) = join(view(engines("ns", engine(0)), history=own), scope(workload("ns")))
    demand = demand_of(found)
    assert demand is not None
    assert demand.requests_per_second.value == 0
    assert (demand.input_tokens_per_request, demand.output_tokens_per_request) == (None, None)


MODELS = ("a", "b", "c")


@given(
    wanted=st.lists(st.sets(st.sampled_from(MODELS), min_size=1), min_size=1, max_size=4),
    served=st.lists(st.sets(st.sampled_from(MODELS), min_size=1), min_size=1, max_size=3),
    rates=st.lists(st.integers(0, 50), min_size=9, max_size=9),
    hosted=st.integers(0, 20),
)
def test_nothing_is_ever_counted_twice(
    wanted: list[set[str]], served: list[set[str]], rates: list[int], hosted: int
) -> None:
    own, readings, total = [], {}, 0.0
    every = set().union(*wanted)
    for n, models in enumerate(served):
        name = f"w{n}"
        own.append(own_lane("ns", f"gpu-{n}", sorted(models), targetRef={"name": name}))
        each = [engine(rates[3 * n + k], model) for k, model in enumerate(sorted(models))]
        readings[("ns", f"{name}-0")] = tuple(each)
        total += sum(rates[3 * n + k] for k, model in enumerate(sorted(models)) if model in every)
    classes = [
        workload("ns", f"c{n}", match={"team": f"t{n}"}, equivalentModels=[*sorted(models), "gpt-5-nano"])
        for n, models in enumerate(wanted)
    ]
    (found,) = join(view(readings, egress=[litellm("gpt-5-nano", hosted)]), scope(*classes, own=own))
    counted = [item.demand.requests_per_second.value for item in found.classes if item.demand]
    assert sum(counted) == pytest.approx(total + hosted)
    for item in found.classes:
        assert item.demand is not None or item.attribution is Confidence.AMBIGUOUS
