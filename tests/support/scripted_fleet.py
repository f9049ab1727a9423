"""A fleet whose demand a test sets: vLLM, Envoy and LiteLLM series for the pods that the cluster says are Ready.

Closed-form instead of request by request: each Ready pod serves ``replica_rps`` requests a second at most, the rest
waits. Real pods, real HTTPRoute weights, real scrapes; only the engines are stood in for.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

POLL_SECONDS = 0.25
INPUT_TOKENS, OUTPUT_TOKENS = 500, 100
BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0)


@dataclass(slots=True)
class _Pod:
    completed: float = 0.0
    waiting: float = 0.0
    running: float = 0.0
    ttft: list[float] = field(default_factory=lambda: [0.0] * (len(BUCKETS) + 1))
    itl: list[float] = field(default_factory=lambda: [0.0] * (len(BUCKETS) + 1))
    ttft_sum: float = 0.0
    itl_sum: float = 0.0


def _observe(counts: list[float], value: float, times: float) -> None:
    for index, bound in enumerate(BUCKETS):
        if value <= bound:
            counts[index] += times
    counts[-1] += times


class ScriptedFleet:
    """Serve ``/metrics`` on ``port``; set ``demand_rps`` at any time."""

    def __init__(
        self, kubeconfig: Path, namespace: str, *, deployment: str = "vllm", route: str = "chat", rule: str = "all"
    ) -> None:
        self._api = config.new_client_from_config(str(kubeconfig))
        self._core, self._custom = client.CoreV1Api(self._api), client.CustomObjectsApi(self._api)
        self.namespace, self.deployment, self.route, self.rule = namespace, deployment, route, rule
        self.model, self.hosted_model = "llama", "gpt-5-nano"
        self.demand_rps = 0.0
        self.replica_rps = 10.0
        self.hosted_takes_rps = math.inf
        """What the provider refuses beyond this is counted by the egress as failures."""
        self.request_seconds = 1.0
        self.longest_wait_seconds = 0.0
        """The longest queue that any pod has had, in seconds of its work; set it to 0 to start anew."""
        self._ramp: tuple[float, float] | None = None
        self.broken: str | None = None
        """What ``/metrics`` answers instead of the truth: "nan", "empty", "garbage", or None."""
        self._pods: dict[str, _Pod] = {}
        self._total = self._hosted = self._refused = 0.0
        self._ready: list[str] = []
        self._share = 0.0
        self._advanced_at = time.monotonic()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = int(self._server.server_address[1])
        self._threads = [
            threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True),
            threading.Thread(target=self._run, daemon=True),
        ]

    def start(self) -> ScriptedFleet:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """End both threads."""
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join(timeout=5)
        self._api.close()

    @property
    def hosted_requests(self) -> float:
        """Served by the hosted lane so far."""
        with self._lock:
            return self._hosted

    @property
    def hosted_share(self) -> float:
        """Of the demand, 0 to 1, by the weights that were seen last: what is sent now."""
        with self._lock:
            return self._share

    def ramp(self, to_rps: float, seconds: float) -> None:
        """Raise or lower demand evenly until it is ``to_rps``."""
        with self._lock:
            self._ramp = (to_rps, (to_rps - self.demand_rps) / seconds)

    def _ramped(self, seconds: float) -> None:
        if self._ramp is None:
            return
        goal, slope = self._ramp
        self.demand_rps += slope * seconds
        if (goal - self.demand_rps) * slope <= 0:
            self.demand_rps, self._ramp = goal, None

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            try:
                pods, share = self._ready_pods(), self._hosted_share()
            except (ApiException, OSError):
                continue
            with self._lock:
                self._advance()
                self._ready, self._share = pods, share

    def _ready_pods(self) -> list[str]:
        pods = self._core.list_namespaced_pod(self.namespace, label_selector=f"app={self.deployment}").items
        return [
            p.metadata.name
            for p in pods
            if p.metadata.deletion_timestamp is None
            and any(c.type == "Ready" and c.status == "True" for c in p.status.conditions or [])
        ]

    def _hosted_share(self) -> float:
        try:
            route: Any = self._custom.get_namespaced_custom_object(
                "gateway.networking.k8s.io", "v1", self.namespace, "httproutes", self.route
            )
        except ApiException as error:
            if error.status == 404:
                return 0.0
            raise
        rule = next((r for r in route["spec"]["rules"] if r.get("name") == self.rule), route["spec"]["rules"][0])
        weights = {ref["name"]: ref.get("weight", 1) for ref in rule["backendRefs"]}
        total = sum(weights.values())
        return weights.get("egress", 0) / total if total else 0.0

    def _advance(self) -> None:
        """Bring everything to this moment, by the pods and weights that were seen last."""
        now = time.monotonic()
        seconds, self._advanced_at = now - self._advanced_at, now
        if seconds <= 0:
            return
        self._pods = {name: self._pods.get(name, _Pod()) for name in self._ready}
        self._ramped(seconds)
        hosted = self.demand_rps * self._share
        local = self.demand_rps - hosted
        self._total += self.demand_rps * seconds
        taken = min(hosted, self.hosted_takes_rps)
        self._hosted += taken * seconds
        self._refused += (hosted - taken) * seconds
        for pod in self._pods.values():
            arriving = local / len(self._pods) * seconds
            served = min(arriving + pod.waiting, self.replica_rps * seconds)
            pod.waiting = max(0.0, pod.waiting + arriving - served)
            pod.running = served / seconds * self.request_seconds
            pod.completed += served
            wait = pod.waiting / self.replica_rps
            self.longest_wait_seconds = max(self.longest_wait_seconds, wait)
            token_seconds = self.request_seconds / OUTPUT_TOKENS
            _observe(pod.ttft, 0.05 + wait, served)
            _observe(pod.itl, token_seconds, served * OUTPUT_TOKENS)
            pod.ttft_sum += (0.05 + wait) * served
            pod.itl_sum += token_seconds * served * OUTPUT_TOKENS

    def _lines(self) -> Iterator[str]:
        if self.broken == "empty":
            return
        if self.broken == "garbage":
            yield "<html>this is not an exposition"
            return
        with self._lock:
            # A counter that stood still since the last poll would look like bursts.
            self._advance()
            for name, pod in self._pods.items():
                yield from self._pod_lines(name, pod)
            cluster = f"httproute/{self.namespace}/{self.route}/rule/0"
            yield f'envoy_cluster_upstream_rq_total{{envoy_cluster_name="{cluster}"}} {self._total}'
            if self._refused > 0:
                failed = f'litellm_model_name="{self.hosted_model}",requested_model="{self.hosted_model}"'
                yield f"litellm_deployment_failure_responses_total{{{failed}}} {self._refused}"
            if self._hosted > 0:
                who = f'model="{self.hosted_model}",team="{self.namespace}"'
                asked = f'{who},requested_model="{self.hosted_model}"'
                yield f"litellm_requests_metric_total{{{who}}} {self._hosted}"
                yield f"litellm_input_tokens_metric_total{{{asked}}} {self._hosted * INPUT_TOKENS}"
                yield f"litellm_output_tokens_metric_total{{{asked}}} {self._hosted * OUTPUT_TOKENS}"

    def _pod_lines(self, name: str, pod: _Pod) -> Iterator[str]:
        who = f'namespace="{self.namespace}",pod="{name}",model_name="{self.model}",engine="0"'
        bad = self.broken == "nan"

        def line(metric: str, value: float, more: str = "") -> str:
            return f"vllm:{metric}{{{who}{more}}} {'NaN' if bad else value}"

        yield line("num_requests_running", pod.running)
        yield line("num_requests_waiting", pod.waiting)
        yield line("kv_cache_usage_perc", min(1.0, pod.running / 20))
        yield line("prompt_tokens_total", pod.completed * INPUT_TOKENS)
        yield line("generation_tokens_total", pod.completed * OUTPUT_TOKENS)
        yield line("request_success_total", pod.completed, ',finished_reason="stop"')
        for metric, counts, total in (
            ("time_to_first_token_seconds", pod.ttft, pod.ttft_sum),
            ("inter_token_latency_seconds", pod.itl, pod.itl_sum),
        ):
            for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
                yield line(f"{metric}_bucket", count, f',le="{bound}"')
            yield line(f"{metric}_sum", total)
            yield line(f"{metric}_count", counts[-1])

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fleet = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = ("\n".join(fleet._lines()) + "\n").encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
