"""Spill on a real Envoy: a refused request tries the hosted lane before its first byte; nothing else is hosted."""

from __future__ import annotations

import asyncio

import pytest

from spillway.act.planes.gateway_api_spill import MOST_AT_ONCE
from spillway_dev.gateway.manifests import parent_ref
from spillway_dev.loopback import fetch
from spillway_dev.processes import wait_until
from spillway_dev.upstreams import Load, LoadOptions, LoadReport
from support.chat import Client, chat
from support.gateways import Lanes, address_backend, backend, http_route, spill_policy, traffic_policy
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


def told(lanes: Lanes, **headers: str) -> tuple[int, str, str]:
    """Status, lane and reason of one answer, as its headers say."""
    asked = lanes.headers | {name.replace("_", "-"): value for name, value in headers.items()}
    (answer,) = asyncio.run(Client(lanes.stack.url, "none").ask([chat("m")], 1, headers=asked))
    return answer.status, answer.lane, answer.reason


def test_answers_tell_their_lane_and_why_it_was_a_hosted_one(spilling: Lanes) -> None:
    assert told(spilling) == (200, "gpu", "")
    spilling.set_local(limit=0)
    assert told(spilling) == (200, "hosted", "Saturated")
    # Who opts out is refused sooner than hosted; a value that says something else opts nobody out.
    hosted = spilling.hosted.counters()["received"]
    assert told(spilling, x_spillway_own_only="true") == (503, "gpu", "")
    assert told(spilling, x_spillway_overflow="never") == (503, "gpu", "")
    assert spilling.hosted.counters()["received"] == hosted
    assert told(spilling, x_spillway_overflow="allowed") == (200, "hosted", "Saturated")
    spilling.set_local(limit=None)
    GatewayRig(spilling, "Managed", mode="Spill").move(gpu=0, hosted=100)
    wait_until(lambda: told(spilling) == (200, "hosted", "Share"), "all is hosted", 60)


def test_a_request_that_finds_no_own_replica_says_so(spilling: Lanes) -> None:
    """The name of the own lane has no address any more: nothing refuses, and nothing is tried twice."""
    spilling.stack.set_names({spilling.local_name: [], spilling.hosted_name: [spilling.hosted.host]})
    wait_until(lambda: told(spilling) == (200, "hosted", "NoOwnCapacity"), "no own replica is known", 120)


def rooms(lanes: Lanes) -> set[tuple[str, int]]:
    """Envoy's limits on the clusters of this namespace's routes."""
    text = fetch(f"{lanes.stack.envoy_admin_url}/clusters", timeout_seconds=30).decode()
    lines = [line for line in text.splitlines() if line.startswith(f"httproute/{lanes.namespace}/")]
    parts = [line.split("::") for line in lines if "::default_priority::max_" in line]
    return {(part[-2], int(part[-1])) for part in parts}


def test_a_generated_route_has_room_and_what_the_whole_gateway_asks_still_holds(spilling: Lanes) -> None:
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    wanted = {(name, MOST_AT_ONCE) for name in limits}
    assert rooms(spilling) == wanted
    gateway = parent_ref()
    refused = {"abort": {"httpStatus": 418, "percentage": 100}}
    whole = traffic_policy(gateway["namespace"], "whole", "Gateway", gateway["name"], faultInjection=refused)
    spilling.cluster.apply(whole)
    try:
        wait_until(lambda: told(spilling)[0] == 418, "the Gateway's policy holds for the route", 120)
        assert rooms(spilling) == wanted
    finally:
        spilling.cluster.kubectl("delete", POLICY, "whole", "-n", gateway["namespace"])
    wait_until(lambda: told(spilling)[0] == 200, "it is gone", 120)


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
