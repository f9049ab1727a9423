"""The pods of one Deployment as real processes: what a kubelet, the endpoint controller and cluster DNS do for them.

    with PodUpstreams(control_plane, PodOptions("ns", "vllm", engine={...}), on_change=...) as pods:
        ...     # scale the Deployment: upstreams come and go with its pods

A pod that runs gets a process on a loopback address of its own, and is Ready once that answers. Its address is given
to `on_change` while the apiserver says that it is Ready and not being deleted, as a headless Service's name holds it.
Once it is being deleted: its preStop sleep, SIGTERM, and SIGKILL at the end of its grace period. When the process has
ended the pod is gone from the apiserver. Pods need `POD_ANNOTATIONS`, so that kwok leaves readiness and end to this.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import requests

from spillway_dev.cluster import Cluster
from spillway_dev.nodes import STARTUP_ANNOTATION, TERMINATION_ANNOTATION
from spillway_dev.processes import ProcessError, free_ports
from spillway_dev.upstreams.apiserver import PodApi
from spillway_dev.upstreams.process import Upstream

POLL_SECONDS = 0.1
POD_ANNOTATIONS = {STARTUP_ANNOTATION: "24h", TERMINATION_ANNOTATION: "24h"}
"""On the pod template: kwok only schedules and runs such pods."""
DEFAULT_GRACE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class PodOptions:
    """Whose pods, and what runs in them.

    Attributes:
        namespace: of the Deployment.
        app: the value of its pods' label `app`.
        engine: `profile` and `model` of the engine in each pod; None for an upstream without one.
        name_delay_seconds: how long after the apiserver says so a pod enters or leaves the name, as endpoint slices
            and the caches of a cluster's DNS take their time.
        settings: fields of `Behaviour` (server.py).
    """

    namespace: str
    app: str
    engine: Mapping[str, Any] | None = None
    name_delay_seconds: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the pods are now, each list sorted."""

    in_name: tuple[str, ...]
    """IP addresses that the name has."""
    running: tuple[str, ...]
    """`address:port` of each process, those that end included."""


@dataclass(slots=True)
class _Pod:
    upstream: Upstream
    ready: bool = False
    deleted_at: float | None = None
    terminated: bool = False
    killed: bool = False


class PodUpstreams:
    """Follows the pods from a thread of its own. Use it as a context manager."""

    def __init__(self, cluster: Cluster, options: PodOptions, on_change: Callable[[Addresses], None]) -> None:
        self.options = options
        self.port = free_ports(1)[0]
        self.killed = 0
        """Pods that were killed at the end of their grace period."""
        self.open_at_sigterm = 0
        """Requests in flight in pods when they got SIGTERM, summed: what a hard end would have cut."""
        self._api = PodApi(cluster.kubeconfig, options.namespace, f"app={options.app}")
        self._on_change = on_change
        self._network = f"127.{random.randint(64, 250)}.{random.randint(1, 254)}"
        self._numbers = itertools.cycle(range(1, 255))
        self._pods: dict[str, _Pod] = {}
        self._ended: Counter[str] = Counter()
        self._names: list[tuple[float, tuple[str, ...]]] = []
        self._told = Addresses((), ())
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._failure: ProcessError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process; pods that are left are deleted at once, as nobody would end them later.

        Raises:
            ProcessError: one of them had ended by itself, and nothing has followed the pods since.
        """
        self._stop.set()
        self._thread.join()
        for uid, pod in self._pods.items():
            pod.upstream.stop(0.1)
            self._api.delete_now(uid)
        self._pods.clear()
        self._api.close()
        if self._failure is not None:
            raise self._failure

    def counters(self) -> dict[str, int]:
        """Counters of all pods that are and were, summed; those of killed ones are lost."""
        with self._lock:
            total = Counter(self._ended)
            for pod in self._pods.values():
                total.update(self._present(pod))
        return dict(total)

    def count(self) -> int:
        """Processes now, those that end included."""
        with self._lock:
            return len(self._pods)

    def _present(self, pod: _Pod) -> Mapping[str, int]:
        try:
            return pod.upstream.counters()
        except OSError:
            return pod.upstream.last_counters() or {}

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            try:
                found = self._api.pods()
                with self._lock:
                    self._sync(found)
            except requests.RequestException:
                continue
            except ProcessError as error:
                self._failure = error
                return
            self._tell(found)

    def _sync(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        for uid, manifest in found.items():
            running = (manifest.get("status") or {}).get("phase") == "Running"
            if uid not in self._pods and running and "deletionTimestamp" not in manifest["metadata"]:
                self._start(uid, manifest["metadata"]["name"])
            if uid in self._pods:
                self._follow(uid, self._pods[uid], manifest)
            elif "deletionTimestamp" in manifest["metadata"]:
                self._api.delete_now(uid)
        for uid in [uid for uid in self._pods if uid not in found]:
            self._end(uid)

    def _start(self, uid: str, name: str) -> None:
        engine = self.options.engine
        if engine is not None:
            engine = {**engine, "namespace": self.options.namespace, "pod": name}
        address = f"{self._network}.{next(self._numbers)}"
        upstream = Upstream(name, host=address, port=self.port, engine=engine, **self.options.settings)
        upstream.launch()
        self._pods[uid] = _Pod(upstream)

    def _follow(self, uid: str, pod: _Pod, manifest: Mapping[str, Any]) -> None:
        if "deletionTimestamp" in manifest["metadata"]:
            self._terminate(uid, pod, manifest)
            return
        assert pod.upstream.process is not None  # noqa: S101 - launched
        pod.upstream.process.require()
        if not pod.ready and pod.upstream.answers():
            pod.ready = self._api.set_ready(uid)

    def _terminate(self, uid: str, pod: _Pod, manifest: Mapping[str, Any]) -> None:
        """What a kubelet does from the deletion on; the preStop hook's time is part of the grace period."""
        if pod.deleted_at is None:
            pod.deleted_at = time.monotonic()
        age, process = time.monotonic() - pod.deleted_at, pod.upstream.process
        grace = manifest["metadata"].get("deletionGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
        if process is None or not process.running:
            self._end(uid)
            self._api.delete_now(uid)
        elif age >= grace:
            pod.killed = True
            process.kill()
        elif age >= pre_stop_seconds(manifest) and not pod.terminated:
            pod.terminated = True
            self.open_at_sigterm += self._present(pod).get("in_flight", 0)
            pod.upstream.terminate()

    def _end(self, uid: str) -> None:
        pod = self._pods.pop(uid)
        self.killed += pod.killed
        self._ended.update(pod.upstream.last_counters() or {})
        pod.upstream.stop(0.1)

    def _tell(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        now = time.monotonic()
        in_name = sorted(p.upstream.host for uid, p in self._pods.items() if uid in found and in_service(found[uid]))
        if not self._names or self._names[-1][1] != tuple(in_name):
            self._names.append((now + self.options.name_delay_seconds, tuple(in_name)))
        while len(self._names) > 1 and self._names[1][0] <= now:
            self._names.pop(0)
        due = self._names[0][1] if self._names[0][0] <= now else self._told.in_name
        running = sorted(f"{pod.upstream.host}:{self.port}" for pod in self._pods.values())
        addresses = Addresses(due, tuple(running))
        if addresses != self._told:
            self._told = addresses
            self._on_change(addresses)


def in_service(manifest: Mapping[str, Any]) -> bool:
    """Whether a headless Service's name has the pod: Ready, and not being deleted."""
    conditions = (manifest.get("status") or {}).get("conditions") or []
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in manifest["metadata"]


def pre_stop_seconds(manifest: Mapping[str, Any]) -> float:
    """The longest preStop sleep of the pod's containers."""
    hooks = ((c.get("lifecycle") or {}).get("preStop") or {} for c in manifest["spec"]["containers"])
    return max((float((hook.get("sleep") or {}).get("seconds", 0)) for hook in hooks), default=0.0)
