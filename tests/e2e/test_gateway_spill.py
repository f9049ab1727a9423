"""Spill on a real Envoy: a refused request tries the hosted lane before its first byte; nothing else is hosted."""

from __future__ import annotations

import pytest

from spillway_dev.processes import wait_until
from spillway_dev.upstreams import Load, LoadOptions, LoadReport
from support.gateways import Lanes, address_backend, backend, http_route, spill_policy
from support.planes import GatewayRig

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]

POLICY = "backendtrafficpolicies.gateway.envoyproxy.io"


@pytest.fixture
def spilling(lanes: Lanes) -> Lanes:
    """What the product generates in Spill mode: route and policy."""
    rig = GatewayRig(lanes, "Managed", mode="Spill")
    rig.prepare()
    rig.move(gpu=100, hosted=0)
    ready(lanes)
    return lanes


def ready(lanes: Lanes) -> None:
    """Wait until route and policy are accepted, and the local lane answers."""
    lanes.settled()

    def policy_accepted() -> bool:
        found = lanes.cluster.get(POLICY, "chat", lanes.namespace)
        parents = found.get("status", {}).get("ancestors", [])
        return accepted_policy(found["metadata"]["generation"], parents)

    wait_until(policy_accepted, "policy accepted", 60)
    wait_until(lambda: send(lanes, 1).failed == 0, "the route is loaded", 120)


def accepted_policy(generation: int, ancestors: list[dict[str, object]]) -> bool:
    conditions = [c for one in ancestors for c in one["conditions"]]  # type: ignore[attr-defined]
    return bool(conditions) and all(
        (c["type"], c["status"], c["observedGeneration"]) == ("Accepted", "True", generation) for c in conditions
    )


def send(lanes: Lanes, requests: int, concurrency: int = 1, **body: object) -> LoadReport:
    options = LoadOptions(concurrency, requests, 60, body=body, headers=lanes.headers)
    with Load(lanes.stack.url, options) as load:
        return load.finish()


def test_the_first_refused_request_is_served_by_the_hosted_lane(spilling: Lanes) -> None:
    # Whatever weight the fallback has, all is local while nothing is refused.
    assert send(spilling, 500, 8).served_by == {"gpu": 500}
    hosted = spilling.hosted.counters()["received"]
    for status in (503, 429):
        spilling.set_local(limit=0, refuse_status=status)
        before = spilling.counted("refused")
        report = send(spilling, 1)
        assert (report.failed, dict(report.served_by)) == (0, {"hosted": 1}), report.errors
        # One look at the local lane, one at the hosted one.
        assert spilling.counted("refused") == before + 1
        hosted += 1
        assert spilling.hosted.counters()["received"] == hosted
    spilling.set_local(limit=None)
    assert send(spilling, 200, 4).served_by == {"gpu": 200}


def test_what_is_above_the_limit_spills_and_no_request_fails(spilling: Lanes) -> None:
    spilling.set_local(limit=2, token_seconds=0.05)
    spilling.hosted.set(token_seconds=0.05)
    # Twelve streams at once on two replicas that take two each.
    report = send(spilling, 120, 12, stream=True, max_tokens=6)
    assert report.failed == 0, report.errors
    assert report.served_by["gpu"] >= 20
    assert report.served_by["hosted"] >= 20
    assert max(one.counters()["most_in_flight"] for one in spilling.local) <= 2


@pytest.mark.parametrize("status", [500, 400])
def test_an_error_that_is_no_saturation_goes_back_to_the_client(spilling: Lanes, status: int) -> None:
    before = spilling.hosted.counters()["received"]
    spilling.set_local(fail_status=status)
    report = send(spilling, 20, 4)
    assert dict(report.statuses) == {status: 20}
    assert spilling.hosted.counters()["received"] == before


def test_a_stream_that_has_begun_is_never_sent_twice(spilling: Lanes) -> None:
    spilling.set_local(token_seconds=0.1)
    options = LoadOptions(4, 4, 60, body={"stream": True, "max_tokens": 100}, headers=spilling.headers)
    with Load(spilling.stack.url, options) as load:
        wait_until(lambda: spilling.counted("in_flight") == 4, "streams open", 120)
        before = spilling.hosted.counters()["received"]
        for upstream in spilling.local:
            assert upstream.process is not None
            upstream.process.kill()
        report = load.finish()
    assert report.failed == 4
    assert spilling.hosted.counters()["received"] == before
    # What comes after them goes to the hosted lane: nobody listens on the local one.
    assert send(spilling, 50, 4).served_by == {"hosted": 50}


def test_a_fallback_of_weight_zero_never_spills(lanes: Lanes) -> None:
    """Why Spill mode must give the fallback a weight: everything is accepted, and nothing spills."""
    space = lanes.namespace
    lanes.cluster.apply(
        backend(space, "egress", lanes.hosted_name, lanes.port, fallback=True),
        http_route(space, vllm=1, egress=0),
        spill_policy(space),
    )
    ready(lanes)
    lanes.set_local(limit=0)
    assert dict(send(lanes, 20).statuses) == {503: 20}
    assert lanes.hosted.counters()["received"] == 0


def test_a_fallback_beside_another_kind_of_endpoint_is_a_paid_split(lanes: Lanes) -> None:
    """Why a rule's backends must all be names: everything is accepted, and half of the traffic is hosted."""
    space = lanes.namespace
    lanes.cluster.apply(
        address_backend(space, "local", [one.host for one in lanes.local], lanes.port),
        backend(space, "egress", lanes.hosted_name, lanes.port, fallback=True),
        http_route(space, local=1, egress=1),
        spill_policy(space),
    )
    ready(lanes)
    assert send(lanes, 1000, 8).share("hosted") == pytest.approx(50, abs=10)
