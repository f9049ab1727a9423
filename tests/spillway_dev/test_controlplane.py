"""The development control plane, for real: every program runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import pytest

from spillway_dev.cluster import Cluster, KubectlError
from spillway_dev.controlplane import ControlPlane, ControlPlaneOptions
from spillway_dev.nodes import STARTUP_ANNOTATION, GpuNode
from spillway_dev.processes import ProcessError, wait_until
from spillway_dev.toolchain import Tools


def deployment(name: str, replicas: int, *, gpus: int = 0, startup: str = "") -> dict[str, object]:
    annotations = {STARTUP_ANNOTATION: startup} if startup else {}
    resources = {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": annotations},
                "spec": {"containers": [{"name": "engine", "image": "vllm", "resources": resources}]},
            },
        },
    }


def ready_replicas(cluster: Cluster, namespace: str, name: str) -> int:
    ready: int = cluster.get("deployment", name, namespace)["status"].get("readyReplicas", 0)
    return ready


def wait_ready(cluster: Cluster, namespace: str, name: str, replicas: int) -> None:
    wait_until(lambda: ready_replicas(cluster, namespace, name) == replicas, f"{replicas} Ready of {name}", 120)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_scaling_a_deployment_starts_pods_and_is_audited(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.apply(deployment("vllm", 2, gpus=1), namespace=namespace)
    wait_ready(control_plane, namespace, "vllm", 2)
    mark = control_plane.audit.mark()

    person = control_plane.user_kubeconfig("person")
    control_plane.kubectl("scale", "deployment/vllm", "--replicas=5", "-n", namespace, kubeconfig=person)
    wait_ready(control_plane, namespace, "vllm", 5)

    (write,) = control_plane.audit.writes(since=mark, user="person")
    assert (write.verb, write.resource, write.subresource, write.name) == ("patch", "deployments", "scale", "vllm")
    assert write.body == {"spec": {"replicas": 5}}
    assert write.ok


def test_a_failed_write_is_audited_with_its_reason(control_plane: ControlPlane, namespace: str) -> None:
    mark = control_plane.audit.mark()
    with pytest.raises(KubectlError, match="Forbidden"):
        control_plane.apply(
            deployment("vllm", 1), namespace=namespace, kubeconfig=control_plane.user_kubeconfig("nobody")
        )
    entry = control_plane.audit.wait_for(lambda entry: entry.user == "nobody" and not entry.ok, since=mark)
    assert entry.code == 403
    assert "cannot" in entry.message


def test_pods_take_their_start_up_time(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.apply(deployment("slow", 1, startup="1h"), deployment("fast", 1), namespace=namespace)
    wait_ready(control_plane, namespace, "fast", 1)

    def phase() -> str:
        pods = control_plane.get("pods", namespace=namespace)["items"]
        (slow,) = [pod for pod in pods if pod["metadata"]["labels"]["app"] == "slow"]
        return str(slow["status"]["phase"])

    wait_until(lambda: phase() == "Running", "the slow pod runs", 120)
    assert ready_replicas(control_plane, namespace, "slow") == 0


def test_gpu_requests_bind_to_nodes_and_too_many_stay_pending(control_plane: ControlPlane, namespace: str) -> None:
    nodes = control_plane.get("nodes", "gpu-0")
    assert nodes["status"]["allocatable"]["nvidia.com/gpu"] == "8"

    control_plane.add_nodes(GpuNode("rare", gpus=2, labels={"pool": "rare"}))
    wanted = deployment("picky", 2, gpus=2)
    wanted["spec"]["template"]["spec"]["nodeSelector"] = {"pool": "rare"}  # type: ignore[index]
    control_plane.apply(wanted, namespace=namespace)
    wait_ready(control_plane, namespace, "picky", 1)

    pods = control_plane.get("pods", namespace=namespace)["items"]
    assert sorted(pod["spec"].get("nodeName", "") for pod in pods) == ["", "rare"]
    control_plane.kubectl("delete", "node", "rare")


def test_a_service_account_may_do_what_it_was_granted(cluster: Cluster, namespace: str) -> None:
    kubeconfig = cluster.service_account_kubeconfig(namespace, "reader")
    with pytest.raises(KubectlError, match=f"system:serviceaccount:{namespace}:reader"):
        cluster.kubectl("get", "deployments", "-n", namespace, kubeconfig=kubeconfig)

    cluster.grant(namespace, "reader", [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]}])
    try:
        wait_until(
            lambda: (
                cluster.kubectl("auth", "can-i", "list", "deployments", kubeconfig=kubeconfig, check=False) == "yes\n"
            ),
            "the grant",
            10,
        )
        cluster.kubectl("get", "deployments", "-n", namespace, kubeconfig=kubeconfig)
    finally:
        cluster.kubectl("delete", "clusterrole,clusterrolebinding", f"{namespace}-reader")


def test_gateway_api_routes_can_be_applied(gateway_api: Cluster, namespace: str) -> None:
    gateway_api.apply(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "chat"},
            "spec": {"rules": [{"backendRefs": [{"name": "vllm", "port": 8000, "weight": 100}]}]},
        },
        namespace=namespace,
    )
    route = gateway_api.get("httproutes.gateway.networking.k8s.io", "chat", namespace)
    assert route["spec"]["rules"][0]["backendRefs"][0]["weight"] == 100


def test_an_autoscaler_is_obeyed(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.apply(deployment("vllm", 1), namespace=namespace)
    control_plane.kubectl(
        "autoscale", "deployment/vllm", "--min=2", "--max=4", "--cpu=50%", "-n", namespace
    )  # its minimum needs no metrics
    wait_ready(control_plane, namespace, "vllm", 2)


def test_a_second_one_runs_beside_and_nothing_is_left_of_it(control_plane: ControlPlane, tools: Tools) -> None:
    options = ControlPlaneOptions(nodes=(GpuNode("only"),))
    with ControlPlane(tools, options) as second:
        assert second.server != control_plane.server
        assert [node["metadata"]["name"] for node in second.get("nodes")["items"]] == ["only"]
        pids = [process.pid for process in second.processes.values()]
        assert all(alive(pid) for pid in pids)
    assert not any(alive(pid) for pid in pids)
    assert not second.folder.exists()


def test_nothing_is_left_when_the_parent_is_killed(tools: Tools, tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import signal
        from spillway_dev.controlplane import ControlPlane, ControlPlaneOptions
        from spillway_dev.toolchain import find_tools
        running = ControlPlane(find_tools(), ControlPlaneOptions(nodes=())).start()
        print(running.folder, *(process.pid for process in running.processes.values()), flush=True)
        signal.pause()
        """
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        folder, *pids = parent.stdout.readline().split()
        assert len(pids) == 5
        os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: not any(alive(int(pid)) for pid in pids), "children of a killed parent end", 120)
    wait_until(lambda: not Path(folder).exists(), "its folder is removed", 120)


def test_a_failed_start_tells_why_and_leaves_nothing(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spillway_dev.components.CONTROLLERS", ("no-such-controller",))
    broken = ControlPlane(tools, ControlPlaneOptions(nodes=()))
    with pytest.raises(ProcessError, match=r"(?s)kube-controller-manager ended with status 1.*no-such-controller"):
        broken.start()
    assert not broken.processes
    assert not broken.folder.exists()


def test_an_unknown_user_is_named(control_plane: ControlPlane) -> None:
    user = uuid.uuid4().hex
    with pytest.raises(KeyError, match=user):
        control_plane.user_kubeconfig(user)


def test_it_starts_within_seconds(control_plane: ControlPlane) -> None:
    # About 3 s on two idle cores; the bound leaves room for busy ones.
    assert 0 < control_plane.start_seconds < 30
