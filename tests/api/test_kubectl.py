"""What a person sees of the resources with kubectl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from spillway_dev.cluster import Cluster, KubectlError
from spillway_dev.processes import wait_until

from .conftest import Api
from .constraints import ITEM, VALUE, load_crds, nodes, schema_of
from .manifests import CHANGE_SPEC, CHANGE_STATUS, MINIMAL, PLAN_STATUS, SIMPLE_STATUS, VARIANTS, Manifest, edited

SHORT_NAMES = {"WorkloadClass": "wclass", "CapacityLane": "clane", "CapacityPlan": "cplan", "LaneChange": "lchange"}


class Kubectl:
    """kubectl with a discovery cache of its own, which knows the CRDs."""

    def __init__(self, cluster: Cluster, api: Api, cache: Path) -> None:
        self._cluster, self._cache, self._namespace = cluster, cache, api.namespace
        self._generation = 0
        wait_until(self._knows_the_kinds, "the kinds in kubectl explain", 120)

    def __call__(self, *arguments: str, check: bool = True) -> str:
        cache = ("--cache-dir", str(self._cache / str(self._generation)))
        return self._cluster.kubectl(*arguments, "-n", self._namespace, *cache, check=check)

    def table(self, *arguments: str) -> list[dict[str, str]]:
        """The rows of ``kubectl get`` by column, cut where the header's columns begin."""
        header, *lines = self("get", *arguments).splitlines()
        names = header.split()
        starts = [0]
        for name in names[1:]:
            starts.append(header.index(f" {name}", starts[-1]) + 1)
        ends = [*starts[1:], None]
        return [
            {name: line[start:end].strip() for name, start, end in zip(names, starts, ends, strict=True)}
            for line in lines
        ]

    def _knows_the_kinds(self) -> bool:
        """Published schemas trail a CRD's creation by a moment; each try looks afresh."""
        self._generation += 1
        return all(self("explain", short, check=False) for short in SHORT_NAMES.values())


@pytest.fixture(scope="module")
def kubectl(cluster: Cluster, api: Api, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    return Kubectl(cluster, api, tmp_path_factory.mktemp("kubectl"))


@pytest.fixture(scope="module")
def stored(api: Api) -> dict[str, Manifest]:
    """One object of each kind with a status, one without."""
    written = {}
    for kind, status in (
        ("WorkloadClass", SIMPLE_STATUS),
        ("CapacityLane", SIMPLE_STATUS),
        ("CapacityPlan", PLAN_STATUS),
        ("LaneChange", CHANGE_STATUS),
    ):
        made = api.create_live(VARIANTS[kind][0], "full")
        written[kind] = api.update_status(made, status, dry_run=False).body
        api.create_live(MINIMAL[kind], "bare")
    return written


def _row(rows: list[dict[str, str]], name: str) -> dict[str, str]:
    (row,) = (row for row in rows if row["NAME"] == name)
    return {column: value for column, value in row.items() if column not in ("NAME", "AGE")}


def test_explain_teaches_the_guards(kubectl: Kubectl) -> None:
    said = " ".join(kubectl("explain", "cplan.spec.guards").split())
    assert "Bounds on how fast the operator acts." in said
    assert "How long a person's kubectl scale is respected, in seconds. Default: 3600." in said
    for field in ("maxScaleUpPerMinute", "maxScaleDownPerMinute", "scaleDownStabilizationSeconds"):
        assert f"{field} <integer>" in said


@pytest.mark.parametrize("kind", SHORT_NAMES)
def test_explain_knows_every_field(kubectl: Kubectl, kind: str) -> None:
    said = {
        line.split()[0] for line in kubectl("explain", SHORT_NAMES[kind], "--recursive").splitlines() if line.strip()
    }
    fields = {path[-1] for path, _ in nodes(schema_of(load_crds()[kind])) if path and path[-1] not in (ITEM, VALUE)}
    assert fields <= said


def test_columns_of_a_plan(kubectl: Kubectl, stored: dict[str, Manifest]) -> None:
    rows = kubectl.table("cplan")
    assert list(rows[0]) == ["NAME", "MODE", "GPUS", "REC", "SPILL", "$/H", "SAVING/H", "READY", "AGE"]
    assert _row(rows, "full") == {
        "MODE": "Recommend",
        "GPUS": "6",
        "REC": "4",
        "SPILL": "3",
        "$/H": "24",
        "SAVING/H": "22.2",
        "READY": "True",
    }
    assert set(_row(rows, "bare").values()) == {"Recommend", ""}


def test_wide_columns_of_a_plan_say_why(kubectl: Kubectl, stored: dict[str, Manifest]) -> None:
    row = _row(kubectl.table("cplan", "-o", "wide"), "full")
    assert row["PAUSED"] == "false"
    assert row["DECISION"] == "TroughScaleDown"
    assert row["WHY"] == "Demand fell; 4 replicas serve it."
    assert row["MESSAGE"] == "Lanes, classes and metrics are usable."


def test_columns_of_a_lane(kubectl: Kubectl, stored: dict[str, Manifest]) -> None:
    assert _row(kubectl.table("clane"), "full") == {
        "TYPE": "SelfHosted",
        "MODEL": "llama-3.1-8b",
        "TARGET": "vllm-llama",
        "$/GPU-H": "3.85",
        "PLAN": "inference/main",
        "READY": "True",
    }
    wide = _row(kubectl.table("clane", "-o", "wide"), "full")
    assert (wide["GPU"], wide["MIN"], wide["MAX"], wide["PROVIDER"]) == ("nvidia-h100-80gb", "0", "10000", "")


def test_columns_of_a_class(kubectl: Kubectl, stored: dict[str, Manifest]) -> None:
    assert _row(kubectl.table("wclass"), "full") == {
        "LATENCY": "Interactive",
        "POLICY": "Any",
        "PLAN": "main",
        "READY": "True",
    }


def test_columns_of_a_proposal(kubectl: Kubectl, stored: dict[str, Manifest]) -> None:
    rows = kubectl.table("lchange")
    assert _row(rows, "full") == {
        "PLAN": "main",
        "REASON": "LowerMinimum",
        "$/MONTH": "-3212.5",
        "STATE": "Applied",
        "EXPIRES": "2026-01-12T09:00:00Z",
    }
    assert _row(rows, "bare")["STATE"] == ""
    wide = _row(kubectl.table("lchange", "-o", "wide"), "full")
    assert (wide["SLO"], wide["HASH"], wide["WHY"]) == ("99.4", "6f1c0d2e9a3b4c5d", CHANGE_SPEC["message"])


def test_the_category_lists_all_kinds(kubectl: Kubectl, stored: dict[str, Manifest]) -> None:
    names = kubectl("get", "spillway", "-o", "name").split()
    for kind in stored:
        assert f"{kind.lower()}.spillway.dev/full" in names


def test_defaults_are_shown(kubectl: Kubectl, stored: dict[str, Manifest]) -> None:
    spec: dict[str, Any] = yaml.safe_load(kubectl("get", "cplan", "bare", "-o", "yaml"))["spec"]
    assert spec == {
        "mode": "Recommend",
        "paused": False,
        "lanes": ["gpu"],
        "allowedClasses": {"from": "Same"},
        "routing": {"plane": "None"},
        "overflow": {"mode": "Split"},
        "guards": {
            "maxScaleUpPerMinute": 4,
            "maxScaleDownPerMinute": 2,
            "scaleDownStabilizationSeconds": 300,
            "manualOverrideSeconds": 3600,
        },
        "approval": {"structural": "Required"},
        "forecast": {"seasonalitySeconds": [86_400, 604_800]},
    }


def test_a_mistyped_field_is_named_to_the_person(kubectl: Kubectl, cluster: Cluster, api: Api) -> None:
    mistyped = edited(
        MINIMAL["CapacityPlan"], {"spec.gaurds": {}, "metadata": {"name": "typo", "namespace": api.namespace}}
    )
    with pytest.raises(KubectlError, match=r'unknown field "spec.gaurds"'):
        cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(mistyped))
