"""The operator's own metrics."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from report.builders import NOW, decision, lane_decision, snapshot
from spillway.api.status import LaneMoveStatus, MoveState
from spillway.report.metrics import OperatorMetrics, PlanReport
from spillway.report.status import plan_status


def samples(metrics: OperatorMetrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def published(*lanes: object) -> OperatorMetrics:
    metrics = OperatorMetrics()
    made = decision(*lanes)  # type: ignore[arg-type]
    metrics.publish([PlanReport(made, plan_status(made, snapshot(), None, NOW))])
    return metrics


def test_figures_of_plan_lane_and_class() -> None:
    found = samples(published(lane_decision(current=2, recommended=3)))
    plan = ("plan", "inference/main")
    lane = ("lane", "gpu")
    assert found["spillway_lane_replicas", (lane, plan, ("state", "current"))] == 2
    assert found["spillway_lane_replicas", (lane, plan, ("state", "recommended"))] == 3
    assert found["spillway_lane_utilization_ratio", (("figure", "load"), lane, plan)] == 0.62
    assert found["spillway_plan_usd_per_hour", (("basis", "billed"), plan)] == 15.4
    assert found["spillway_plan_saving_usd_per_hour", (plan,)] == 15.4
    assert found["spillway_plan_gpus", (plan, ("state", "recommended"))] == 6
    assert found["spillway_plan_condition", (plan, ("type", "Ready"))] == 1
    key = ("class", "team-a/chat")
    assert found["spillway_class_hosted_ratio", (key, plan)] == 0.25
    assert found["spillway_class_forecast_requests_per_second", (key, plan, ("quantile", "0.9"))] == 15


def test_a_lanes_place_in_the_safe_order_is_one_series_for_each_state() -> None:
    metrics, made = OperatorMetrics(), decision()
    move = LaneMoveStatus(state=MoveState.DRAINING, since="2026-01-05T09:00:00Z", reason="RequestsRunning", message="2")
    metrics.publish([PlanReport(made, plan_status(made, snapshot(), None, NOW, (), {"gpu": move}))])
    states = {
        dict(labels)["state"]: value
        for (name, labels), value in samples(metrics).items()
        if name == "spillway_lane_move"
    }
    assert states == {state.value: float(state is MoveState.DRAINING) for state in MoveState}
    assert "spillway_lane_move" not in {name for name, _ in samples(published())}


def test_missing_is_no_series() -> None:
    found = samples(published(lane_decision(recommended=None)))
    figures = {dict(labels).get("figure") for name, labels in found if name == "spillway_lane_utilization_ratio"}
    assert figures == {"allocated", "load"}
    states = {dict(labels).get("state") for name, labels in found if name == "spillway_lane_replicas"}
    assert states == {"current", "ready"}


def test_series_of_a_deleted_plan_vanish() -> None:
    metrics = published()
    metrics.publish([])
    assert not [name for name, labels in samples(metrics) if dict(labels).get("plan")]


def test_counters_of_the_operators_own_work() -> None:
    metrics = OperatorMetrics()
    metrics.tick_completed(0.2, NOW)
    metrics.tick_failed(3.0)
    metrics.wrote("scale", "Written")
    metrics.prometheus_read_failed()
    found = samples(metrics)
    assert found["spillway_ticks_total", (("result", "completed"),)] == 1
    assert found["spillway_ticks_total", (("result", "failed"),)] == 1
    assert found["spillway_tick_duration_seconds_count", ()] == 2
    assert found["spillway_last_tick_timestamp_seconds", ()] == NOW
    assert found["spillway_writes_total", (("kind", "scale"), ("result", "Written"))] == 1
    assert found["spillway_prometheus_read_failures_total", ()] == 1
    assert any(name == "process_resident_memory_bytes" for name, _ in found)


def test_two_operators_in_one_process_do_not_share_a_registry() -> None:
    first, second = OperatorMetrics(), OperatorMetrics()
    first.prometheus_read_failed()
    assert samples(second)["spillway_prometheus_read_failures_total", ()] == 0
