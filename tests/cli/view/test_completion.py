"""Shell completion: scripts, what kubectl asks for, and names from a cluster within a short time."""

from __future__ import annotations

import asyncio
import subprocess
import time
from typing import Any

import pytest

from cli.view.objects import Cluster, cluster, plan, status
from spillway.cli.main import cli, main
from spillway.cli.view import completion
from spillway.kube import Kube, KubeError, Resource

Patch = pytest.MonkeyPatch


def connected(monkeypatch: Patch, found: Cluster | KubeError) -> None:
    async def connect(*_: Any, **__: Any) -> Kube:
        if isinstance(found, KubeError):
            raise found
        return found

    monkeypatch.setattr(Kube, "connect", connect)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_asks_the_program(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert completion.VARIABLE in out
    assert "spillway" in out
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=out, text=True, check=False).returncode == 0


def test_kubectl_gets_commands_with_their_help_and_a_directive() -> None:
    lines = completion.answer(cli, ["sta"]).splitlines()
    assert lines == ["status\tHow plans stand, and what needs a person.", ":4"]
    assert completion.answer(cli, ["top", "cl"]).splitlines() == ["classes", ":4"]
    assert "--sort-by" in completion.answer(cli, ["top", "--sort"])
    assert completion.answer(cli, ["status", "--kubeconfig", ""]).endswith(":0\n")


def test_plans_lanes_and_classes_come_from_the_cluster(monkeypatch: Patch) -> None:
    connected(monkeypatch, cluster(plan(status()), plan(status(), name="other", namespace="team-a")))
    assert completion.answer(cli, ["status", "-n", "inference", ""]).splitlines() == ["main", ":4"]
    assert completion.answer(cli, ["plan", "-A", ""]).splitlines() == ["main", "other", ":4"]
    assert completion.answer(cli, ["explain", "-n", "inference", ""]).splitlines() == ["chat", "gpu", "hosted", ":4"]
    assert completion.answer(cli, ["top", "-n", "te"]).splitlines() == ["team-a", ":4"]
    assert completion.answer(cli, ["explain", "-n", "inference", "g"]).splitlines() == ["gpu", ":4"]


def test_a_cluster_that_refuses_completes_nothing(monkeypatch: Patch) -> None:
    connected(monkeypatch, KubeError(0, "Unreachable", "no"))
    assert completion.answer(cli, ["status", "-n", "inference", ""]) == ":4\n"


def test_a_cluster_that_is_slow_is_not_waited_for(monkeypatch: Patch) -> None:
    class Slow(Cluster):
        async def list_in(self, resource: Resource, namespaces: Any) -> Any:
            await asyncio.sleep(600)

    connected(monkeypatch, Slow({}, {}))
    monkeypatch.setattr(completion, "SECONDS", 0.05)
    began = time.monotonic()
    assert completion.answer(cli, ["status", "-n", "inference", ""]) == ":4\n"
    assert time.monotonic() - began < 300
