"""LaneChanges as the operator proposes them, people who may or may not approve them, and the chart's policy."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway.api.basis import basis_hash, basis_of
from spillway.api.common import API_VERSION
from spillway_dev.cluster import Cluster, KubectlError
from spillway_dev.processes import wait_until
from support.world import ACCOUNT, ROOT, hosted_lane, own_lane, plan, workload

JSON = dict[str, Any]
KINDS = {"cplan": CapacityPlan, "clane": CapacityLane, "wclass": WorkloadClass}
LOWER: tuple[JSON, ...] = (
    {"op": "test", "path": "/spec/selfHosted/replicas/min", "value": 1},
    {"op": "replace", "path": "/spec/selfHosted/replicas/min", "value": 0},
)
"""The lane's minimum from 1 to 0."""
FEWER_MODELS: tuple[JSON, ...] = ({"op": "replace", "path": "/spec/equivalentModels", "value": ["llama"]},)
"""The class without its hosted model."""
RAISE: tuple[JSON, ...] = (
    {"op": "test", "path": "/spec/selfHosted/replicas/max", "value": 8},
    {"op": "replace", "path": "/spec/selfHosted/replicas/max", "value": 12},
)
MORE_MODELS: tuple[JSON, ...] = ({"op": "replace", "path": "/spec/equivalentModels", "value": ["llama", "gpt-5-nano"]},)
NEVER = "2099-01-01T00:00:00Z"


def change_on(kind: str, namespace: str, name: str, patch: Sequence[JSON]) -> JSON:
    """An entry of spec.change."""
    return {"kind": kind, "namespace": namespace, "name": name, "patch": list(patch)}


def lane_change(name: str, namespace: str, basis: Sequence[JSON], change: Sequence[JSON], **spec: Any) -> JSON:
    """A LaneChange over objects as the apiserver gives them (with kind, uid and generation)."""
    parsed = [next(k for k in KINDS.values() if item["kind"] == k.KIND).parse(item) for item in basis]
    based = basis_of(parsed)
    owner = next(item for item in basis if item["kind"] == "CapacityPlan")
    content = {
        "planRef": {"name": owner["metadata"]["name"]},
        "reason": "LowerMinimum",
        "message": "lane gpu: min 1 was above what demand needed for 6.5 of 7 days; with 0 a month costs $84.00 less",
        "change": list(change),
        "basis": [each.to_wire() for each in based],
        "planHash": basis_hash(based),
        "generation": owner["metadata"]["generation"],
        "expiresAt": NEVER,
        "effect": {"usdPerMonth": "-84.00", "attainmentPercent": "99.4", "observedSeconds": 604800},
    }
    meta = {"apiVersion": API_VERSION, "kind": "CapacityPlan", "name": owner["metadata"]["name"]}
    return {
        "apiVersion": API_VERSION,
        "kind": "LaneChange",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "ownerReferences": [meta | {"uid": owner["metadata"]["uid"]}],
        },
        "spec": content | spec,
    }


@dataclass
class Proposals:
    """A plan, its lanes and its class in a namespace, and people; the operator does not run."""

    cluster: Cluster
    namespace: str
    release: str
    people: dict[str, Path] = field(default_factory=dict)

    def user(self, person: str) -> str:
        """The person's name as the apiserver has it."""
        return f"system:serviceaccount:{self.namespace}:{person}"

    def person(self, name: str, role: str | None = None) -> Path:
        """The kubeconfig of somebody with one of the chart's roles (approver, viewer), or with none."""
        if name not in self.people:
            self.people[name] = self.cluster.service_account_kubeconfig(self.namespace, name)
            if role:
                self.bind(name, f"{self.release}-spillway-{role}")
        return self.people[name]

    def bind(self, person: str, role: str, name: str = "") -> None:
        """Give somebody a ClusterRole in the namespace."""
        self.cluster.kubectl(
            "create", "rolebinding", name or person, "-n", self.namespace, f"--clusterrole={role}",
            f"--serviceaccount={self.namespace}:{person}",
        )  # fmt: skip

    def get(self, kind: str, name: str) -> JSON:
        """An object of the namespace."""
        return self.cluster.get(f"{kind}.v1alpha1.spillway.dev" if "." in kind else kind, name, self.namespace)

    def basis(self) -> list[JSON]:
        """The plan, its lanes and its class as they are."""
        wanted = (("cplan", "main"), ("clane", "gpu"), ("clane", "hosted"), ("wclass", "chat"))
        return [self.get(kind, name) for kind, name in wanted]

    def propose(self, name: str = "main-lower", changes: Sequence[JSON] = (), **spec: Any) -> JSON:
        """Create a LaneChange on the present state; by default it lowers the lane's minimum. Returns it."""
        entries = changes or [change_on("CapacityLane", self.namespace, "gpu", LOWER)]
        made = lane_change(name, self.namespace, self.basis(), entries)
        made["spec"] |= spec
        return self.create(made)

    def create(self, manifest: JSON) -> JSON:
        """Create an object as administrator."""
        found: JSON = json.loads(self.cluster.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(manifest)))
        return found

    def annotate(self, name: str, *notes: str, person: str | None = None) -> None:
        """kubectl annotate lanechange; raises KubectlError with what the apiserver says."""
        kubeconfig = self.people[person] if person else None
        self.cluster.kubectl(
            "annotate", "lanechange", name, "-n", self.namespace, "--overwrite", *notes, kubeconfig=kubeconfig
        )

    def notes(self, name: str = "main-lower") -> Mapping[str, str]:
        """Annotations of a LaneChange."""
        found: dict[str, str] = self.get("lanechange", name)["metadata"].get("annotations") or {}
        return found

    def minimum(self) -> int:
        """spec.selfHosted.replicas.min of the lane."""
        return int(self.get("clane", "gpu")["spec"]["selfHosted"]["replicas"]["min"])


def chart_objects(cluster: Cluster, release: str, namespace: str) -> list[JSON]:
    """What charts/spillway/templates/approval.yaml renders to."""
    rendered = subprocess.run(
        [cluster.tools.path("helm"), "template", release, str(ROOT / "charts/spillway"), "--namespace", namespace,
         "--set", "config.prometheus.url=http://127.0.0.1:1", "--set", f"serviceAccount.name={ACCOUNT}",
         "--show-only", "templates/approval.yaml"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [document for document in yaml.safe_load_all(rendered.stdout) if document]


@pytest.fixture
def proposals(cluster: Cluster, crds: object, namespace: str) -> Iterator[Proposals]:
    """A plan to propose changes of, with the chart's roles and admission policy in force."""
    made = Proposals(cluster, namespace, f"sw-{namespace}")
    ns = namespace
    cluster.apply(own_lane(ns), hosted_lane(ns), workload(ns), plan(ns), field_manager="person")
    objects = chart_objects(cluster, made.release, ns)
    cluster.apply(*objects)
    try:
        probe = made.propose("probe")
        wait_until(lambda: _refused(made, probe), "the admission policy in force", 60)
        cluster.kubectl("delete", "lanechange", "probe", "-n", ns)
        yield made
    finally:
        cluster.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=yaml.safe_dump_all(objects))


def _refused(made: Proposals, probe: JSON) -> bool:
    try:
        made.cluster.kubectl(
            "annotate", "lanechange", "probe", "-n", made.namespace, "--dry-run=server", "--overwrite",
            "spillway.dev/approved=0000",
        )  # fmt: skip
    except KubectlError as error:
        return probe["metadata"]["name"] in str(error) and "spillway.dev/approved" in str(error)
    return False
