"""paused, the emergency stop (ConfigMap and namespace), and health by the last completed tick."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.world import World


def patch_plan(world: World, spec: str) -> None:
    world.cluster.kubectl("patch", "cplan", "main", "-n", world.namespace, "--type=merge", "-p", f'{{"spec":{spec}}}')


def stop_by_config_map(world: World, on: bool) -> None:
    value = "true" if on else "false"
    world.cluster.kubectl(
        "patch", "configmap", "spillway-emergency-stop", "-n", world.namespace, "--type=merge",
        "-p", f'{{"data":{{"stop":"{value}"}}}}',
    )  # fmt: skip


def stop_by_namespace(world: World, on: bool) -> None:
    value = "spillway.dev/stop=true" if on else "spillway.dev/stop-"
    world.cluster.kubectl("annotate", "namespace", world.namespace, value)


def stop_by_pause(world: World, on: bool) -> None:
    patch_plan(world, f'{{"paused":{str(on).lower()}}}')


@pytest.mark.parametrize("stop", [stop_by_config_map, stop_by_namespace, stop_by_pause])
def test_a_stop_holds_everything_at_once_and_lets_go(world: World, stop: Callable[[World, bool], None]) -> None:
    world.standard(replicas=1)
    world.fleet.demand_rps = 5
    world.start_operator()
    world.wait_condition("MetricsAvailable", "True")
    world.wait_ticks(3)

    stop(world, True)
    world.wait_ticks(2)
    since = world.journal.mark()
    world.fleet.demand_rps = 55
    world.wait(lambda: (world.lane_status().get("recommended") or 0) >= 5, "the recommendation is still shown")
    world.wait_ticks(3)
    assert world.operator_writes(since) == []
    assert world.replicas() == 1

    stop(world, False)
    world.wait(lambda: world.replicas() >= 6, "acting again")


def test_health_metrics_and_events(world: World) -> None:
    world.standard(replicas=1)
    world.fleet.demand_rps = 25
    world.start_operator()
    world.wait(lambda: world.replicas() >= 3, "a scale-up")
    world.wait(lambda: world.http_get("/readyz")[0] == 200, "ready")
    assert world.http_get("/healthz")[0] == 200
    metrics = world.http_get("/metrics")[1]
    assert "spillway_tick_duration_seconds_bucket" in metrics
    assert f'plan="{world.namespace}/main"' in metrics
    events = world.cluster.get("events.events.k8s.io", namespace=world.namespace)["items"]
    own = [e for e in events if e.get("reportingController") == "spillway.dev/operator"]
    assert own
    # Transitions only: many ticks, few Events.
    world.wait_ticks(8)
    later = world.cluster.get("events.events.k8s.io", namespace=world.namespace)["items"]
    assert len([e for e in later if e.get("reportingController") == "spillway.dev/operator"]) <= len(own) + 4
    token = [line for line in world.kubeconfig.read_text().splitlines() if "token" in line] if world.kubeconfig else []
    assert token
    assert token[0].split()[-1] not in world.log()


def test_health_turns_when_ticks_stop(world: World) -> None:
    world.standard(replicas=1)
    world.start_operator()
    world.wait(lambda: world.http_get("/readyz")[0] == 200, "ready")
    assert world.http_get("/healthz")[0] == 200
    # Without its permissions no tick completes.
    world.cluster.kubectl("delete", "rolebinding,role", "--all", "-n", world.namespace)
    world.wait(lambda: world.http_get("/healthz")[0] == 503, "unhealthy when no tick completes")
