"""`spillway size`: the guide's example from the command line, every form of output, and wrong input in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spillway.cli.main import main

EXAMPLE = [
    "--model", "Llama-3.1-70B", "--quantization", "4bit", "--gpu", "A100-80GB", "--concurrency", "10",
    "--hours-per-day", "10", "--workdays", "22",
]  # fmt: skip
LANE = """
apiVersion: spillway.dev/v1alpha1
kind: CapacityLane
metadata: {name: mine, namespace: inference}
spec:
  type: SelfHosted
  models: [m]
  selfHosted:
    targetRef: {name: vllm}
    gpu: {type: nvidia-a100-80gb}
    price: {usdPerGpuHour: "1.10"}
    replicas: {min: 1, max: 4}
"""

Captured = pytest.CaptureFixture[str]


def printed(capsys: Captured, *flags: str) -> str:
    assert main(["size", *EXAMPLE, *flags]) == 0
    return capsys.readouterr().out


def document(capsys: Captured, *flags: str) -> Any:
    return json.loads(printed(capsys, "-o", "json", *flags))


@pytest.mark.parametrize(("price", "cost"), [("2", "1320"), ("4", "2640")])
def test_the_guides_example(capsys: Captured, price: str, cost: str) -> None:
    (row,) = document(capsys, "--tensor-parallel", "1", "--price", price)["rows"]
    assert (row["gpus"]["value"], row["onDemand"]["monthly"]["value"]) == ("3", cost)


def test_a_table_of_providers_with_the_cheapest_marked(capsys: Captured) -> None:
    rows = document(capsys)["rows"]
    assert len(rows) > 5
    costs = [float(row["onDemand"]["monthly"]["value"]) for row in rows]
    assert costs == sorted(costs)
    assert [row["cheapest"] for row in rows] == [True] + [False] * (len(rows) - 1)
    assert "2026-06-01" in rows[0]["onDemand"]["price"]
    out = printed(capsys)
    assert f"*  A100-80GB  {rows[0]['provider']}" in out
    assert all(len(line.rstrip()) <= 80 for line in out.split("\n\n")[1].splitlines())


def test_spot_ranks_by_spot(capsys: Captured) -> None:
    rows = document(capsys, "--spot")["rows"]
    costs = [float(row["spot"]["monthly"]["value"]) for row in rows]
    assert costs == sorted(costs)
    assert "vultr" not in {row["provider"] for row in rows}, "it has no spot price"


def test_types_and_providers_are_chosen(capsys: Captured) -> None:
    rows = document(capsys, "--gpu", "nvidia-h100-80gb", "--provider", "aws", "--provider", "gcp")["rows"]
    assert {(row["gpu"], row["provider"]) for row in rows} == {
        (gpu, provider) for gpu in ("A100-80GB", "H100-80GB") for provider in ("aws", "gcp")
    }


def test_without_a_type_all_are_compared(capsys: Captured) -> None:
    assert (
        main(["size", "--model", "Llama-3.1-70B", "--quantization", "4bit", "--concurrency", "10", "-o", "json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert len({row["gpu"] for row in found["rows"]}) > 8
    assert [each["gpu"] for each in found["notServing"]] == ["L4-24GB"]
    assert [each["gpu"] for each in found["withoutPrice"]] == ["H100PCIe-80GB", "MI300X-192GB"]


def test_a_lanes_declared_price_stands_beside_the_market(capsys: Captured, tmp_path: Path) -> None:
    path = tmp_path / "lane.yaml"
    path.write_text(LANE, encoding="utf-8")
    rows = document(capsys, "-f", str(path))["rows"]
    own = next(row for row in rows if row["provider"] == "own")
    assert own["cheapest"]
    assert own["onDemand"]["price"] == "CapacityLane inference/mine: own, on demand, price without a date"
    assert len(rows) > 5


def test_ones_own_catalogue(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("provider,gpu_type,is_spot,price_per_gpu_hour_usd\nme,A100,False,1\n")
    (row,) = document(capsys, "--catalogue", str(tmp_path))["rows"]
    assert (row["provider"], row["onDemand"]["monthly"]["value"]) == ("me", "440")


def test_break_even_with_the_users_own_prices(capsys: Captured) -> None:
    flags = ("--tensor-parallel", "1", "--price", "2", "--compare", "mid=3/15", "--input-share", "60")
    (even,) = document(capsys, *flags)["breakEven"]
    assert float(even["tokens"]["value"]) == pytest.approx(1320 / 7.8 * 1e6)
    assert even["reachable"]
    out = printed(capsys, *flags)
    assert "Break-even with mid ($3/$15 per Mtok): 169.2M tokens a month" in out


def test_break_even_with_a_list_price(capsys: Captured) -> None:
    (even,) = document(capsys, "--price", "2", "--compare", "claude-sonnet-4-6")["breakEven"]
    assert "genai-prices" in json.dumps(even)
    assert float(even["tokens"]["value"]) > 0


def test_a_break_even_that_no_gpu_reaches_is_told(capsys: Captured) -> None:
    out = printed(capsys, "--price", "2", "--compare", "tiny=0.01/0.02", "--compare", "free=0/0")
    assert "out of reach" in out
    assert "free ($0/$0 per Mtok): costs nothing, self-hosting never costs less." in out


def test_explain_leads_from_every_figure_to_its_inputs(capsys: Captured) -> None:
    out = printed(capsys, "--price", "2", "--explain")
    for said in (
        "cost a month: 880 USD", "= GPUs * price * hours a month", "[--price: own, on demand, price without a date]",
        "memory of A100-80GB: 80 GB [NVIDIA data sheet: A100 80GB SXM]", "[assumed: vLLM's default",
    ):  # fmt: skip
        assert said in out
    figures = [line for line in out.split("\n\n")[3].splitlines() if line]
    assert all("[" in line or " = " in line or line.endswith("(above)") for line in figures)
    assert len(figures) == len({line.strip() for line in figures if not line.endswith("(above)")}) + sum(
        line.endswith("(above)") for line in figures
    ), "nothing is told twice"


def test_whole_instances_are_told(capsys: Captured) -> None:
    out = printed(capsys, "--gpu", "H100")
    assert "Rented by the instance of 8 GPUs, of which the others are not counted: aws, " in out
    assert "runpod" not in out.split("Rented by the instance")[1].split(".")[0]


def test_markdown(capsys: Captured) -> None:
    lines = printed(capsys, "-o", "markdown").splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert table[1].startswith("|---|")


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        (["--model", "Lama-70"], 2, "unknown model 'Lama-70': did you mean Llama"),
        (["--model", "none/config.json"], 2, "none/config.json: No such file"),
        (["--gpu", "A1000"], 2, "unknown GPU 'A1000': did you mean"),
        (["--gpu", "MI300X", "--gpu", "H100PCIe", "--provider", "own"], 2, "--provider own: not in the catalogue"),
        (["--concurrency", "0"], 2, "0 is not in the range"),
        (["--concurrency", "-5"], 2, "-5 is not in the range"),
        (["--concurrency", "1000000000"], 2, "is not in the range 1<=x<=100000"),
        (["--context", "200000"], 2, "--context 200000: Llama-3.1-70B takes 131072 tokens at most"),
        (["--hours-per-day", "25"], 2, "25.0 is not in the range"),
        (["--hours-per-day", "nan"], 2, "--hours-per-day: must be a number, it is nan"),
        (["--tokens-per-second", "500"], 2, "doesn't serve it: one stream gets"),
        (["--tensor-parallel", "3"], 2, "--tensor-parallel 3: Llama-3.1-70B has 64 attention heads"),
        (["--price", "-1"], 2, "--price: must be US dollars, above 0"),
        (["--price", "two"], 2, "it is 'two'"),
        (["--price", "2", "--provider", "aws"], 2, "--price is the price of one type of GPU"),
        (["--compare", "mid"], 1, "--compare mid: price unknown"),
        (["--compare", "mid=3/-15"], 2, "--compare mid=3/-15: -15 is not between 0 and"),
        (["--provider", "amazon"], 2, "--provider amazon: not in the catalogue; did you mean"),
        (["--prometheus-url", "http://127.0.0.1:9"], 1, "Prometheus http://127.0.0.1:9: "),
    ],
)
def test_wrong_input_gets_one_line(capsys: Captured, flags: list[str], status: int, said: str) -> None:
    assert main(["size", *EXAMPLE, *flags]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1


def test_a_type_that_nobody_prices(capsys: Captured) -> None:
    assert main(["size", "--model", "70B", "--gpu", "MI300X", "--concurrency", "1", "--quantization", "4bit"]) == 2
    assert "no on-demand price for MI300X-192GB: give --price USD an hour" in capsys.readouterr().err


def test_a_short_context_is_the_default_of_a_model_that_takes_no_more(capsys: Captured) -> None:
    flags = ["size", "--model", "Llama-2-70B", "--quantization", "4bit", "--gpu", "A100", "--concurrency", "1"]
    assert main(flags) == 0
    assert "a stream of 4,096 tokens" in capsys.readouterr().out


def test_a_file_without_lanes(capsys: Captured, tmp_path: Path) -> None:
    path = tmp_path / "lane.yaml"
    path.write_text("kind: Deployment", encoding="utf-8")
    assert main(["size", *EXAMPLE, "-f", str(path)]) == 1
    assert "no self-hosted CapacityLane is in it" in capsys.readouterr().err


def test_the_page_shows_what_comes_out(capsys: Captured) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sizing.md").read_text(encoding="utf-8")
    shown = [block for block in page.split("```\n") if block.startswith("$ spillway size ")]
    assert len(shown) > 1
    for block in shown:
        command, _, output = block.partition("\n")
        assert main(command.removeprefix("$ spillway ").split()) == 0
        assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == output.splitlines()
