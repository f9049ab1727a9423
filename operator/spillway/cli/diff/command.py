"""``spillway diff``: reads both sides, replays, reviews, prints."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from spillway.advise.review.limits import Limits, Verdict
from spillway.advise.review.objects import PlanPair, plan_pairs
from spillway.advise.review.review import PlanReview, Review, review_plan
from spillway.cli.diff.errors import InputError
from spillway.cli.diff.estimate import Estimate, estimate
from spillway.cli.diff.manifests import Side, side_of
from spillway.cli.diff.policy_file import load_limits
from spillway.cli.diff.sources import STDIN, Source, read_side
from spillway.report.diff.document import document
from spillway.report.diff.markdown import markdown
from spillway.report.diff.terminal import LEAST_WIDTH, WIDTH, terminal
from spillway.report.diff.textdiff import text_diff

EXIT_FAILED = 1
EXIT_POLICY = 3
TAG = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
SOURCES = ("traffic", "scenario", "prometheus_url")


def diff_command(base: str, head: str, asked: Mapping[str, Any]) -> int:
    """The command with its options by name; returns the exit status. Raises click.ClickException with one line."""
    _check_options(base, head, asked)
    _check_target(asked["to"])
    try:
        limits = load_limits(asked["policy"])
        before, after = (_side(name, given, asked) for name, given in (("BASE", base), ("HEAD", head)))
        pairs = _chosen(plan_pairs(before.objects, after.objects), asked["plan"], before, after)
    except InputError as error:
        raise click.ClickException(str(error)) from error
    review, problems = _review(pairs, before, after, limits, asked)
    texts = {p.pair.key: text_diff(p.pair.pairs, before.manifests, after.manifests) for p in review.plans}
    _write(review, texts, problems, asked)
    for key, problem in problems.items():
        click.echo(f"error: plan {key}: {problem}", err=True)
    return EXIT_FAILED if problems else _status(review, asked["fail_on"])


def _check_options(base: str, head: str, asked: Mapping[str, Any]) -> None:
    """An option without effect would mislead. Raises click.UsageError."""
    context = click.get_current_context()

    def named(name: str) -> bool:
        return context.get_parameter_source(name) is ParameterSource.COMMANDLINE

    if base == head == STDIN:
        raise click.UsageError("BASE and HEAD are both -: only one side can come from standard input")
    given = [f"--{name.replace('_', '-')}" for name in SOURCES if asked[name] is not None]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)}: give one source of traffic")
    for name, why in (("days", "a file says by itself how long it is"), ("config", "a file needs none")):
        if named(name) and asked["prometheus_url"] is None:
            raise click.UsageError(f"--{name} belongs to --prometheus-url; {why}")
    for name in ("seeds", "jobs"):
        if named(name) and not given:
            raise click.UsageError(f"--{name} belongs to a replay: give --traffic, --scenario or --prometheus-url")
    if named("tag") and asked["output"] != "markdown":
        raise click.UsageError("--tag belongs to -o markdown")
    if re.fullmatch(TAG, asked["tag"]) is None:
        raise click.UsageError(f"--tag {asked['tag']}: write letters, digits, dots and dashes, at most 63")


def _side(name: str, given: str, asked: Mapping[str, Any]) -> Side:
    source = read_side(name, given, asked["git_path"])
    side = side_of(name, source, asked["namespace"])
    if not side.objects.count:
        _empty(name, given, source)
    return side


def _empty(name: str, given: str, source: Source) -> None:
    """What failed before the pipe must not read as "delete everything". Raises InputError."""
    kinds = "CapacityPlan, CapacityLane or WorkloadClass"
    if given == STDIN:
        raise InputError(f"{name} -: no {kinds} arrived; did the command before the pipe fail?")
    if not source.may_be_empty:
        raise InputError(f"{name} {given}: holds no {kinds}; give what does, or {os.devnull} to compare with nothing")
    what = "there is no such path in that revision" if source.missing else f"holds no {kinds}"
    everything = "everything on the other side is new or gone"
    click.echo(f"warning: {name} {source.name}: {what}; {everything}", err=True)


def _chosen(pairs: tuple[PlanPair, ...], wanted: str | None, base: Side, head: Side) -> tuple[PlanPair, ...]:
    """Raises InputError: there is nothing to compare, or no such plan."""
    if not base.objects.count and not head.objects.count:
        raise InputError(
            f"neither {base.source} nor {head.source} holds a CapacityPlan, CapacityLane or WorkloadClass of "
            "spillway.dev; give the folder, file or path that does"
        )
    if wanted is None:
        return pairs
    found = tuple(pair for pair in pairs if pair.key == wanted)
    if not found:
        known = ", ".join(pair.key for pair in pairs if pair.key) or "none"
        raise InputError(f"--plan {wanted}: there is no such plan on either side; there are {known}")
    return found


def _review(
    pairs: tuple[PlanPair, ...], base: Side, head: Side, limits: Limits, asked: Mapping[str, Any]
) -> tuple[Review, dict[str, str]]:
    """The review, and what went wrong in replays, by plan."""
    plans: list[PlanReview] = []
    problems: dict[str, str] = {}
    classes = {*base.objects.classes, *head.objects.classes}
    for pair in pairs:
        if not pair.changed:
            continue
        elsewhere = frozenset(classes - {*pair.base.classes, *pair.head.classes})
        found = estimate(pair, base.of_plan(pair.base), head.of_plan(pair.head), {**asked, "elsewhere": elsewhere})
        if found.problem:
            problems[pair.key] = found.problem
        plans.append(review_plan(pair, found.effect, _why_not(found), limits, asked=_traffic(asked)))
    unchanged = tuple(pair.key for pair in pairs if not pair.changed and pair.key)
    return Review(tuple(plans), unchanged), problems


def _traffic(asked: Mapping[str, Any]) -> bool:
    return any(asked[name] is not None for name in SOURCES)


def _why_not(found: Estimate) -> str:
    if found.problem:
        return f"The replay failed: {found.problem}"
    return found.why_not


def _check_target(target: Path | None) -> None:
    """Raises click.ClickException: what is asked for now would be lost after a long replay."""
    if target is None:
        return
    folder = target.parent
    if not folder.is_dir():
        raise click.ClickException(f"--to {target}: there is no folder {folder}; make it, or name another file")
    if not os.access(target if target.exists() else folder, os.W_OK):
        raise click.ClickException(f"--to {target}: cannot be written: Permission denied; name another file")


def _write(review: Review, texts: Mapping[str, str], failed: Collection[str], asked: Mapping[str, Any]) -> None:
    target: Path | None = asked["to"]
    if asked["output"] == "json":
        text = json.dumps(document(review, texts, failed), indent=2, ensure_ascii=False) + "\n"
    elif asked["output"] == "markdown":
        text = markdown(review, texts, asked["tag"])
    else:
        colour = target is None and sys.stdout.isatty() and not asked["no_color"] and "NO_COLOR" not in os.environ
        text = terminal(review, colour=colour, width=_width(target))
    if target is None:
        click.echo(text, nl=False, color=True if asked["output"] == "table" else None)
        return
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        click.echo(text, nl=False)
        raise click.ClickException(
            f"--to {target}: cannot be written: {error.strerror}; it was printed instead"
        ) from error


def _width(target: Path | None) -> int:
    """As the terminal has it, within bounds; else 80 columns."""
    if target is not None or not sys.stdout.isatty():
        return WIDTH
    return min(WIDTH, max(LEAST_WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))


def _status(review: Review, fail_on: str) -> int:
    if fail_on == "never":
        return 0
    reached = {"warn": (Verdict.WARN, Verdict.FAIL), "fail": (Verdict.FAIL,)}[fail_on]
    return EXIT_POLICY if review.verdict in reached else 0
