"""The result as a table for a terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from spillway.report.backtest.result import Comparison, Row, comparison_of, ratio, verdict
from spillway.report.backtest.text import count, dollars, number, percent, times

WIDTH = 100


def table(result: Mapping[str, Any], *, colour: bool = False, width: int = WIDTH) -> str:
    """All policies, Spillway first, then by cost; at most ``width`` columns. Raises ``ResultError``."""
    comparison = comparison_of(result)
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=colour, color_system="standard" if colour else None, highlight=False
    )
    console.print(_heading(comparison), soft_wrap=False)
    console.print(_table(comparison))
    for line in _below(comparison):
        console.print(Text(line))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _heading(comparison: Comparison) -> Text:
    requests = f"  requests {comparison.requests_hash[:12]}" if comparison.requests_hash else ""
    return Text.assemble((comparison.scenario or "backtest", "bold"), (requests, "dim"))


def _table(comparison: Comparison) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    made.add_column("POLICY", no_wrap=False, overflow="fold", min_width=14)
    own = comparison.spillway
    for heading in (
        "COST",
        *(("x OWN",) if own is not None else ()),
        "SLO",
        "ATTAINED",
        "GPU H",
        "HOSTED",
        "SPILLED",
        "TURNS/H",
    ):
        made.add_column(heading, justify="right", no_wrap=True)
    for row in comparison.rows:
        made.add_row(*_cells(row, None if own is None else own.usd), style="" if row.held else "dim")
    return made


def _cells(row: Row, own_usd: float | None) -> list[str | Text]:
    return [
        Text(row.name, style="bold cyan" if row.own else ""),
        dollars(row.usd),
        *(() if own_usd is None else (number(ratio(row.usd, own_usd), 3),)),
        Text("held", style="green") if row.held else Text("MISSED", style="red"),
        percent(row.attainment),
        count(row.gpu_hours),
        dollars(row.hosted_usd),
        percent(row.spilled_token_share, 1),
        number(row.direction_changes_per_hour, 2),
    ]


def _below(comparison: Comparison) -> list[str]:
    own = comparison.spillway
    lines = [verdict(comparison)]
    for name, usd in (("clairvoyant-replay", comparison.replay_usd), ("bound", comparison.bound_usd)):
        if usd is not None:
            against = "" if own is None else f"; Spillway {times(ratio(own.usd, usd))}"
            lines.append(f"{name} {dollars(usd)}{against}")
    if own is not None and own.decide_p99_ms is not None:
        lines.append(f"Spillway decides in {number(own.decide_p50_ms)} ms (p50), {number(own.decide_p99_ms)} ms (p99)")
    return lines
