"""A proposal in plain words, at most 80 columns wide."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from decimal import Decimal

import click

from spillway.act.approval.patches import steps_of, words
from spillway.act.approval.read import Proposal
from spillway.act.approval.sound import key_of, named
from spillway.api.lanechange import LaneChange, LaneChangeSpec
from spillway.cli.approval.gitform import git_steps, kustomize_patch, snippet
from spillway.cli.output import WIDTH, Form

DAY_SECONDS = 86_400
HOUR_SECONDS = 3600


def plain(text: str) -> str:
    """One line without control characters: proposals are shown to a terminal before anybody trusts them."""
    return "".join(each for each in " ".join(text.split()) if each.isprintable())


def wrapped(text: str, indent: str = "", hang: str = "  ") -> str:
    """One paragraph; continued lines are indented by ``hang`` more."""
    return textwrap.fill(
        plain(text), WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent) + hang, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


COLOURS = {"red": ("incomplete", "not known", "not paused", "not resumed"), "yellow": ("dry run", "left", "left out")}
"""Of results; the others went well."""


def told(place: str, result: str, detail: str, form: Form) -> str:
    """One line on what came of it, the result in its colour; ``click.echo`` drops that where it is no terminal."""
    text = wrapped(": ".join(part for part in (place, result, detail) if part))
    if form.no_color or os.environ.get("NO_COLOR"):
        return text
    colour = next((colour for colour, words in COLOURS.items() if result in words), "green")
    return text.replace(f": {result}", f": {click.style(result, fg=colour)}", 1)


def effect_words(spec: LaneChangeSpec) -> str:
    """ "$1,204.50 a month less; 99.4% within the SLO; from 7.0 days of observation; an estimate"."""
    effect = spec.effect
    amount: Decimal = effect.usd_per_month
    money = f"${abs(amount):,.2f} a month {'less' if amount < 0 else 'more'}" if amount else "no change of the bill"
    attainment = (
        "SLO attainment after it not known"
        if effect.attainment_percent is None
        else f"{effect.attainment_percent}% expected within the SLO"
    )
    return f"{money}; {attainment}; estimated from {_length(effect.observed_seconds)}"


def _length(seconds: int) -> str:
    if seconds >= DAY_SECONDS:
        return f"{seconds / DAY_SECONDS:.1f} days"
    return f"{seconds / HOUR_SECONDS:.1f} hours"


def head(change: LaneChange) -> Iterator[str]:
    """What and why."""
    yield wrapped(f"LaneChange {change.metadata.key} ({change.spec.reason.value})")
    yield wrapped(change.spec.message, "  ", "")
    yield _labelled("Effect", effect_words(change.spec))
    yield _labelled("Expires", f"{change.spec.expires_at}; hash {change.spec.plan_hash}")


def _labelled(label: str, text: str) -> str:
    indent = f"  {label + ':':9}"
    return wrapped(text, indent, "")


def plan_of_writes(proposal: Proposal, user: str) -> Iterator[str]:
    """What approving does."""
    trackers = proposal.trackers()
    if proposal.approved_by is None:
        yield _labelled("Noted", f"approved by {user}")
    else:
        yield _labelled("Noted", f"approved by {proposal.approved_by} already")
    if trackers:
        yield "  Not written, for it would be undone:"
        for key, tracker in trackers.items():
            yield wrapped(f"{named(key)} comes from Git by {tracker.text}", "    ")
        yield "  To be written in Git:"
    else:
        yield f"  Written as {user}:"
    for change in proposal.open():
        yield wrapped(named(key_of(change)), "    ")
        for line in words(change):
            yield wrapped(line, "      ")


def for_git(proposal: Proposal) -> str:
    """The patches for Git, each as a kustomize patch and as plain YAML."""
    parts = []
    for change in proposal.open():
        key = key_of(change)
        item, steps = proposal.live[key], steps_of(change)
        parts.append(
            f"# {named(key)}: in a kustomization.yaml\n{kustomize_patch(key, git_steps(steps))}"
            f"# or in its manifest\n{snippet(key, item, steps)}"
        )
    return "---\n".join(parts)
