"""Approving on a real apiserver: who may, on which state, by whose credentials; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spillway.cli.main import main
from spillway_dev.cluster import KubectlError
from spillway_dev.controlplane import ControlPlane
from support.lane_changes import Proposals


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


def test_who_lacks_the_verb_is_refused_by_the_apiserver(
    proposals: Proposals, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even one who may edit everything of Spillway's, by kubectl annotate."""
    change = proposals.propose()
    bob = proposals.person("bob", "viewer")
    proposals.cluster.kubectl(
        "create", "role", "editor", "-n", proposals.namespace, "--verb=get,list,watch,update,patch,create",
        "--resource=lanechanges.spillway.dev,capacitylanes.spillway.dev,capacityplans.spillway.dev,workloadclasses.spillway.dev",
    )  # fmt: skip
    proposals.cluster.kubectl(
        "create", "rolebinding", "editor", "-n", proposals.namespace, "--role=editor",
        f"--serviceaccount={proposals.namespace}:bob",
    )  # fmt: skip
    approved = f"spillway.dev/approved={change['spec']['planHash']}"
    by = f"spillway.dev/approved-by={proposals.user('bob')}"
    for notes in ((approved, by), ("spillway.dev/rejected=no", f"spillway.dev/rejected-by={proposals.user('bob')}")):
        with pytest.raises(KubectlError, match="lacks the verb approve"):
            proposals.annotate("main-lower", *notes, person="bob")
    assert run(proposals, bob, "approve", "main-lower", "--yes") == 1
    assert "lacks the verb approve" in capsys.readouterr().err
    assert run(proposals, bob, "reject", "main-lower", "--reason", "no") == 1
    assert proposals.notes() == {}
    assert proposals.minimum() == 1
