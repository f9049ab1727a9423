"""A cluster for tests: the development control plane, or any other by `--kubeconfig PATH` or `--kind`.

- `cluster`: whichever cluster the run uses. Tests that need only an apiserver take this one.
- `namespace`: a fresh namespace in it, deleted afterwards.
- `gateway_api`: the cluster with the Gateway API's CRDs; `crds`: with the project's own. They stay on other clusters.
- `gpu_nodes`: the cluster with fake GPU nodes. On other clusters kwok plays them for this run, under names and a taint
  of their own, and they are removed afterwards; the cluster's own nodes are left alone.
- `control_plane`: the development control plane itself, for tests of it and of what only it has (its users, its
  processes, its audit log's reads). Skipped on other clusters.

`world` (world.py), which the end-to-end tests use, runs on any of them: where there is no audit log, the operator's
writes are recorded by a proxy. Another cluster needs an administrator's kubeconfig, and an apiserver, a controller
manager and a scheduler that follow no special policy for pods.
"""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from spillway_dev.cluster import Cluster, KubectlError
from spillway_dev.controlplane import ControlPlane, ControlPlaneOptions
from spillway_dev.fakenodes import FakeNodes
from spillway_dev.processes import ProcessError
from spillway_dev.toolchain import ToolchainError, Tools, find_tools

KIND_CLUSTER = "spillway-test"
CLUSTER_FIXTURES = {"control_plane", "cluster", "namespace", "gateway_api", "gpu_nodes", "crds"}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("spillway")
    group.addoption("--kubeconfig", type=Path, help="Use this cluster instead of the development control plane.")
    group.addoption(
        "--kind", action="store_true", help=f"Use a kind cluster named {KIND_CLUSTER}; created if it is missing, kept."
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if CLUSTER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("cluster")


@pytest.fixture(scope="session")
def tools() -> Tools:
    """The built development tools."""
    try:
        return find_tools()
    except ToolchainError as error:
        pytest.fail(f'{error}; or leave these tests out by -m "not cluster"', pytrace=False)


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest, tools: Tools) -> Iterator[ControlPlane]:
    """The development control plane, started on first use and shared by the whole run."""
    if _other_cluster(request.config):
        pytest.skip("needs the development control plane itself: run without --kubeconfig, --kind")
    try:
        started = ControlPlane(tools, ControlPlaneOptions()).start()
    except ProcessError as error:
        pytest.fail(str(error), pytrace=False)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The cluster of this run, by an administrator's kubeconfig."""
    scratch = tmp_path_factory.mktemp("cluster")
    kubeconfig: Path | None = request.config.getoption("--kubeconfig")
    if kubeconfig:
        if not kubeconfig.is_file():
            pytest.fail(f"--kubeconfig {kubeconfig}: no such file", pytrace=False)
        return Cluster(_self_contained(kubeconfig.resolve(), tools, scratch), tools, scratch)
    if request.config.getoption("--kind"):
        return Cluster(_kind_kubeconfig(scratch), tools, scratch)
    started: ControlPlane = request.getfixturevalue("control_plane")
    return started


@pytest.fixture(scope="session")
def gpu_nodes(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, with fake GPU nodes: the control plane has its own, any other gets some for this run."""
    if isinstance(cluster, ControlPlane):
        yield cluster
        return
    try:
        nodes = FakeNodes(cluster).start()
    except (KubectlError, ProcessError) as error:
        pytest.fail(f"fake GPU nodes: {error}", pytrace=False)
    yield cluster
    nodes.stop()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace; whatever a test leaves in it is deleted afterwards."""
    name = cluster.create_namespace(f"test-{uuid.uuid4().hex[:8]}")
    yield name
    cluster.delete_namespace(name)


@pytest.fixture(scope="session")
def gateway_api(cluster: Cluster) -> Cluster:
    """The cluster, with the Gateway API's CRDs (standard channel)."""
    cluster.apply_gateway_api()
    return cluster


@pytest.fixture(scope="session")
def crds(cluster: Cluster, repository: Path) -> Cluster:
    """The cluster, with the project's CRDs."""
    cluster.apply_crds(repository / "crds")
    return cluster


def _other_cluster(config: pytest.Config) -> bool:
    return bool(config.getoption("--kubeconfig") or config.getoption("--kind"))


def _self_contained(kubeconfig: Path, tools: Tools, scratch: Path) -> Path:
    """A copy of the current context alone, certificates included, that can be read from anywhere."""
    try:
        shown = Cluster(kubeconfig, tools, scratch).kubectl("config", "view", "--raw", "--flatten", "--minify")
    except KubectlError as error:
        pytest.fail(f"--kubeconfig {kubeconfig}: {error}", pytrace=False)
    path = scratch / "cluster.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(shown)
    return path


def _kind_kubeconfig(scratch: Path) -> Path:
    kind = shutil.which("kind")
    if kind is None:
        pytest.fail("--kind: no kind on PATH; see https://kind.sigs.k8s.io, or use --kubeconfig", pytrace=False)
    have = subprocess.run([kind, "get", "clusters"], capture_output=True, text=True, check=False).stdout.split()
    if KIND_CLUSTER not in have:
        made = subprocess.run(
            [kind, "create", "cluster", "--name", KIND_CLUSTER, "--wait", "120s",
             "--kubeconfig", str(scratch / "kind.kubeconfig")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode != 0:
            pytest.fail(f"kind create cluster failed: {made.stderr.strip()[-500:]}", pytrace=False)
    path = scratch / "kind.kubeconfig"
    shown = subprocess.run(
        [kind, "get", "kubeconfig", "--name", KIND_CLUSTER], capture_output=True, text=True, check=True
    )
    path.write_text(shown.stdout)
    return path
