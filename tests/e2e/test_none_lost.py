"""No request is lost, whatever Spillway does: scale-ins, weight shifts and its own violent ends, under real load.

Pods are processes that end as a kubelet ends them, the gateway is a real Envoy that knows them by DNS, the operator
reads what they and Envoy export. Every request is counted by the client, by Envoy, and by who served it.
"""

from __future__ import annotations

import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from spillway_dev.gateway import EnvoyGatewayStack
from spillway_dev.processes import wait_until
from spillway_dev.upstreams import Load, LoadOptions
from spillway_dev.upstreams.load import Answer
from spillway_dev.upstreams.pods import pre_stop_seconds
from support.live import LiveWorld, LoadedWeights, PodShape

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1800)]

HIGH, STEPS_DOWN = 80, (45, 30, 18, 6)
"""Requests a second: more than five replicas take within their objectives, then less and less, to fewer than one's."""
STEP_SECONDS = 75.0
"""Longer than what an operator waits for after a restart and a move of weights; then it keeps what it has."""
STREAM_TOKENS = 310
"""At a little over 95 ms each: 30 s."""
SCALE_INS, SHIFTS, KILLS, REQUESTS = 10, 20, 5, 10_000
MOST_SECONDS = 1200.0
PATIENCE_SECONDS = 180.0
"""For one step of the operator: after a restart nothing is scaled until the minute of the last step is over."""


@pytest.fixture
def live(live_stack: EnvoyGatewayStack, tmp_path: Path) -> Iterator[LiveWorld]:
    """A world whose pods wait before they stop taking requests."""
    yield from world_of(live_stack, tmp_path, PodShape())


def world_of(stack: EnvoyGatewayStack, scratch: Path, shape: PodShape) -> Iterator[LiveWorld]:
    namespace = stack.cluster.create_namespace(f"live-{uuid.uuid4().hex[:8]}")
    made = LiveWorld(stack, namespace, scratch, shape)
    yield made
    made.close()
    stack.cluster.delete_namespace(namespace)


@dataclass
class Journey:
    """What the operator goes through while the load goes on."""

    live: LiveWorld
    short: Load
    kills: int = 0
    ticks_to_host: list[int] = field(default_factory=list)
    """Completed between the scrape that shows a queue and the weight that is written for it."""

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        self.live.wait(condition, what, PATIENCE_SECONDS)

    def kill(self) -> None:
        self.live.kill_operator()
        self.kills += 1

    def rise(self) -> None:
        """More than its replicas take: hosted at once, then replicas, then back home in steps."""
        live, before = self.live, self.live.hosted.counters()["received"]
        writes = len(live.written("httproutes"))
        self.short.pace(HIGH)
        self.wait(live.queued, "requests queue in the engine")
        seen = [(time.time(), live.ticks())]

        def hosted() -> bool:
            seen.append((time.time(), live.ticks()))
            return live.hosted.counters()["received"] > before

        self.wait(hosted, "hosted traffic")
        moved = [entry.at.timestamp() for entry in live.written("httproutes")[writes:]]
        # Nothing is written where some of it was hosted already.
        ticks = [completed for at, completed in seen if moved and at <= moved[0]]
        self.ticks_to_host.append(ticks[-1] - ticks[0] if ticks else 0)
        self.wait(lambda: live.replicas() >= 4 and live.ready() == live.replicas(), "replicas added and Ready")
        self.wait(lambda: live.weights()["egress"] <= 60, "traffic comes home")

    def fall(self, per_second: float) -> None:
        """Less than before: replicas go, where what was learned so far says that fewer will do."""
        before, until = len(self.live.scale_ins()), time.monotonic() + STEP_SECONDS
        self.short.pace(per_second)

        def over() -> bool:
            return len(self.live.scale_ins()) > before or self.live.replicas() <= 1 or time.monotonic() > until

        self.wait(over, f"a scale-in at {per_second} requests/s")

    def shift(self, per_second: float) -> None:
        """Another load: the weights follow, even in the minute after a restart in which nothing is scaled."""
        before = self.live.shifts()
        self.short.pace(per_second)
        self.wait(lambda: self.live.shifts() > before, f"weights move at {per_second} requests/s")

    def enough(self) -> bool:
        """Whether it has acted as often as is asked."""
        live = self.live
        return len(live.scale_ins()) >= SCALE_INS and live.shifts() >= SHIFTS and self.kills >= KILLS

    def travel(self) -> None:
        """All of it."""
        # Undisturbed.
        self.rise()
        for pace in STEPS_DOWN:
            self.fall(pace)

        # Killed while a pod drains, after weights rose, and after they fell.
        self.rise()
        self.fall(STEPS_DOWN[0])
        self.kill()
        self.shift(HIGH)
        self.kill()
        self.shift(STEPS_DOWN[0])
        self.kill()
        for pace in STEPS_DOWN[1:]:
            self.fall(pace)

        # Killed while a pod drains, and again as soon as it is back; what comes then is for it to see to.
        self.rise()
        for pace in STEPS_DOWN:
            self.fall(pace)
        self.kill()
        self.kill()
        self.shift(HIGH)

        while not self.enough():
            self.rise()
            for pace in STEPS_DOWN:
                self.fall(pace)
        self.short.pace(HIGH)
        self.wait(lambda: self.short.report().ok >= REQUESTS, f"{REQUESTS} requests")


def test_no_request_is_lost(live: LiveWorld, live_stack: EnvoyGatewayStack, capsys: pytest.CaptureFixture[str]) -> None:
    live.deploy(replicas=1)
    live.start_operator()
    live.wait(live.serves, "the route is loaded", 90)
    warm_up = live.requests_seen_by_envoy()

    body = {"stream": True, "max_tokens": STREAM_TOKENS}
    long = LoadOptions(10, 2_000, MOST_SECONDS, 1 / 3, body, live.headers, request_timeout_seconds=120, remember=True)
    brief = LoadOptions(400, 60_000, MOST_SECONDS, 8, {"max_tokens": 10}, live.headers, remember=True)
    with (
        LoadedWeights(live_stack, live.namespace) as loaded,
        Load(live_stack.url, long) as streams,
        Load(live_stack.url, brief) as short,
    ):
        journey = Journey(live, short)
        live.wait(lambda: streams.report().ok > 0, "a first stream in full", PATIENCE_SECONDS)

        journey.travel()
        ended = [streams.stop(), short.stop()]

    live.stop_operator()
    wait_until(lambda: live.pods.counters()["in_flight"] == 0, "pods idle", 60)
    pods, hosted = live.pods.counters(), live.hosted.counters()
    sent, ok = sum(r.sent for r in ended), sum(r.ok for r in ended)
    share = measured_split([*streams.answers(), *short.answers()], loaded)
    with capsys.disabled():
        sys.stdout.write(
            f"\nnone lost: {sent - ok} of {sent} requests, {ended[0].sent} of them streams of 30 s; "
            f"{len(live.scale_ins())} scale-ins, {live.shifts()} weight shifts, {journey.kills} kills; "
            f"{live.pods.open_at_sigterm} requests open in pods at their SIGTERM; {hosted['received']} served by "
            f"hosted; split {share.got:.2f}% for {share.wanted:.2f}% over {share.counted}; "
            f"{journey.ticks_to_host} ticks from a queue seen to hosted traffic\n"
        )
    assert [r.failed for r in ended] == [0, 0], [r.errors for r in ended]
    assert sent == ok >= REQUESTS
    # The same count at each station: nothing was sent twice, nothing was cut.
    assert live.requests_seen_by_envoy() - warm_up == sent
    assert pods["received"] + hosted["received"] - warm_up == sent
    assert pods["served"] + hosted["served"] - warm_up == sent
    assert pods["broken"] == pods["failed"] == hosted["broken"] == hosted["failed"] == live.pods.killed == 0
    # Without these the test would show nothing.
    assert live.pods.open_at_sigterm >= SCALE_INS
    assert len(live.scale_ins()) >= SCALE_INS
    assert live.shifts() >= SHIFTS
    assert journey.kills >= KILLS
    assert share.counted >= sent / 2
    assert share.got == pytest.approx(share.wanted, abs=2)
    assert max(journey.ticks_to_host) <= 2


@dataclass(frozen=True)
class Split:
    """Percent of hosted traffic, as wanted by the weights in force and as it came."""

    wanted: float
    got: float
    counted: int


def measured_split(answers: Sequence[Answer], loaded: LoadedWeights) -> Split:
    """Over all requests that were sent while Envoy's weights stood still."""
    known = [(answer, share) for answer in answers if (share := loaded.at(answer.sent_at)) is not None]
    wanted = sum(share for _, share in known)
    got = sum(answer.served_by == "hosted" for answer, _ in known)
    return Split(100 * wanted / len(known), 100 * got / len(known), len(known))


@pytest.fixture
def hasty(live_stack: EnvoyGatewayStack, tmp_path: Path) -> Iterator[LiveWorld]:
    """A world whose pods get SIGTERM at once, while the gateway still knows them."""
    yield from world_of(live_stack, tmp_path, PodShape(pre_stop_seconds=0))


def test_without_a_pause_before_sigterm_requests_are_lost(hasty: LiveWorld, live_stack: EnvoyGatewayStack) -> None:
    """The preStop sleep is what keeps a scale-in without loss; and a loss would be seen."""
    hasty.deploy(replicas=2, mode="Observe")
    wait_until(hasty.serves, "the route is loaded", 90)
    options = LoadOptions(100, 10_000, 120, 20, {"max_tokens": 10}, hasty.headers)
    streams = LoadOptions(4, 4, 120, None, {"stream": True, "max_tokens": 100}, hasty.headers)
    with Load(live_stack.url, options) as short, Load(live_stack.url, streams) as open_streams:
        short.wait_for(40)
        hasty.cluster.kubectl("scale", "deployment/vllm", "-n", hasty.namespace, "--replicas=1")
        wait_until(lambda: hasty.pods.count() == 1, "one pod is gone", 90)
        short.wait_for(40)
        # What was open is still answered in full; what came in the meantime met a pod that was shutting down.
        assert open_streams.finish().failed == 0
    report = short.report()
    assert report.failed > 0
    assert set(report.statuses) <= {200, 500, 503}, report.errors


def test_the_pod_template_of_the_page_is_one_that_loses_nothing(
    live_stack: EnvoyGatewayStack, repository: Path
) -> None:
    """The manifests of docs/draining.md are accepted, and their times fit together as the page says."""
    blocks = re.findall(r"```yaml\n(.*?)```", (repository / "docs/draining.md").read_text(), re.DOTALL)
    manifests = [manifest for block in blocks for manifest in yaml.safe_load_all(block)]
    assert {m["kind"] for m in manifests} == {"Deployment", "Service", "Backend", "BackendTrafficPolicy"}
    cluster = live_stack.cluster
    cluster.create_namespace("inference")
    cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump_all(manifests))
    pod = manifests[0]["spec"]["template"]
    arguments = pod["spec"]["containers"][0]["args"]
    drain_seconds = int(arguments[arguments.index("--shutdown-timeout") + 1])
    assert pre_stop_seconds(pod) > 30, "the TTL that kubeadm gives to CoreDNS"
    assert pod["spec"]["terminationGracePeriodSeconds"] >= pre_stop_seconds(pod) + drain_seconds + 20
    assert manifests[1]["spec"]["clusterIP"] == "None"
