"""`python -m spillway_dev tune`: the search for `NAME@tuned`, on the development scenarios."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from spillway.cli.backtest import RunProgress
from spillway.simulate.backtest.names import SCALERS, NameUnknownError, Spill, parse_names
from spillway.simulate.backtest.pool import WorkerLostError, cores
from spillway.simulate.backtest.runner import search
from spillway.simulate.backtest.session import Session
from spillway.simulate.backtest.store import Store
from spillway.simulate.baselines.catalogue import VARIANTS, BaselineError
from spillway.simulate.baselines.tuned import FILE, write_tuned
from spillway.simulate.scenario import ScenarioError, load_scenario

RULES = [str(rule) for rule in Spill]


@click.command()
@click.argument("scenarios", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--policy", "policies", multiple=True, default=("all@tuned",), help="Baselines; default: all.")
@click.option("--spill", multiple=True, type=click.Choice(RULES), default=RULES, help="Default: all three.")
@click.option("--seeds", type=click.IntRange(1, 100), default=1, show_default=True, help="Of each scenario's seeds.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Runs side by side. Default: one for each core.")
@click.option("--cache", type=click.Path(path_type=Path), default=".spillway-backtest", show_default=True)
@click.option(
    "--to", type=click.Path(path_type=Path), default=FILE, show_default=True, help="The file of tuned values."
)
def tune(
    scenarios: tuple[Path, ...],
    policies: tuple[str, ...],
    spill: tuple[str, ...],
    seeds: int,
    jobs: int | None,
    cache: Path,
    to: Path,
) -> None:
    """Find each baseline's best thresholds over all SCENARIOS together, and write them down as they are found."""
    try:
        rules = [Spill(part) for part in spill]
        names = [name for name in parse_names(policies, rules, (*SCALERS, *VARIANTS)) if name.spill is not None]
        loaded = [load_scenario(path) for path in scenarios]
        with ExitStack() as stack:
            listener = RunProgress()
            stack.callback(listener.stop)
            sessions = [
                stack.enter_context(Session(each, each.seeds[:seeds], jobs or cores(), Store(cache), listener))
                for each in loaded
            ]
            for name in names:
                assert name.spill is not None  # noqa: S101 - filtered above
                found = search(sessions, name.scaler, name.spill)
                if found is None:
                    listener.note(f"{name.scaler}+{name.spill}: cannot run in all scenarios; left out")
                    continue
                write_tuned({name.scaler: {str(name.spill): dict(found.parameters)}}, to)
                listener.note(f"{name.scaler}+{name.spill}: {dict(found.parameters) or 'its defaults'}")
    except (NameUnknownError, ScenarioError, BaselineError, WorkerLostError) as error:
        raise click.ClickException(str(error)) from error
