"""Blind: whatever is wrong with Prometheus, everything is held, and spec's bounds, mode and pause are still obeyed."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support.world import World

BLIND_TICKS = 10
STALE_TICKS = 5
"""The staleness limit, four scrapes, in ticks of the same length; and the scrape that has just begun."""


class Liar:
    """Answers every query with the same bytes."""

    def __init__(self, status: int, body: bytes) -> None:
        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _answer

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()


def settle(world: World) -> None:
    world.standard(replicas=4)
    world.grow()
    world.wait_condition("MetricsAvailable", "True", "MetricsFound")


def told_after_ticks(world: World, reasons: set[str]) -> int:
    """Ticks that the condition has outlasted: each was complete before a look at it that found it as it was."""
    before = seen = world.ticks()

    def told() -> bool:
        nonlocal seen
        complete = world.ticks()
        turned = world.condition("MetricsAvailable").get("reason") in reasons
        seen = seen if turned else complete
        return turned

    world.wait(told, f"MetricsAvailable {reasons}")
    return seen - before


def held_for_ten_ticks(world: World) -> None:
    """Nothing is written for ten ticks."""
    since, before = world.journal.mark(), (world.replicas(), world.weights())
    world.wait_ticks(BLIND_TICKS)
    assert world.operator_writes(since) == []
    assert (world.replicas(), world.weights()) == before
    assert world.condition("Degraded")["status"] == "True"
    assert world.condition("Ready")["status"] == "True", "loss of metrics is no error of the spec"


@pytest.mark.parametrize("fault", ["gone", "slow", "empty", "nan", "garbage-exposition"])
def test_a_fault_that_appears_while_running(world: World, fault: str) -> None:
    settle(world)
    if fault == "gone":
        world.prometheus.stop()
    elif fault == "slow":
        world.prometheus.freeze()
    else:
        world.fleet.broken = {"empty": "empty", "nan": "nan", "garbage-exposition": "garbage"}[fault]
    # The demand that is no longer seen must move nothing.
    world.fleet.demand_rps = 2
    ticks = told_after_ticks(world, {"PrometheusError", "MetricsStale", "MetricsMissing"})
    # Two ticks; samples that merely cease are told two ticks after they are older than the staleness limit.
    assert ticks <= (2 if fault in ("gone", "slow") else STALE_TICKS + 2)
    held_for_ten_ticks(world)
    if fault == "slow":
        world.prometheus.thaw()


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, b"<html>hello</html>", "PrometheusError"),
        (200, b'{"status":"success","data":{"resultType":"vector","result":[]}}', "MetricsMissing"),
        (500, b"boom", "PrometheusError"),
        (200, b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"x"]}]}}', None),
    ],
    ids=["garbage", "empty", "error", "nonsense-values"],
)
def test_an_answer_that_is_no_answer(world: World, status: int, body: bytes, reason: str | None) -> None:
    liar = Liar(status, body)
    try:
        world.prometheus_url = liar.url
        world.standard(replicas=3)
        world.start_operator()
        told_after_ticks(world, {reason} if reason else {"PrometheusError", "MetricsMissing"})
        held_for_ten_ticks(world)
    finally:
        liar.close()


def test_blind_obeys_min_max_mode_and_pause(world: World) -> None:
    settle(world)
    world.prometheus.stop()
    world.wait_condition("MetricsAvailable", "False")
    lane = ["patch", "clane", "gpu", "-n", world.namespace, "--type=merge", "-p"]

    more, fewer = world.replicas() + 1, world.replicas() - 1
    world.cluster.kubectl(*lane, f'{{"spec":{{"selfHosted":{{"replicas":{{"min":{more},"max":20}}}}}}}}')
    world.wait(lambda: world.replicas() == more, "min obeyed while blind")
    world.cluster.kubectl(*lane, f'{{"spec":{{"selfHosted":{{"replicas":{{"min":1,"max":{fewer}}}}}}}}}')
    world.wait(lambda: world.replicas() == fewer, "max obeyed while blind")

    world.cluster.kubectl(
        "patch", "cplan", "main", "-n", world.namespace, "--type=merge", "-p", '{"spec":{"paused":true}}'
    )
    world.wait_ticks(2)
    since = world.journal.mark()
    world.cluster.kubectl(*lane, '{"spec":{"selfHosted":{"replicas":{"min":1,"max":2}}}}')
    world.wait_ticks(3)
    assert world.operator_writes(since) == []
    assert world.replicas() == fewer


def test_sight_regained(world: World) -> None:
    settle(world)
    world.prometheus.stop()
    world.wait_condition("MetricsAvailable", "False", "PrometheusError")
    world.prometheus.start()
    world.wait_condition("MetricsAvailable", "True", "MetricsFound")
    world.fleet.demand_rps = 55
    world.wait(lambda: world.replicas() >= 6, "acting again")
