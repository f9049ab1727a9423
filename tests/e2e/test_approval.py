"""Approving on a real apiserver: who may, on which state, by whose credentials; and what is refused."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spillway.api import CapacityPlan, ChangedKind
from spillway.api.basis import basis_hash, basis_of
from spillway.cli.main import main
from spillway.kube import CLASSES, LANE_CHANGES, LANES, Kube, Resource
from spillway_dev.controlplane import ControlPlane
from spillway_dev.processes import wait_until
from support.lane_changes import FEWER_MODELS, LOWER, MORE_MODELS, RAISE, Proposals, change_on


def run(proposals: Proposals, person: Path, command: str, *arguments: str) -> int:
    return main([command, "--kubeconfig", str(person), "-n", proposals.namespace, *arguments])


def test_an_approver_approves_once_and_again_is_harmless(
    proposals: Proposals, control_plane: ControlPlane, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whose credentials wrote stands in the audit log: the annotation and each patch are the approver's."""
    change = proposals.propose()
    alice = proposals.person("alice", "approver")
    mark = control_plane.audit.mark()

    assert run(proposals, alice, "approve", "main-lower", "--dry-run") == 0
    assert proposals.notes() == {}
    assert proposals.minimum() == 1
    capsys.readouterr()
    assert run(proposals, alice, "approve", "main-lower", "--yes") == 0
    said = capsys.readouterr().out
    assert "spec.selfHosted.replicas.min: 1 -> 0" in said
    assert "$84.00 a month less" in said
    assert max(map(len, said.splitlines())) <= 80
    assert proposals.minimum() == 0
    assert proposals.notes() == {
        "spillway.dev/approved": change["spec"]["planHash"],
        "spillway.dev/approved-by": proposals.user("alice"),
    }

    assert run(proposals, alice, "approve", "main-lower", "--yes", "-o", "json") == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["result"] == "already applied"
    writes = [
        (entry.user, entry.resource, entry.name)
        for entry in control_plane.audit.writes(since=mark, namespace=proposals.namespace)
        if entry.api_group == "spillway.dev" and "dryRun" not in entry.uri
    ]
    own = proposals.user("alice")
    assert writes == [(own, "lanechanges", "main-lower"), (own, "capacitylanes", "gpu")]


def test_what_has_changed_since_is_refused_and_says_what(
    proposals: Proposals, capsys: pytest.CaptureFixture[str]
) -> None:
    proposals.propose()
    proposals.propose("other")
    alice = proposals.person("alice", "approver")
    lane = ["patch", "clane", "gpu", "-n", proposals.namespace, "--type=merge", "-p"]
    proposals.cluster.kubectl(*lane, '{"metadata":{"labels":{"team":"a"}}}')
    assert run(proposals, alice, "approve", "main-lower", "--dry-run") == 0, "labels are no change of the spec"
    capsys.readouterr()
    proposals.cluster.kubectl(*lane, '{"spec":{"selfHosted":{"replicas":{"max":9}}}}')
    assert run(proposals, alice, "approve", "main-lower", "--yes") == 1
    said = capsys.readouterr().err
    assert f"CapacityLane {proposals.namespace}/gpu has changed: generation 2, was 1; wait for a new proposal" in said
    assert proposals.notes() == {}
    assert proposals.minimum() == 1

    proposals.cluster.kubectl(*lane, '{"spec":{"selfHosted":{"replicas":{"max":8}}}}')
    assert run(proposals, alice, "approve", "main-lower", "--yes") == 1, "back again is changed twice"
    chat = proposals.get("wclass", "chat")
    proposals.cluster.kubectl("delete", "wclass", "chat", "-n", proposals.namespace)
    capsys.readouterr()
    assert run(proposals, alice, "approve", "other", "--yes") == 1
    assert f"WorkloadClass {proposals.namespace}/chat is gone" in capsys.readouterr().err
    del chat["metadata"]["uid"], chat["metadata"]["resourceVersion"]
    proposals.create(chat)
    proposals.propose("third")
    proposals.cluster.kubectl("delete", "wclass", "chat", "-n", proposals.namespace)
    proposals.create(chat)
    assert run(proposals, alice, "approve", "third", "--yes") == 1
    assert f"WorkloadClass {proposals.namespace}/chat was deleted and made again" in capsys.readouterr().err


def test_what_is_no_proposal_of_the_operators_is_refused(
    proposals: Proposals, capsys: pytest.CaptureFixture[str]
) -> None:
    alice = proposals.person("alice", "approver")
    proposals.propose("late", expiresAt="2020-01-01T00:00:00Z")
    proposals.propose("forged", planHash="0123456789abcdef")
    proposals.propose("beside", [change_on("CapacityLane", proposals.namespace, "spare", LOWER)])
    other = "kube-public"
    proposals.propose(
        "elsewhere", [change_on("CapacityLane", other, "gpu", LOWER)], **based_on(proposals, other, "gpu")
    )
    proposals.propose("planless", planRef={"name": "other"})
    for name, said in (
        ("elsewhere", f"changes CapacityLane {other}/gpu, which is not in its own namespace"),
        ("planless", f"rests on other objects than its plan: CapacityPlan {proposals.namespace}/other is not in its"),
        ("late", "expired at 2020-01-01T00:00:00Z"),
        ("forged", "has a spec.planHash (0123456789abcdef) that is not that of its spec.basis"),
        ("beside", f"changes CapacityLane {proposals.namespace}/spare, which is not in its spec.basis"),
        ("nothing", f"there is no LaneChange {proposals.namespace}/nothing"),
    ):
        assert run(proposals, alice, "approve", name, "--yes") == 1
        assert said in capsys.readouterr().err
        assert name == "nothing" or proposals.notes(name) == {}
    assert run(proposals, alice, "approve", "late") == 2
    assert "add --yes" in capsys.readouterr().err


def based_on(proposals: Proposals, namespace: str, lane: str) -> dict[str, Any]:
    """A basis, with its hash, that holds a lane of another namespace besides."""
    based = basis_of([CapacityPlan.parse(proposals.get("cplan", "main"))])
    strange = based[0].model_copy(update={"kind": ChangedKind.LANE, "namespace": namespace, "name": lane})
    return {"basis": [each.to_wire() for each in (*based, strange)], "planHash": basis_hash((*based, strange))}


def test_an_object_that_cannot_be_read_is_taken_for_changed(
    proposals: Proposals, capsys: pytest.CaptureFixture[str]
) -> None:
    proposals.propose()
    carol = proposals.person("carol")
    assert run(proposals, carol, "approve", "main-lower", "--yes") == 1
    assert f"you lack get on lanechanges.spillway.dev in {proposals.namespace}" in capsys.readouterr().err
    proposals.cluster.kubectl(
        "create", "role", "some", "-n", proposals.namespace, "--verb=get,patch,approve",
        "--resource=lanechanges.spillway.dev,capacitylanes.spillway.dev,capacityplans.spillway.dev",
    )  # fmt: skip
    proposals.cluster.kubectl(
        "create", "rolebinding", "some", "-n", proposals.namespace, "--role=some",
        f"--serviceaccount={proposals.namespace}:carol",
    )  # fmt: skip
    wait_until(lambda: run(proposals, carol, "approve", "main-lower", "--yes") == 1
               and "WorkloadClass" in capsys.readouterr().err, "the role in force", 30)  # fmt: skip
    assert run(proposals, carol, "approve", "main-lower", "--yes") == 1
    assert f"you lack get on workloadclasses.spillway.dev in {proposals.namespace}" in capsys.readouterr().err
    assert proposals.notes() == {}


def test_what_stopped_half_way_goes_on(
    proposals: Proposals, control_plane: ControlPlane, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The right to patch classes is taken away after the dry run: the lane is patched, the class is not."""
    ns = proposals.namespace
    changes = [change_on("CapacityLane", ns, "gpu", LOWER), change_on("WorkloadClass", ns, "chat", FEWER_MODELS)]
    proposals.propose(changes=changes)
    alice = proposals.person("alice")
    rules = {"some": "get,patch,approve", "classes": "get,patch", "reader": "get"}
    kinds = {
        "some": "lanechanges.spillway.dev,capacitylanes.spillway.dev,capacityplans.spillway.dev",
        "classes": "workloadclasses.spillway.dev",
        "reader": "workloadclasses.spillway.dev",
    }
    for role, verbs in rules.items():
        proposals.cluster.kubectl("create", "role", role, "-n", ns, f"--verb={verbs}", f"--resource={kinds[role]}")
        grant(proposals, role)
    wait_until(lambda: main_quiet(proposals, alice, capsys, "--dry-run") == 0, "the roles in force", 30)

    real = Kube.json_patch

    async def patched(self: Kube, resource: Resource, *arguments: Any, **options: Any) -> Any:
        done = await real(self, resource, *arguments, **options)
        if resource == LANES and not options.get("dry_run"):
            proposals.cluster.kubectl("delete", "rolebinding", "classes", "-n", ns)
            for _ in range(600):
                if not await self.allowed("patch", CLASSES, ns):
                    break
                await asyncio.sleep(0.1)
        return done

    monkeypatch.setattr(Kube, "json_patch", patched)
    assert run(proposals, alice, "approve", "main-lower", "--yes", "-o", "json") == 1
    monkeypatch.undo()
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["result"] == "incomplete"
    assert [write["result"] for write in answer["writes"]] == ["Written", "Failed"]
    assert "1 of 2 objects patched" in answer["detail"]
    assert "cannot patch resource" in answer["writes"][1]["error"]
    assert proposals.minimum() == 0
    assert proposals.get("wclass", "chat")["spec"]["equivalentModels"] == ["llama", "gpt-5-nano"]

    grant(proposals, "classes")
    mark = control_plane.audit.mark()
    wait_until(lambda: main_quiet(proposals, alice, capsys, "--dry-run") == 0, "the role in force again", 30)
    assert run(proposals, alice, "approve", "main-lower", "--yes") == 0
    assert proposals.get("wclass", "chat")["spec"]["equivalentModels"] == ["llama"]
    stored = [e for e in control_plane.audit.writes(since=mark, namespace=ns) if "dryRun" not in e.uri and e.ok]
    own = [(e.user, e.resource) for e in stored if e.api_group == "spillway.dev"]
    assert own == [(proposals.user("alice"), "workloadclasses")], "neither the approval nor the lane once more"
    assert proposals.get("clane", "gpu")["metadata"]["generation"] == 2


def grant(proposals: Proposals, role: str) -> None:
    proposals.cluster.kubectl(
        "create", "rolebinding", role, "-n", proposals.namespace, f"--role={role}",
        f"--serviceaccount={proposals.namespace}:alice",
    )  # fmt: skip


def main_quiet(proposals: Proposals, person: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> int:
    status = run(proposals, person, "approve", "main-lower", *arguments)
    capsys.readouterr()
    return status


def test_what_is_kept_in_git_is_approved_and_printed(
    proposals: Proposals, control_plane: ControlPlane, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of it is patched, also not the object beside it that Git does not keep."""
    ns = proposals.namespace
    changes = [change_on("CapacityLane", ns, "gpu", LOWER), change_on("WorkloadClass", ns, "chat", FEWER_MODELS)]
    label = "kustomize.toolkit.fluxcd.io/name=inference"
    proposals.cluster.kubectl("label", "clane", "gpu", "-n", ns, label, "kustomize.toolkit.fluxcd.io/namespace=flux")
    change = proposals.propose(changes=changes)
    alice = proposals.person("alice", "approver")
    mark = control_plane.audit.mark()
    assert run(proposals, alice, "approve", "main-lower", "--yes") == 0
    said = capsys.readouterr().out
    assert f"CapacityLane {ns}/gpu comes from Git by Flux (Kustomization flux/inference)" in " ".join(said.split())
    assert "path: /spec/selfHosted/replicas/min" in said
    assert proposals.notes()["spillway.dev/approved"] == change["spec"]["planHash"]
    assert proposals.notes()["spillway.dev/approved-by"] == proposals.user("alice")
    written = [e.resource for e in control_plane.audit.writes(since=mark, user=proposals.user("alice"), namespace=ns)]
    assert set(written) == {"lanechanges"}

    assert run(proposals, alice, "approve", "main-lower", "--yes", "-o", "json") == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["result"] == "approved"
    assert "approved by" in answer["detail"]
    assert [entry["name"] for entry in answer["forGit"]] == ["gpu", "chat"]
    for entry in answer["forGit"]:
        plural = {"CapacityLane": "clane", "WorkloadClass": "wclass"}[entry["kind"]]
        patch = json.dumps(entry["patch"])
        proposals.cluster.kubectl("patch", plural, entry["name"], "-n", ns, "--type=json", "-p", patch)
    assert run(proposals, alice, "approve", "main-lower", "--yes", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)[0]["result"] == "already applied", "Git has brought it"


def test_a_rejected_one_stays_rejected(proposals: Proposals, capsys: pytest.CaptureFixture[str]) -> None:
    proposals.propose()
    alice = proposals.person("alice", "approver")
    assert run(proposals, alice, "reject", "main-lower", "--reason", " ") == 2
    assert run(proposals, alice, "reject", "main-lower", "--reason", "launch week", "--dry-run") == 0
    assert proposals.notes() == {}
    assert run(proposals, alice, "reject", "main-lower", "--reason", "launch week") == 0
    assert run(proposals, alice, "reject", "main-lower", "--reason", "again") == 0, "harmless"
    capsys.readouterr()
    by = proposals.user("alice")
    assert proposals.notes() == {"spillway.dev/rejected": "launch week", "spillway.dev/rejected-by": by}
    assert run(proposals, alice, "approve", "main-lower", "--yes") == 1
    assert f"was rejected by {by}: launch week" in capsys.readouterr().err
    assert proposals.minimum() == 1


def test_names_are_found_in_all_namespaces(proposals: Proposals, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"of-{proposals.namespace}"
    proposals.propose(name)
    admin = ["--kubeconfig", str(proposals.cluster.kubeconfig)]
    assert main(["approve", *admin, "-A", name, "--dry-run", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["namespace"] == proposals.namespace
    assert main(["approve", *admin, f"{proposals.namespace}/{name}", "--dry-run"]) == 0
    assert main(["approve", *admin, "-A", "nothing", "--dry-run"]) == 1
    assert "there is no LaneChange nothing in any namespace" in capsys.readouterr().err
    assert main(["approve", *admin, "a/b/c", "--dry-run"]) == 2


def test_a_carried_out_one_is_not_rejected_and_a_half_done_one_says_what_stays(
    proposals: Proposals, capsys: pytest.CaptureFixture[str]
) -> None:
    ns = proposals.namespace
    changes = [change_on("CapacityLane", ns, "gpu", LOWER), change_on("WorkloadClass", ns, "chat", FEWER_MODELS)]
    digest = proposals.propose(changes=changes)["spec"]["planHash"]
    alice = proposals.person("alice", "approver")
    proposals.annotate(
        "main-lower", f"spillway.dev/approved={digest}", f"spillway.dev/approved-by={proposals.user('alice')}",
        person="alice",
    )  # fmt: skip
    proposals.cluster.kubectl("patch", "clane", "gpu", "-n", ns, "--type=json", "-p", json.dumps(list(LOWER)))
    assert run(proposals, alice, "reject", "main-lower", "--reason", "stop", "--dry-run") == 0
    assert run(proposals, alice, "approve", "main-lower", "--yes") == 0
    capsys.readouterr()
    assert run(proposals, alice, "reject", "main-lower", "--reason", "stop") == 1
    assert "is carried out: to undo it" in capsys.readouterr().err

    digest = proposals.propose("next", changes=[
        change_on("CapacityLane", ns, "gpu", RAISE), change_on("WorkloadClass", ns, "chat", MORE_MODELS)
    ])["spec"]["planHash"]  # fmt: skip
    proposals.annotate(
        "next", f"spillway.dev/approved={digest}", f"spillway.dev/approved-by={proposals.user('alice')}", person="alice"
    )
    proposals.cluster.kubectl("patch", "clane", "gpu", "-n", ns, "--type=json", "-p", json.dumps(list(RAISE)))
    assert run(proposals, alice, "reject", "next", "--reason", "stop") == 0
    assert "1 of its 2 patches are in place and stay" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("said", "status", "minimum"), [("n", 1, 1), ("y", 0, 0)])
def test_on_a_terminal_it_asks(proposals: Proposals, said: str, status: int, minimum: int) -> None:
    proposals.propose()
    alice = proposals.person("alice", "approver")
    leader, follower = pty.openpty()
    try:
        os.write(leader, f"{said}\n".encode())
        command = [sys.executable, "-m", "spillway", "approve", "--kubeconfig", str(alice), "-n", proposals.namespace]
        done = subprocess.run(
            [*command, "main-lower"], stdin=follower, capture_output=True, text=True, timeout=120, check=False
        )
    finally:
        os.close(leader)
        os.close(follower)
    assert done.returncode == status, done.stderr
    assert "Approve? [y/N]" in done.stdout
    assert proposals.minimum() == minimum


def test_what_changes_in_between_is_not_overwritten(
    proposals: Proposals, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody edits the lane after the approval is noted and before its patch: that stays, and the rest is refused."""
    proposals.propose()
    alice = proposals.person("alice", "approver")
    real = Kube.json_patch
    edit = '{"spec":{"selfHosted":{"replicas":{"max":9}}}}'

    async def patched(self: Kube, resource: Resource, *arguments: Any, **options: Any) -> Any:
        done = await real(self, resource, *arguments, **options)
        if resource == LANE_CHANGES and not options.get("dry_run"):
            proposals.cluster.kubectl("patch", "clane", "gpu", "-n", proposals.namespace, "--type=merge", "-p", edit)
        return done

    monkeypatch.setattr(Kube, "json_patch", patched)
    assert run(proposals, alice, "approve", "main-lower", "--yes", "-o", "json") == 1
    monkeypatch.undo()
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["result"] == "incomplete"
    assert "it changed since it was read" in answer["writes"][0]["error"]
    assert proposals.get("clane", "gpu")["spec"]["selfHosted"]["replicas"] == {"min": 1, "max": 9}
    assert run(proposals, alice, "approve", "main-lower", "--yes") == 1
    assert "has changed: generation 2, was 1" in capsys.readouterr().err
