"""The doctor's checks are pure: each finding from facts alone, each failure with a way out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from report.builders import FOUND, NOW, conflict, decision, lane, lane_decision, plan, snapshot, target, workload
from spillway.api import Binding, CapacityLane, Engine
from spillway.cli.doctor import checks_cluster, checks_metrics, checks_routing
from spillway.cli.doctor.checks import exit_status, run_checks
from spillway.cli.doctor.facts import AdoptedRule, CrdFact, Facts, Probe, ProxyRights, Review, TargetFact
from spillway.cli.doctor.gather import contains
from spillway.cli.doctor.gather_routing import limits_of
from spillway.cli.doctor.permissions import PERMISSIONS, Need
from spillway.cli.doctor.result import Check, Verdict, listed
from spillway.config import OperatorConfig
from spillway.decide.decision import Decision, Reason
from spillway.decide.snapshot import (
    ClassSnapshot,
    Demand,
    DemandSource,
    LaneSnapshot,
    MetricsHealth,
    MetricsReason,
    PlanSnapshot,
    Reading,
    Series,
)
from spillway.observe.metrics import MetricsView
from spillway.observe.readings import GatewayReading, GatewaySeries, GpuReadings, PodEngine, PodKey
from spillway.observe.scope import ClusterView, LaneScope, PlanScope

PODS: tuple[PodKey, ...] = (("inference", "vllm-0"), ("inference", "vllm-1"))


def config(**more: Any) -> OperatorConfig:
    return OperatorConfig.model_validate({"prometheus": {"url": "http://p", "scrapeIntervalSeconds": 15}, **more})


def engine(age: float = 3.0, kind: Engine = Engine.VLLM) -> tuple[PodEngine, ...]:
    return (PodEngine(kind, "llama", NOW - age, {"running": 1.0}),)


def view(lane_scope: LaneScope | None = None, mode: str = "Recommend", **more: Any) -> ClusterView:
    scope = lane_scope or LaneScope(lane(), target())
    planned = PlanScope(plan(mode=mode), (workload(),), (scope,), ())
    base = ClusterView(
        NOW,
        (planned,),
        gpus_allocatable=32,
        object_plans={"CapacityLane/inference/gpu": "inference/main"},
        lanes=(scope.resource,),
    )
    return replace(base, **more)


def metrics(**more: Any) -> MetricsView:
    return replace(MetricsView(NOW, engines=dict.fromkeys(PODS, engine()), queries=11, seconds=0.1), **more)


def reviews(denied: Need | None = None) -> tuple[Review, ...]:
    return tuple(Review(permission, None, permission.need is not denied) for permission in PERMISSIONS)


def facts(**more: Any) -> Facts:
    base = Facts(
        now=NOW,
        user="someone",
        server_version="v1.36.3",
        config=config(),
        config_source="test",
        crds=(CrdFact("capacityplans.spillway.dev", True, True, True),),
        reviews=reviews(),
        view=view(),
        metrics=metrics(),
    )
    return replace(base, **more)


def by(checks: object, verdict: Verdict) -> list[str]:
    return [check.message for check in checks if check.verdict is verdict]  # type: ignore[attr-defined]


def only(checks: object) -> Check:
    (check,) = checks  # type: ignore[misc]
    return check


def test_sound_facts_pass_and_exit_0() -> None:
    checks = run_checks(facts())
    assert not by(checks, Verdict.FAIL)
    assert exit_status(checks) == 0


def test_without_an_apiserver_nothing_else_is_said() -> None:
    checks = run_checks(Facts(now=NOW, user="you", server_error="the apiserver did not answer: timed out"))
    assert [check.area for check in checks] == ["apiserver"]
    assert exit_status(checks) == 1


def test_every_failure_and_warning_has_a_way_out_in_one_line() -> None:
    broken = facts(
        crds=(CrdFact("a", False), CrdFact("b", True, True, False), CrdFact("c", True, False, True)),
        reviews=reviews(Need.RECOMMEND),
        view=view(gpus_allocatable=None),
        metrics=metrics(error="HTTP 403"),
    )
    checks = run_checks(broken)
    for check in checks:
        assert "\n" not in check.message + check.fix
        if check.verdict in (Verdict.FAIL, Verdict.WARN):
            assert check.fix
    assert "bearerTokenFile" in next(check.fix for check in checks if check.area == "Prometheus")


def test_crds_missing_unready_or_of_another_release() -> None:
    checks = list(checks_cluster.check_crds(facts(crds=(CrdFact("a", False), CrdFact("b", True, True, False)))))
    assert by(checks, Verdict.FAIL) == ["not installed: a"]
    assert by(checks, Verdict.WARN) == ["not those of this release: b"]
    assert contains({"a": [1, {"b": 2, "more": 3}]}, {"a": [1, {"b": 2}]})
    assert not contains({"a": [1]}, {"a": [1, 2]})
    assert not contains({"a": 1}, {"b": 1})


def test_permissions_by_what_the_plans_ask() -> None:
    denied = reviews(Need.APPLY)
    relaxed = list(checks_cluster.check_permissions(facts(reviews=denied)))
    assert not by(relaxed, Verdict.FAIL)
    applying = list(checks_cluster.check_permissions(facts(reviews=denied, view=view(mode="Apply"))))
    (message,) = by(applying, Verdict.FAIL)
    assert "inference/main" in message
    assert "patch deployments/scale.apps" in message
    blind = only(checks_cluster.check_permissions(facts(reviews=(), reviews_error="forbidden")))
    assert blind.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("may_read", "may_patch", "applies", "said", "fix"),
    [
        (True, True, True, "", ""),
        (True, False, False, "", ""),
        (True, False, True, "may not patch ConfigMap ai/litellm-config of plan ai/main", " --set rbac.mode=apply"),
        (False, False, True, "may not get ConfigMap ai/litellm-config of plan ai/main", ""),
        (False, False, False, "may not get ConfigMap ai/litellm-config of plan ai/main", ""),
    ],
)
def test_rights_on_a_proxys_config_map(may_read: bool, may_patch: bool, applies: bool, said: str, fix: str) -> None:
    sound = ProxyRights("b/main", "b", "another", True, True, True)
    mine = ProxyRights("ai/main", "ai", "litellm-config", may_read, may_patch, applies)
    check = only(checks_routing.check_proxies(facts(proxies=(mine, sound))))
    if not said:
        assert check.verdict is Verdict.PASS
        return
    assert check.verdict is Verdict.FAIL
    assert said in check.message
    # A list given with --set replaces what was there before: it has to have all names.
    assert check.fix == f"helm upgrade with --set 'rbac.litellm.configMaps={{another,litellm-config}}'{fix}"
    assert not list(checks_routing.check_proxies(facts()))


BREAKER = {"maxConnections": 100_000, "maxPendingRequests": 100_000, "maxParallelRequests": 100_000}


@pytest.mark.parametrize(
    ("limits", "spills", "said"),
    [
        (BREAKER, False, ""),
        (BREAKER, True, "maxParallelRetries of its backends together at most 1,024"),
        (BREAKER | {"maxParallelRetries": 5_000}, True, ""),
        ({}, False, "maxConnections, maxPendingRequests, maxParallelRequests of its backends together at most 1,024"),
        (BREAKER | {"maxConnections": 512}, False, "maxConnections of its backends together at most 512"),
    ],
)
def test_room_of_adopted_rules(limits: dict[str, int], spills: bool, said: str) -> None:
    rule = AdoptedRule("HTTPRoute ai/chat", "all", limits, spills)
    check = only(checks_routing.check_adopted_rules(facts(adopted=(rule,))))
    assert check.verdict is (Verdict.WARN if said else Verdict.PASS)
    assert not said or f"HTTPRoute ai/chat rule all: {said}" in check.message
    assert not said or "circuitBreaker: {maxP" in check.fix or "circuitBreaker: {maxC" in check.fix


def policy(kind: str, name: str, section: str | None = None, **spec: Any) -> dict[str, Any]:
    target = {"kind": kind, "name": name} | ({"sectionName": section} if section else {})
    return {"metadata": {"name": "p"}, "spec": {"targetRefs": [target], **spec}}


def test_which_policy_limits_an_adopted_rule() -> None:
    binding = Binding.model_validate(
        {"class": "chat", "ownership": "Adopted", "httpRoute": "chat", "rule": "all", "backends": {"gpu": "Backend/v"}}
    )
    many, few = {"circuitBreaker": {"maxConnections": 9_000}}, {"circuitBreaker": {"maxConnections": 7}}
    gateway = [policy("Gateway", "edge", **many), policy("Gateway", "another", **few)]
    others = [policy("HTTPRoute", "other", **few), policy("HTTPRoute", "chat", "canary", **few)]

    def limits(*near: dict[str, Any]) -> Any:
        return limits_of(binding, [*others, *near], gateway, ["edge"]).get("maxConnections")

    assert limits() == 9_000
    assert limits(policy("HTTPRoute", "chat", **few)) == 7
    assert limits(policy("HTTPRoute", "chat", **few), policy("HTTPRoute", "chat", "all", **many)) == 9_000
    # One without limits of its own leaves Envoy's, unless it is merged with the Gateway's.
    assert limits(policy("HTTPRoute", "chat")) is None
    assert limits(policy("HTTPRoute", "chat", mergeType="StrategicMerge")) == 9_000


def test_findings_of_the_operator_are_told_once() -> None:
    found = conflict()
    scope = replace(view().plans[0], findings=(found,))
    broken = view(plans=(scope,), object_findings={"CapacityLane/inference/gpu": (found,)})
    checks = list(checks_cluster.check_objects(facts(view=broken)))
    assert by(checks, Verdict.FAIL) == [f"AutoscalerConflict: {found.message}"]


def test_lanes_in_no_plan_and_plans_without_a_class() -> None:
    other = CapacityLane.model_validate(lane("spare").model_dump(by_alias=True))
    alone = replace(view().plans[0], classes=())
    checks = list(checks_cluster.check_objects(facts(view=view(plans=(alone,), lanes=(lane(), other)))))
    assert by(checks, Verdict.WARN) == ["lanes in no plan: inference/spare", "plans without a class: inference/main"]


def test_who_else_sets_replicas() -> None:
    fact = TargetFact("inference/gpu", "Deployment inference/vllm", True, ("kustomize-controller",))
    check = only(checks_cluster.check_replicas(facts(targets=(fact,))))
    assert check.verdict is Verdict.WARN
    assert "kustomize-controller, kubectl apply also sets replicas" in check.message
    assert not list(
        checks_cluster.check_replicas(facts(targets=(replace(fact, replicas_in_last_applied=False, appliers=()),)))
    )


def test_pools() -> None:
    pooled = CapacityLane.parse(
        {
            "metadata": {"name": "gpu", "namespace": "inference"},
            "spec": {
                "type": "SelfHosted",
                "models": ["llama"],
                "selfHosted": {
                    "targetRef": {"name": "vllm"},
                    "gpu": {"type": "h100", "perReplica": 4, "pool": "h100"},
                    "price": {"usdPerGpuHour": "3"},
                    "replicas": {"min": 2, "max": 4},
                },
            },
        }
    )
    scope = LaneScope(pooled, target(), pool_gpus=8, pool_gpus_others=4)
    unknown = list(checks_cluster.check_pools(facts(view=view(scope))))
    assert any("pool h100, which the configuration lacks" in text for text in by(unknown, Verdict.FAIL))
    assert any("room for 1 replicas" in text for text in by(unknown, Verdict.FAIL))
    sized = config(gpuPools=[{"name": "h100", "gpus": 64}])
    too_many = list(checks_cluster.check_pools(facts(config=sized, view=view(replace(scope, pool_gpus_others=0)))))
    assert by(too_many, Verdict.WARN) == ["pools promise 64 GPUs, nodes have 32 allocatable now"]
    assert not by(too_many, Verdict.FAIL)


def test_emergency_stop() -> None:
    assert only(checks_cluster.check_stop(facts())).verdict is Verdict.PASS
    everywhere = only(checks_cluster.check_stop(facts(global_stop="ConfigMap a/b says stop", view=view(plans=()))))
    assert everywhere.verdict is Verdict.WARN
    stopped = view(plans=(replace(view().plans[0], stopped="namespace inference is annotated"),))
    assert "plan inference/main is stopped" in only(checks_cluster.check_stop(facts(view=stopped))).message


def engines(**more: Any) -> list[Check]:
    return list(checks_metrics.check_engines(facts(**more)))


def test_engines_report_partly_late_or_as_another_kind() -> None:
    assert by(engines(), Verdict.PASS)[-1] == "lane inference/gpu: 2 of 2 Ready pods report"
    half = metrics(engines={PODS[0]: engine()})
    assert by(engines(metrics=half), Verdict.WARN) == ["lane inference/gpu: 1 of 2 Ready pods report"]
    late = metrics(engines=dict.fromkeys(PODS, engine(age=200)))
    assert by(engines(metrics=late), Verdict.FAIL) == [
        "lane inference/gpu: the newest sample is 200 s old, more than 60 s"
    ]
    other = metrics(engines=dict.fromkeys(PODS, engine(kind=Engine.SGLANG)))
    assert "its pods export SGLang" in by(engines(metrics=other), Verdict.FAIL)[0]
    starting = view(LaneScope(lane(), target(ready=0)))
    assert by(engines(view=starting), Verdict.SKIP) == ["lane inference/gpu: no Ready pod to look at"]


@pytest.mark.parametrize(
    ("labels", "area", "fix"),
    [
        ({}, "engine metrics", "scrape port 8000"),
        (
            {"kubernetes_namespace": "inference", "kubernetes_pod_name": "vllm-1", "job": "vllm"},
            "metric labels",
            "set prometheus.labels: {namespace: kubernetes_namespace, pod: kubernetes_pod_name}",
        ),
        (
            {"exported_namespace": "inference", "exported_pod": "vllm-0", "namespace": "monitoring", "pod": "proxy"},
            "metric labels",
            "set prometheus.labels: {namespace: exported_namespace, pod: exported_pod}",
        ),
        ({"instance": "10.0.0.1:8000", "job": "vllm"}, "metric labels", "keep them in the scrape's relabelling"),
        ({"namespace": "elsewhere", "pod": "other"}, "engine metrics", "scrape port 8000"),
    ],
)
def test_engines_that_are_not_seen_and_why(labels: dict[str, str], area: str, fix: str) -> None:
    samples = ({"__name__": "vllm:num_requests_running", **labels},) if labels else ()
    check = only(engines(metrics=metrics(engines={}), probe=Probe(engine_samples=samples)))
    assert (check.verdict, check.area) == (Verdict.FAIL, area)
    assert check.fix.startswith(fix)


def test_gateways() -> None:
    named = {"type": "LiteLLM", "role": "Egress", "labels": {"job": "litellm"}}
    both = config(gateways=[{"name": "seen", **named}, {"name": "quiet", **named}, {"name": "lost", **named}])
    readings = {
        "seen": GatewayReading((GatewaySeries({}, NOW, {"requests": 1.0}),), NOW),
        "quiet": GatewayReading((), NOW),
        "lost": GatewayReading((), None),
    }
    checks = list(checks_metrics.check_gateways(facts(config=both, metrics=metrics(gateways=readings))))
    assert [check.verdict for check in checks] == [Verdict.PASS, Verdict.WARN, Verdict.FAIL]
    assert only(checks_metrics.check_gateways(facts())).verdict is Verdict.WARN


def test_gpu_exporters() -> None:
    assert "no DCGM series" in only(checks_metrics.check_gpus(facts())).message
    strangers = only(checks_metrics.check_gpus(facts(probe=Probe(gpu_series=8))))
    assert "name none of the lanes' pods" in strangers.message
    seen = metrics(gpus=GpuReadings(busy={PODS[0]: Reading(0.9, NOW)}))
    assert only(checks_metrics.check_gpus(facts(metrics=seen, probe=Probe(gpu_series=8)))).verdict is Verdict.PASS


def decided(made: Decision | None = None, **more: Any) -> tuple[tuple[PlanSnapshot, Decision], ...]:
    return ((snapshot(**more), made or decision()),)


def test_hosted_lanes_without_a_price() -> None:
    hosted = CapacityLane.parse(
        {
            "metadata": {"name": "hosted", "namespace": "inference"},
            "spec": {
                "type": "HostedRealtime",
                "models": ["m"],
                "hosted": {"provider": "nobody", "model": "m"},
            },
        }
    )
    check = only(checks_metrics.check_prices(facts(plans=decided(lanes=(LaneSnapshot(hosted),)))))
    assert check == Check(
        "prices", Verdict.FAIL, "lane inference/hosted: nobody prices nobody/m; it is not used", "set spec.hosted.price"
    )


def demand(points: int, step: float) -> Demand:
    history = (Series(NOW - (points - 1) * step, step, (1.0,) * points),)
    return Demand(DemandSource.GATEWAY, Reading(1.0, NOW), None, None, None, {}, history)


def test_how_long_until_the_first_recommendation() -> None:
    blind = decision(lane_decision(recommended=None, reason=Reason("ServiceUnknown", "no load was seen yet")))
    checks = list(checks_metrics.check_first_recommendation(facts(plans=decided(blind))))
    assert by(checks, Verdict.WARN) == ["plan inference/main: lane gpu: no load was seen yet"]
    lost = MetricsHealth(MetricsReason.STALE, "the newest sample is 90 s old")
    held = list(checks_metrics.check_first_recommendation(facts(plans=decided(metrics=lost))))
    assert by(held, Verdict.FAIL) == ["plan inference/main: MetricsStale: the newest sample is 90 s old"]


@pytest.mark.parametrize(
    ("points", "verdict", "said"),
    [
        (2305, Verdict.PASS, "class team-a/chat: 8 d of history from Gateway counters"),
        (13, Verdict.WARN, "class team-a/chat: 1 h of history; a rhythm of 1 d is learned in 23 h"),
        (289, Verdict.WARN, "class team-a/chat: 1 d of history; a rhythm of 7 d is learned in 6 d"),
    ],
)
def test_history_against_the_plans_rhythms(points: int, verdict: Verdict, said: str) -> None:
    classes = (ClassSnapshot(workload(), demand(points, 300)),)
    checks = list(checks_metrics.check_first_recommendation(facts(plans=decided(classes=classes, metrics=FOUND))))
    assert said in by(checks, verdict)


def test_a_class_without_demand() -> None:
    classes = (ClassSnapshot(workload(), None),)
    checks = list(checks_metrics.check_first_recommendation(facts(plans=decided(classes=classes))))
    assert by(checks, Verdict.FAIL) == ["class team-a/chat: no series tells its demand"]


def test_grace_period_against_long_requests() -> None:
    short = view(LaneScope(lane(), target(termination_grace_seconds=30)))
    late = only(checks_metrics.check_grace(facts(view=short, probe=Probe(p99_seconds={PODS[0]: 95.0}))))
    assert late.verdict is Verdict.WARN
    assert "terminationGracePeriodSeconds: 140" in late.fix
    fine = only(checks_metrics.check_grace(facts(view=short, probe=Probe(p99_seconds={PODS[0]: 12.0}))))
    assert fine.verdict is Verdict.PASS
    assert not list(checks_metrics.check_grace(facts(view=short)))


def test_lists_are_short() -> None:
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert [checks_metrics.span(each) for each in (5, 90, 5400, 129_600)] == ["5 s", "1.5 min", "1.5 h", "1.5 d"]
