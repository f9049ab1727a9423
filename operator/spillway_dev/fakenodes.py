"""Fake GPU nodes in a cluster that is not our own: kind, or whatever a kubeconfig leads to.

    with FakeNodes(cluster):
        ...                      # pods that request `nvidia.com/gpu` and tolerate FAKE_TAINT run there, faked

kwok plays the kubelets of these nodes only. They carry a taint, so that none of the cluster's own pods ends up where
no container ever runs, and they are removed at the end.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

from spillway_dev import components
from spillway_dev.cluster import Cluster, KubectlError
from spillway_dev.nodes import FAKE_TAINT, GpuNode, write_stages
from spillway_dev.processes import ChildProcess, wait_until

OWNER_LABEL = "spillway.dev/fake-nodes"
LEASE_SECONDS = 40
"""As kubelets have it: the node lifecycle controller takes a node for lost after about that time of silence."""
DRAIN_SECONDS = 60.0
NODES = tuple(GpuNode(f"gpu-{index}") for index in range(4))


class FakeNodes:
    """Fake nodes in ``cluster``, under names that nobody else has.

    Args:
        cluster: by an administrator's kubeconfig.
        nodes: what to create; each name gets a unique prefix.
        startup_seconds: from Running to Ready, unless a pod's annotation says otherwise.
        termination_seconds: from deletion to gone, unless a pod's annotation says otherwise.
    """

    def __init__(
        self,
        cluster: Cluster,
        nodes: Sequence[GpuNode] = NODES,
        *,
        startup_seconds: float = 0.3,
        termination_seconds: float = 0.1,
    ) -> None:
        self.prefix = f"spillway-{secrets.token_hex(3)}"
        self.nodes = tuple(
            replace(
                node,
                name=f"{self.prefix}-{node.name}",
                labels={**node.labels, OWNER_LABEL: self.prefix},
                taints=(*node.taints, FAKE_TAINT),
            )
            for node in nodes
        )
        self._cluster = cluster
        self._delays = {"startup_seconds": startup_seconds, "termination_seconds": termination_seconds}
        self._kwok: ChildProcess | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def selector(self) -> str:
        """The label selector of these nodes."""
        return f"{OWNER_LABEL}={self.prefix}"

    def start(self) -> Self:
        """Start kwok, create the nodes and wait until they are Ready.

        Raises:
            ProcessError: kwok ended; carries the end of its log.
            KubectlError: a node was refused or did not become Ready. Nothing is left in either case.
        """
        tools, folder = self._cluster.tools, self._cluster.scratch / self.prefix
        folder.mkdir()
        stages = write_stages(folder / "kwok.yaml", tools, **self._delays)
        command = components.kwok(
            tools, self._cluster.kubeconfig, stages, selector=self.selector, lease_seconds=LEASE_SECONDS
        )
        self._kwok = ChildProcess("kwok", command, folder / "kwok.log", {"KWOK_WORKDIR": str(folder)}, folder)
        try:
            self._add()
        except BaseException:
            self.stop()
            raise
        return self

    def _add(self) -> None:
        try:
            self._cluster.add_nodes(*self.nodes)
        except KubectlError:
            if self._kwok is not None:
                self._kwok.require()  # that kwok ended is the better reason
            raise

    def stop(self) -> None:
        """Wait until the pods are gone, remove the nodes and end kwok. Harmless when that is done already."""
        if self._kwok is None:
            return
        kwok, self._kwok = self._kwok, None
        try:
            if kwok.running:
                self._drain()
            self._cluster.kubectl("delete", "nodes", "-l", self.selector, "--ignore-not-found")
        finally:
            kwok.stop()

    def _drain(self) -> None:
        # A pod whose node is gone would be Terminating until the pod garbage collector comes along.
        self._cluster.kubectl("cordon", "-l", self.selector)
        with suppress(TimeoutError):
            wait_until(lambda: not self._pods(), "the end of the fake nodes' pods", DRAIN_SECONDS, 0.5)

    def _pods(self) -> list[str]:
        """Pods on these nodes, without those of DaemonSets, which stay as long as the node does."""
        names = {node.name for node in self.nodes}
        pods = json.loads(self._cluster.kubectl("get", "pods", "--all-namespaces", "-o", "json"))["items"]
        return [
            pod["metadata"]["name"]
            for pod in pods
            if pod["spec"].get("nodeName") in names
            and not any(owner["kind"] == "DaemonSet" for owner in pod["metadata"].get("ownerReferences", []))
        ]
