"""The result as a table for a terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from spillway.report.backtest.result import SPILL_RULES, Comparison, Row, comparison_of, ratio, verdict
from spillway.report.backtest.text import MISSING, dollars, number, percent, span, times

WIDTH = 100


def table(result: Mapping[str, Any], *, colour: bool = False, width: int = WIDTH) -> str:
    """All policies by cost, those that missed the SLO last; at most ``width`` columns. Raises ``ResultError``."""
    comparison = comparison_of(result)
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=colour, color_system="standard" if colour else None, highlight=False
    )
    console.print(_heading(comparison, result))
    if comparison.rows:
        console.print(_policies(comparison))
    if (matrix := _matrix(comparison)) is not None:
        console.print("\nCost by scaler and spill rule; in parentheses where the SLO was missed")
        console.print(matrix)
        console.print()
    for line in _below(comparison):
        console.print(Text(line))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _heading(comparison: Comparison, result: Mapping[str, Any]) -> Text:
    facts = []
    warmup, duration = result.get("warmup_seconds"), result.get("duration_seconds")
    if isinstance(warmup, int | float) and isinstance(duration, int | float):
        facts.append(f"{span(duration - warmup)} scored")
    if seeds := result.get("seeds"):
        facts.append(f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}")
    if comparison.requests_hash:
        facts.append(f"requests {comparison.requests_hash[:12]}")
    return Text.assemble((comparison.scenario or "backtest", "bold"), ("  " + ", ".join(facts), "dim"))


def _policies(comparison: Comparison) -> Table:
    own = comparison.spillway
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    made.add_column("POLICY", no_wrap=False, overflow="fold", min_width=14)
    made.add_column("SPILL", no_wrap=True)
    for heading in (
        "COST",
        *(("RATIO",) if own is not None else ()),
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
        Text(row.setting, style="bold cyan" if row.own else ""),
        row.spill or MISSING,
        dollars(row.usd),
        *(() if own_usd is None else (_ratio(row.usd, own_usd),)),
        Text("held", style="green") if row.held else Text("MISSED", style="red"),
        percent(row.attainment),
        number(row.gpu_hours, 1 if (row.gpu_hours or 0) < 1000 else 0),
        dollars(row.hosted_usd),
        percent(row.spilled_token_share, 1),
        number(row.direction_changes_per_hour, 2),
    ]


def _ratio(usd: float, own_usd: float) -> str:
    value = ratio(usd, own_usd)
    return number(value, 3 if value is None or value < 10 else 1)


def _matrix(comparison: Comparison) -> Table | None:
    """Scalers by spill rules; None where no scaler has run with two rules."""
    by_setting: dict[str, dict[str, Row]] = {}
    for row in comparison.rows:
        if row.spill in SPILL_RULES:
            by_setting.setdefault(row.setting, {})[row.spill] = row
    rules = [rule for rule in SPILL_RULES if any(rule in rows for rows in by_setting.values())]
    if all(len(rows) < 2 for rows in by_setting.values()):
        return None
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    made.add_column("SCALER", overflow="fold", min_width=14)
    for rule in rules:
        made.add_column(rule.upper(), justify="right", no_wrap=True)
    for setting in sorted(by_setting):
        made.add_row(setting, *(_cost(by_setting[setting].get(rule)) for rule in rules))
    return made


def _cost(row: Row | None) -> Text:
    if row is None:
        return Text(f"{MISSING} ")
    return Text(f"{dollars(row.usd)} ") if row.held else Text(f"({dollars(row.usd)})", style="dim")


def _below(comparison: Comparison) -> list[str]:
    own = comparison.spillway
    lines = [verdict(comparison)]
    if own is not None and len(comparison.rows) > 1:
        lines.append("RATIO is the cost over Spillway's; only costs of policies that held the SLO compare.")
    replay = "clairvoyant-replay" if comparison.replay_held else "clairvoyant-replay (missed the SLO)"
    for name, usd in ((replay, comparison.replay_usd), ("bound", comparison.bound_usd)):
        if usd is not None:
            against = "" if own is None else f"; Spillway {times(ratio(own.usd, usd))}"
            lines.append(f"{name} {dollars(usd)}{against}")
    if own is not None and own.decide_p99_ms is not None:
        lines.append(f"Spillway decides in {number(own.decide_p50_ms)} ms (p50), {number(own.decide_p99_ms)} ms (p99)")
    return lines
