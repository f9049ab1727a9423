"""``spillway pause`` and ``resume`` on a real apiserver: with the caller's credentials, never beside Git."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spillway.cli.approval.pause import PAUSED_MEANS
from spillway.cli.approval.show import wrapped
from spillway.cli.main import main
from spillway_dev.controlplane import ControlPlane
from support.lane_changes import Proposals


def run(proposals: Proposals, command: str, *arguments: str, person: str = "alice") -> int:
    kubeconfig = proposals.person(person, "approver")
    return main([command, "--kubeconfig", str(kubeconfig), "-n", proposals.namespace, *arguments])


def plan_of(proposals: Proposals) -> dict[str, object]:
    found = proposals.get("cplan", "main")
    notes = found["metadata"].get("annotations") or {}
    return {"paused": found["spec"].get("paused", False), "reason": notes.get("spillway.dev/pause-reason")}


def test_the_page_shows_what_is_said(repository: Path) -> None:
    page = (repository / "docs/approval.md").read_text(encoding="utf-8")
    assert wrapped(PAUSED_MEANS, hang="") in page


def test_pausing_is_noted_harmless_twice_and_taken_back(
    proposals: Proposals, control_plane: ControlPlane, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = control_plane.audit.mark()
    assert run(proposals, "pause", "main", "--reason", "incident 42", "--dry-run") == 0
    assert plan_of(proposals) == {"paused": False, "reason": None}
    assert run(proposals, "pause", "main", "--reason", "incident 42") == 0
    assert plan_of(proposals) == {"paused": True, "reason": "incident 42"}
    said = capsys.readouterr().out
    assert "Replicas and weights stay as they are" in said
    assert max(map(len, said.splitlines())) <= 80
    assert run(proposals, "pause", "--all", "-o", "json") == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["result"] == "already paused"
    assert answer["detail"] == "spec.paused is true: incident 42"
    assert run(proposals, "resume", "main") == 0
    assert plan_of(proposals) == {"paused": False, "reason": None}
    assert run(proposals, "resume", "main") == 0
    assert "already resumed" in capsys.readouterr().out
    stored = [
        (e.user, e.resource) for e in control_plane.audit.writes(since=mark, namespace=proposals.namespace)
        if e.api_group == "spillway.dev" and "dryRun" not in e.uri
    ]  # fmt: skip
    assert stored == [(proposals.user("alice"), "capacityplans")] * 2


def test_what_git_keeps_is_printed_with_the_emergency_way(
    proposals: Proposals, capsys: pytest.CaptureFixture[str]
) -> None:
    ns = proposals.namespace
    tracking = f"argocd.argoproj.io/tracking-id=prod:spillway.dev/CapacityPlan:{ns}/main"
    proposals.cluster.kubectl("annotate", "cplan", "main", "-n", ns, tracking)
    assert run(proposals, "pause", "main") == 1
    said = capsys.readouterr().out
    assert "comes from Git by Argo CD (Application prod)" in " ".join(said.split())
    assert f"kubectl annotate namespace {ns} spillway.dev/stop=true" in " ".join(said.split())
    assert "path: /spec/paused" in said
    assert plan_of(proposals) == {"paused": False, "reason": None}


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ((), 2, "name the plans, or --all"),
        (("main", "--all"), 2, "not both"),
        (("main", "--reason", ""), 2, "--reason has 0 characters"),
        (("other",), 1, "there is no CapacityPlan other in"),
    ],
)
def test_bad_input_is_one_line(
    proposals: Proposals, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, said: str
) -> None:
    assert run(proposals, "pause", *arguments) == status
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_who_may_not_is_told_by_the_apiserver(proposals: Proposals, capsys: pytest.CaptureFixture[str]) -> None:
    viewer = proposals.person("bob", "viewer")
    assert main(["pause", "--kubeconfig", str(viewer), "-n", proposals.namespace, "main"]) == 1
    assert "cannot patch resource" in " ".join(capsys.readouterr().err.split())
    assert main(["pause", "--kubeconfig", str(viewer), "-A", "main"]) == 1
    assert "you lack list on capacityplans.spillway.dev in all namespaces" in capsys.readouterr().err
