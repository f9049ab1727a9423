"""``spillway propose``: files that kustomize takes, manifests changed in place, nothing changed twice."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from spillway.cli.main import main
from support.lane_changes import FEWER_MODELS, LOWER, Proposals, change_on

LANE = """\
# The platform team's lane.
apiVersion: spillway.dev/v1alpha1
kind: CapacityLane
metadata:
  name: gpu
spec:
  type: SelfHosted
  models: [llama]
  selfHosted:
    replicas: {min: 1,   max: 8}  # warm for the office
"""


def propose(proposals: Proposals, *arguments: str) -> int:
    viewer = proposals.person("bob", "viewer")
    return main(["propose", "--kubeconfig", str(viewer), "-n", proposals.namespace, *arguments])


def tree(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(folder)): (path.read_text(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def built(proposals: Proposals, folder: Path) -> list[dict[str, Any]]:
    """What kubectl's kustomize makes of it."""
    done = subprocess.run(
        [proposals.cluster.tools.path("kubectl"), "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def test_kustomize_takes_what_is_written_and_a_second_run_changes_nothing(
    proposals: Proposals, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A viewer may write it; it is the lane of an overlay whose namespace kustomize sets."""
    ns, out, live = proposals.namespace, tmp_path / "pr", tmp_path / "live"
    change = proposals.propose(
        changes=[change_on("CapacityLane", ns, "gpu", LOWER), change_on("WorkloadClass", ns, "chat", FEWER_MODELS)]
    )
    assert propose(proposals, "--output-dir", str(out)) == 0
    assert f"{ns}/main-lower: written" in " ".join(capsys.readouterr().out.split())
    first = tree(out)
    assert sorted(first) == [
        "main-lower/README.md",
        f"main-lower/capacitylane.{ns}.gpu.yaml",
        "main-lower/kustomization.yaml",
        f"main-lower/workloadclass.{ns}.chat.yaml",
    ]
    assert propose(proposals, "--output-dir", str(out), "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)[0]["result"] == "unchanged"
    assert tree(out) == first

    live.mkdir()
    (live / "lane.yaml").write_text(LANE)
    (live / "class.yaml").write_text(
        "apiVersion: spillway.dev/v1alpha1\nkind: WorkloadClass\nmetadata: {name: chat}\n"
        "spec: {equivalentModels: [llama, gpt-5-nano]}\n"
    )
    (live / "kustomization.yaml").write_text(
        f"namespace: {ns}\nresources: [lane.yaml, class.yaml]\ncomponents: [../pr/main-lower]\n"
    )
    objects = {each["kind"]: each for each in built(proposals, live)}
    assert objects["CapacityLane"]["spec"]["selfHosted"]["replicas"] == {"min": 0, "max": 8}
    assert objects["WorkloadClass"]["spec"]["equivalentModels"] == ["llama"]

    text = first["main-lower/README.md"][0]
    spec = change["spec"]
    change_line, effect = "spec.selfHosted.replicas.min: 1 -> 0", "$84.00 a month less"
    for said in (spec["message"], spec["planHash"], spec["expiresAt"], effect, change_line, "git revert"):
        assert said in text


def test_the_readmes_way_back_leads_back(proposals: Proposals, tmp_path: Path) -> None:
    proposals.propose()
    before = proposals.get("clane", "gpu")["spec"]
    assert propose(proposals, "--output-dir", str(tmp_path)) == 0
    readme = (tmp_path / "main-lower" / "README.md").read_text()
    (back,) = (line for line in readme.splitlines() if line.startswith("kubectl patch"))
    alice = proposals.person("alice", "approver")
    assert main(["approve", "--kubeconfig", str(alice), "-n", proposals.namespace, "main-lower", "--yes"]) == 0
    assert proposals.minimum() == 0
    environment = {"KUBECONFIG": str(proposals.cluster.kubeconfig)}
    command = proposals.cluster.tools.path("kubectl") + back.removeprefix("kubectl")
    subprocess.run(["sh", "-c", command], env=environment, check=True, capture_output=True)
    assert proposals.get("clane", "gpu")["spec"] == before


def test_manifests_are_changed_in_place_with_their_comments(
    proposals: Proposals, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ns = proposals.namespace
    proposals.propose(
        changes=[change_on("CapacityLane", ns, "gpu", LOWER), change_on("WorkloadClass", ns, "chat", FEWER_MODELS)]
    )
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "lane.yaml").write_text(LANE)
    flags = ("--output-dir", str(tmp_path / "pr"), "--manifests", str(manifests), "-o", "json")
    assert propose(proposals, *flags) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    lane, workload = answer["manifests"]
    assert lane == {"kind": "CapacityLane", "namespace": ns, "name": "gpu", "result": "changed",
                    "file": str(manifests / "lane.yaml"),
                    "detail": "it names no namespace: look at what else is built from it"}  # fmt: skip
    assert workload["result"] == "left"
    assert workload["detail"] == "no manifest of it in the folder"
    assert (manifests / "lane.yaml").read_text() == LANE.replace("min: 1,", "min: 0,")
    once = tree(tmp_path)
    assert propose(proposals, *flags) == 0
    assert json.loads(capsys.readouterr().out)[0]["result"] == "unchanged"
    assert tree(tmp_path) == once


def test_what_is_stale_or_answered_is_left_out_with_a_line(
    proposals: Proposals, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proposals.propose("stale")
    patch = '{"spec":{"selfHosted":{"replicas":{"max":9}}}}'
    proposals.cluster.kubectl("patch", "clane", "gpu", "-n", proposals.namespace, "--type=merge", "-p", patch)
    proposals.propose("no")
    proposals.propose("yes")
    alice = ["--kubeconfig", str(proposals.person("alice", "approver")), "-n", proposals.namespace]
    assert main(["reject", *alice, "no", "--reason", "launch week"]) == 0
    capsys.readouterr()
    flags = ("--output-dir", str(tmp_path), "-o", "json")
    assert propose(proposals, *flags) == 0
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert {name: each["result"] for name, each in found.items()} == {
        "stale": "left out", "no": "left out", "yes": "written",
    }  # fmt: skip
    assert "generation 2, was 1" in found["stale"]["detail"]
    assert "launch week" in found["no"]["detail"]
    assert [path.name for path in tmp_path.iterdir()] == ["yes"]
    assert propose(proposals, *flags, "stale") == 1
    capsys.readouterr()
    assert propose(proposals, *flags, "--state", "Approved") == 0
    assert {each["result"] for each in json.loads(capsys.readouterr().out)} == {"left out"}
    assert propose(proposals, *flags, "--state", "Applied") == 2
    assert "others are not open" in capsys.readouterr().err


def test_somebody_elses_folder_is_left_alone(
    proposals: Proposals, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proposals.propose()
    theirs = tmp_path / "main-lower" / "kustomization.yaml"
    theirs.parent.mkdir()
    theirs.write_text("resources: [app.yaml]\n")
    assert propose(proposals, "--output-dir", str(tmp_path), "main-lower") == 1
    assert "is somebody else's" in " ".join(capsys.readouterr().out.split())
    assert tree(tmp_path).keys() == {"main-lower/kustomization.yaml"}
    assert theirs.read_text() == "resources: [app.yaml]\n"
