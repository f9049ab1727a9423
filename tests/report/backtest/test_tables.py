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
    for name in made["policies"]:
        assert any(line.startswith(name) for line in lines)
    assert next(line for line in lines if line.startswith("hpa+queue ")).split()[3] == "MISSED"
    assert "clairvoyant-replay $680.00; Spillway 1.029 ×" in text
    assert "bound $600.00; Spillway 1.167 ×" in text
    assert "Spillway held the SLO at 12% less" in text


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
