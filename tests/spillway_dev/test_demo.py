"""The demo's pure parts: reading figures, drawing, the summary's honesty; and the manifests that it applies."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway.api.crd import KINDS
from spillway_dev.demo.manifests import example_documents, operator_values, render_chart
from spillway_dev.demo.page import page, page_result
from spillway_dev.demo.samples import OperatorFigures, PlanView, Sample, build_sample, parse_figures
from spillway_dev.demo.summary import Result, Summary, spillway_result
from spillway_dev.demo.view import Frame, plain_line, plot_width, screen, sparkline, summary_table
from spillway_dev.fleet.config import load_config
from spillway_dev.toolchain import Tools

FRAME = Frame(day_seconds=360.0, static_gpus=14, usd_per_gpu_hour=3.85, kubeconfig="/k")
METRICS = """
# TYPE spillway_lane_replicas gauge
spillway_lane_replicas{plan="inference/main",lane="gpu-h100",state="current"} 4.0
spillway_lane_replicas{plan="inference/main",lane="gpu-h100",state="recommended"} 6.0
spillway_lane_replicas{plan="inference/main",lane="other",state="recommended"} 9.0
# TYPE spillway_lane_utilization_ratio gauge
spillway_lane_utilization_ratio{plan="inference/main",lane="gpu-h100",figure="busy"} 0.5
"""


def score(**changes: Any) -> dict[str, Any]:
    one = {
        "arrived": 100,
        "requests": 100,
        "met": 99,
        "failed": 1,
        "attainment": 0.99,
        "token_attainment": 0.98,
        "tokens": 1000,
        "hosted_requests": 10,
        "hosted_tokens": 100,
        "hosted_usd": 0.25,
        "spilled_token_share": 0.1,
    }
    lane = {
        "pods": 5,
        "ready": 4,
        "starting": 1,
        "draining": 0,
        "gpus": 5,
        "gpu_seconds": 1800.0,
        "gpu_usd": 1.925,
        "usd_per_hour": 19.25,
    }
    base = {
        "now_s": 180.0,
        "day_s": 360.0,
        "finished": False,
        "in_flight": 3,
        "held": True,
        "rates": {"requests_per_second": 20.0, "spilled_share": 0.05},
        "lanes": {"gpu-h100": lane},
        "classes": {"coding-agents": one},
    }
    return base | changes


def sample_at(at_s: float) -> Sample:
    plan = PlanView("RampScaleUp", "6 replicas: demand grows")
    return replace(build_sample(score(), parse_figures(METRICS, "gpu-h100"), plan, "gpu-h100"), at_s=at_s)


def rendered(what: Any) -> str:
    out = io.StringIO()
    Console(file=out, width=130, color_system=None).print(what)
    return out.getvalue()


def result(name: str, usd: float, **changes: Any) -> Result:
    base = Result(name, usd, 0.0, 1.0, 100, 0, 0.995, 0.994, 0.0, held=True)
    return replace(base, **changes)


def test_figures_of_the_lane_are_read_and_missing_ones_stay_missing() -> None:
    figures = parse_figures(METRICS, "gpu-h100")
    assert figures.recommended == 6
    assert figures.utilization["busy"] == 0.5
    assert figures.utilization["load"] is None
    assert parse_figures("", "gpu-h100") == OperatorFigures(None, dict.fromkeys(figures.utilization))


def test_a_sparkline_covers_the_day_and_bridges_missing_looks() -> None:
    line = sparkline([(0.0, 0.0), (5.0, 4.0), (9.0, 8.0)], (0.0, 20.0), width=10)
    assert len(line) == 10
    assert line == "▁▁▄▄█     "
    assert sparkline([], (0.0, 20.0), width=4) == "    "
    assert sparkline([(1.0, 0.0)], (0.0, 4.0), width=4) == " ▁  "


def test_the_screen_and_the_plain_line_say_the_same() -> None:
    samples = [sample_at(float(second)) for second in range(0, 180, 2)]
    text = rendered(screen(samples, FRAME))
    line = plain_line(samples[-1], FRAME)
    for part in ("RampScaleUp: 6 replicas: demand grows", "99.00%"):
        assert part in text
        assert part in line
    assert "11:52" in text
    assert "11:52" in line
    assert "14 constant GPUs" in text
    assert "busy 50%" in text
    assert "load -" in text
    assert "KUBECONFIG=/k" in text


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_the_screen_fits_its_terminal(columns: int) -> None:
    frame = replace(FRAME, plot_width=plot_width(columns))
    out = io.StringIO()
    samples = [sample_at(float(second)) for second in range(0, 360, 2)]
    Console(file=out, width=columns, color_system=None).print(screen(samples, frame))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    plots = [line for line in lines if "█" in line]
    assert len(plots) == 5
    assert all(line.count("█") == frame.plot_width for line in plots)


def test_nothing_is_known_yet() -> None:
    assert "waiting" in rendered(screen([], FRAME))
    early = replace(sample_at(-3.0), attainment=None, recommended=None, reason="", message="")
    assert "no decision yet" in plain_line(early, FRAME)
    assert "none yet" in rendered(screen([early], replace(FRAME, static_gpus=None)))


def test_spillways_result_is_the_fleets_score() -> None:
    own = spillway_result(score())
    assert own.usd == pytest.approx(1.925 + 0.25)
    assert own.gpu_hours == pytest.approx(0.5)
    assert own.attainment == pytest.approx(0.99)
    assert own.token_attainment == pytest.approx(0.98)
    assert own.spilled_token_share == pytest.approx(0.1)
    assert own.failed == 1


@pytest.mark.parametrize(
    ("own", "static", "said"),
    [
        (result("Spillway", 3.0), result("14 constant GPUs", 5.0), "held the SLO at 40% less than 14"),
        (result("Spillway", 6.0), result("14 constant GPUs", 5.0), "cost 20% MORE than 14"),
        (
            result("Spillway", 3.0, held=False, attainment=0.97),
            result("14 constant GPUs", 5.0),
            "did NOT hold the SLO (97.00% of requests",
        ),
        (result("Spillway", 3.0), None, "No constant fleet"),
    ],
)
def test_the_verdict_shows_losses_too(own: Result, static: Result | None, said: str) -> None:
    assert said in Summary(360.0, 0.99, own, static, None).verdict()


def test_the_summary_has_both_attainments_and_the_hosted_dollars() -> None:
    own = result("Spillway", 2.0, hosted_usd=0.5, spilled_token_share=0.04)
    static = result("14 constant GPUs", 5.0, attainment=0.9987)
    text = rendered(summary_table(Summary(360.0, 0.99, own, static, replace(static, name="13 constant GPUs"))))
    for part in ("$2.50", "$0.50", "$5.00", "+50%", "99.50%", "99.87%", "4.0%", "14 constant GPUs", "as good"):
        assert part in text


def test_the_examples_parse_and_agree_with_the_fleets_truth(repository: Path) -> None:
    serving, own = example_documents(240.0)
    by_kind = {document["kind"]: document for document in own if document["metadata"]["name"] != "hosted"}
    plan = CapacityPlan.parse(by_kind["CapacityPlan"])
    lane = CapacityLane.parse(by_kind["CapacityLane"])
    traffic = WorkloadClass.parse(by_kind["WorkloadClass"])
    truth = load_config(repository / "examples/demo/fleet.yaml")
    assert plan.spec.forecast.seasonality_seconds == (240,)
    assert traffic.plan_key == plan.metadata.key
    assert lane.spec.self_hosted is not None
    assert float(lane.spec.self_hosted.price.usd_per_gpu_hour) == truth.lanes[0].usd_per_gpu_hour
    assert traffic.spec.slo is not None
    assert traffic.spec.slo.time_to_first_token_ms == truth.classes[0].ttft_ms
    assert traffic.spec.slo.inter_token_latency_ms == truth.classes[0].itl_ms
    hosted = CapacityLane.parse(next(each for each in own if each["metadata"]["name"] == "hosted"))
    assert hosted.spec.hosted is not None
    assert hosted.spec.hosted.model == truth.hosted[0].model
    assert hosted.spec.hosted.price is not None
    assert float(hosted.spec.hosted.price.input_usd_per_m_tok) == truth.hosted[0].input_usd_per_m_tok
    (deployment,) = (
        each for each in serving if each["kind"] == "Deployment" and each["metadata"]["name"] == "vllm-coder"
    )
    assert "replicas" not in deployment["spec"]
    assert deployment["metadata"]["name"] == truth.lanes[0].deployment
    (route,) = (each for each in serving if each["kind"] == "HTTPRoute")
    refs = route["spec"]["rules"][truth.classes[0].route.rule_index]["backendRefs"]
    assert {ref["name"] for ref in refs} == set(truth.classes[0].backends)


def test_the_chart_gives_the_operators_rights_and_configuration(tools: Tools, tmp_path: Path) -> None:
    chart = render_chart(tools, operator_values("http://127.0.0.1:9"), tmp_path)
    assert chart.config["prometheus"]["url"] == "http://127.0.0.1:9"
    assert chart.config["operatorNamespace"] == "spillway-system"
    assert len(chart.crds) == len(KINDS)
    assert chart.service_account == "spillway"
    kinds = {document["kind"] for document in chart.others}
    assert {"ClusterRole", "ClusterRoleBinding", "ConfigMap"} <= kinds
    assert "Deployment" not in kinds


def test_the_page_shows_spillway_beside_the_constant_fleets() -> None:
    static = result("14 constant GPUs", 5.0, gpu_hours=1.4)
    summary = Summary(360.0, 0.99, result("Spillway", 2.0, hosted_usd=0.5), static, static)
    samples = [replace(sample_at(float(second)), hosted_usd=0.001 * second) for second in range(-5, 362)]
    made = page_result(summary, samples, "gpu-h100", {"Seed": "1"})
    assert made["policies"]["spillway"]["cost_usd"] == 2.5
    assert set(made["policies"]) == set(made["timelines"]) == {"spillway", "14 constant GPUs"}
    own, constant = made["timelines"]["spillway"], made["timelines"]["14 constant GPUs"]
    assert (own["at_s"][0], own["at_s"][-1]) == (0.0, 360.0)
    assert own["ready"]["gpu-h100"][0] == 4
    assert own["usd_per_hour"][1] == pytest.approx(19.25 + 3.6)  # GPUs as they stand, and the hosted bill's growth
    assert constant["ready"]["gpu-h100"][0] == 14
    assert constant["usd_per_hour"][0] == pytest.approx(50.0)
    text = page(summary, samples, "gpu-h100", {"Seed": "1"})
    for said in ("Spillway held the SLO at 50% less than 14 constant GPUs", "smallest that is as good", "make demo"):
        assert said in text


def test_the_page_of_a_day_that_nobody_saw() -> None:
    summary = Summary(360.0, 0.99, result("Spillway", 2.0), None, None)
    assert 'id="timelines"' not in page(summary, [], "gpu-h100", {})
