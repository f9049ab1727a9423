"""``spillway budget``: the published example as people type it, manifests, forms of output, and one line for errors."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import genai_prices
import pytest
import yaml

from spillway.cli.main import main
from support.scenario_files import API, CLASS, GPU, PLAN, Document

DEMAND = ["--developers", "10", "--tasks-per-day", "30", "--tokens-per-task", "50000", "--workdays", "22"]
SHARE = ["--input-share", "0.6"]
PAGE = [
    "--model", "claude-opus-4.7=5/25", "--model", "claude-sonnet-4.6=3/15", "--model", "gemini-2.5-pro=1.25/10",
    "--model", "deepseek-v4-flash=0.14/0.28@2026-06-01",
]  # fmt: skip
DECLARED = {"developers": 10, "tasksPerDeveloperDay": 30, "tokensPerTask": 50_000}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    status = main(["budget", *arguments])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    return printed.out


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(capsys, *arguments, "-o", "json"))
    return found


def refused(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> str:
    assert main(["budget", *arguments]) == status
    printed = capsys.readouterr()
    assert not printed.out
    last = printed.err.splitlines()[-1]
    assert last.startswith("error: ")
    return last


def test_the_published_example(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, *DEMAND, *SHARE, *PAGE)["budgets"][0]["declared"]
    assert found["demand"]["tokens"]["value"] == "330000000"
    figures = [(each["name"], each["month"]["value"], each["perDeveloper"]["value"]) for each in found["models"]]
    assert figures == [
        ("claude-opus-4.7", "4290", "429"),
        ("claude-sonnet-4.6", "2574", "257.4"),
        ("gemini-2.5-pro", "1567.5", "156.75"),
        ("deepseek-v4-flash", "64.68", "6.468"),
    ]
    assert [each["price"]["asOf"] for each in found["models"]] == [None, None, None, "2026-06-01"]


def test_the_table_fits_80_columns_and_says_what_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, *DEMAND, *SHARE, *PAGE)
    assert max(map(len, out.splitlines())) <= 80
    row = next(line for line in out.splitlines() if line.startswith("claude-opus-4.7 "))
    assert row.split() == ["claude-opus-4.7", "5/25", "$990", "$3,300", "$4,290", "$429", "$0.65"]
    flat = " ".join(out.split())
    assert "66x between the dearest and the cheapest model" in flat
    assert "cap $5,148 = $4,290 + 20%; alert from $4,118.40" in flat
    assert "not on measurements" in flat
    assert "claude-opus-4.7: --model claude-opus-4.7=5/25, Standard price as given, without a date" in flat
    assert "the date of the prices of claude-opus-4.7, claude-sonnet-4.6, gemini-2.5-pro" in flat
    for code in ("AboveTypical", "SingleModelPlanning", "MissingCaching"):
        assert code in out


def test_explain_leads_every_figure_to_flags_and_prices(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, *DEMAND, *SHARE, *PAGE, "--explain")
    trace = out[out.index("where the figures come from") :]
    assert "tokens a month: 330,000,000 tokens  = developers x tasks per developer and day x tokens per task" in trace
    assert "developers: 10  <- --developers" in trace
    assert "buffer: 0.2  <- default of --buffer" in trace
    assert "0.14 USD/Mtok  <- --model deepseek-v4-flash=0.14/0.28@2026-06-01, Standard price of 2026-06-01" in trace
    assert trace.count("developers: 10") < 12, "what was told is not told again"


def test_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, *DEMAND, *SHARE, *PAGE, "-o", "markdown", "--explain")
    assert "| claude-opus-4.7 | 5/25 | \\$990 | \\$3,300 | \\$4,290 | \\$429 | \\$0.65 |" in out.splitlines()
    assert out.count("```") == 2


def test_list_prices_are_dated_and_by_tier(capsys: pytest.CaptureFixture[str]) -> None:
    standard = document(capsys, *DEMAND, "--model", "deepseek-v4-flash", "--at", "2026-06-01")["budgets"][0]
    price = standard["declared"]["models"][0]["price"]
    assert (price["inputUsdPerMTok"], price["outputUsdPerMTok"], price["asOf"]) == ("0.14", "0.28", "2026-06-01")
    assert price["source"] == f"genai-prices {genai_prices.__version__}: deepseek/deepseek-v4-flash"
    flex = document(capsys, *DEMAND, "--model", "gpt-5-nano", "--tier", "flex", "--at", "2026-11-20")["budgets"][0]
    price = flex["declared"]["models"][0]["price"]
    assert (price["tier"], price["inputUsdPerMTok"], price["inForceSince"]) == ("Flex", "0.025", "2026-10-12")
    line = refused(capsys, 1, *DEMAND, "--model", "gpt-5-nano", "--tier", "batch", "--at", "2026-10-01")
    assert "--model gpt-5-nano: price unknown" in line
    assert "2026-10-14" in line


def test_work_that_can_wait(capsys: pytest.CaptureFixture[str]) -> None:
    listed = [*DEMAND, "--latency", "deferrable", "--at", "2026-11-20", "--model", "gpt-5-nano"]
    found = document(capsys, *listed)["budgets"][0]
    assert {each["price"]["tier"] for each in found["tiers"]} == {"Batch", "Flex"}
    saving = next(each for each in found["findings"] if each["code"] == "UseBatch")
    assert saving["usd"]["value"] == "31.35"
    own = document(capsys, *DEMAND, "--latency", "deferrable", "--model", "m=1/2")["budgets"][0]
    assert "what m costs at Batch or Flex prices, which Deferrable work may take" in own["notKnown"]
    assert "tiers" not in own
    background = [*DEMAND, "--latency", "background", "--at", "2026-11-20", "--model", "claude-opus-4-7"]
    batch_alone = document(capsys, *background)["budgets"][0]
    assert "what claude-opus-4-7 costs at Flex prices, which Background work may take" in batch_alone["notKnown"]
    assert "tiers" not in batch_alone


def test_terms_by_flags(capsys: pytest.CaptureFixture[str]) -> None:
    more = [
        "--cap",
        "1000",
        "--success-rate",
        "0.5",
        "--revenue-per-success",
        "2",
        "--growth",
        "0.1",
        "--retries",
        "0.5",
    ]
    found = document(capsys, *DEMAND, *SHARE, *more, "--tool-loops", "0.5", "--model", "opus=5/25/0.5@2026-06-01")
    report = found["budgets"][0]
    assert report["declared"]["demand"]["tokens"]["value"] == "660000000"
    assert report["costPerSuccess"]["value"] == "2.6"
    assert Decimal(report["months"][1]["value"]) == 8580 * Decimal("1.1")
    codes = {each["code"]: each["usd"]["value"] for each in report["findings"]}
    assert codes["CapTooLow"] == "7580"
    assert codes["CostAboveRevenue"] == "1980"
    assert codes["Inflated"] == "4290"
    assert codes["MissingCaching"] == "1069.2"
    assert report["cap"]["given"] is True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no demand: give --developers, --tasks-per-day, --tokens-per-task"),
        (["--developers", "3"], "no demand: give --tasks-per-day, --tokens-per-task"),
        (DEMAND, "no model: give --model"),
        ([*DEMAND, "--developers", "-1"], "'--developers': -1 is not between 1 and 1000000"),
        ([*DEMAND, "--developers", "2.5"], "2.5 is no whole number"),
        ([*DEMAND, "--tokens-per-task", "1e99"], "1e99 is not between 1 and 1000000000"),
        ([*DEMAND, "--tokens-per-task", "many"], "'many' is no number"),
        ([*DEMAND, "--workdays", "40"], "40 is not between 1 and 31"),
        ([*DEMAND, "--input-share", "60"], "60 is not between 0 and 1; a share: write 0.6 for 60%"),
        ([*DEMAND, "--input-share", "nan"], "nan is not between 0 and 1"),
        ([*DEMAND, "--cap", "-5"], "-5 is not between 0"),
        ([*DEMAND, "--model", "a=1"], "--model a=1: write NAME=IN/OUT"),
        ([*DEMAND, "--model", "=1/2"], "--model =1/2: write NAME=IN/OUT"),
        ([*DEMAND, "--model", "a=1/x"], "--model a=1/x: 'x' is no price"),
        ([*DEMAND, "--model", "a=1/-2"], "-2 is not between 0 and 1000000"),
        ([*DEMAND, "--model", "a=1/2@June"], "'June' is no date such as 2026-06-01"),
        ([*DEMAND, "--model", "a=1/2", "--model", "a=2/3"], "--model a is given twice"),
        ([*DEMAND, "--model", "a=1/2", "--at", "yesterday"], "'yesterday' is no date"),
        ([*DEMAND, "--model", "a=1/2", "--cap", "5", "--buffer", "0.1"], "with --cap there is one"),
        ([*DEMAND, "--model", "a=1/2", "--revenue-per-success", "1"], "--revenue-per-success needs --success-rate"),
        ([*DEMAND, "--model", "a=1/2", "--days", "3"], "--days belongs to --prometheus-url"),
        ([*DEMAND, "--model", "a=1/2", "--prometheus-url", "http://x"], "--prometheus-url needs the manifests"),
        (["-f", "x.yaml", "--developers", "3"], "--developers belongs to a budget from flags"),
        (["-f", "x.yaml", "--tier", "batch"], "--tier belongs to a budget from flags"),
    ],
)
def test_wrong_usage_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert said in refused(capsys, 2, *arguments)


def test_absurd_demand_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, 1, *DEMAND, "--developers", "1000000", "--tokens-per-task", "1e9", "--model", "a=1/2")
    assert "7e+17 tokens a month cannot be: check --developers" in line


def test_long_names_and_large_amounts_fit(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a-provider-with-a-long-name/a-model-with-a-longer-name-2026-11-23"
    out = run(capsys, *DEMAND, "--developers", "100000", "--model", f"{name}=1234.5678/9999.9999")
    assert max(map(len, out.splitlines())) <= 80
    assert "$15,644,444,112" in out
    absurd = run(capsys, *DEMAND, "--developers", "1000000", "--tokens-per-task", "1e6", "--model", f"{name}=9e5/9e5")
    assert max(map(len, absurd.splitlines())) <= 80
    rows = absurd[absurd.index("MODEL") : absurd.index("\nbudget\n")].splitlines()[1:]
    assert sum(char.isdigit() for row in rows for char in row) > 60, "folded, with nothing cut off"
    assert not any(line != line.rstrip() for line in out.splitlines())


def test_an_unknown_model_is_one_line_with_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, 1, *DEMAND, "--model", "gpt-99")
    assert "price unknown" in line
    assert "'gpt-99'" in line
    assert "--model NAME=IN/OUT" in line


# --- manifests


def workload(**spec: Any) -> Document:
    made = copy.deepcopy(CLASS)
    made["spec"] |= spec
    return made


def hosted(name: str, kind: str, *models: str, **spec: Any) -> Document:
    made = copy.deepcopy(API)
    made["metadata"]["name"] = name
    made["spec"] = {"type": kind, "models": list(models), "hosted": {"provider": "openai", "model": models[0]} | spec}
    return made


def plan(*lanes: str) -> Document:
    made = copy.deepcopy(PLAN)
    made["spec"]["lanes"] = list(lanes)
    return made


def price(cost_in: str, cost_out: str) -> dict[str, Any]:
    return {"price": {"inputUsdPerMTok": cost_in, "outputUsdPerMTok": cost_out}}


def written(folder: Path, *documents: Document) -> str:
    (folder / "plan.yaml").write_text(yaml.safe_dump_all(documents))
    return str(folder)


def test_a_plans_classes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    item = workload(
        demand=DECLARED | {"monthlyGrowthPercent": 10}, equivalentModels=["big", "m", "small"], latency="Deferrable",
        budget={"monthlyUsd": "4000", "alertPercent": 90}, successRatePercent="50", revenuePerSuccessUsd="6.5",
    )  # fmt: skip
    lanes = [
        hosted("cheap", "HostedRealtime", "small", **price("0.14", "0.28")),
        hosted("dear", "HostedRealtime", "big", **price("5", "25")),
        hosted("other", "HostedRealtime", "elsewhere", **price("0", "0")),
        hosted("nightly", "Batch", "big", **price("2.5", "12.5")),
    ]
    where = written(tmp_path, plan("gpu", "cheap", "dear", "other", "nightly"), GPU, *lanes, item)
    found = document(capsys, "-f", where)
    report = found["budgets"][0]
    assert report["name"] == "WorkloadClass inference/chat"
    figures = [(each["name"], each["month"]["value"]) for each in report["declared"]["models"]]
    assert figures == [("big (dear)", "4290"), ("small (cheap)", "64.68")], "in the class's order of preference"
    assert report["declared"]["models"][0]["price"]["source"] == "contract of CapacityLane inference/dear"
    assert [(each["name"], each["month"]["value"]) for each in report["tiers"]] == [("big (nightly)", "2145")]
    assert report["cap"]["usd"]["source"] == "WorkloadClass inference/chat spec.budget.monthlyUsd"
    assert report["cap"]["alert"]["value"] == "3600"
    assert report["returnOnADollar"]["value"] == "5"
    codes = {each["code"]: each for each in report["findings"]}
    assert codes["UseBatch"]["usd"]["value"] == "2145"
    assert codes["CapTooLow"]["usd"]["value"] == "290"
    assert "keep spending" in codes["CapTooLow"]["message"]
    assert any("CapacityLane inference/gpu costs a token" in note for note in report["notKnown"])
    assert "total" not in found


def test_several_classes_are_summed_and_one_without_demand_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    silent, other = workload(), workload(demand=DECLARED, budget={"measuredPlusPercent": 50})
    silent["metadata"]["name"], other["metadata"]["name"] = "silent", "other"
    where = written(tmp_path, PLAN, GPU, API, workload(demand=DECLARED), silent, other)
    assert main(["budget", "-f", where, "-o", "json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    # 198M x 0.88 + 132M x 1.76
    assert [each["cap"]["usd"]["value"] for each in found["budgets"]] == ["487.872", "609.84"]
    assert found["total"]["value"] == "813.12"
    assert printed.err == "warning: WorkloadClass inference/silent: no demand is declared or measured\n"
    assert "2 classes together: $813.12 a month" in run(capsys, "-f", where)


def test_a_class_that_never_leaves_own_gpus(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    where = written(tmp_path, PLAN, GPU, API, workload(demand=DECLARED, dataPolicy="SelfHostedOnly"))
    assert "dataPolicy SelfHostedOnly" in refused(capsys, 1, "-f", where)
    found = document(capsys, "-f", where, "--model", "opus=5/25")["budgets"][0]
    assert [each["name"] for each in found["declared"]["models"]] == ["opus"]


def test_a_lane_that_nobody_prices_is_told_and_the_others_count(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lanes = [
        hosted("odd", "HostedRealtime", "m", model="gpt-99"),
        hosted("fine", "HostedRealtime", "m", **price("1", "1")),
    ]
    where = written(tmp_path, plan("odd", "fine"), *lanes, workload(demand=DECLARED))
    found = document(capsys, "-f", where)["budgets"][0]
    assert [each["name"] for each in found["declared"]["models"]] == ["m (fine)"]
    assert any("CapacityLane inference/odd: price unknown" in note for note in found["notKnown"])
    where = written(tmp_path, plan("odd"), lanes[0], workload(demand=DECLARED))
    assert "CapacityLane inference/odd: price unknown" in refused(capsys, 1, "-f", where)


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ([PLAN, GPU, API, workload()], "no class has demand; declare spec.demand"),
        ([PLAN, GPU, API], "there is no WorkloadClass in it"),
        ([workload(demand=DECLARED | {"developers": -3})], "WorkloadClass chat: spec.demand.developers"),
        ([workload(demand=DECLARED | {"inputSharePercent": 120})], "spec.demand.inputSharePercent"),
        ([workload(budget={"monthlyUsd": "-1"})], "spec.budget.monthlyUsd"),
        ([API, API], "CapacityLane inference/api is given twice"),
        ([CLASS | {"kind": "WorkloadKlass"}], "is not one of spillway.dev/v1alpha1"),
        ([CLASS | {"metadata": {}}], "WorkloadClass without metadata.name"),
    ],
)
def test_wrong_manifests_are_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, documents: list[Document], said: str
) -> None:
    assert said in refused(capsys, 1, "-f", written(tmp_path, *documents))


def test_missing_files_are_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "there is no such file or folder" in refused(capsys, 1, "-f", str(tmp_path / "none.yaml"))
    assert "there is no .yaml file in this folder" in refused(capsys, 1, "-f", str(tmp_path))
    (tmp_path / "broken.yaml").write_text("a: [")
    assert "mend the YAML" in refused(capsys, 1, "-f", str(tmp_path))


def test_lanes_in_another_folder_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    presets = str(Path(__file__).parents[2] / "examples" / "presets")
    said = refused(capsys, 1, "-f", presets)
    assert "is not in the manifests, nor 4 other of its lanes: give their files with -f, too" in said
    assert len(said) < 250


def test_classes_of_several_plans_in_a_list(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each class gets the lanes of its own plan; objects may come as kubectl prints them."""
    second, elsewhere = plan("dear"), workload(demand=DECLARED, planRef={"name": "second", "namespace": "inference"})
    second["metadata"]["name"] = "second"
    elsewhere["metadata"] = {"name": "elsewhere", "namespace": "team-a"}
    dear = hosted("dear", "HostedRealtime", "m", **price("5", "25"))
    items = [PLAN, second, GPU, API, dear, workload(demand=DECLARED), elsewhere]
    where = written(tmp_path, {"apiVersion": "v1", "kind": "List", "items": items})
    found = {each["name"]: each["declared"]["models"] for each in document(capsys, "-f", where)["budgets"]}
    assert {name: [each["name"] for each in models] for name, models in found.items()} == {
        "WorkloadClass inference/chat": ["m (api)"],
        "WorkloadClass team-a/elsewhere": ["m (dear)"],
    }


def test_a_plan_or_a_lane_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = document(capsys, "-f", written(tmp_path, API, workload(demand=DECLARED)))["budgets"][0]
    assert (
        "CapacityPlan inference/main is not in the manifests: all their lanes are taken as its own" in found["notKnown"]
    )
    assert found["declared"]["models"][0]["name"] == "m (api)"
    found = document(capsys, "-f", written(tmp_path, PLAN, API, workload(demand=DECLARED)))["budgets"][0]
    assert "CapacityLane inference/gpu of the plan is not in the manifests" in found["notKnown"]


def test_a_class_with_a_batch_lane_alone_is_planned_with_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    nightly = hosted("nightly", "Batch", "m", **price("1", "2"))
    item = workload(demand=DECLARED, latency="Deferrable")
    found = document(capsys, "-f", written(tmp_path, plan("nightly"), nightly, item))["budgets"][0]
    assert [(each["name"], each["price"]["tier"]) for each in found["declared"]["models"]] == [("m (nightly)", "Batch")]
    assert "tiers" not in found
    assert found["notKnown"] == []
    for latency in ("Interactive", "Background"):
        other = written(tmp_path, plan("nightly"), nightly, workload(demand=DECLARED, latency=latency))
        assert "no lane of CapacityPlan inference/main" in refused(capsys, 1, "-f", other)
