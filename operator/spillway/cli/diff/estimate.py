"""The effect of a change on one plan: both sides replayed, where there is traffic."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from spillway.advise.review.effect import Effect
from spillway.advise.review.objects import PlanPair
from spillway.report.diff.words import HOW_TO_ESTIMATE
from spillway.simulate.scenario.errors import ScenarioError

Manifests = Sequence[Mapping[str, Any]]
NUMBA_MISSING = "the simulator needs numba, which is not installed: pip install 'spillway[backtest]'"


@dataclass(frozen=True, slots=True)
class Estimate:
    """An effect, or why there is none."""

    effect: Effect | None = None
    why_not: str = ""
    """One sentence without a full stop, where none was to be had."""
    problem: str = ""
    """What went wrong, where one was asked for."""


def estimate(pair: PlanPair, base: Manifests, head: Manifests, asked: Mapping[str, Any]) -> Estimate:
    """Replays both sides of the plan, if traffic was given and the plan is on both sides."""
    if not pair.known:
        what = f"Plan {pair.key} is not in the manifests" if pair.key else "No plan of the manifests names these lanes"
        return Estimate(why_not=f"{what}; with its manifests the change could be estimated")
    if pair.base.plan is None or pair.head.plan is None:
        side = "head" if pair.base.plan is None else "base"
        return Estimate(why_not=f"The plan is on {side} alone: there is nothing to compare with")
    if all(asked[name] is None for name in ("traffic", "scenario", "prometheus_url")):
        return Estimate(why_not=HOW_TO_ESTIMATE)
    if find_spec("numba") is None:
        raise click.ClickException(NUMBA_MISSING)
    sides = import_module("spillway.simulate.sides")
    names = ("traffic", "scenario", "prometheus_url", "days", "config", "seeds", "jobs")
    try:
        return Estimate(sides.replay(base, head, sides.Ask(**{name: asked[name] for name in names}), _progress))
    except ScenarioError as error:
        return Estimate(problem=str(error))


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        click.echo(line, err=True)
