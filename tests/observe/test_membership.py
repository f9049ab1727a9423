"""Who belongs to which plan: tenancy and conflicts, purely."""

from __future__ import annotations

from typing import Any

from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway.observe.membership import Memberships, resolve


def meta(name: str, namespace: str = "inference", created: str = "2026-01-01T00:00:00Z", **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "uid": f"uid-{name}", "creationTimestamp": created} | more


def plan(name: str = "main", lanes: tuple[str, ...] = ("gpu",), **more: Any) -> CapacityPlan:
    spec = more.pop("spec", {})
    return CapacityPlan.parse({"metadata": meta(name, **more), "spec": {"lanes": lanes} | spec})


def lane(name: str = "gpu", target: str = "vllm", **more: Any) -> CapacityLane:
    own = {
        "targetRef": {"name": target},
        "gpu": {"type": "h100"},
        "price": {"usdPerGpuHour": "1"},
        "replicas": {"max": 4},
    }
    return CapacityLane.parse(
        {"metadata": meta(name, **more), "spec": {"type": "SelfHosted", "models": ["m"], "selfHosted": own}}
    )


def workload(name: str = "chat", namespace: str = "inference", **spec: Any) -> WorkloadClass:
    content = {
        "planRef": {"name": "main", "namespace": "inference"},
        "match": {"model": "m"},
        "slo": {"timeToFirstTokenMs": 1, "interTokenLatencyMs": 1},
        "dataPolicy": "Any",
        "equivalentModels": ["m"],
    }
    return WorkloadClass.parse({"metadata": meta(name, namespace), "spec": content | spec})


def codes(found: Memberships, plan_name: str = "main") -> list[str]:
    members = next(m for m in found.plans if m.plan.metadata.name == plan_name)
    return [finding.reason for finding in members.findings]


def test_lane_and_class_become_the_plans_own() -> None:
    found = resolve([plan()], [lane()], [workload()], {}, {})
    assert [c.metadata.name for c in found.plans[0].classes] == ["chat"]
    assert [c.metadata.name for c in found.plans[0].lanes] == ["gpu"]
    assert found.object_plans["CapacityLane/inference/gpu"] == "inference/main"
    assert found.object_findings == {}


def test_a_class_of_another_namespace_needs_the_selector() -> None:
    stranger = workload(namespace="team-a")
    found = resolve([plan()], [lane()], [stranger], {"team-a": {"open": "yes"}}, {})
    assert found.plans[0].classes == ()
    assert found.object_findings["WorkloadClass/team-a/chat"][0].reason == "NamespaceNotAllowed"
    selector = {"allowedClasses": {"from": "Selector", "namespaceSelector": {"matchLabels": {"open": "yes"}}}}
    found = resolve([plan(spec=selector)], [lane()], [stranger], {"team-a": {"open": "yes"}}, {})
    assert len(found.plans[0].classes) == 1
    # Labels that can't be read are no match.
    assert resolve([plan(spec=selector)], [lane()], [stranger], {}, {}).plans[0].classes == ()


def test_the_oldest_plan_keeps_a_lane_then_the_lower_uid() -> None:
    old, new = plan("b", created="2026-01-01T00:00:00Z"), plan("a", created="2026-02-01T00:00:00Z")
    found = resolve([new, old], [lane()], [], {}, {})
    assert codes(found, "b") == []
    assert codes(found, "a") == ["LaneConflict"]
    assert "inference/b" in found.plans[1].findings[0].message
    same = [plan("a"), plan("b")]
    assert codes(resolve(same, [lane()], [], {}, {}), "b") == ["LaneConflict"]


def test_one_target_has_one_lane_across_and_within_plans() -> None:
    lanes = [lane("gpu"), lane("too")]
    found = resolve([plan(lanes=("gpu", "too"))], lanes, [], {}, {})
    assert codes(found) == ["TargetConflict"]
    assert [each.metadata.name for each in found.plans[0].lanes] == ["gpu"]


def test_lanes_of_the_same_target_name_in_other_namespaces_are_no_conflict() -> None:
    other = CapacityPlan.parse({"metadata": meta("main", "other"), "spec": {"lanes": ["gpu"]}})
    elsewhere = lane(namespace="other")
    found = resolve([plan(), other], [lane(), elsewhere], [], {}, {})
    assert [m.findings for m in found.plans] == [(), ()]


def test_a_missing_lane_a_missing_plan_and_an_unserved_class_are_told() -> None:
    found = resolve([plan(lanes=("gpu", "gone"))], [lane()], [workload(equivalentModels=["other"])], {}, {})
    assert codes(found) == ["LaneNotFound", "NoLaneServesClass"]
    lost = workload("lost", planRef={"name": "nowhere"})
    found = resolve([plan()], [lane()], [lost], {}, {})
    assert found.object_findings["WorkloadClass/inference/lost"][0].reason == "PlanNotFound"


def test_what_is_being_deleted_counts_as_gone() -> None:
    dying = lane(deletionTimestamp="2026-03-01T00:00:00Z")
    assert codes(resolve([plan()], [dying], [], {}, {})) == ["LaneNotFound"]
    assert resolve([plan(deletionTimestamp="2026-03-01T00:00:00Z")], [lane()], [], {}, {}).plans == ()


def test_bindings_and_tiers_that_name_nothing() -> None:
    binding = {"class": "ghost", "ownership": "Adopted", "httpRoute": "r", "rule": "x", "backends": {"nolane": "s"}}
    spec = {"routing": {"plane": "GatewayAPI", "bindings": [binding]}}
    found = resolve([plan(spec=spec)], [lane()], [workload(valueTier="Gold")], {}, {})
    assert codes(found) == ["ClassNotFound", "LaneNotFound", "TierNotFound"]
