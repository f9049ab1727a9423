"""External and custom metrics for a control plane's HPAs, served by this process as an aggregated API.

The apiserver reaches it through an APIService on an ExternalName Service of `localhost`: no pod network is needed.
"""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from spillway_dev.controlplane import ControlPlane

EXTERNAL = "external.metrics.k8s.io/v1beta1"
CUSTOM = "custom.metrics.k8s.io/v1beta2"

External = Callable[[], float | None]
"""The value of an external metric now; None: the API answers with an error."""
Pods = Callable[[], Mapping[str, float] | None]
"""Values of a pods metric by pod name; a pod that is left out has none."""


class MetricsApi:
    """Serves metrics by name, each from a function that is asked at every request. Use it as a context manager."""

    def __init__(self, control_plane: ControlPlane, namespace: str, folder: Path) -> None:
        self.external: dict[str, External] = {}
        self.pods: dict[str, Pods] = {}
        self._plane = control_plane
        self._namespace = namespace
        self._folder = folder
        self._service = "metrics"

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        host = f"{self._service}.{self._namespace}.svc"
        subprocess.run(
            [self._plane.tools.path("generate-cert"), "--host", host, "--ca", "--ecdsa-curve", "P256"],
            cwd=self._folder, check=True, capture_output=True,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / "cert.pem", self._folder / "key.pem")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._register(self._server.server_address[1])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A namespace cannot be deleted while an API is registered that nobody serves.
        for name in self._names():
            self._plane.kubectl("delete", "apiservice", name, "--ignore-not-found")
        self._server.shutdown()
        self._server.server_close()

    def _names(self) -> list[str]:
        return [".".join(reversed(version.split("/"))) for version in (EXTERNAL, CUSTOM)]

    def _register(self, port: int) -> None:
        bundle = base64.b64encode((self._folder / "cert.pem").read_bytes()).decode()
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": self._service, "namespace": self._namespace},
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
        }
        interfaces = [
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": name},
                "spec": {
                    "group": version.split("/")[0],
                    "version": version.split("/")[1],
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                    "caBundle": bundle,
                    "service": {"name": self._service, "namespace": self._namespace, "port": port},
                },
            }
            for name, version in zip(self._names(), (EXTERNAL, CUSTOM), strict=True)
        ]
        self._plane.apply(service, *interfaces)
        self._plane.kubectl(
            "wait", "--for=condition=Available", "--timeout=120s", *(f"apiservice/{name}" for name in self._names())
        )

    def answer(self, path: str) -> dict[str, Any] | None:
        """The body for a path; None: there is none."""
        parts = unquote(path.split("?", maxsplit=1)[0]).strip("/").split("/")[1:]
        version = "/".join(parts[:2])
        if version not in (EXTERNAL, CUSTOM):
            return None
        if len(parts) == 2:
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": []}
        if version == EXTERNAL and len(parts) == 5:
            return self._external(parts[4])
        if version == CUSTOM and len(parts) == 7 and parts[4:6] == ["pods", "*"]:
            return self._pods(parts[6])
        return None

    def _external(self, name: str) -> dict[str, Any] | None:
        value = self.external[name]() if name in self.external else None
        if value is None:
            return None
        item = {"metricName": name, "metricLabels": {}, "timestamp": _now(), "value": _quantity(value)}
        return {"kind": "ExternalMetricValueList", "apiVersion": EXTERNAL, "metadata": {}, "items": [item]}

    def _pods(self, name: str) -> dict[str, Any] | None:
        values = self.pods[name]() if name in self.pods else None
        if values is None:
            return None
        items = [
            {
                "describedObject": {"kind": "Pod", "namespace": self._namespace, "name": pod, "apiVersion": "/v1"},
                "metric": {"name": name},
                "timestamp": _now(),
                "value": _quantity(value),
            }
            for pod, value in values.items()
        ]
        return {"kind": "MetricValueList", "apiVersion": CUSTOM, "metadata": {}, "items": items}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _quantity(value: float) -> str:
    return f"{round(value * 1000)}m"


def _handler(api: MetricsApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = api.answer(self.path)
            body = json.dumps(found if found is not None else {"kind": "Status", "status": "Failure", "code": 404})
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    return Handler
