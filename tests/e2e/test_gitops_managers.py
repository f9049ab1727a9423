"""Argo CD and Flux beside Spillway on a real apiserver: who has the last word on replicas, notes and switches.

The tools are field managers here, by their own libraries (support/gitops.py); their controllers do not run. Spillway
writes by its own functions. What loses is shown, too: docs/gitops.md names the test of each row of its table.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from spillway.api.names import BASELINE_ANNOTATION, LAST_SCALE_ANNOTATION, STOP_ANNOTATION
from spillway.cli.main import main
from spillway.kube import Kube
from spillway_dev.cluster import Cluster
from support.gitops import (
    ARGO_RULES,
    SYNCS,
    TOOLS,
    ArgoCD,
    Spillway,
    counts,
    in_git,
    target_history,
    tool,
)
from support.world import plan

JSON = dict[str, Any]
POINTER = [{"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}]


@pytest.fixture
async def spillway(cluster: Cluster, namespace: str) -> AsyncIterator[Spillway]:
    async with await Kube.connect(str(cluster.kubeconfig)) as connected:
        yield Spillway(connected, namespace)


@pytest.mark.parametrize("replicas", [None, 1], ids=["none-in-git", "in-git"])
@pytest.mark.parametrize("name", TOOLS)
async def test_replicas_are_spillways(
    cluster: Cluster, namespace: str, spillway: Spillway, name: str, replicas: int | None
) -> None:
    git = tool(name, cluster, rules=replicas is not None)
    git.sync(in_git(namespace, replicas=replicas))
    await spillway.scale(5)
    seen = target_history(cluster, namespace)
    for _ in range(SYNCS):
        git.sync(in_git(namespace, replicas=replicas))
        await spillway.scale(5)
    git.sync(in_git(namespace, replicas=replicas, image="vllm:2"))
    assert set(counts(seen)) == {5}, "at no time anything else"

    later = target_history(cluster, namespace)
    await spillway.scale(6)
    git.sync(in_git(namespace, replicas=replicas, image="vllm:2"))
    assert set(counts(later)) == {5, 6}
    assert counts(later) == sorted(counts(later)), "never back"
    found = await spillway.target()
    assert found["spec"]["replicas"] == 6
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "vllm:2", "what Git is for still comes"
    notes = found["metadata"]["annotations"]
    assert notes[BASELINE_ANNOTATION] == "1"
    assert json.loads(notes[LAST_SCALE_ANNOTATION])["to"] == 6


@pytest.mark.parametrize("name", TOOLS)
async def test_replicas_in_git_win_without_an_ignore_rule(
    cluster: Cluster, namespace: str, spillway: Spillway, name: str
) -> None:
    git = tool(name, cluster, rules=False)
    git.sync(in_git(namespace, replicas=1))
    for count in (5, 6):
        await spillway.scale(count)
        git.sync(in_git(namespace, replicas=1))
        assert await spillway.replicas() == 1


@pytest.mark.parametrize(
    ("name", "rules", "left"),
    [
        ("argocd-server-side", (), 5),
        ("argocd-client-side", (), 1),
        ("argocd-client-side", ARGO_RULES, 1),
        ("argocd-client-side", POINTER, 5),
        ("flux", (), 5),
    ],
    ids=["argocd-server-side", "argocd-client-side", "argocd-client-side-rules", "argocd-client-side-pointer", "flux"],
)
async def test_replicas_leave_git(
    cluster: Cluster, namespace: str, spillway: Spillway, name: str, rules: list[JSON], left: int
) -> None:
    """Client-side apply takes the missing field for a deletion, and managedFieldsManagers does not see it."""
    git = tool(name, cluster, rules=False)
    git.sync(in_git(namespace, replicas=1))
    await spillway.scale(5)
    git.ignore = list(rules)
    git.sync(in_git(namespace))
    assert await spillway.replicas() == left
    assert (await spillway.target())["metadata"]["annotations"][BASELINE_ANNOTATION] == "1"


@pytest.mark.parametrize(
    ("pointer", "server_side", "left"),
    [(False, True, 5), (True, True, 5), (True, False, 1)],
    ids=["turned-server-side", "pointer-then-server-side", "pointer-then-client-side"],
)
async def test_replicas_leave_git_in_steps(
    cluster: Cluster, namespace: str, spillway: Spillway, pointer: bool, server_side: bool, left: int
) -> None:
    """Under the pointer the count goes into the last-applied annotation: to client-side apply, Git has it."""
    git = ArgoCD(cluster, server_side=False)
    git.sync(in_git(namespace, replicas=1))
    await spillway.scale(5)
    if pointer:
        git.ignore = POINTER
        git.sync(in_git(namespace))
    git = ArgoCD(cluster, ARGO_RULES, server_side=server_side)
    git.sync(in_git(namespace))
    assert await spillway.replicas() == left


@pytest.mark.parametrize(
    ("rules", "replicas", "left"),
    [((), None, 6), (ARGO_RULES, None, 6), (ARGO_RULES, 1, 5), (POINTER, None, 5), (POINTER, 1, 5)],
    ids=["no-rule", "rules", "rules-in-git", "pointer", "pointer-in-git"],
)
@pytest.mark.parametrize("server_side", [True, False], ids=["server-side", "client-side"])
async def test_a_count_written_between_argo_cds_reading_and_writing(
    cluster: Cluster,
    namespace: str,
    spillway: Spillway,
    server_side: bool,
    rules: list[JSON],
    replicas: int | None,
    left: int,
) -> None:
    """What is ignored is copied from the cluster as it was read, even into a manifest that has no replicas."""
    git = ArgoCD(cluster, rules, server_side=server_side)
    git.sync(in_git(namespace, replicas=replicas))
    await spillway.scale(5)
    targets = git.read(in_git(namespace, replicas=replicas))
    await spillway.scale(6)
    git.write(targets)
    assert await spillway.replicas() == left


@pytest.mark.parametrize(("policy", "left", "image"), [("Merge", 1, "vllm:2"), ("IfNotPresent", 5, "vllm:1")])
async def test_flux_apply_policies_are_no_ignore_rules(
    cluster: Cluster, namespace: str, spillway: Spillway, policy: str, left: int, image: str
) -> None:
    """Merge keeps what Git does not state; IfNotPresent never updates anything."""
    git = tool("flux", cluster, rules=False)
    for tag in ("vllm:1", "vllm:2"):
        made = in_git(namespace, replicas=1, image=tag)
        made["metadata"]["annotations"] = {"kustomize.toolkit.fluxcd.io/ssa": policy}
        git.sync(made)
        if tag == "vllm:1":
            await spillway.scale(5)
    found = await spillway.target()
    assert (found["spec"]["replicas"], found["spec"]["template"]["spec"]["containers"][0]["image"]) == (left, image)


@pytest.mark.parametrize("manager", ["kubectl-patch", "spillway-cli"])
@pytest.mark.parametrize("name", TOOLS)
def test_a_pause_by_hand(crds: Cluster, namespace: str, name: str, manager: str) -> None:
    """Flux takes back what a field manager whose name begins with kubectl has written."""
    git = tool(name, crds, rules=True)
    git.sync(plan(namespace))
    crds.kubectl(
        "patch", "capacityplan", "main", "-n", namespace, "--type=merge", f"--field-manager={manager}",
        "-p", '{"spec":{"paused":true}}',
    )  # fmt: skip
    for _ in range(SYNCS):
        git.sync(plan(namespace))
    taken_back = name == "flux" and manager.startswith("kubectl")
    assert crds.get("capacityplans", "main", namespace)["spec"]["paused"] is not taken_back


@pytest.mark.parametrize("name", TOOLS)
def test_a_pause_that_git_states_otherwise(crds: Cluster, namespace: str, name: str) -> None:
    git = tool(name, crds, rules=True)
    git.sync(plan(namespace, paused=False))
    crds.kubectl(
        "patch", "capacityplan", "main", "-n", namespace, "--type=merge", "--field-manager=spillway-cli",
        "-p", '{"spec":{"paused":true}}',
    )  # fmt: skip
    git.sync(plan(namespace, paused=False))
    assert crds.get("capacityplans", "main", namespace)["spec"]["paused"] is False


@pytest.mark.parametrize("name", TOOLS)
def test_a_pause_by_the_command(crds: Cluster, namespace: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It stays where Git says nothing of it."""
    git = tool(name, crds, rules=True)
    for paused, command in ((True, "pause"), (False, "resume")):
        git.sync(plan(namespace))
        assert main([command, "main", "-n", namespace, "--kubeconfig", str(crds.kubeconfig)]) == 0
        assert "says nothing of spec.paused, so that this stays" in " ".join(capsys.readouterr().out.split())
        for _ in range(SYNCS):
            git.sync(plan(namespace))
        assert crds.get("capacityplans", "main", namespace)["spec"]["paused"] is paused


@pytest.mark.parametrize("name", TOOLS)
def test_a_pause_by_the_command_where_git_would_take_it_back(
    crds: Cluster, namespace: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused, with what to commit and what stops at once."""
    tool(name, crds, rules=True).sync(plan(namespace, paused=False))
    assert main(["pause", "main", "-n", namespace, "--kubeconfig", str(crds.kubeconfig)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "which would undo it; commit the patch below" in said
    assert f"kubectl annotate namespace {namespace} spillway.dev/stop=true --field-manager=spillway-stop" in said
    assert crds.get("capacityplans", "main", namespace)["spec"]["paused"] is False


@pytest.mark.parametrize("manager", [None, "spillway-stop"], ids=["kubectl", "spillway-stop"])
@pytest.mark.parametrize("name", TOOLS)
def test_an_emergency_stop_by_hand(cluster: Cluster, namespace: str, name: str, manager: str | None) -> None:
    """Of one namespace, and of all plans by the chart's ConfigMap, which has no data in Git."""
    git = tool(name, cluster, rules=True)
    own = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {"team": "a"}}}
    stop = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stop", "namespace": namespace}}
    git.sync(own, stop)
    by = [f"--field-manager={manager}"] if manager else []
    cluster.kubectl("annotate", "namespace", namespace, f"{STOP_ANNOTATION}=true", *by)
    cluster.kubectl("patch", "configmap", "stop", "-n", namespace, "-p", '{"data":{"stop":"true"}}', *by)
    for _ in range(SYNCS):
        git.sync(own, stop)
    stays = name != "flux" or manager is not None
    annotations = cluster.get("namespace", namespace)["metadata"].get("annotations") or {}
    assert (STOP_ANNOTATION in annotations) is stays
    assert ((cluster.get("configmaps", "stop", namespace).get("data") or {}) == {"stop": "true"}) is stays
