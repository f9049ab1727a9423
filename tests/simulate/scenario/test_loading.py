"""A scenario becomes the world that its files describe; a bad one says in one line what to mend."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from spillway.simulate.scenario import ScenarioError, load_scenario
from support.scenario_files import BINS, Files

Change = Callable[[Files], object]


def test_the_world_is_what_the_files_say(tmp_path: Path) -> None:
    scenario = load_scenario(Files().write(tmp_path))
    world = scenario.world
    (own,), (hosted,), (item,) = world.own, world.hosted, world.classes
    assert (own.name, own.usd_per_replica_hour, own.gpus_per_replica, own.pool) == ("gpu", 7.7, 2, "h100")
    assert (own.min_replicas, own.max_replicas, own.startup_mean_s, own.startup_sigma) == (1, 8, 60, 0.2)
    assert (own.alpha_ms, own.beta_ms_per_seq, own.gamma_ms_per_ktoken, own.prefill_ms_per_ktoken) == (
        25,
        0.25,
        0.02,
        80,
    )
    assert (own.max_num_seqs, own.max_batched_tokens, own.kv_cache_tokens, own.max_queued) == (256, 8192, 100_000, None)
    assert (hosted.ttft_p50_s, hosted.ttft_p99_s, hosted.itl_p50_s, hosted.itl_p99_s) == (0.5, 1.5, 0.015, 0.03)
    assert hosted.usd_per_input_token == pytest.approx(0.88e-6)
    assert hosted.usd_per_cached_input_token == pytest.approx(0.44e-6)
    assert hosted.usd_per_output_token == pytest.approx(1.76e-6)
    assert (hosted.requests_per_minute, hosted.tokens_per_minute, hosted.concurrency) == (600, math.inf, math.inf)
    assert (item.key, item.ttft_slo_s, item.itl_slo_s, item.attainment) == ("inference/chat", 4.0, 0.1, 0.99)
    assert (item.own, item.hosted) == ((0,), (0,))
    assert (world.warmup_s, world.duration_s, world.metrics_lag_s, world.node_release_s) == (600, 3600, 15, 0)
    assert scenario.known.own[0].startup_mean_s == 60
    assert scenario.known_to(7).seed == 7
    assert scenario.warnings == ()


def test_paths_are_relative_to_the_file_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Files().write(tmp_path / "a" / "b")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_scenario(Path(os.path.relpath(path))).name == "small"


def test_owned_gpus_cost_their_release_value(tmp_path: Path) -> None:
    files = Files()
    files.gpu["spec"]["selfHosted"]["price"] = {
        "usdPerGpuHour": "3.85",
        "commitment": "Owned",
        "releaseValueUsdPerGpuHour": "0.5",
    }
    assert load_scenario(files.write(tmp_path)).world.own[0].usd_per_replica_hour == 1.0


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.item["spec"].update(dataPolicy="SelfHostedOnly"),
        lambda f: f.plan["spec"].update(overflow={"mode": "Never"}),
        lambda f: f.api["spec"].update(models=["another"]),
        lambda f: f.plan["spec"].update(
            routing={
                "plane": "GatewayAPI",
                "bindings": [
                    {
                        "class": "chat",
                        "ownership": "Adopted",
                        "httpRoute": "r",
                        "rule": "chat",
                        "backends": {"gpu": "vllm"},
                    }
                ],
            }
        ),
    ],
)
def test_what_keeps_a_class_from_hosted_lanes(tmp_path: Path, change: Change) -> None:
    files = Files()
    change(files)
    assert load_scenario(files.write(tmp_path)).world.classes[0].hosted == ()


def test_hosted_lanes_come_cheapest_first_for_the_mean_request(tmp_path: Path) -> None:
    files = Files()
    files.plan["spec"]["lanes"].append("input-heavy")
    cheap = {**files.api, "metadata": {"name": "input-heavy", "namespace": "inference"}}
    hosted = {**files.api["spec"]["hosted"], "price": {"inputUsdPerMTok": "0.1", "outputUsdPerMTok": "9"}}
    cheap["spec"] = {**files.api["spec"], "hosted": hosted}
    files.more.append(cheap)
    files.scenario["hosted"]["input-heavy"] = files.scenario["hosted"]["api"]
    # 1,000 tokens in and 50 out: 0.00055 $ there and 0.00097 $ here.
    assert load_scenario(files.write(tmp_path)).world.classes[0].hosted == (1, 0)


def test_a_measured_table_stands_for_the_formula(tmp_path: Path) -> None:
    files = Files()
    files.scenario["truth"]["gpu"] = {
        "startupSeconds": {"mean": 60},
        "table": "table.csv",
        "noiseSigma": 0.05,
        "maxQueuedPerReplica": 3,
    }
    own = load_scenario(files.write(tmp_path)).world.own[0]
    assert own.table is not None
    assert own.table.noise_sigma == 0.05
    assert own.table.batch.tolist() == [0, 1, 8, 64]
    assert own.table.decode_ms[1:, 1].tolist() == pytest.approx([20.51, 24.08, 52.64])
    # An iteration without sequences takes 20.0 ms on the line through the first two batches; a prompt adds the rest.
    assert own.table.decode_ms[0].tolist() == pytest.approx([20.0, 20.0], abs=0.01)
    assert own.table.prefill_ms.tolist() == pytest.approx([0, 40.5, 160.5], abs=0.01)
    assert own.max_queued == 3
    assert own.alpha_ms == pytest.approx(20, rel=0.01)
    assert own.beta_ms_per_seq == pytest.approx(0.5, rel=0.01)
    assert own.gamma_ms_per_ktoken == pytest.approx(0.01, rel=0.01)
    assert own.prefill_ms_per_ktoken == pytest.approx(78, rel=0.02)


def test_deadlines_are_obeyed_and_deferrable_classes_have_no_latency_objective(tmp_path: Path) -> None:
    files = Files()
    files.item["spec"].update(latency="Deferrable", slo={"deadlineSeconds": 28_800})
    scenario = load_scenario(files.write(tmp_path))
    item = scenario.world.classes[0]
    assert (item.deadline_s, item.ttft_slo_s, item.attainment) == (28_800, math.inf, 0.99)
    assert item.patience_s == 28_800
    assert scenario.warnings == ()


def test_what_a_class_is_planned_with_changes_nothing(tmp_path: Path) -> None:
    files = Files()
    bare = load_scenario(files.write(tmp_path))
    files.item["spec"].update(
        demand={"developers": 10, "tasksPerDeveloperDay": 30, "tokensPerTask": 50_000},
        budget={"monthlyUsd": "4000"},
        successRatePercent="97.5",
        revenuePerSuccessUsd="0.05",
    )
    files.plan["spec"].update(approval={"structural": "Off", "maxMonthlyIncreaseUsd": "500"})
    planned = load_scenario(files.write(tmp_path))
    assert planned.warnings == bare.warnings
    assert planned.world.classes == bare.world.classes


def test_vocabulary_without_effect_is_taken_out_with_a_warning_each(tmp_path: Path) -> None:
    files = Files()
    files.gpu["spec"]["selfHosted"]["operationsUsdPerMonth"] = {"engineering": "3000"}
    files.plan["spec"].update(
        overflow={"mode": "Spill", "ceilingUsd": {"perHour": "50", "perDay": "400", "perMonth": "5000"}},
        disruptionBudgets=[{"replicas": 2}],
        routing={
            "plane": "LiteLLM",
            "litellm": {"configMap": "litellm", "deployment": "litellm"},
            "bindings": [{"class": "chat", "ownership": "Managed"}],
        },
    )
    scenario = load_scenario(files.write(tmp_path))
    assert len(scenario.warnings) == 6
    assert all("has no effect in the backtest yet" in line and "\n" not in line for line in scenario.warnings)
    assert str(scenario.known.plan.spec.overflow.mode) == "Split"
    assert scenario.known.plan.spec.overflow.ceiling_usd.per_hour == 50
    assert scenario.world.classes[0].hosted == (0,)


def test_gpu_pools_and_stock_outs(tmp_path: Path) -> None:
    files = Files()
    files.scenario["gpuPools"] = {"h100": 6}
    files.scenario["truth"]["gpu"]["stockOuts"] = [[1800, 2400], [60, 120]]
    scenario = load_scenario(files.write(tmp_path))
    assert scenario.world.gpu_pools == (("h100", 6),)
    assert scenario.known.gpu_pools == {"h100": 6}
    assert scenario.world.own[0].stockouts == ((60, 120), (1800, 2400))


def set_at(*path: str | int, to: object) -> Change:
    """A change of the scenario file at a path."""

    def change(files: Files) -> None:
        holder = files.scenario
        for part in path[:-1]:
            holder = holder[part]  # type: ignore[index]
        holder[path[-1]] = to  # type: ignore[index]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_at("traces", 0, "classes", to={"code": "chatt"}), r"classes\.code: there is no WorkloadClass 'chatt'"),
        (set_at("traces", 0, "classes", to={"cod": "chat"}), r"the trace has no class 'cod'; it has code, other"),
        (set_at("traces", 0, "file", to="none.csv"), r"trace .*none\.csv: cannot be read: No such file"),
        (set_at("traces", 0, "demandScale", to=0), r"traces\.0\.demandScale: input should be greater than 0"),
        (set_at("traces", 0, "offsetSeconds", to=600), r"is 3600 s long, shorter than offsetSeconds 600"),
        (set_at("time", "warmupSeconds", to=3600), r"warmupSeconds \(3600\) must be below durationSeconds \(3600\)"),
        (set_at("time", "durationSeconds", to="long"), r"time\.durationSeconds: give a number \(it is 'long'\)"),
        (set_at("truth", to={}), r"truth\.gpu: is missing"),
        (
            set_at("truth", "gpux", to={"startupSeconds": {"mean": 1}, "table": "t"}),
            r"truth\.gpux: the plan has no Self",
        ),
        (set_at("truth", "gpu", "alphaMs", to=-1), r"truth\.gpu\.alphaMs: .*greater than or equal to 0 \(it is -1\)"),
        (set_at("truth", "gpu", "table", to="table.csv"), r"truth\.gpu: table stands instead of alphaMs"),
        (
            set_at("truth", "gpu", "startupSeconds", to=4),
            r"truth\.gpu\.startupSeconds: give fields by name.*\(it is 4\)",
        ),
        (set_at("truth", "gpu", "stockOuts", to=[[5, 4]]), r"stockOuts\.0: the end must come after the start"),
        (set_at("hosted", to={}), r"hosted\.api: is missing; give that HostedRealtime lane ttftMs and itlMs"),
        (set_at("hosted", "api", "itlMs", to={"p50": 9}), r"hosted\.api\.itlMs\.p99: is missing"),
        (set_at("hosted", "api", "ttftMs", to={"p50": 9, "p99": 1}), r"p99 must not be below p50"),
        (set_at("hosted", "api", "errorRate", to=1.5), r"hosted\.api\.errorRate: .*less than or equal to 1"),
        (set_at("gpuPools", to={"a100": 4}), r"gpuPools\.a100: no lane of the plan is in that pool; they are in h100"),
        (set_at("seeds", to=[1, 1]), r"seeds must differ"),
        (set_at("seeds", to=[]), r"seeds: is empty; name one or more"),
        (set_at("seeds", to=["a"]), r"seeds\.0: give a whole number \(it is 'a'\)"),
        (set_at("hosted", to=None), r"hosted: give fields by name"),
        (set_at("seed", to=1), r"seed: there is no such field"),
        (set_at("manifests", to=["missing.yaml"]), r"manifest .*missing\.yaml: cannot be read: No such file"),
        (set_at("kind", to="Szenario"), r"kind: input should be 'Scenario'"),
        (set_at("traces", 0, "demandScale", to=1e6), r"million requests are too many"),
        (set_at("traces", 0, "demandScale", to=1e-9), r"no request falls into the span"),
        (lambda f: setattr(f, "trace", ""), r"trace\.csv: is empty"),
        (lambda f: setattr(f, "trace", BINS), r"is empty; it needs a line for each bin"),
        (lambda f: setattr(f, "trace", BINS + "0,code,1,1,1\n"), r"needs two bins or more"),
        (lambda f: setattr(f, "trace", "arrival_s,class,input_tokens,output_tokens\n"), r"is empty; it needs requests"),
        (lambda f: f.api["spec"]["hosted"].pop("price"), r"spec\.hosted\.price: is missing; pin the price"),
        (
            lambda f: f.api["spec"]["hosted"]["price"].update(inputUsdPerMTok="-1"),
            r"CapacityLane api: spec\.hosted\.price\.inputUsdPerMTok: write it as a decimal string.*\(it is '-1'\)",
        ),
        (
            lambda f: f.gpu["spec"]["selfHosted"]["price"].update(usdPerGpuHour="-3"),
            r"usdPerGpuHour: .*not negative.*it is '-3'",
        ),
        (lambda f: f.gpu["spec"]["selfHosted"]["gpu"].update(perReplika=2), r"gpu\.perReplika: there is no such field"),
        (lambda f: f.gpu["spec"]["selfHosted"].update(replicas={"min": 3, "max": 2}), r"min must not be above max"),
        (lambda f: f.plan["spec"].update(lanes=["gpu", "nope"]), r"there is no CapacityLane inference/nope"),
        (lambda f: f.item["spec"].pop("slo"), r"WorkloadClass chat: spec\.slo: is missing"),
        (lambda f: f.item["spec"].pop("dataPolicy"), r"WorkloadClass chat: spec\.dataPolicy: is missing"),
        (lambda f: f.item["spec"].update(planRef={"name": "other"}), r"no WorkloadClass has planRef inference/main"),
        (lambda f: f.item["spec"].update(equivalentModels=["x"]), r"no lane of the plan may serve it"),
        (lambda f: f.item["spec"]["slo"].update(deadlineSeconds=5), r"deadlineSeconds belongs to latency Deferrable"),
        (lambda f: f.more.append(f.plan), r"CapacityPlan inference/main is given twice"),
        (lambda f: f.plan.update(kind="CapacityPlann"), r"CapacityPlann is not one of"),
        (lambda f: f.plan["metadata"].pop("name"), r"CapacityPlan without metadata\.name"),
    ],
)
def test_a_bad_scenario_gets_one_clear_line(tmp_path: Path, change: Change, message: str) -> None:
    files = Files()
    change(files)
    with pytest.raises(ScenarioError, match=message) as caught:
        load_scenario(files.write(tmp_path))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value) or "inference/" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", r"line 1: .*mend the YAML"),
        ("a: 1\na: 2\n", r"line 2: key 'a' is given twice"),
        ("", r"one YAML document"),
        ("- 1\n", r"one YAML document"),
        ("a: 1\n---\nb: 2\n", r"one YAML document"),
        ("apiVersion: spillway.dev/v1alpha1\nkind: Scenario\n", r"metadata: is missing"),
    ],
)
def test_a_file_that_is_no_scenario(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError, match=message) as caught:
        load_scenario(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("a,b\n1,2\n", r"no column batch; the columns are"),
        ("batch,context_tokens,prompt_tokens,step_ms\n1,1,0,5\n2,1,0,x\n", r"line 3: step_ms is 'x'"),
        ("batch,context_tokens,prompt_tokens,step_ms\n1,1,5,5\n", r"line 2: either prompt_tokens is 0"),
        ("batch,context_tokens,prompt_tokens,step_ms\n1,1,0,5\n1,1,0,5\n", r"line 3: this point is measured twice"),
        (
            "batch,context_tokens,prompt_tokens,step_ms\n1,1,0,5\n2,2,0,5\n0,0,9,9\n",
            r"no row with batch 1, context_tok",
        ),
        ("batch,context_tokens,prompt_tokens,step_ms\n1,1,0,5\n2,1,0,5\n", r"and a prefill row"),
    ],
)
def test_a_bad_table(tmp_path: Path, table: str, message: str) -> None:
    files = Files()
    files.scenario["truth"]["gpu"] = {"startupSeconds": {"mean": 60}, "table": "table.csv"}
    files.table = table
    with pytest.raises(ScenarioError, match=message):
        load_scenario(files.write(tmp_path))


def test_other_objects_and_lists_are_the_clusters_business(tmp_path: Path) -> None:
    files = Files()
    second = {**files.item, "metadata": {"name": "second", "namespace": "team"}}
    second["spec"] = {**files.item["spec"], "planRef": {"name": "main", "namespace": "inference"}}
    files.more += [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}},
        {"apiVersion": "v1", "kind": "List", "items": [second]},
    ]
    scenario = load_scenario(files.write(tmp_path))
    assert [item.key for item in scenario.world.classes] == ["inference/chat", "team/second"]
    assert scenario.class_names() == ("chat", "second")
    assert "no trace feeds it" in scenario.warnings[0]
