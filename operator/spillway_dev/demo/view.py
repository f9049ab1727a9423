"""What the demo shows: a live screen on a terminal, plain lines elsewhere, and the summary's table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from spillway_dev.demo.samples import FIGURES, Sample
from spillway_dev.demo.summary import Result, Summary

BARS = " ▁▂▃▄▅▆▇█"
LABELS_WIDTH = 48
"""Columns that the screen needs beside its plots."""
HOURS = 24


def plot_width(console_width: int) -> int:
    """Columns of the plots on a console of that width."""
    return max(16, min(96, console_width - LABELS_WIDTH))


@dataclass(frozen=True, slots=True)
class Frame:
    """What does not change while the day runs. `static_gpus` is the constant fleet that hindsight would choose."""

    day_seconds: float
    static_gpus: int | None
    usd_per_gpu_hour: float
    kubeconfig: str
    plot_width: int = 72

    @property
    def static_usd_per_hour(self) -> float | None:
        """What that constant fleet costs."""
        return None if self.static_gpus is None else self.static_gpus * self.usd_per_gpu_hour

    def clock(self, at_s: float) -> str:
        """The time of the trace's day, such as "13:20"; "before" while the day has not begun."""
        if at_s < 0:
            return "before"
        minutes = int(at_s % self.day_seconds / self.day_seconds * HOURS * 60)
        return f"{minutes // 60:02d}:{minutes % 60:02d}"


def sparkline(values: Sequence[tuple[float, float]], span_s: tuple[float, float], width: int) -> str:
    """Bars over time: `values` are (second, value); each column is the mean of its share of `span_s`."""
    start, end = span_s
    columns: list[list[float]] = [[] for _ in range(width)]
    for at_s, value in values:
        if start <= at_s < end:
            columns[int((at_s - start) / (end - start) * width)].append(value)
    means = [sum(column) / len(column) if column else None for column in columns]
    top = max((mean for mean in means if mean is not None), default=0.0)
    return "".join(_bar(mean, top) for mean in _bridged(means))


def _bridged(means: list[float | None]) -> list[float | None]:
    """Columns between two samples take the earlier one's value."""
    last = max((index for index, mean in enumerate(means) if mean is not None), default=-1)
    bridged: list[float | None] = []
    for index, mean in enumerate(means):
        bridged.append(bridged[-1] if mean is None and bridged and index < last else mean)
    return bridged


def _bar(value: float | None, top: float) -> str:
    if value is None:
        return " "
    if top <= 0:
        return BARS[1]
    return BARS[max(1, round(value / top * (len(BARS) - 1)))]


def screen(samples: Sequence[Sample], frame: Frame) -> RenderableType:
    """The live screen."""
    if not samples:
        return Panel(Text("waiting for the first look"), title="Spillway demo")
    now = samples[-1]
    title = f"Spillway demo   {frame.clock(now.at_s)}   {max(0.0, now.at_s):.0f} of {frame.day_seconds:.0f} s"
    body = Group(_plots(samples, frame), Text(), _figures(now), Text(), _money(now, frame), Text(), _decision(now))
    return Panel(body, title=title, subtitle=f"KUBECONFIG={frame.kubeconfig}", padding=(1, 2))


def _plots(samples: Sequence[Sample], frame: Frame) -> Table:
    now, span = samples[-1], (0.0, frame.day_seconds)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(justify="right", min_width=16)
    table.add_column()
    recommended = "-" if now.recommended is None else str(now.recommended)
    rows = (
        ("demand", f"{now.requests_per_second:.0f} req/s", [s.requests_per_second for s in samples], "cyan"),
        ("replicas ready", f"{now.ready} ready, {now.starting} new", [float(s.ready) for s in samples], "green"),
        ("recommended", recommended, [float(s.recommended or 0) for s in samples], "blue"),
        ("spilled", f"{now.spilled_share:.0%}", [s.spilled_share for s in samples], "yellow"),
        ("GPU $/h", f"{now.gpu_usd_per_hour:.2f}", [s.gpu_usd_per_hour for s in samples], "magenta"),
    )
    for name, value, series, colour in rows:
        points = [(sample.at_s, each) for sample, each in zip(samples, series, strict=True)]
        table.add_row(name, value, Text(sparkline(points, span, frame.plot_width), style=colour))
    return table


def _figures(now: Sample) -> Text:
    shown = (f"{figure} {_ratio(now.utilization.get(figure))}" for figure in FIGURES)
    return Text("GPU utilization   " + "   ".join(shown))


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _money(now: Sample, frame: Frame) -> Text:
    spent = now.gpu_usd + now.hosted_usd
    text = f"spent ${spent:.2f} (GPU ${now.gpu_usd:.2f}, hosted ${now.hosted_usd:.2f})"
    if frame.static_usd_per_hour is not None:
        static = frame.static_usd_per_hour * max(0.0, min(now.at_s, frame.day_seconds)) / 3600.0
        text += f"   {frame.static_gpus} constant GPUs: ${static:.2f} so far, ${frame.static_usd_per_hour:.2f}/h"
    return Text(f"{text}   within SLO {'-' if now.attainment is None else f'{now.attainment:.2%}'}")


def _decision(now: Sample) -> Text:
    text = Text("last decision   ", style="bold")
    text.append(f"{now.reason}: " if now.reason else "", style="bold blue")
    text.append(now.message or "none yet", style="not bold")
    return text


def plain_line(now: Sample, frame: Frame) -> str:
    """One line of the plain form."""
    attainment = "-" if now.attainment is None else f"{now.attainment:.2%}"
    parts = (
        f"{now.at_s:4.0f}s {frame.clock(now.at_s)}",
        f"demand {now.requests_per_second:.0f}/s",
        f"replicas {now.replicas} ready {now.ready} recommended {'-' if now.recommended is None else now.recommended}",
        f"busy {_ratio(now.utilization.get('busy'))} load {_ratio(now.utilization.get('load'))}",
        f"spilled {now.spilled_share:.0%}",
        f"${now.gpu_usd + now.hosted_usd:.2f} (hosted ${now.hosted_usd:.2f})",
        f"within SLO {attainment}",
        f"{now.reason}: {now.message}" if now.reason else "no decision yet",
    )
    return " | ".join(parts)


def summary_table(summary: Summary) -> Table:
    """The summary, one way of serving a column."""
    results = [summary.spillway, *(each for each in (summary.static, summary.as_good) if each is not None)]
    names = ["Spillway"]
    if summary.static is not None:
        names.append(f"{summary.static.name}\nsmallest that holds the SLO")
    if summary.as_good is not None:
        names.append(f"{summary.as_good.name}\nsmallest that is as good as Spillway was")
    table = Table(title=f"One day of demand in {summary.day_seconds:.0f} s, the same requests for all")
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    for label, row in _rows(summary, results):
        table.add_row(label, *row)
    return table


def _rows(summary: Summary, results: Sequence[Result]) -> list[tuple[str, list[str]]]:
    target = f"{summary.target:.0%}"
    savings = ["", *(f"{summary.saving(each):+.0%}" for each in results[1:])]
    return [
        ("cost", [f"${each.usd:.2f}" for each in results]),
        ("  GPUs", [f"${each.gpu_usd:.2f}" for each in results]),
        ("  hosted API", [f"${each.hosted_usd:.2f}" for each in results]),
        ("Spillway saves", savings),
        ("mean $/h", [f"{each.usd / summary.day_seconds * 3600:.2f}" for each in results]),
        ("GPU hours", [f"{each.gpu_hours:.3f}" for each in results]),
        (f"requests within SLO ({target})", [f"{each.attainment:.2%}" for each in results]),
        (f"tokens within SLO ({target})", [f"{each.token_attainment:.2%}" for each in results]),
        ("SLO held", ["yes" if each.held else "NO" for each in results]),
        ("spilled tokens", [f"{each.spilled_token_share:.1%}" for each in results]),
        ("requests (failed)", [f"{each.requests} ({each.failed})" for each in results]),
    ]
