"""The result as one self-contained HTML page: no script, font or picture from anywhere else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

from spillway.report.backtest.plot import NARROW, WIDE, scatter, some_cut_off
from spillway.report.backtest.policies import policies
from spillway.report.backtest.result import SPILL_RULES, Comparison, Row, comparison_of, ratio, verdict
from spillway.report.backtest.text import MISSING, dollars, percent, span, times
from spillway.report.backtest.timelines import downsample, short_names

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
BESIDE = 2
"""Policies whose time lines stand beside the first one at first."""


def html(result: Mapping[str, Any]) -> str:
    """The page. Raises ``ResultError``."""
    comparison = comparison_of(result)
    title = str(result.get("title") or f"Backtest: {comparison.scenario or 'scenario'}")
    body = "".join(
        (
            _header(title, result),
            _headline(comparison),
            _plot(comparison, result),
            _timelines(comparison, result.get("timelines") or {}, result.get("warmup_seconds")),
            policies(comparison),
            _facts(comparison, result),
        )
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<title>{escape(title)}</title>\n<link rel="icon" href="data:,">\n<style>\n{_asset("page.css")}</style>\n'
        f"</head>\n<body>\n<main>\n{body}</main>\n<script>\n{_asset('page.js')}</script>\n</body>\n</html>\n"
    )


def _asset(name: str) -> str:
    return files("spillway.report.backtest").joinpath(name).read_text(encoding="utf-8")


def _header(title: str, result: Mapping[str, Any]) -> str:
    sub = f'<p class="sub">{escape(str(result["subtitle"]))}</p>' if result.get("subtitle") else ""
    return (
        f"<header><div><h1>{escape(title)}</h1>{sub}</div>"
        '<button id="theme" type="button" hidden title="Switch between light and dark">Dark</button></header>\n'
    )


@dataclass(frozen=True, slots=True)
class _Tile:
    label: str
    figure: str
    detail: str
    own: bool = False


def _headline(comparison: Comparison) -> str:
    tiles = "".join(
        f"<div{' class=own' if tile.own else ''}><dt>{escape(tile.label)}</dt>"
        f'<dd class="figure">{escape(tile.figure)}</dd><dd class="detail">{tile.detail}</dd></div>'
        for tile in _tiles(comparison)
    )
    return (
        f'<section aria-label="Headline"><p class="verdict">{escape(verdict(comparison))}</p>'
        f'<dl class="tiles">{tiles}</dl></section>\n'
    )


def _tiles(comparison: Comparison) -> Iterable[_Tile]:
    own = comparison.spillway
    usd = None if own is None else own.usd
    if own is not None:
        state = '<span class="held">SLO held</span>' if own.held else '<span class="lost">SLO missed</span>'
        attained = "" if own.attainment is None else f", {percent(own.attainment)} attained"
        yield _Tile("Spillway", dollars(own.usd), f"{state}{attained}", own=True)
    for label, rows in (
        (f"Cheapest {'' if own is None else 'other '}that held the SLO", comparison.rivals(hindsight=False)),
        ("Cheapest chosen in hindsight", comparison.rivals(hindsight=True)),
    ):
        best = comparison.cheapest(rows)
        if best is not None:
            yield _against(label, best.name, usd, best.usd)
        elif rows:
            yield _Tile(label, MISSING, "none held it")
    if comparison.replay_usd is not None:
        yield _against("Clairvoyant replay", "", usd, comparison.replay_usd)
    if comparison.bound_usd is not None:
        yield _against("Bound for any policy", "", usd, comparison.bound_usd)


def _against(label: str, name: str, own_usd: float | None, usd: float) -> _Tile:
    """Spillway as a multiple of something; that thing's own dollars where there is no Spillway."""
    multiple = ratio(own_usd, usd)
    if multiple is None:
        return _Tile(label, dollars(usd), escape(name))
    return _Tile(label, times(multiple), f"of its {dollars(usd)}" + (f"<br>{escape(name)}" if name else ""))


def _plot(comparison: Comparison, result: Mapping[str, Any]) -> str:
    target, by_class = result.get("target"), result.get("target_by_class") or {}
    promised = float(target) if isinstance(target, int | float) and 0 < target < 1 else None
    promises = ""
    if len(set(by_class.values())) > 1:
        # No line at one of them: it would part the policies wrongly.
        promised, names = None, short_names(by_class)
        each = ", ".join(f"{names[key]} {100 * share:g}%" for key, share in by_class.items())
        promises = f" The SLO is judged class by class ({escape(each)}); here stand the requests of all of them."
    wide, narrow = scatter(comparison, WIDE, promised), scatter(comparison, NARROW, promised)
    if not wide:
        return ""
    return (
        "<section><h2>Cost against SLO attainment</h2>"
        '<p class="sub">Lower is cheaper, further right is better served. A policy that missed the SLO is hollow.'
        f"{promises}</p>"
        f'<div class="plot"><div class="wide">{wide}</div><div class="narrow">{narrow}</div></div>'
        f"{_keys(comparison)}</section>\n"
    )


def _keys(comparison: Comparison) -> str:
    """What colours and shapes mean; only what the plot has."""
    rows = comparison.rows
    kinds: tuple[tuple[str, str, Callable[[Row], bool]], ...] = (
        ("own", "Spillway", lambda row: row.own),
        ("spill-queue", "spills over a queue limit", lambda row: row.spill == "queue"),
        ("spill-cap", "spills over a cap", lambda row: row.spill == "cap"),
        ("spill-hold", "holds, then spills", lambda row: row.spill == "hold"),
        ("spill-none", "another rule or none", lambda row: not row.own and row.spill not in SPILL_RULES),
    )
    shapes = (
        ("default", '<circle r="5.2"/>', "as it comes"),
        ("tuned", '<rect x="-5" y="-5" width="10" height="10" rx="1"/>', "tuned on the development traces"),
        ("oracle", '<path d="M0 -6.5 6.2 5 -6.2 5Z"/>', "tuned in hindsight"),
    )
    colours = [_key(f"mark {kind}", '<circle r="5.2"/>', text) for kind, text, has in kinds if any(map(has, rows))]
    tunings = {row.tuning for row in rows}
    drawn = [_key("mark", drawing, text) for tuning, drawing, text in shapes if tuning in tunings]
    drawn = drawn if len(drawn) > 1 else []
    if any(not row.held for row in rows):
        drawn.append(_key("mark missed", '<circle r="5.2"/>', "missed the SLO"))
    if some_cut_off(comparison):
        drawn.append(_key("mark", '<circle r="4"/><path class="arrow" d="M-4 -5 0 -9 4 -5"/>', "dearer than drawn"))
    return "".join(f'<ul class="keys">{"".join(keys)}</ul>' for keys in (colours, drawn) if keys)


def _key(kind: str, drawing: str, text: str) -> str:
    return f'<li><svg viewBox="-9 -9 18 18" aria-hidden="true"><g class="{kind}">{drawing}</g></svg>{text}</li>'


def _timelines(comparison: Comparison, timelines: Mapping[str, Any], warmup_s: Any) -> str:
    if not timelines:
        return ""
    order = [row.name for row in comparison.rows if row.name in timelines]
    order += [name for name in timelines if name not in order]
    held = [row.name for row in sorted(comparison.rows, key=lambda row: row.hindsight) if row.held]
    held = [name for name in held if name in timelines]
    own = [row.name for row in comparison.rows if row.own and row.name in timelines]
    first = next(iter(own or held), order[0])
    chosen = [first, *(name for name in [*held, *order] if name != first)][:BESIDE]
    data: dict[str, Any] = {"lines": {name: downsample(_named(timelines[name])) for name in order}, "chosen": chosen}
    if isinstance(warmup_s, int | float):
        data["scored_from_s"] = warmup_s
    picks = "".join(
        f'<label><span class="swatch"></span>{label}<select aria-label="{title}"></select></label>'
        for label, title in (("show", "Policy shown"), ("beside", "Second policy"), ("and", "Third policy"))
    )
    return (
        "<section><h2>Over time</h2>"
        '<p class="sub">Means over neighbouring moments, on one seed\'s requests. Point at a moment, or use the arrow '
        "keys, for its figures.</p>"
        f'<div class="choose">{picks}<output></output></div>'
        '<div class="lines" tabindex="0" role="group" aria-label="Time lines"><noscript>The time lines are drawn by '
        "this page's own script.</noscript></div>"
        f'<script id="timelines" type="application/json">{_embedded(data)}</script></section>\n'
    )


def _named(line: Mapping[str, Any]) -> dict[str, Any]:
    """The time line with its classes' short names."""
    names = short_names(line.get("arrived_per_s") or {})
    by_class = ("arrived_per_s", "hosted_per_s", "forecast")
    return {
        key: {names.get(name, name): each for name, each in value.items()} if key in by_class else value
        for key, value in line.items()
    }


def _embedded(data: Any) -> str:
    """JSON that can't end its own element."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _facts(comparison: Comparison, result: Mapping[str, Any]) -> str:
    found: dict[str, str] = {}
    if comparison.scenario:
        found["Scenario"] = escape(comparison.scenario)
    found |= {str(label): escape(str(text)) for label, text in (result.get("facts") or {}).items()}
    found |= {label: escape(text) for label, text in _known_facts(result)}
    for label, key in (("Requests, SHA-256", "requests_hash"), ("Made by", "command")):
        if result.get(key):
            found[label] = f"<code>{escape(str(result[key]))}</code>"
    if result.get("version"):
        found["Spillway"] = escape(str(result["version"]))
    if not found:
        return ""
    items = "".join(f"<dt>{escape(label)}</dt><dd>{text}</dd>" for label, text in found.items())
    return f'<section><h2>How it was made</h2><dl class="facts">{items}</dl></section>\n'


def _known_facts(result: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """What `spillway backtest` tells of its scenario."""
    warmup, duration = result.get("warmup_seconds"), result.get("duration_seconds")
    if isinstance(warmup, int | float) and isinstance(duration, int | float):
        yield "Span", f"{span(duration - warmup)} scored, after {span(warmup)} of warm-up"
    if seeds := result.get("seeds"):
        yield "Seeds", ", ".join(map(str, seeds))
    for policy, problem in (result.get("failed") or {}).items():
        yield f"Failed: {policy}", str(problem)
