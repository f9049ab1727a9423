"""The presets: eight classes and four kinds of lanes, tied by a plan, each read, taken and said to be what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from spillway.api import CapacityLane, CapacityPlan, LaneType, LatencyClass, WorkloadClass
from spillway.cli.main import main
from spillway.decide.snapshot import Severity
from spillway.observe.membership import resolve
from spillway_dev.cluster import Cluster

ROOT = Path(__file__).parents[2]
PRESETS = ROOT / "examples" / "presets"
CLASSES = {
    "realtime-interaction": "Real-time interaction",
    "background-research": "Background research and reports",
    "batch-enrichment": "Batch enrichment",
    "coding-agents": "Coding and agent tasks",
    "document-processing": "Document processing",
    "retrieval-embedding": "Retrieval, ranking and embedding",
    "evals-regression": "Evals and regression runs",
    "internal-automation": "Internal automation",
}
LANES = {
    "hosted-realtime": (
        LaneType.HOSTED_REALTIME,
        "interactive requests, uncertain volume, premium models",
        "unit cost rises quickly at scale",
    ),
    "batch": (
        LaneType.BATCH,
        "backlogs, enrichment, offline analysis, nightly jobs",
        "not for urgent user-facing work",
    ),
    "flex": (
        LaneType.FLEX,
        "cost-sensitive work that tolerates variable latency",
        "user expectations must match the tier",
    ),
    "self-hosted": (
        LaneType.SELF_HOSTED,
        "stable high volume with strong utilization",
        "operational burden, underutilization, model maintenance",
    ),
}


def objects(path: Path) -> list[dict[str, object]]:
    return [each for each in yaml.safe_load_all(path.read_text("utf-8")) if each]


def only_class(name: str) -> WorkloadClass:
    (document,) = objects(PRESETS / f"{name}.yaml")
    return WorkloadClass.parse(document)


def plan() -> CapacityPlan:
    (document,) = objects(PRESETS / "plan.yaml")
    return CapacityPlan.parse(document)


def lanes() -> list[CapacityLane]:
    return [CapacityLane.parse(each) for path in sorted((PRESETS / "lanes").iterdir()) for each in objects(path)]


def test_the_files_are_these() -> None:
    assert {path.stem for path in PRESETS.glob("*.yaml")} == {*CLASSES, "plan"}
    assert {path.stem for path in (PRESETS / "lanes").glob("*.yaml")} == set(LANES)


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_says_what_it_is_and_declares_what_planning_needs(name: str) -> None:
    text = (PRESETS / f"{name}.yaml").read_text("utf-8")
    assert text.startswith(f"# {CLASSES[name]}: ")
    item = only_class(name)
    assert item.metadata.name == name
    spec = item.spec
    assert spec.demand is not None
    assert spec.success_rate_percent is not None
    assert (spec.slo is None) == (spec.latency is LatencyClass.DEFERRABLE)
    assert spec.value_tier in {tier.name for tier in plan().spec.value_tiers}


@pytest.mark.parametrize("name", LANES)
def test_a_lane_says_what_it_is_best_for_and_its_main_risk(name: str) -> None:
    kind, best, risk = LANES[name]
    head = (PRESETS / "lanes" / f"{name}.yaml").read_text("utf-8").split("apiVersion", 1)[0]
    assert f"# Best for: {best}" in head
    assert f"# Main risk: {risk}" in head
    lane = next(each for each in lanes() if each.metadata.name == name)
    assert lane.spec.type is kind
    assert ("Unsupported" in head) == (kind in (LaneType.FLEX, LaneType.BATCH))


def test_the_plan_ties_them_together() -> None:
    classes = [only_class(name) for name in CLASSES]
    found = resolve([plan()], lanes(), classes, {"inference": {}}, {})
    (members,) = found.plans
    assert {each.metadata.name for each in members.classes} == set(CLASSES)
    assert set(plan().spec.lanes) == {each.metadata.name for each in lanes()}
    assert [each for each in members.findings if each.severity is Severity.ERROR] == []
    assert sorted((each.reason, each.subject) for each in members.findings) == [
        ("Unsupported", "CapacityLane/inference/batch"),
        ("Unsupported", "CapacityLane/inference/flex"),
    ]


def test_their_budgets_are_neither_too_low_nor_never_reached(capsys: pytest.CaptureFixture[str]) -> None:
    files = [*sorted(PRESETS.glob("*.yaml")), *sorted((PRESETS / "lanes").glob("*.yaml"))]
    assert main(["budget", "-o", "json", *(word for path in files for word in ("-f", str(path)))]) == 0
    told = json.loads(capsys.readouterr().out)["budgets"]
    assert {each["name"] for each in told} == {f"WorkloadClass inference/{name}" for name in CLASSES}
    codes = {finding["code"] for each in told for finding in each["findings"]}
    assert {"UseBatch", "UseFlex"} <= codes, "work that can wait is seen"
    assert not codes & {"CapTooLow", "CapNeverReached"}


def test_the_page_names_every_preset_with_its_lane_table() -> None:
    page = (ROOT / "docs" / "workloads.md").read_text("utf-8")
    for name, title in CLASSES.items():
        assert f"[{title}](../examples/presets/{name}.yaml)" in page
    for name, (kind, best, risk) in LANES.items():
        assert f"| [{kind.value}](../examples/presets/lanes/{name}.yaml) | {best} | {risk} |" in page


def test_all_of_it_applies(cluster: Cluster, crds: Cluster, namespace: str) -> None:
    files = [*(PRESETS / "lanes").glob("*.yaml"), *PRESETS.glob("*.yaml")]
    documents = [each for path in files for each in objects(path)]
    for document in documents:
        document["metadata"] = {"name": document["metadata"]["name"], "namespace": namespace}  # type: ignore[index]
    cluster.kubectl("apply", "--server-side", "--validate=strict", "-f", "-", stdin=yaml.safe_dump_all(documents))
    assert cluster.get("cplan", "presets", namespace)["spec"]["mode"] == "Recommend"
