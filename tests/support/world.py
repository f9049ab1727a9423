"""A whole small world for one test: namespace, Deployment, route, scripted fleet, Prometheus, and the real operator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from kubernetes import client, config

from spillway_dev.audit import AuditEntry, Journal
from spillway_dev.cluster import Cluster
from spillway_dev.controlplane import ControlPlane
from spillway_dev.nodes import FAKE_LABELS, FAKE_TAINT, STARTUP_ANNOTATION
from spillway_dev.processes import ChildProcess, wait_until
from spillway_dev.prometheus import PrometheusServer, ScrapeJob
from support.api_proxy import ApiProxy, RecordedJournal
from support.scripted_fleet import ScriptedFleet

TICK_SECONDS = 1.0
SCRAPE_SECONDS = 1.0
POLL_SECONDS = 0.2
WAIT_SECONDS = 180.0
"""For what takes seconds: only what hangs takes longer, on the busiest machine."""
LEFT_OVER_PERCENT = 5
"""At the hosted lane's price a replica pays for itself from about 1 request a second on."""
ACCOUNT = "spillway"
OWN_CONFIG_MAPS = {("configmaps", name) for name in ("spillway-ledger", "spillway-observations")}
ROOT = Path(__file__).resolve().parents[2]


def deployment(namespace: str, name: str = "vllm", replicas: int = 1, startup: str = "1s") -> dict[str, Any]:
    """A faked vLLM Deployment of one GPU a pod, on fake nodes only."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": {STARTUP_ANNOTATION: startup}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "nodeSelector": FAKE_LABELS,
                    "tolerations": [FAKE_TAINT],
                    "containers": [{"name": "vllm", "image": "vllm", "resources": {"limits": {"nvidia.com/gpu": 1}}}],
                },
            },
        },
    }


def http_route(namespace: str, name: str = "chat", rule: str = "all") -> dict[str, Any]:
    """Somebody's HTTPRoute with a local and a hosted backend."""
    refs = [
        {"name": "vllm", "port": 8000, "weight": 100},
        {"name": "egress", "port": 4000, "weight": 0},
    ]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"parentRefs": [{"name": "gateway"}], "rules": [{"name": rule, "backendRefs": refs}]},
    }


def own_lane(namespace: str, name: str = "gpu", target: str = "vllm", **spec: Any) -> dict[str, Any]:
    """A lane on own GPUs whose replica serves 10 requests a second at the scripted fleet's mix."""
    own = {
        "targetRef": {"name": target},
        "gpu": {"type": "nvidia-h100-80gb"},
        "price": {"usdPerGpuHour": "3.00"},
        "replicas": {"min": 1, "max": 8},
        "startupSeconds": 2,
        # One sequence at a time decodes in 10 ms a token: 10 sequences a replica, each 1 s long, are 10 requests/s.
        "profile": {
            "alphaMs": "9",
            "betaMsPerSequence": "0.1",
            "prefillMsPerKToken": "0.001",
            "maxSequences": 10,
        },
    }
    return {
        "apiVersion": "spillway.dev/v1alpha1",
        "kind": "CapacityLane",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"type": "SelfHosted", "models": ["llama"], "selfHosted": own | spec},
    }


def hosted_lane(namespace: str, name: str = "hosted", output_usd: str = "4.00") -> dict[str, Any]:
    """A hosted real-time lane with a contract price."""
    return {
        "apiVersion": "spillway.dev/v1alpha1",
        "kind": "CapacityLane",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "type": "HostedRealtime",
            "models": ["gpt-5-nano"],
            "hosted": {
                "provider": "openai",
                "model": "gpt-5-nano",
                "price": {"inputUsdPerMTok": "1.00", "outputUsdPerMTok": output_usd},
            },
        },
    }


def workload(namespace: str, plan: str = "main", name: str = "chat", **spec: Any) -> dict[str, Any]:
    """An interactive class whose traffic is one route rule."""
    content = {
        "planRef": {"name": plan},
        "match": {"routeRule": {"route": "chat", "rule": "all"}},
        "slo": {"timeToFirstTokenMs": 2000, "interTokenLatencyMs": 50, "attainmentPercent": "99"},
        "dataPolicy": "Any",
        "equivalentModels": ["llama", "gpt-5-nano"],
    }
    return {
        "apiVersion": "spillway.dev/v1alpha1",
        "kind": "WorkloadClass",
        "metadata": {"name": name, "namespace": namespace},
        "spec": content | spec,
    }


def plan(namespace: str, name: str = "main", mode: str = "Apply", **spec: Any) -> dict[str, Any]:
    """A plan over both lanes that adopts the route."""
    content = {
        "mode": mode,
        "lanes": ["gpu", "hosted"],
        "routing": {
            "plane": "GatewayAPI",
            "bindings": [
                {
                    "class": "chat",
                    "ownership": "Adopted",
                    "httpRoute": "chat",
                    "rule": "all",
                    "backends": {"gpu": "vllm", "hosted": "egress"},
                }
            ],
        },
        "guards": {
            "maxScaleUpPerMinute": 60,
            "maxScaleDownPerMinute": 60,
            "scaleDownStabilizationSeconds": 5,
            "manualOverrideSeconds": 40,
        },
        "forecast": {"seasonalitySeconds": [86400]},
    }
    return {
        "apiVersion": "spillway.dev/v1alpha1",
        "kind": "CapacityPlan",
        "metadata": {"name": name, "namespace": namespace},
        "spec": content | spec,
    }


class Reader:
    """Reads objects over HTTP: polling by kubectl would cost a process each time."""

    def __init__(self, kubeconfig: Path) -> None:
        self._cluster = client.Configuration()
        config.load_kube_config(str(kubeconfig), client_configuration=self._cluster)
        self._session = requests.Session()
        # Else REQUESTS_CA_BUNDLE would win over the cluster's own authority.
        self._session.trust_env = False
        self._session.verify = self._cluster.ssl_ca_cert if self._cluster.verify_ssl else False
        if self._cluster.cert_file:
            self._session.cert = (self._cluster.cert_file, self._cluster.key_file)

    def get(self, path: str) -> dict[str, Any]:
        """The object at an API path."""
        headers = {auth["key"]: auth["value"] for auth in self._cluster.auth_settings().values()}
        answer = self._session.get(self._cluster.host + path, headers=headers, timeout=60)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def close(self) -> None:
        """Give connections back."""
        self._session.close()


class OperatorWorld:
    """One operator with its Prometheus. ``start_operator`` starts it, as a process of its own with the chart's RBAC.

    What it writes is in ``journal``: the audit log of the development control plane; on any other cluster the operator
    reaches the apiserver through a proxy that records its writes.
    """

    def __init__(self, cluster: Cluster, namespace: str, scratch: Path, jobs: Sequence[ScrapeJob]) -> None:
        self.cluster, self.namespace, self.scratch = cluster, namespace, scratch
        self.journal: Journal = cluster.audit if isinstance(cluster, ControlPlane) else RecordedJournal()
        self.proxy: ApiProxy | None = None
        self.cluster_wide: list[dict[str, Any]] = []
        self.reader = Reader(cluster.kubeconfig)
        self.prometheus = PrometheusServer(cluster.tools, jobs, scrape_seconds=SCRAPE_SECONDS).start()
        self.operator: ChildProcess | None = None
        self.starts = 0
        self.prometheus_url = self.prometheus.url
        self.extra_config: dict[str, Any] = {}
        self.kubeconfig: Path | None = None

    @property
    def user(self) -> str:
        """The operator's name in the journal."""
        return f"system:serviceaccount:{self.namespace}:{ACCOUNT}"

    def close(self) -> None:
        """Stop what was started."""
        self.stop_operator()
        self.prometheus.close()
        self.reader.close()
        if self.proxy is not None:
            self.proxy.stop()
        if self.cluster_wide and not isinstance(self.cluster, ControlPlane):
            # The namespace is deleted by whoever made it; these would stay.
            self.cluster.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=yaml.safe_dump_all(self.cluster_wide))

    def person(self) -> Path:
        """The kubeconfig of a person who may do everything in the namespace, and is not the operator."""
        if isinstance(self.cluster, ControlPlane):
            return self.cluster.user_kubeconfig("person")
        found = self.cluster.service_account_kubeconfig(self.namespace, "person")
        self.cluster.kubectl(
            "create", "rolebinding", "person", "-n", self.namespace, "--clusterrole=cluster-admin",
            f"--serviceaccount={self.namespace}:person",
        )  # fmt: skip
        return found

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Apply manifests as a person would."""
        self.cluster.apply(*manifests, field_manager="person")

    def grant(self, mode: str = "apply") -> None:
        """The chart's own RBAC, for this namespace alone."""
        rendered = subprocess.run(
            [self.cluster.tools.path("helm"), "template", f"sw-{self.namespace}", str(ROOT / "charts/spillway"),
             "--namespace", self.namespace, "--set", f"rbac.mode={mode}", "--set", f"namespaces={{{self.namespace}}}",
             "--set", f"serviceAccount.name={ACCOUNT}", "--set", "config.prometheus.url=http://127.0.0.1:1",
             "--set", "crds.enabled=false", "--set", "rbac.admissionPolicy=false",
             "--set", "rbac.litellm.configMaps={litellm-config}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        kinds = {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ServiceAccount", "ConfigMap"}
        documents = [d for d in yaml.safe_load_all(rendered.stdout) if d and d["kind"] in kinds]
        self.cluster.apply(*documents)
        self.cluster_wide += [d for d in documents if d["kind"].startswith("Cluster")]
        self.kubeconfig = self._recorded(self.cluster.service_account_kubeconfig(self.namespace, ACCOUNT))

    def _recorded(self, kubeconfig: Path) -> Path:
        """The same identity, by a way on which its writes get into the journal."""
        if not isinstance(self.journal, RecordedJournal):
            return kubeconfig
        if self.proxy is None:
            self.proxy = ApiProxy(kubeconfig, self.journal).start()
        return self.proxy.kubeconfig(self.scratch / "recorded.kubeconfig", credentials=kubeconfig)

    def config(self) -> dict[str, Any]:
        """The operator's configuration file."""
        return {
            "prometheus": {
                "url": self.prometheus_url,
                "scrapeIntervalSeconds": SCRAPE_SECONDS,
                "timeoutSeconds": 2,
            },
            "tickSeconds": TICK_SECONDS,
            "namespaces": [self.namespace],
            "operatorNamespace": self.namespace,
            "httpPort": 0,
            "httpHost": "127.0.0.1",
            "gateways": [
                {"name": "front", "type": "Envoy", "role": "Front"},
                {"name": "egress", "type": "LiteLLM", "role": "Egress"},
            ],
        } | self.extra_config

    def start_operator(self, *, kubeconfig: Path | None = None) -> ChildProcess:
        """Start the operator (again), with the chart's apply RBAC unless other credentials are given."""
        self.stop_operator()
        if self.kubeconfig is None:
            self.grant()
        self.starts += 1
        path = self.scratch / "operator.yaml"
        path.write_text(yaml.safe_dump(self.config()))
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "KUBECONFIG": str(kubeconfig or self.kubeconfig),
        }
        self.operator = ChildProcess(
            f"operator-{self.starts}",
            [sys.executable, "-m", "spillway", "--config", str(path)],
            self.scratch / f"operator-{self.starts}.log",
            environment,
        )
        return self.operator

    def stop_operator(self) -> None:
        """SIGTERM and wait."""
        if self.operator is not None:
            self.operator.stop()
            self.operator = None

    def log(self) -> str:
        """The operator's log so far, all starts."""
        return "".join(path.read_text() for path in sorted(self.scratch.glob("operator-*.log")))

    def operator_url(self) -> str:
        """Where /metrics, /healthz and /readyz are served."""

        def port() -> int | None:
            for line in (self.scratch / f"operator-{self.starts}.log").read_text().splitlines():
                with suppress(ValueError):
                    record = json.loads(line)
                    if "port" in record:
                        return int(record["port"])
            return None

        found: list[int] = []
        wait_until(
            lambda: bool(found.append(p) or True if (p := port()) else False), "the operator's port", WAIT_SECONDS
        )
        return f"http://127.0.0.1:{found[0]}"

    def http_get(self, path: str) -> tuple[int, str]:
        """GET from the operator's own server."""
        try:
            with urllib.request.urlopen(self.operator_url() + path, timeout=60) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ticks(self) -> int:
        """Ticks completed by the present operator."""
        for line in self.http_get("/metrics")[1].splitlines():
            if line.startswith('spillway_ticks_total{result="completed"}'):
                return int(float(line.split()[-1]))
        return 0

    def wait_ticks(self, more: int, timeout: float = WAIT_SECONDS) -> None:
        """Wait until ``more`` further ticks have completed."""
        goal = self.ticks() + more
        wait_until(lambda: self.ticks() >= goal, f"{more} more ticks", timeout)

    def replicas(self, name: str = "vllm") -> int:
        """spec.replicas of the Deployment."""
        return int(self.deployment(name)["spec"]["replicas"])

    def deployment(self, name: str = "vllm") -> dict[str, Any]:
        """The Deployment."""
        return self.reader.get(f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}")

    def ready(self, name: str = "vllm") -> int:
        """Ready replicas of the Deployment."""
        status = self.deployment(name).get("status") or {}
        return int(status.get("readyReplicas") or 0)

    def weights(self, route: str = "chat") -> dict[str, int]:
        """The route's weights by backend."""
        found = self.reader.get(f"/apis/gateway.networking.k8s.io/v1/namespaces/{self.namespace}/httproutes/{route}")
        return {ref["name"]: ref.get("weight", 1) for ref in found["spec"]["rules"][0]["backendRefs"]}

    def status(self, name: str = "main", kind: str = "capacityplans") -> dict[str, Any]:
        """Status of a resource, empty before the first write."""
        path = f"/apis/spillway.dev/v1alpha1/namespaces/{self.namespace}/{kind}/{name}"
        found: dict[str, Any] = self.reader.get(path).get("status") or {}
        return found

    def condition(self, kind: str, name: str = "main", resource: str = "capacityplans") -> dict[str, Any]:
        """One condition of a resource, empty when absent."""
        conditions = self.status(name, resource).get("conditions") or []
        return next((c for c in conditions if c["type"] == kind), {})

    def lane_status(self, lane: str = "gpu", name: str = "main") -> dict[str, Any]:
        """A lane in the plan's status, empty when absent."""
        return next((entry for entry in self.status(name).get("lanes") or [] if entry["name"] == lane), {})

    def wait(self, condition: Callable[[], bool], what: str, timeout: float = WAIT_SECONDS) -> None:
        """Wait for a condition; a failure shows the plan's status and the operator's log."""
        try:
            wait_until(condition, what, timeout, POLL_SECONDS)
        except TimeoutError as error:
            state = json.dumps(self.status(), indent=1) if self.cluster.exists("cplan", "main", self.namespace) else ""
            raise AssertionError(f"{error}\nstatus: {state}\nlog:\n{self.log()[-6000:]}") from None

    def wait_condition(self, kind: str, status: str, reason: str | None = None, timeout: float = WAIT_SECONDS) -> None:
        """Wait until a condition of the plan has this status (and reason)."""

        def held() -> bool:
            found = self.condition(kind)
            return found.get("status") == status and reason in (None, found.get("reason"))

        self.wait(held, f"condition {kind}={status} {reason or ''}", timeout)

    def operator_writes(self, since: int) -> list[AuditEntry]:
        """What the operator wrote since a mark, its own statuses, Events, ledger and observations apart."""
        return [
            entry
            for entry in self.journal.writes(since=since, user=self.user)
            if entry.subresource != "status"
            and entry.resource not in ("events", "selfsubjectaccessreviews", "selfsubjectrulesreviews")
            and (entry.resource, entry.name) not in OWN_CONFIG_MAPS
        ]


class World(OperatorWorld):
    """Everything around one operator, with a fleet whose demand a test sets."""

    def __init__(self, cluster: Cluster, namespace: str, scratch: Path) -> None:
        self.fleet = ScriptedFleet(cluster.kubeconfig, namespace).start()
        super().__init__(cluster, namespace, scratch, [ScrapeJob("fleet", (f"127.0.0.1:{self.fleet.port}",))])

    def close(self) -> None:
        """Stop what was started."""
        super().close()
        self.fleet.stop()

    def start_under(self, demand_rps: float) -> None:
        """Start the operator, then demand: what came before the first tick would wait, and be worked off for minutes.

        Until then nothing is told of demand: to the operator it has always been this.
        """
        self.fleet.demand_rps, self.fleet.broken = 0.0, "empty"
        self.start_operator()
        self.wait_ticks(1)
        self.fleet.demand_rps, self.fleet.broken = demand_rps, None

    def on_own_lanes(self) -> bool:
        """Whether every replica is Ready, and no more is hosted than a replica more would be too dear for."""
        return self.ready() == self.replicas() and self.weights()["egress"] <= LEFT_OVER_PERCENT

    def grow(self) -> int:
        """A fleet that Spillway has taken to four replicas or five, which carry the traffic; returns the count.

        Three replicas would be far too few, and four have room.
        """
        self.start_under(22)
        self.wait(lambda: self.replicas() >= 4 and self.on_own_lanes(), "a grown fleet")
        return self.replicas()

    def standard(self, *, replicas: int = 1, mode: str = "Apply", **plan_spec: Any) -> None:
        """Deployment, route, lanes, class and plan."""
        self.cluster.kubectl("create", "-f", "-", stdin=json.dumps(deployment(self.namespace, replicas=replicas)))
        self.cluster.kubectl("create", "-f", "-", stdin=json.dumps(http_route(self.namespace)))
        ns = self.namespace
        self.apply(own_lane(ns), hosted_lane(ns), workload(ns), plan(ns, mode=mode, **plan_spec))


@pytest.fixture
def world(gpu_nodes: Cluster, gateway_api: object, crds: object, namespace: str, tmp_path: Path) -> Iterator[World]:
    """A world in a fresh namespace; the operator is not yet started."""
    made = World(gpu_nodes, namespace, tmp_path)
    yield made
    made.close()
