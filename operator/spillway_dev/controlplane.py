"""A real Kubernetes control plane without containers, for tests and the demo. Starts in seconds on free ports.

    from spillway_dev.controlplane import ControlPlane, ControlPlaneOptions
    from spillway_dev.toolchain import find_tools

    with ControlPlane(find_tools(), ControlPlaneOptions(pod_startup_seconds=0.5)) as control_plane:
        control_plane.kubeconfig                       # administrator's kubeconfig (a Path)
        control_plane.kubectl("get", "nodes")          # the built kubectl, as administrator
        control_plane.apply(Path("examples"))          # server-side apply: files, folders, text, dicts
        control_plane.apply_crds(Path("crds"))         # waits for Established
        control_plane.apply_gateway_api()
        control_plane.service_account_kubeconfig("ns", "name")   # real RBAC: grants nothing by itself
        control_plane.user_kubeconfig("person")        # another administrator, told apart in the audit log
        mark = control_plane.audit.mark()              # then .audit.writes(since=mark, user=...)

What runs: etcd, kube-apiserver (RBAC, audit log), kube-controller-manager (deployments, HPAs, garbage collection,
namespaces, endpoint slices...), kube-scheduler (GPU requests bind to nodes) and kwok, which plays the kubelets of
fake GPU nodes: pods run at once and are Ready after a start-up delay. No container ever runs.

A pod's own delays: annotations `STARTUP_ANNOTATION` and `TERMINATION_ANNOTATION` of nodes.py.
Everything lives in one temporary folder and ends with the block, or with the parent process, however it dies.
"""

from __future__ import annotations

import atexit
import secrets
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from spillway_dev import components
from spillway_dev.audit import AuditLog, write_policy
from spillway_dev.cluster import Cluster
from spillway_dev.kubeconfig import write_kubeconfig
from spillway_dev.loopback import fetch
from spillway_dev.nodes import GpuNode, write_stages
from spillway_dev.processes import ChildProcess, ProcessError, free_ports, remove_folder, remove_if_killed, wait_until
from spillway_dev.toolchain import Tools

START_ATTEMPTS = 3
START_TIMEOUT_SECONDS = 60.0
ADMINISTRATORS = "system:masters"
# Who the components are; the bootstrap roles of RBAC know the controller manager and the scheduler by these names.
COMPONENT_USERS: Mapping[str, tuple[str, ...]] = {
    "kube-controller-manager": (),
    "kube-scheduler": (),
    "kwok": (ADMINISTRATORS,),
}


@dataclass(frozen=True, slots=True)
class ControlPlaneOptions:
    """How the control plane behaves.

    Attributes:
        nodes: the fake nodes; None for four of 8 GPUs each, named `gpu-0` to `gpu-3`.
        pod_startup_seconds: from Running to Ready, unless a pod's annotation says otherwise.
        pod_termination_seconds: from deletion to gone, unless a pod's annotation says otherwise.
        hpa_sync_seconds: how often HorizontalPodAutoscalers are looked at.
        kubelets: whether kwok plays them. If not, there are no nodes but those that somebody brings, and they are
            watched as on any other cluster, by their heartbeats (fakenodes.py).
        users: further users and their groups, for `user_kubeconfig`; `system:masters` may do everything.
    """

    nodes: tuple[GpuNode, ...] | None = None
    pod_startup_seconds: float = 0.3
    pod_termination_seconds: float = 0.1
    hpa_sync_seconds: float = 1.0
    kubelets: bool = True
    users: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"person": (ADMINISTRATORS,), "nobody": ()})

    def all_nodes(self) -> tuple[GpuNode, ...]:
        """The nodes to create."""
        if not self.kubelets:
            return ()
        return self.nodes if self.nodes is not None else tuple(GpuNode(f"gpu-{index}") for index in range(4))


class ControlPlane(Cluster):
    """One control plane. Use it as a context manager, or call `start` and `stop`."""

    def __init__(self, tools: Tools, options: ControlPlaneOptions | None = None) -> None:
        self.options = options or ControlPlaneOptions()
        self.folder = Path(tempfile.mkdtemp(prefix="spillway-"))
        remove_if_killed(self.folder)
        super().__init__(self.folder / "admin.kubeconfig", tools, self.folder)
        self.audit = AuditLog(self.folder / "audit.jsonl")
        self.server = ""
        self.start_seconds = 0.0
        self.processes: dict[str, ChildProcess] = {}
        self._tokens: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def ca_file(self) -> Path:
        """The certificate that the apiserver is to be trusted by."""
        return self.folder / "cert.pem"

    @property
    def _watch_nodes(self) -> bool:
        return not self.options.kubelets

    def start(self) -> Self:
        """Start everything and wait until nodes are Ready and objects can be created.

        Raises:
            ProcessError: a component did not come up; carries the end of its log. Nothing is left running.
        """
        began = time.monotonic()
        atexit.register(self.stop)
        try:
            self._write_files()
            self._start_apiserver()
            self._start_controllers()
            self._create_nodes()
        except BaseException:
            self.stop()
            raise
        self.start_seconds = time.monotonic() - began
        return self

    def stop(self) -> None:
        """End every process and remove the folder. Harmless when it is stopped already."""
        atexit.unregister(self.stop)
        self._stop_processes()
        remove_folder(self.folder)

    def user_kubeconfig(self, user: str) -> Path:
        """The kubeconfig of a user named in the options.

        Raises:
            KeyError: no such user.
        """
        if user not in self._tokens:
            raise KeyError(f"user {user}: not among ControlPlaneOptions.users ({', '.join(self.options.users)})")
        return self._write_kubeconfig(user, user)

    def _write_files(self) -> None:
        subprocess.run(
            [self.tools.path("generate-cert"), "--host", "127.0.0.1,localhost", "--ca", "--ecdsa-curve", "P256"],
            cwd=self.folder, check=True, capture_output=True,
        )  # fmt: skip
        write_policy(self.folder / "audit-policy.yaml")
        write_stages(
            self.folder / "kwok.yaml",
            self.tools,
            startup_seconds=self.options.pod_startup_seconds,
            termination_seconds=self.options.pod_termination_seconds,
        )
        identities: dict[str, tuple[str, ...]] = {"admin": (ADMINISTRATORS,), **self.options.users}
        identities |= {_component_user(name): groups for name, groups in COMPONENT_USERS.items()}
        self._tokens = {user: secrets.token_urlsafe(24) for user in identities}
        rows = [f'{self._tokens[user]},{user},{user},"{",".join(groups)}"' for user, groups in identities.items()]
        tokens = self.folder / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text("\n".join(rows) + "\n")

    def _start_apiserver(self) -> None:
        for attempt in range(1, START_ATTEMPTS + 1):
            client, peer, secure = free_ports(3)
            self.server = f"https://127.0.0.1:{secure}"
            try:
                self._spawn("etcd", components.etcd(self.tools, self.folder, client, peer))
                command = components.apiserver(self.tools, self.folder, client, secure, watch_nodes=self._watch_nodes)
                self._spawn("kube-apiserver", command)
                self.processes["kube-apiserver"].wait_ready(self._apiserver_ready, START_TIMEOUT_SECONDS)
                return
            except ProcessError as error:
                self._stop_processes()
                taken = "address already in use" in str(error)
                if not taken or attempt == START_ATTEMPTS:
                    raise
                remove_folder(self.folder / "etcd")

    def _start_controllers(self) -> None:
        self._write_kubeconfig("admin", "admin")
        for name in COMPONENT_USERS:
            self._write_kubeconfig(name, _component_user(name))
        self._spawn(
            "kube-controller-manager",
            components.controller_manager(
                self.tools, self.folder, self.options.hpa_sync_seconds, watch_nodes=self._watch_nodes
            ),
        )
        self._spawn("kube-scheduler", components.scheduler(self.tools, self.folder))
        if self.options.kubelets:
            command = components.kwok(self.tools, self.folder / "kwok.kubeconfig", self.folder / "kwok.yaml")
            self._spawn("kwok", command, {"KWOK_WORKDIR": str(self.folder / "kwok")})

    def _create_nodes(self) -> None:
        self.add_nodes(*self.options.all_nodes())
        wait_until(self._default_account_exists, "default service account", START_TIMEOUT_SECONDS, 0.1)

    def _default_account_exists(self) -> bool:
        for process in self.processes.values():
            process.require()
        return self.exists("serviceaccount", "default", "default")

    def _apiserver_ready(self) -> bool:
        self.processes["etcd"].require()
        token = {"Authorization": f"Bearer {self._tokens['admin']}"}
        try:
            fetch(f"{self.server}/readyz", headers=token, ca_file=self.ca_file)
        except OSError:
            return False
        return True

    def _spawn(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        log = self.folder / f"{name}.log"
        self.processes[name] = ChildProcess(name, command, log, environment, self.folder)

    def _stop_processes(self) -> None:
        ordered: list[tuple[str, Callable[[], None]]] = []
        for name, process in reversed(self.processes.items()):
            # Controllers first and all at once, the store last; nothing has to be saved.
            process.begin_stop()
            ordered.append((name, process.stop))
        for _, stop in ordered:
            stop()
        self.processes.clear()

    def _write_kubeconfig(self, name: str, user: str) -> Path:
        return write_kubeconfig(
            self.folder / f"{name}.kubeconfig",
            server=self.server,
            ca_file=self.ca_file,
            user=user,
            token=self._tokens[user],
        )


def _component_user(name: str) -> str:
    return name if name == "kwok" else f"system:{name}"
