"""docs/routing.md from nothing: its manifests, the real operator, a real Envoy Gateway, and pods that are processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from spillway_dev.controlplane import ControlPlane, ControlPlaneOptions
from spillway_dev.gateway import EnvoyGatewayStack
from spillway_dev.nodes import FAKE_LABELS, FAKE_TAINT
from spillway_dev.processes import wait_until
from spillway_dev.prometheus import ScrapeJob
from spillway_dev.toolchain import Tools
from spillway_dev.upstreams import Load, LoadOptions, LoadReport, Upstream
from spillway_dev.upstreams.pods import POD_ANNOTATIONS, Addresses, PodOptions, PodUpstreams
from support.planes import RETRIES
from support.world import OperatorWorld

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600)]

EXAMPLES = Path("examples/routing/envoy-gateway")
NAMESPACE = "inference"
PLACES = 4
"""Requests that an engine holds before it refuses, as --max-num-queued-reqs says."""
PROFILE = {
    "alpha_ms": 20.0,
    "beta_ms_per_sequence": 0.1,
    "gamma_ms_per_ktoken_kv": 0.0,
    "prefill_ms_per_ktoken": 1.0,
    "max_sequences": PLACES,
}
HEADERS = {"x-workload": "chat"}


class ExampleWorld(OperatorWorld):
    """The examples' namespace, with its pods and its egress as processes."""

    def __init__(self, stack: EnvoyGatewayStack, scratch: Path) -> None:
        self.stack = stack
        self.hosted = Upstream("hosted", egress={"model": "qwen3-32b", "team": NAMESPACE}, token_seconds=0.02).start()
        jobs = [
            ScrapeJob("engines"),
            ScrapeJob("egress", (urlsplit(self.hosted.url).netloc,)),
            ScrapeJob("envoy", (urlsplit(stack.envoy_admin_url).netloc,), path="/stats/prometheus"),
        ]
        super().__init__(stack.cluster, stack.cluster.create_namespace(NAMESPACE), scratch, jobs)
        engine = {"profile": PROFILE, "model": "qwen3-32b"}
        options = PodOptions(NAMESPACE, "vllm", engine, settings={"limit": PLACES})
        self.pods = PodUpstreams(stack.cluster, options, self._moved)
        self.pods.__enter__()

    def _moved(self, addresses: Addresses) -> None:
        names = {"vllm": addresses.in_name, "egress": [self.hosted.host]}
        self.stack.set_names({f"{name}.{NAMESPACE}.svc.cluster.local": found for name, found in names.items()})
        self.prometheus.set_targets("engines", addresses.running)

    def close(self) -> None:
        """End all of it."""
        self.stop_operator()
        self.cluster.kubectl("delete", "deployment", "vllm", "-n", NAMESPACE, "--ignore-not-found")
        self.pods.close()
        super().close()
        self.hosted.stop()

    def send(self, requests: int, concurrency: int, **body: Any) -> LoadReport:
        """Send requests of the class and wait for all."""
        with Load(self.stack.url, LoadOptions(concurrency, requests, 120, body=body, headers=HEADERS)) as load:
            return load.finish()

    def owned(self, report: LoadReport) -> int:
        """Requests that pods have served."""
        return sum(count for name, count in report.served_by.items() if name != "hosted")


@pytest.fixture
def world(tools: Tools, repository: Path, tmp_path: Path) -> Iterator[ExampleWorld]:
    """Nothing is applied yet but the CRDs."""
    with ControlPlane(tools, ControlPlaneOptions()) as control_plane, EnvoyGatewayStack(control_plane) as stack:
        control_plane.apply_crds(repository / "crds")
        made = ExampleWorld(stack, tmp_path)
        yield made
        made.close()


def documents(repository: Path, name: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((repository / EXAMPLES / name).read_text("utf-8")) if each]


def here(world: ExampleWorld, manifest: dict[str, Any]) -> dict[str, Any]:
    """As the file has it, on fake nodes and on this machine's ports."""
    if manifest["kind"] == "Deployment":
        template = manifest["spec"]["template"]
        template["metadata"]["annotations"] = dict(POD_ANNOTATIONS)
        template["spec"] |= {"nodeSelector": FAKE_LABELS, "tolerations": [FAKE_TAINT]}
    if manifest["kind"] == "Backend":
        port = world.pods.port if manifest["metadata"]["name"] == "vllm" else world.hosted.port
        manifest["spec"]["endpoints"][0]["fqdn"]["port"] = port
    return manifest


def test_spill_from_nothing(world: ExampleWorld, repository: Path) -> None:
    files = sorted(path.name for path in (repository / EXAMPLES).glob("*.yaml"))
    # The stack has a Gateway of its own by that name; the file's is one that the apiserver takes.
    gateway = documents(repository, files[0])
    world.cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump_all(gateway))
    assert gateway[1]["metadata"] == {"name": "gateway", "namespace": "envoy-gateway-system"}
    world.apply(*(here(world, each) for name in files[1:3] for each in documents(repository, name)))
    wait_until(lambda: world.ready() == 1, "the pod is Ready", 120)
    world.apply(*(each for name in files[3:] for each in documents(repository, name)))
    world.start_operator()

    world.wait(lambda: world.send(1, 1).ok == 1, "the generated route serves", 120)
    policy = world.cluster.get("backendtrafficpolicies.gateway.envoyproxy.io", "chat", NAMESPACE)
    shown = documented(repository)
    assert policy["spec"]["retry"] == RETRIES == shown["retry"]
    assert {key: policy["spec"][key] for key in shown} == shown
    assert world.weights() == {"vllm": 100, "egress": 1}
    world.wait_condition("SpillArmed", "True", "Armed")

    # What the engine has room for stays.
    calm = world.send(60, PLACES - 1, max_tokens=5)
    assert (calm.failed, world.owned(calm)) == (0, 60), calm.errors
    # What is above goes to the hosted lane, and nothing fails.
    busy = world.send(200, 5 * PLACES, max_tokens=20)
    assert busy.failed == 0, busy.errors
    assert busy.served_by["hosted"] >= 50
    assert world.owned(busy) >= PLACES

    # Weights are confirmed while requests come, by counters.
    with Load(world.stack.url, LoadOptions(PLACES - 1, 50_000, 240, body={"max_tokens": 5}, headers=HEADERS)) as load:
        world.wait(lambda: route_status(world).get("stage") == "Confirmed", "counters confirm", 120)
        assert load.report().failed == 0, load.report().errors
    assert route_status(world)["reason"] == "CountersAgree"

    # An engine that queues without limit: told with the flag.
    args = "/spec/template/spec/containers/0/args"
    patch = json.dumps([{"op": "replace", "path": args, "value": ["--model=m", "--max-num-seqs=64"]}])
    world.cluster.kubectl("patch", "deployment", "vllm", "-n", NAMESPACE, "--type=json", "-p", patch)
    world.wait_condition("SpillArmed", "False", "QueueUnlimited")
    assert "--max-num-queued-reqs 64" in world.condition("SpillArmed")["message"]


def route_status(world: ExampleWorld) -> dict[str, Any]:
    found: list[dict[str, Any]] = world.status().get("routes", [])
    return next((each for each in found if each["class"] == "chat"), {})


def documented(repository: Path) -> Any:
    """The policy as the document shows it."""
    text = (repository / "docs/routing.md").read_text("utf-8")
    block = text.split("### The policy\n\n```yaml\n", 1)[1].split("```", 1)[0]
    return yaml.safe_load(block)["spec"]
