"""The effect of a change on one plan: both sides replayed, where there is traffic."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click

from spillway.advise.review.effect import Effect
from spillway.advise.review.objects import PlanPair
from spillway.report.diff.words import HOW_TO_ESTIMATE
from spillway.simulate.scenario.errors import ScenarioError

Manifests = Sequence[Mapping[str, Any]]
ASKED = ("traffic", "scenario", "prometheus_url", "days", "config", "seeds", "jobs", "elsewhere")


@dataclass(frozen=True, slots=True)
class Estimate:
    """An effect, or why there is none."""

    effect: Effect | None = None
    why_not: str = ""
    """One sentence without a full stop, where none was to be had."""
    problem: str = ""
    """What went wrong, where one was asked for."""


def estimate(pair: PlanPair, base: Manifests, head: Manifests, asked: Mapping[str, Any]) -> Estimate:
    """Replays both sides of the plan if traffic was given, and head alone of a plan that is new."""
    if not pair.known:
        what = f"Plan {pair.key} is not in the manifests" if pair.key else "No plan of the manifests names these lanes"
        return Estimate(why_not=f"{what}; with its manifests the change could be estimated")
    if pair.head.plan is None:
        why = "nothing is decided on its lanes any more, and what runs there goes on and is paid"
        return Estimate(why_not=f"The plan is on base alone: {why}")
    if all(asked[name] is None for name in ("traffic", "scenario", "prometheus_url")):
        return Estimate(why_not=HOW_TO_ESTIMATE)
    new = pair.base.plan is None
    try:
        return Estimate(_replayed(None if new else base, head, asked))
    except ScenarioError as error:
        if new:  # Of which there need not be any traffic yet.
            return Estimate(why_not=f"The plan is new, and a replay of it alone could not be done: {error}")
        return Estimate(problem=str(error))


def _replayed(base: Manifests | None, head: Manifests, asked: Mapping[str, Any]) -> Effect:
    """Raises ScenarioError."""
    from spillway.cli.diff.prices import pinned  # noqa: PLC0415 - the simulator is slow to import
    from spillway.cli.diff.sizes import measured  # noqa: PLC0415 - the same
    from spillway.simulate.sides import Ask, replay, replay_new  # noqa: PLC0415 - the same

    # One moment for both sides: a list price that changes must not look like the change under review.
    now = time.time()
    after = pinned(head, now)
    before = after if base is None else pinned(base, now)
    ask = Ask(**{name: asked[name] for name in ASKED}, measured=measured)
    if ask.prometheus_url is not None:
        from spillway.cli.diff.history import save  # noqa: PLC0415 - only where it is needed

        ask = replace(ask, scenario=save(ask, before))
    return replay_new(after, ask, _progress) if base is None else replay(before, after, ask, _progress)


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        click.echo(line, err=True)
