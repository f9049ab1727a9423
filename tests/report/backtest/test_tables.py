"""The terminal's table and the benchmark's Markdown."""

from __future__ import annotations

import re

from report.backtest.results import policy, result
from spillway.report.backtest import document, goals, losses, ratios, table
from spillway.report.backtest.markdown import Goal


def cells(markdown: str, first: str) -> list[str]:
    line = next(line for line in markdown.splitlines() if line.startswith(f"| {first} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_fits_and_names_every_policy() -> None:
    made = result()
    made["policies"]["wva-saturation+queue@oracle"] = policy(123456.78)
    text = table(made)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert not re.search("\x1b", text)
    policies = [line.split() for line in lines[2 : 2 + len(made["policies"])]]
    assert [(name, spill, slo) for name, spill, _, _, slo, *_ in policies] == [
        ("spillway", "–", "held"),
        ("dynamo-sla@oracle", "hold", "held"),
        ("keda-slo@tuned", "cap", "held"),
        ("static-best", "–", "held"),
        ("hpa@tuned", "queue", "held"),
        ("api-only", "–", "held"),
        ("wva-saturation@oracle", "queue", "held"),
        ("hpa", "queue", "MISSED"),
    ]
    assert "clairvoyant-replay $680.00; Spillway 1.029 ×" in text
    assert "bound $600.00; Spillway 1.167 ×" in text
    assert "Spillway held the SLO at 12% less" in text


def test_the_longest_names_and_figures_fit() -> None:
    entry = policy(123456.78, gpu_hours=123456.7, hosted_cost_usd=123456.0, direction_changes_per_hour=123.45)
    text = table(result(policies={"spillway": policy(1000.0), "wva-saturation@oracle+queue": entry}))
    line = next(line for line in text.splitlines() if line.startswith("wva-saturation@oracle "))
    assert len(line) <= 100
    assert line.endswith("123.45")


def test_the_heading_says_what_was_run() -> None:
    text = table(result(warmup_seconds=3600, duration_seconds=14400, seeds=[1, 2]))
    assert text.splitlines()[0] == "code-week  3 hours scored, seeds 1, 2, requests 0123456789ab"


def test_scalers_and_spill_rules_are_told_side_by_side() -> None:
    entries = {"hpa": policy(9.0, held=False, spill="queue"), "hpa+cap": policy(8.0), "keda-slo+cap": policy(7.0)}
    text = table(result(policies=entries))
    start = next(number for number, line in enumerate(text.splitlines()) if line.startswith("SCALER"))
    rows = [line.split() for line in text.splitlines()[start : start + 3]]
    assert rows == [["SCALER", "QUEUE", "CAP"], ["hpa", "($9.00)", "$8.00"], ["keda-slo", "–", "$7.00"]]
    assert "SCALER" not in table(result())


def test_a_replay_alone_is_a_result_and_one_that_missed_says_so() -> None:
    text = table({"policies": {}, "clairvoyant_replay": {"cost_usd": 3.0, "slo_held": False}, "bound": {"cost_usd": 2}})
    assert "clairvoyant-replay (missed the SLO) $3.00" in text
    assert "No policy was run" in text


def test_colour_is_asked_for() -> None:
    assert "\x1b[" in table(result(), colour=True)


def test_a_narrow_terminal_loses_no_figure() -> None:
    text = table(result(), width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert "$9,000" in text


def test_goals_are_judged_by_what_came_out() -> None:
    dear = result("dear")
    dear["policies"] |= {"spillway": policy(850.0)}
    text = goals([result(), dear], [Goal("cold start", "≤ 1.10", "1.050", True)])
    assert cells(text, "SLO held, every scenario")[2:4] == ["2 of 2", "met"]
    queue = cells(text, "geometric mean of cost / best `@tuned` with queue overflow")
    assert queue[1:4] == ["≤ 0.70", f"{(0.70 * 0.85) ** 0.5:.3f}", "**missed**"]
    worst = cells(text, "worst of cost / best `@tuned`")
    assert worst[2:] == [f"{850 / 800:.3f}", "**missed**", "dear"]
    assert cells(text, "worst of cost / api-only")[3] == "met"
    assert cells(text, "cold start")[3] == "met"


def test_a_goal_without_anything_to_compare_says_so() -> None:
    bare = result("bare", policies={"spillway": policy(1.0, held=False)}, clairvoyant_replay={})
    text = goals([bare])
    assert cells(text, "SLO held, every scenario")[2:] == ["0 of 1", "**missed**", "bare"]
    assert cells(text, "geometric mean of cost / best `@oracle`, any actuator")[2:] == [
        "–",
        "not measured",
        "nothing to compare in bare",
    ]


def test_ratios_are_of_spillways_cost_and_misses_stand_apart() -> None:
    other = result("other")
    del other["policies"]["api-only"]
    text = ratios([result(), other])
    assert cells(text, "**spillway**")[1:] == ["$700.00", "$700.00"]
    assert cells(text, "hpa+queue@tuned")[1] == "1.429 ×"
    assert cells(text, "hpa+queue")[1] == "(0.929 ×)"
    assert cells(text, "api-only")[1:] == ["12.9 ×", "–"]
    assert cells(text, "bound")[1] == "0.857 ×"


def test_losing_cases_are_listed() -> None:
    lost = result("lost")
    lost["policies"] |= {"spillway": policy(790.0)}
    missed = result("missed", policies={"spillway": policy(1.0, held=False, attainment=0.5)})
    text = losses([result(), lost, missed])
    lines = text.splitlines()
    assert len(lines) == 2
    assert "**lost**: dynamo-sla+hold@oracle held the SLO for $720.00" in lines[0]
    assert "1.097 ×); chosen in hindsight" in lines[0]
    assert "**missed**: Spillway missed the SLO (50.00% attained)" in lines[1]
    assert "No policy that held the SLO was cheaper" in losses([result()])


def test_the_document_has_all_three() -> None:
    text = document([result()])
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## Goals",
        "## Costs by scenario",
        "## Where Spillway loses",
    ]
