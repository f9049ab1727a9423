"""Envoy Gateway and the Envoy that it runs, against a cluster that is there.

    with ControlPlane(tools) as control_plane, EnvoyGatewayStack(control_plane) as gateway:
        gateway.set_names({"vllm.ns.svc.cluster.local": ["127.0.0.2", "127.0.0.3"]})   # what Envoy's DNS answers
        control_plane.apply(...)                     # Backends, HTTPRoutes with parent_ref() of manifests.py
        fetch(f"{gateway.url}/v1/models")            # through the real Envoy
        gateway.envoy_stats("cluster.")              # its counters

Envoy Gateway's ports are fixed, so one stack runs at a time in a network namespace: a second one waits for the first
to end. `unshare -rn sh -c 'ip link set lo up; ...'` gives a program a network namespace, and so a stack, of its own.
"""

from __future__ import annotations

import atexit
import base64
import socket
import tempfile
import time
import urllib.error
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from spillway_dev.cluster import Cluster
from spillway_dev.gateway import manifests
from spillway_dev.gateway.dns import NameServer
from spillway_dev.gateway.sandbox import require_sandbox, sandboxed
from spillway_dev.loopback import fetch
from spillway_dev.processes import ChildProcess, ProcessError, free_ports, remove_folder, remove_if_killed, wait_until
from spillway_dev.toolchain_cache import cache_root, exclusive

START_TIMEOUT_SECONDS = 240.0
# Four megabytes of them, on a machine that has much else to do.
CRD_TIMEOUT_SECONDS = 110.0
# Envoy Gateway's xDS server, its Wasm files, health probes, webhook and metrics; Envoy's readiness.
FIXED_PORTS = (18000, 18002, 8081, 9443, 19001, 19003)
# So that a test sees a change soon; a cluster's own DNS has 5 to 30.
DNS_TTL_SECONDS = 1
CERTIFICATES = ("ca.crt", "tls.crt", "tls.key")


class EnvoyGatewayStack:
    """One Envoy Gateway with one Gateway. Use it as a context manager, or call `start` and `stop`.

    Args:
        cluster: where its resources are; its CRDs are applied to it (the Gateway API's experimental channel, too).
        on_wait: called once if another stack of this network namespace has to end first.
    """

    def __init__(self, cluster: Cluster, on_wait: Callable[[], None] = lambda: None) -> None:
        self.cluster = cluster
        self.folder = Path(tempfile.mkdtemp(prefix="spillway-gateway-"))
        remove_if_killed(self.folder)
        self.port = 0
        self.start_seconds = 0.0
        self.process: ChildProcess | None = None
        self._on_wait = on_wait
        self._held = ExitStack()
        self._names = NameServer(DNS_TTL_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The listener's address, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start everything and wait until Envoy answers on the listener.

        Raises:
            ProcessError: it did not come up, or may not run here; nothing is left running.
            KubectlError: the cluster refused an object.
        """
        atexit.register(self.stop)
        try:
            require_sandbox()
            self._held.enter_context(exclusive(_lock_file(), self._on_wait))
            began = time.monotonic()
            _require_ports(FIXED_PORTS)
            self._prepare_cluster()
            self._start_process()
        except BaseException:
            self.stop()
            raise
        self.start_seconds = time.monotonic() - began
        return self

    def stop(self) -> None:
        """End Envoy Gateway and Envoy, and remove their files. The cluster's objects stay. Harmless when stopped."""
        atexit.unregister(self.stop)
        if self.process is not None:
            self.process.stop()
            self.process = None
        self._names.stop()
        self._held.close()
        remove_folder(self.folder)

    def set_names(self, addresses: Mapping[str, Iterable[str]]) -> None:
        """What Envoy's DNS answers from now on: all names, each with its addresses, as headless Services' records.

        Envoy sees it when the last answer's time has run out. A name that Envoy asked for before it was known is asked
        for again after 30 s only, so names come first and Backends after.
        """
        self._names.set(addresses)

    @property
    def envoy_admin_url(self) -> str:
        """Envoy's admin interface: `/stats/prometheus`, `/clusters`, `/config_dump`.

        Raises:
            ProcessError: Envoy does not run yet.
        """
        for file in sorted(self.folder.glob("run/**/admin-address.txt")):
            if address := file.read_text().strip():
                return f"http://{address}"
        raise ProcessError("Envoy does not run yet")

    def envoy_stats(self, prefix: str = "") -> dict[str, int]:
        """Envoy's counters and gauges whose names start with `prefix`."""
        text = fetch(f"{self.envoy_admin_url}/stats", timeout_seconds=10).decode()
        pairs = (line.rsplit(": ", 1) for line in text.splitlines() if line.startswith(prefix))
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}

    def require(self) -> None:
        """See that it still runs.

        Raises:
            ProcessError: it ended; carries the end of its log.
        """
        if self.process is None:
            raise ProcessError("Envoy Gateway does not run")
        self.process.require()

    def _prepare_cluster(self) -> None:
        tools = self.cluster.tools
        crds = (*tools.gateway_api_crds("experimental"), *tools.envoy_gateway_crds())
        self.cluster.apply_crds(*crds, timeout_seconds=CRD_TIMEOUT_SECONDS)
        self.cluster.create_namespace(manifests.NAMESPACE)

    def _start_process(self) -> None:
        self.port, admin_port = free_ports(2)
        for name in ("root", "certs"):
            (self.folder / name).mkdir()
        config = self.folder / "envoy-gateway.yaml"
        config.write_text(yaml.safe_dump(manifests.gateway_config(self.folder, admin_port), sort_keys=False))
        self._make_certificates()
        self._place_envoy()
        objects = manifests.gateway_objects(self.cluster.tools.envoy_version, self.port, self._names.port)
        self.cluster.apply(objects)
        command = sandboxed(
            [self.cluster.tools.path("envoy-gateway"), "server", "--config-path", str(config)],
            root=self.folder / "root",
            certs=self.folder / "certs",
        )
        self.process = ChildProcess(
            "envoy-gateway", command, self.folder / "envoy-gateway.log", self._environment(), self.folder
        )
        self.process.wait_ready(self._answers, START_TIMEOUT_SECONDS)

    def _make_certificates(self) -> None:
        """Envoy Gateway makes its Secrets in the cluster; both sides find theirs in files."""
        tool = self.cluster.tools.path("envoy-gateway")
        log = self.folder / "certgen.log"
        certgen = ChildProcess(
            "envoy-gateway certgen", [tool, "certgen", "--disable-topology-injector"], log, self._environment()
        )
        try:
            wait_until(lambda: not certgen.running, "envoy-gateway certgen", START_TIMEOUT_SECONDS)
            if certgen.returncode != 0:
                raise ProcessError(f"envoy-gateway certgen: {certgen.tail()}")
        finally:
            certgen.stop()
        for secret, target in (("envoy-gateway", "certs"), ("envoy", "config/certs/envoy")):
            folder = self.folder / target
            folder.mkdir(parents=True, exist_ok=True)
            data = self.cluster.get("secrets", secret, manifests.NAMESPACE)["data"]
            for name in CERTIFICATES:
                (folder / name).touch(mode=0o600)
                (folder / name).write_bytes(base64.b64decode(data[name]))

    def _place_envoy(self) -> None:
        """Where Envoy Gateway would download Envoy to, if it were not there."""
        folder = self.folder / "data" / "envoy-versions" / self.cluster.tools.envoy_version / "bin"
        folder.mkdir(parents=True)
        (folder / "envoy").symlink_to(Path(self.cluster.tools.path("envoy")).resolve())

    def _environment(self) -> dict[str, str]:
        return {"KUBECONFIG": str(self.cluster.kubeconfig)}

    def _answers(self) -> bool:
        try:
            fetch(self.url)
        except urllib.error.HTTPError:
            # No route yet: a 404 is Envoy's own.
            return True
        except OSError:
            return False
        return True


def _lock_file() -> Path:
    return cache_root() / f"envoy-gateway-{Path('/proc/self/ns/net').stat().st_ino}.lock"


def _require_ports(ports: Iterable[int]) -> None:
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))  # noqa: S104 - only to see whether it is free
            except OSError as error:
                raise ProcessError(
                    f"Envoy Gateway: its port {port} is taken ({error.strerror}): end what listens there, or run in a "
                    "network namespace of your own (unshare -rn sh -c 'ip link set lo up; ...')"
                ) from error
