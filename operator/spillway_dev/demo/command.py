"""`python -m spillway_dev demo`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console
from rich.live import Live

from spillway_dev.demo.page import page
from spillway_dev.demo.samples import Sample, Sampler
from spillway_dev.demo.settings import (
    FLEET_CONFIG,
    LEAD_SECONDS,
    NAMESPACE,
    PAGE,
    PLAN,
    DemoError,
    DemoOptions,
)
from spillway_dev.demo.stack import DemoStack, Endpoints
from spillway_dev.demo.summary import Summary, summarise
from spillway_dev.demo.view import Frame, plain_line, plot_width, screen, summary_table
from spillway_dev.fleet.config import FleetConfig, FleetError, draw_requests, load_config
from spillway_dev.fleet.replay import StaticFleet, smallest_static
from spillway_dev.toolchain import ToolchainError, ensure_tools
from spillway_dev.toolchain_progress import build_progress

LOOK_SECONDS = 1.0
PLAN_EVERY = 2
PLAIN_EVERY = 5
DRAIN_SECONDS = 120.0
EXIT_INTERRUPTED = 130


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything up after the summary, with traffic, until Ctrl-C.")
@click.option(
    "--seconds",
    type=click.IntRange(120, 360),
    default=360,
    show_default=True,
    help="How long the day of demand takes. Shorter days change faster than real ones do.",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Seed of requests and service.")
@click.option(
    "--html",
    "page_file",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    default=PAGE,
    metavar="FILE",
    help="Where the summary's page goes. Default: .demo/summary.html in the repository.",
)
def demo(keep: bool, seconds: int, seed: int, page_file: Path) -> None:
    """A real trace's day of demand in minutes: real control plane, Prometheus and operator, simulated GPUs."""
    console = Console()
    try:
        with _signals_interrupt():
            _demo(DemoOptions(float(seconds), seed, keep, page_file), console)
    except (DemoError, FleetError, ToolchainError) as error:
        raise click.ClickException(f"demo: {error}") from error
    except KeyboardInterrupt:
        console.print("interrupted; everything is stopped")
        sys.exit(EXIT_INTERRUPTED)


def _demo(options: DemoOptions, console: Console) -> None:
    began = time.monotonic()

    def say(what: str) -> None:
        console.print(f"[{time.monotonic() - began:5.1f} s] {what}", markup=False, highlight=False)

    say("development tools (built once, then cached)")
    tools = ensure_tools(build_progress())
    config = load_config(FLEET_CONFIG).adjusted(options.seed, options.day_seconds)
    requests = draw_requests(config)
    with DemoStack(tools, options, config, requests, say) as stack:
        endpoints = stack.start()
        say(f"everything is up; kubeconfig: {endpoints.kubeconfig}")
        static = smallest_static(config, requests, -LEAD_SECONDS)
        samples = _watch_day(stack, endpoints, config, static, console)
        score = Sampler(endpoints, stack.control_plane, config.lanes[0].name).score()
        _report(summarise(config, requests, score, static), samples, config, options, console)
        if options.keep:
            _stay(stack, endpoints, console)
        say("stopping")
    say("everything is stopped")


def _watch_day(
    stack: DemoStack, endpoints: Endpoints, config: FleetConfig, static: StaticFleet | None, console: Console
) -> list[Sample]:
    """Show the day while it runs; returns what was seen."""
    lane = config.lanes[0]
    gpus = None if static is None else static.replicas * lane.gpus_per_replica
    frame = Frame(
        config.demand.day_seconds,
        gpus,
        lane.usd_per_gpu_hour,
        str(endpoints.kubeconfig),
        plot_width(console.width),
    )
    looks = _looks(stack, Sampler(endpoints, stack.control_plane, lane.name), config.demand.day_seconds)
    samples: list[Sample] = []
    if console.is_terminal and not os.environ.get("NO_COLOR"):
        with Live(screen(samples, frame), console=console, refresh_per_second=4) as live:
            for sample in looks:
                samples.append(sample)
                live.update(screen(samples, frame))
        return samples
    for number, sample in enumerate(looks):
        samples.append(sample)
        if number % PLAIN_EVERY == 0:
            click.echo(plain_line(sample, frame))
    return samples


def _looks(stack: DemoStack, sampler: Sampler, day_seconds: float) -> Iterator[Sample]:
    """A sample a second until the day is over and its last request has ended."""
    number = 0
    while True:
        stack.require()
        if number % PLAN_EVERY == 0:
            sampler.refresh_plan()
        sample = sampler.sample()
        yield sample
        if sample.finished or sample.at_s > day_seconds + DRAIN_SECONDS:
            return
        number += 1
        time.sleep(LOOK_SECONDS)


def _report(
    summary: Summary, samples: list[Sample], config: FleetConfig, options: DemoOptions, console: Console
) -> None:
    lane = config.lanes[0]
    console.print()
    console.print(summary_table(summary))
    console.print(summary.verdict(), highlight=False, soft_wrap=True)
    simulated = (
        "GPUs, engines and the hosted API are simulated; control plane, Prometheus, operator and trace are real."
    )
    paid = f"GPUs at ${lane.usd_per_gpu_hour}/h are paid from a pod's creation to its last answer."
    console.print(f"{simulated} {paid}", highlight=False, soft_wrap=True)
    facts = {
        "Trace": f"{config.demand.trace.name}, demand × {config.demand.demand_scale:g}",
        "Seed": str(options.seed),
        "Real and simulated": simulated,
        "Paid": paid,
    }
    try:
        options.page.parent.mkdir(parents=True, exist_ok=True)
        options.page.write_text(page(summary, samples, lane.name, facts), encoding="utf-8")
    except OSError as error:
        raise DemoError(f"the summary's page {options.page}: {error.strerror}; name another with --html") from error
    console.print(f"The same with plots: {options.page}", highlight=False, soft_wrap=True)


def _stay(stack: DemoStack, endpoints: Endpoints, console: Console) -> NoReturn:
    kubectl = stack.control_plane.tools.path("kubectl")
    lines = (
        "",
        "Left up; the day goes round. Ctrl-C stops everything. In another terminal:",
        f"  export KUBECONFIG={endpoints.kubeconfig}",
        f"  {kubectl} -n {NAMESPACE} get capacityplans,capacitylanes,workloadclasses -A",
        f"  {kubectl} -n {NAMESPACE} describe capacityplan {PLAN}",
        f"  Prometheus: {endpoints.prometheus}",
        f"  operator:   {endpoints.operator}/metrics",
        f"  fleet:      {endpoints.fleet}/score",
    )
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
    while True:
        stack.require()
        time.sleep(LOOK_SECONDS)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGINT end the demo in the same way, so that nothing is left behind.

    SIGINT as well: a shell that starts a job in the background has it ignored, and Python then keeps it so.
    """

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
