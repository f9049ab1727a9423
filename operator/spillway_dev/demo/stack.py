"""Everything that runs for the demo, started in order and always stopped: nothing is left behind."""

from __future__ import annotations

import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from spillway.simulate.replica import Request
from spillway_dev.cluster import KubectlError
from spillway_dev.controlplane import ControlPlane, ControlPlaneOptions
from spillway_dev.demo import settings
from spillway_dev.demo.manifests import RenderedChart, example_documents, operator_values, render_chart
from spillway_dev.demo.settings import DemoError, DemoOptions
from spillway_dev.fleet.backfill import BackfillOptions, write_openmetrics
from spillway_dev.fleet.config import FleetConfig, FleetError
from spillway_dev.nodes import GpuNode
from spillway_dev.processes import ChildProcess, ProcessError, free_ports
from spillway_dev.prometheus import PrometheusServer, ScrapeJob
from spillway_dev.toolchain import Tools

JOBS = ("vllm", "envoy", "litellm", "dcgm", "kube-state-metrics")
READY_SECONDS = 60.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the parts answer. `starts_at` is the Unix time at which the scored day starts."""

    fleet: str
    operator: str
    prometheus: str
    kubeconfig: Path
    starts_at: float


class DemoStack:
    """The demo's processes. A context manager: leaving it, however, stops them all."""

    def __init__(
        self, tools: Tools, options: DemoOptions, config: FleetConfig, requests: list[Request], say: Say
    ) -> None:
        self._tools = tools
        self._options = options
        self._config = config
        self._requests = requests
        self._say = say
        nodes = tuple(GpuNode(f"gpu-{index}", settings.GPUS_PER_NODE) for index in range(settings.GPU_NODES))
        plane = ControlPlaneOptions(nodes=nodes, pod_startup_seconds=settings.POD_STARTUP_SECONDS)
        self.control_plane = ControlPlane(tools, plane)
        self._prometheus: PrometheusServer | None = None
        self._processes: list[ChildProcess] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Endpoints:
        """Bring everything up; the scored day starts LEAD_SECONDS later.

        Raises DemoError with what failed.
        """
        try:
            return self._start()
        except (ProcessError, KubectlError, FleetError, TimeoutError) as error:
            raise DemoError(str(error)) from error

    def _start(self) -> Endpoints:
        self._say("control plane: etcd, kube-apiserver, controllers, scheduler, kwok")
        self.control_plane.start()
        fleet_port, operator_port = free_ports(2)
        target = f"127.0.0.1:{fleet_port}"
        jobs = [ScrapeJob(job, (target,), path=f"/metrics/{job}") for job in JOBS]
        self._prometheus = PrometheusServer(self._tools, jobs, scrape_seconds=settings.SCRAPE_SECONDS)
        serving, own = example_documents(self._options.day_seconds)

        self._say("CRDs, chart, examples/: Deployment, HTTPRoute")
        chart = self._install(serving)
        self._say("history: the day before into Prometheus")
        starts_at = time.time() + settings.LEAD_SECONDS
        self._history(starts_at, target)
        self._prometheus.start()
        self._say("fleet simulator")
        self._start_fleet(fleet_port, starts_at)
        self._say("operator, with its service account; examples/: lanes, class, plan")
        # This job has no history, so its samples are live ones.
        live = f'count_over_time(up{{job="{JOBS[-1]}"}}[1m]) >= {settings.LIVE_SCRAPES}'
        self._prometheus.wait_for(live, READY_SECONDS)
        self._apply(own)
        self._start_operator(chart, operator_port)
        return Endpoints(
            fleet=f"http://{target}",
            operator=f"http://127.0.0.1:{operator_port}",
            prometheus=self._prometheus.url,
            kubeconfig=self.control_plane.kubeconfig,
            starts_at=starts_at,
        )

    def _install(self, serving: list[dict[str, object]]) -> RenderedChart:
        plane, prometheus = self.control_plane, self._prometheus
        assert prometheus is not None  # noqa: S101 - made just before
        chart = render_chart(self._tools, operator_values(prometheus.url), plane.folder)
        plane.apply_crds(chart.crds, *self._tools.gateway_api_crds("standard"))
        plane.create_namespace(settings.OPERATOR_NAMESPACE)
        plane.apply(chart.others)
        self._apply(serving)
        target = f"deployment/{settings.DEPLOYMENT}"
        plane.kubectl("-n", settings.NAMESPACE, "scale", target, f"--replicas={settings.INITIAL_REPLICAS}")
        plane.kubectl("-n", settings.NAMESPACE, "rollout", "status", target, f"--timeout={READY_SECONDS:g}s")
        return chart

    def _apply(self, documents: list[dict[str, object]]) -> None:
        """As a person would by `kubectl apply -f`, so that the same on a kept demo changes what differs only."""
        self.control_plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents, sort_keys=False))

    def _history(self, starts_at: float, target: str) -> None:
        assert self._prometheus is not None  # noqa: S101 - made just before
        path = self.control_plane.folder / "history.om"
        options = BackfillOptions(starts_at, time.time() - starts_at, settings.SCRAPE_SECONDS, target)
        write_openmetrics(path, self._config, self._requests, options)
        self._prometheus.backfill(path)
        path.unlink()

    def _start_fleet(self, port: int, starts_at: float) -> None:
        command = [
            sys.executable, "-m", "spillway_dev.fleet",
            "--config", str(settings.FLEET_CONFIG), "--kubeconfig", str(self.control_plane.kubeconfig),
            "--port", str(port), "--starts-at", f"{starts_at:.3f}", "--seed", str(self._options.seed),
            "--day-seconds", str(self._options.day_seconds),
            *(["--repeat"] if self._options.keep else []),
        ]  # fmt: skip
        process = self._spawn("fleet simulator", command, "fleet.log", {})
        process.wait_ready(lambda: answers(f"http://127.0.0.1:{port}/healthz"), READY_SECONDS)

    def _start_operator(self, chart: RenderedChart, port: int) -> None:
        plane = self.control_plane
        path = plane.folder / "operator.yaml"
        config = {**chart.config, "httpPort": port, "httpHost": "127.0.0.1"}
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        kubeconfig = plane.service_account_kubeconfig(settings.OPERATOR_NAMESPACE, chart.service_account)
        command = [sys.executable, "-m", "spillway", "run", "--config", str(path), "--log-format", "plain"]
        process = self._spawn("operator", command, "operator.log", {"KUBECONFIG": str(kubeconfig)})
        process.wait_ready(lambda: answers(f"http://127.0.0.1:{port}/readyz"), READY_SECONDS)

    def _spawn(self, name: str, command: list[str], log: str, environment: dict[str, str]) -> ChildProcess:
        process = ChildProcess(name, command, self.control_plane.folder / log, {**environment, "PYTHONUNBUFFERED": "1"})
        self._processes.append(process)
        return process

    def processes(self) -> list[ChildProcess]:
        """Every process, the control plane's first."""
        prometheus = [self._prometheus.process] if self._prometheus and self._prometheus.process else []
        return [*self.control_plane.processes.values(), *prometheus, *self._processes]

    def require(self) -> None:
        """See that every process still runs.

        Raises DemoError with the end of the log of one that does not.
        """
        try:
            for process in self.processes():
                process.require()
        except ProcessError as error:
            raise DemoError(str(error)) from error

    def stop(self) -> None:
        """Stop everything, the operator and the fleet side by side."""
        for process in self._processes:
            process.begin_stop()
        for process in reversed(self._processes):
            process.stop()
        self._processes.clear()
        if self._prometheus is not None:
            self._prometheus.close()
            self._prometheus = None
        self.control_plane.stop()


def answers(url: str) -> bool:
    """Whether a URL of ours answers with a 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own http address
            return bool(answer.status == 200)
    except OSError:
        return False
