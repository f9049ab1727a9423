"""Fake nodes in a cluster that is not the development control plane's own, with its nodes watched by heartbeats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

from spillway_dev.cluster import Cluster
from spillway_dev.controlplane import ControlPlane, ControlPlaneOptions
from spillway_dev.fakenodes import FakeNodes
from spillway_dev.nodes import GpuNode
from spillway_dev.processes import wait_until
from spillway_dev.toolchain import Tools
from support.api_proxy import ApiProxy, parse_path
from support.world import deployment


@pytest.fixture(scope="module")
def other(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster known by its kubeconfig only, without kubelets."""
    with ControlPlane(tools, ControlPlaneOptions(kubelets=False)) as control_plane:
        yield Cluster(control_plane.kubeconfig, tools, tmp_path_factory.mktemp("other"))


@pytest.mark.cluster
def test_pods_run_on_fake_nodes_and_nothing_else_is_touched(other: Cluster) -> None:
    other.apply(GpuNode("real", labels={"type": "real"}).manifest())
    namespace = other.create_namespace("fakes")
    with FakeNodes(other, [GpuNode("a", gpus=2)]) as nodes:
        other.apply(deployment(namespace, replicas=3, startup="0s"))

        def ready() -> int:
            return int(other.get("deployments.apps", "vllm", namespace)["status"].get("readyReplicas", 0))

        wait_until(lambda: ready() == 2, "as many Ready pods as there are fake GPUs", 120)
        pods = other.get("pods", namespace=namespace)["items"]
        assert sorted(pod["spec"].get("nodeName", "") for pod in pods) == ["", *2 * [f"{nodes.prefix}-a"]]
        # kwok renews the heartbeats of its own nodes, and says nothing about anybody else's.
        assert other.exists("lease", f"{nodes.prefix}-a", "kube-node-lease")
        assert not other.exists("lease", "real", "kube-node-lease")
        conditions = other.get("node", "real")["status"].get("conditions", [])
        assert not any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        other.delete_namespace(namespace)
    assert [node["metadata"]["name"] for node in other.get("nodes")["items"]] == ["real"]


@pytest.mark.cluster
def test_the_proxy_tells_who_wrote_what(other: Cluster, tmp_path: Path) -> None:
    namespace = other.create_namespace("journal")
    source = other.service_account_kubeconfig(namespace, "writer")
    rules = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["create", "get"]}]
    other.grant(namespace, "writer", rules)
    proxy = ApiProxy(source).start()
    try:
        mark = proxy.journal.mark()
        path = proxy.kubeconfig(tmp_path / "proxied.kubeconfig")
        document = yaml.safe_load(path.read_text())
        server, token = document["clusters"][0]["cluster"]["server"], document["users"][0]["user"]["token"]
        url = f"{server}/apis/apps/v1/namespaces/{namespace}/deployments"
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {token}"
        made = deployment(namespace, replicas=0)
        wait_until(lambda: session.post(url, json=made, timeout=5).status_code in (201, 409), "the grant", 120)
        session.get(f"{url}/vllm", timeout=5)
        refused = session.patch(
            f"{url}/vllm/scale",
            json={"spec": {"replicas": 2}},
            headers={"Content-Type": "application/merge-patch+json"},
            timeout=5,
        )
        assert refused.status_code == 403
        user = f"system:serviceaccount:{namespace}:writer"
        created, patched = [e for e in proxy.journal.writes(since=mark, user=user) if e.verb == "patch" or e.ok]
        assert (created.verb, created.resource, created.name, created.ok) == ("create", "deployments", "vllm", True)
        assert (patched.subresource, patched.body, patched.code) == ("scale", {"spec": {"replicas": 2}}, 403)
        assert "cannot patch" in patched.message
    finally:
        proxy.stop()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/namespaces/a", ("", "namespaces", "", "a", "a")),
        ("/api/v1/namespaces/a/status", ("", "namespaces", "status", "a", "a")),
        ("/api/v1/namespaces/a/pods/p/eviction", ("", "pods", "eviction", "a", "p")),
        ("/apis/apps/v1/namespaces/a/deployments/d/scale", ("apps", "deployments", "scale", "a", "d")),
        ("/apis/apps/v1/namespaces/a/deployments", ("apps", "deployments", "", "a", "")),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/c",
            ("rbac.authorization.k8s.io", "clusterroles", "", "", "c"),
        ),
        ("/readyz", ("", "", "", "", "")),
    ],
)
def test_paths_are_told_apart_as_in_the_audit_log(path: str, expected: tuple[str, ...]) -> None:
    found = parse_path(path)
    assert tuple(found[key] for key in ("api_group", "resource", "subresource", "namespace", "name")) == expected
