"""The pods of a LiteLLM Deployment as real proxies: each starts with the configuration that its ConfigMap has then.

A pod that runs gets a process; it is Ready once that answers, and is gone when the process has ended. Prometheus
scrapes each with the pod's name, and clients are sent to the first that is Ready, as a Service would.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import requests

from spillway_dev.cluster import Cluster, KubectlError
from spillway_dev.litellm.install import ensure_litellm
from spillway_dev.litellm.server import LiteLLMServer
from spillway_dev.nodes import FAKE_LABELS, FAKE_TAINT
from spillway_dev.prometheus import PrometheusServer
from spillway_dev.upstreams.apiserver import PodApi
from spillway_dev.upstreams.pods import POD_ANNOTATIONS, in_service

JOB = "litellm"
CONFIG_MAP = "litellm-config"
POLL_SECONDS = 0.2
PRE_STOP_SECONDS = 3.0
"""A pod that is being deleted serves on for so long, as a preStop hook has it: names take a while to change."""

Object = dict[str, Any]


def proxy_objects(namespace: str) -> tuple[Object, Object]:
    """The proxy as a platform team installs it: a Deployment, and its ConfigMap without data."""
    labels = {"app": "litellm"}
    template = {
        "metadata": {"labels": labels, "annotations": dict(POD_ANNOTATIONS)},
        "spec": {
            "terminationGracePeriodSeconds": 30,
            "nodeSelector": FAKE_LABELS,
            "tolerations": [FAKE_TAINT],
            "containers": [
                {
                    "name": "litellm",
                    "image": "litellm",
                    "args": ["--config", "/config/config.yaml"],
                    "volumeMounts": [{"name": "config", "mountPath": "/config"}],
                }
            ],
            "volumes": [{"name": "config", "configMap": {"name": CONFIG_MAP}}],
        },
    }
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": template,
    }
    meta = {"name": "litellm", "namespace": namespace}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "name": CONFIG_MAP}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}, config_map


class ProxyPods:
    """Follows the pods from a thread of its own. Use it as a context manager.

    Args:
        cluster: where they are.
        namespace: of the Deployment `litellm`.
        prometheus: has a job `litellm`.
        environment: of the processes, such as keys.
    """

    def __init__(
        self, cluster: Cluster, namespace: str, prometheus: PrometheusServer, environment: Mapping[str, str]
    ) -> None:
        self._cluster, self._namespace, self._prometheus = cluster, namespace, prometheus
        self._environment = dict(environment)
        self._install = ensure_litellm(print)
        self._api = PodApi(cluster.kubeconfig, namespace, "app=litellm")
        self._pods: dict[str, LiteLLMServer] = {}
        self._names: dict[str, str] = {}
        self._deleted: dict[str, float] = {}
        self._serving: tuple[str, ...] = ()
        self._scraped: tuple[tuple[str, str], ...] = ()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.started = 0
        """Processes so far."""
        self.away = False
        """Whether nobody follows the pods for now: none becomes Ready, and none ends."""
        self.failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        for uid, server in self._pods.items():
            server.close()
            self._api.delete_now(uid)
        self._api.close()

    @property
    def url(self) -> str:
        """Of a proxy that is Ready; empty where none is."""
        return next(iter(self._serving), "")

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            if self.away:
                continue
            try:
                self._sync(self._api.pods())
            except (requests.RequestException, KubectlError):
                # The apiserver is slow to answer now and then.
                continue
            except Exception as error:  # noqa: BLE001 - raised by whoever waits
                self.failure = error
                return

    def require(self) -> None:
        """Raise what has ended the thread, if anything did."""
        if self.failure is not None:
            raise self.failure

    def _sync(self, found: Mapping[str, Object]) -> None:
        for uid, manifest in found.items():
            deleted = "deletionTimestamp" in manifest["metadata"]
            running = (manifest.get("status") or {}).get("phase") == "Running"
            if uid not in self._pods and running and not deleted:
                self._launch(uid, manifest["metadata"]["name"])
            elif uid in self._pods and not deleted and not in_service(manifest) and self._pods[uid].answers():
                self._api.set_ready(uid)
        self._publish(found)
        for uid, manifest in found.items():
            if "deletionTimestamp" in manifest["metadata"]:
                since = self._deleted.setdefault(uid, time.monotonic())
                if uid not in self._pods or time.monotonic() - since >= PRE_STOP_SECONDS:
                    self._end(uid)
        for uid in [uid for uid in self._pods if uid not in found]:
            self._end(uid)

    def _launch(self, uid: str, name: str) -> None:
        data = self._cluster.get("configmap", CONFIG_MAP, self._namespace).get("data")
        if not data:
            # A real one would fail until its folder holds a file.
            return
        server = LiteLLMServer(self._install, data, self._environment)
        server.launch()
        self._pods[uid], self._names[uid] = server, name
        self.started += 1

    def _end(self, uid: str) -> None:
        server = self._pods.pop(uid, None)
        if server is not None:
            server.close()
        self._api.delete_now(uid)

    def _publish(self, found: Mapping[str, Object]) -> None:
        self._serving = tuple(s.url for uid, s in self._pods.items() if uid in found and in_service(found[uid]))
        scraped = tuple((f"127.0.0.1:{server.port}", self._names[uid]) for uid, server in self._pods.items())
        if scraped != self._scraped:
            self._scraped = scraped
            self._prometheus.set_labelled_targets(
                JOB, {target: {"namespace": self._namespace, "pod": name} for target, name in scraped}
            )
