"""``kubectl spillway status | top | explain | plan``: run by kubectl as a plugin, with figures that are the status'."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spillway_dev.processes import wait_until
from support.world import World

ENTRIES = {
    "kubectl-spillway": "from spillway.__main__ import command as program",
    "kubectl_complete-spillway": "from spillway.cli.view.completion import kubectl_complete as program",
}
"""The programs that the package installs."""
PLUGIN_SECONDS = 120


@dataclass(frozen=True)
class Kubectl:
    """kubectl with the plugin in its PATH."""

    world: World
    folder: Path

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        cluster = self.world.cluster
        return subprocess.run(
            [cluster.tools.path("kubectl"), *arguments],
            env={
                **os.environ,
                "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}",
                "KUBECONFIG": str(cluster.kubeconfig),
                "KUBECACHEDIR": str(self.world.scratch / "kubectl-cache"),
            }
            | environment,
            capture_output=True,
            text=True,
            timeout=PLUGIN_SECONDS,
            check=False,
        )

    def printed(self, *arguments: str) -> str:
        """What ``kubectl spillway`` prints in the world's namespace."""
        done = self("spillway", *arguments, "-n", self.world.namespace)
        assert done.stderr == ""
        assert done.returncode == 0, done.stdout
        return done.stdout

    def view(self, *arguments: str) -> str:
        """The same for people; each line fits 80 columns."""
        found = self.printed(*arguments)
        assert all(len(line) <= 80 for line in found.splitlines())
        return found

    def read(self, *arguments: str) -> dict[str, Any]:
        """The same for programs."""
        found: dict[str, Any] = json.loads(self.printed(*arguments, "-o", "json"))
        return found


@pytest.fixture
def kubectl(world: World, tmp_path: Path) -> Kubectl:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, line in ENTRIES.items():
        script = folder / name
        script.write_text(f"#!{sys.executable}\nimport sys\n{line}\nsys.exit(program())\n")
        script.chmod(0o755)
    return Kubectl(world, folder)


def settle(world: World) -> dict[str, Any]:
    """A status that says something, and stays as it is once its operator has ended."""
    world.standard(replicas=2, mode="Recommend")
    world.start_under(22)
    world.wait(lambda: (world.lane_status().get("recommended") or 0) >= 3, "a recommendation of 3 replicas or more")
    world.wait(lambda: len(world.lane_status().get("why") or []) >= 6, "the chain of figures")
    world.stop_operator()
    return world.status()


def test_what_kubectl_prints_is_what_the_status_says(world: World, kubectl: Kubectl) -> None:
    told = settle(world)
    lane = next(each for each in told["lanes"] if each["name"] == "gpu")

    (plan,) = kubectl.read("status")["plans"]
    assert (plan["mode"], plan["operatorSilent"], plan["needsPerson"]) == ("Recommend", False, False)
    assert plan["totals"] == told["totals"]
    row = next(each for each in plan["lanes"] if each["name"] == "gpu")
    assert (row["current"], row["recommended"]) == (2, lane["recommended"])
    assert "healthy" in kubectl.view("status", "main")

    top = kubectl.read("top")
    gpu = next(each for each in top["lanes"] if each["name"] == "gpu")
    assert gpu["utilization"]["load"] == lane["utilization"]["load"]
    assert gpu["usdPerHour"] == lane["usdPerHour"]
    (chat,) = top["classes"]
    assert chat["requestsPerSecond"] == told["classes"][0]["requestsPerSecond"]
    assert chat["objectivePercent"] == "99"
    assert f"2/2→{lane['recommended']}" in kubectl.view("top", "lanes", "--sort-by", "load")

    (explained,) = kubectl.read("explain", "gpu")["explained"]
    assert explained["why"] == lane["why"]
    steps = {step["step"]: step for step in lane["why"]}
    assert steps["Recommended"]["value"] == str(lane["recommended"])
    assert steps["Demand"]["value"] == told["classes"][0]["requestsPerSecond"]
    last = kubectl.view("explain", "gpu").split("=> ")[-1]
    assert last.startswith(f"{lane['recommended']} replicas recommended, 2 asked for now")

    (planned,) = kubectl.read("plan")["plans"]
    assert planned["replicas"] == [{"lane": "gpu", "now": 2, "wanted": lane["recommended"]}]
    assert planned["usdPerHourExpected"] == told["totals"]["expectedUsdPerHour"]
    assert f"lane gpu: 2 -> {lane['recommended']} replicas" in kubectl.view("plan")
    assert kubectl("spillway", "plan", "--detailed-exitcode", "-n", world.namespace).returncode == 2


def test_an_operator_that_is_gone_is_told_once_its_report_is_old(world: World, kubectl: Kubectl) -> None:
    world.standard(replicas=2, mode="Recommend")
    never = kubectl("spillway", "status", "-n", world.namespace)
    assert never.returncode in (0, 1)  # within the first minute nobody is missed
    assert "has not reported on this plan yet" in " ".join(never.stdout.split())

    world.start_under(5)
    world.wait(lambda: "decision" in world.status(), "a decision")
    world.stop_operator()
    decision = world.status()["decision"]
    old = decision | {"at": "2026-01-01T00:00:00Z", "validUntil": "2026-01-01T00:06:00Z"}
    patch = json.dumps({"status": {"decision": old}})
    world.cluster.kubectl(
        "patch", "cplan", "main", "-n", world.namespace, "--subresource=status", "--type=merge", "-p", patch
    )
    done = kubectl("spillway", "status", "-n", world.namespace)
    assert done.returncode == 1
    assert "the operator has not reported for" in " ".join(done.stdout.split())


def test_the_plugin_takes_kubectls_own_options_and_completes(world: World, kubectl: Kubectl) -> None:
    world.standard(replicas=1, mode="Recommend")
    config = str(world.cluster.kubeconfig)
    context = kubectl("config", "current-context").stdout.strip()
    everywhere = kubectl(
        "spillway", "status", "-A", "--kubeconfig", config, "--context", context, "-o", "json", KUBECONFIG="/nowhere"
    )
    assert everywhere.stderr == ""
    assert world.namespace in {plan["namespace"] for plan in json.loads(everywhere.stdout)["plans"]}

    def completed(*words: str) -> list[str]:
        done = kubectl("__complete", "spillway", *words)
        return [line.partition("\t")[0] for line in done.stdout.splitlines()]

    assert "explain" in completed("ex")
    # Names are asked for with a short time limit, which a busy machine may miss once.
    wait_until(lambda: "gpu" in completed("explain", "-n", world.namespace, "g"), "the lane's name completed", 120)
    wait_until(lambda: "main" in completed("status", "-n", world.namespace, ""), "the plan's name completed", 120)


def test_somebody_without_permission_gets_one_line(world: World, kubectl: Kubectl) -> None:
    world.standard(replicas=1, mode="Recommend")
    nobody = world.cluster.service_account_kubeconfig(world.namespace, "nobody")
    done = kubectl("spillway", "status", "-n", world.namespace, KUBECONFIG=str(nobody))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no permission to read capacityplans" in done.stderr
