"""A review as the comment of a pull request: a headline, tables, and folded details."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from spillway.advise.review.changes import Change, worst_first
from spillway.advise.review.fields import Bearing, Severity
from spillway.advise.review.limits import Verdict
from spillway.advise.review.review import PlanReview, Review
from spillway.report.diff.headline import headline
from spillway.report.diff.words import (
    certainty,
    class_rows,
    lane_rows,
    method,
    nothing_changes,
    objectives,
    policy_rows,
    shared_lanes,
    title,
)

MAX_CHARACTERS = 60_000
"""GitHub takes 65,536 in a comment."""
SHOWN_CHANGES = 12
FOLDED_CHANGES = 100
NESTED_FROM = 3
"""Changes of one object from which on they are told below its name."""
CUT = "\n\nThe rest is too long for a comment: run `spillway diff` for it.\n"
ICONS = {Verdict.PASS: "✅ pass", Verdict.WARN: "⚠️ warn", Verdict.FAIL: "❌ fail", Verdict.SKIP: "➖ not checked"}
SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#$~])")
WHAT_IT_IS = (
    "Written by `spillway diff`. A *lane* is a place where requests can be served: own GPUs, paid by the hour, or a "
    "hosted API, paid by the token. A *class* is a kind of traffic with its own objective. Spillway decides how many "
    "replicas the GPU lanes have and which share of the traffic goes to hosted lanes, as the *plan* says."
)


def tag_line(review: Review, tag: str) -> str:
    """The hidden first line, by which the comment is found again: it begins and ends alike whatever changes."""
    plans = ", ".join(plan.pair.key or "lanes without a plan" for plan in review.plans) or "no change"
    return f"<!-- spillway-diff: {plans} tag={tag} -->"


def markdown(review: Review, texts: Mapping[str, str], tag: str) -> str:
    """The whole comment; ``texts``: the text diff by plan key. What is too long for a comment is cut, and says so."""
    made = _markdown(review, texts, tag)
    if len(made) > MAX_CHARACTERS:
        made = _markdown(review, _shortened(texts, len(made) - MAX_CHARACTERS), tag)
    if len(made) > MAX_CHARACTERS:
        cut = _markdown(review, {}, tag)[: MAX_CHARACTERS - len(CUT) - 20].rsplit("\n", maxsplit=1)[0]
        made = f"{cut}\n{'</details>' * (cut.count('<details>') - cut.count('</details>'))}{CUT}"
    return made


def _shortened(texts: Mapping[str, str], over: int) -> dict[str, str]:
    """Text diffs cut in proportion to their length, by 1,000 characters more than is needed."""
    whole = sum(map(len, texts.values()))
    kept = max(0.0, 1 - (over + 1000) / whole) if whole else 0.0
    found = {}
    for key, text in texts.items():
        lines = text[: int(len(text) * kept)].splitlines(keepends=True)[:-1]
        left = text.count("\n") - len(lines)
        found[key] = "".join(lines) + f"... {left} more lines: run spillway diff for them\n"
    return found


def _markdown(review: Review, texts: Mapping[str, str], tag: str) -> str:
    lines = [tag_line(review, tag)]
    if not review.plans:
        lines += [f"### {escaped(nothing_changes(review))}", ""]
    for plan in review.plans:
        lines += [f"### {escaped(headline(plan))}", "", *_plan(plan, texts.get(plan.pair.key, ""))]
    if review.plans:
        lines.append(f"<sub>{WHAT_IT_IS}</sub>")
    return "\n".join(lines) + "\n"


def _plan(plan: PlanReview, text: str) -> Iterator[str]:
    effect = plan.effect
    if effect is not None:
        yield f"{_capital(title(plan))}: {escaped(certainty(effect))}."
    else:
        yield f"{_capital(title(plan))}: {escaped(plan.not_estimated)}."
    yield ""
    yield from _changes(plan.changes)
    if effect is not None:
        yield from _table(
            ("Lane", "Usage", "Change", "Monthly estimate"),
            [(row.lane, row.usage, row.change, row.monthly) for row in lane_rows(effect)],
            bold_last=True,
        )
        yield from _table(
            ("Class", "Objective", "Within objective", "SLO", "Served by hosted lanes", "Monthly estimate"),
            [(r.name, r.objective, r.attained, r.slo, r.hosted, r.monthly) for r in class_rows(plan)],
        )
        if shared := shared_lanes(plan):
            yield f"<sub>{escaped(_capital(shared))}.</sub>"
            yield ""
    rows = [(ICONS[verdict], name, words) for verdict, name, words in policy_rows(plan.policies)]
    yield from _table(("Result", "Policy", "Why"), rows)
    if text:
        yield from _folded("Text diff of the manifests", _fenced(text))
    if effect is not None:
        lines = [f"- {escaped(line)}" for line in method(effect)]
        lines += [f"- Objective of {escaped(line)}" for line in objectives(plan)]
        yield from _folded("How the estimate was made", lines)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _changes(changes: Sequence[Change]) -> Iterator[str]:
    ordered = worst_first(tuple(changes))
    if not ordered:
        return
    yield from _bullets(ordered[:SHOWN_CHANGES])
    yield ""
    if rest := ordered[SHOWN_CHANGES:]:
        listed = [*_bullets(rest[:FOLDED_CHANGES])]
        if left := len(rest[FOLDED_CHANGES:]):
            listed.append(f"- and {left} more: run `spillway diff` for them")
        yield from _folded(f"{len(rest)} more changes", listed)


def _bullets(changes: Sequence[Change]) -> Iterator[str]:
    """By object; one with several changes has them below it."""
    groups: dict[str, list[Change]] = {}
    for change in changes:
        groups.setdefault(change.subject, []).append(change)
    for subject, group in groups.items():
        name = f"**{escaped(subject)}**"
        if len(group) < NESTED_FROM:
            yield from (f"- {_mark(change)}{name}: {_told(change)}" for change in group)
        else:
            yield f"- {name}:"
            yield from (f"  - {_mark(change)}{_told(change)}" for change in group)


def _mark(change: Change) -> str:
    return "⚠️ " if change.severity is Severity.HIGH and change.bearing is not Bearing.TIGHTENS else ""


def _told(change: Change) -> str:
    way = "" if change.bearing is Bearing.NEUTRAL else f" *({change.bearing.value})*"
    return f"{escaped(change.text)}{way}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, bold_last: bool = False) -> Iterator[str]:
    if not rows:
        return
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for number, row in enumerate(rows, start=1):
        bold = bold_last and number == len(rows)
        cells = [f"**{escaped(cell)}**" if bold and cell else escaped(cell) for cell in row]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _folded(summary: str, lines: Sequence[str]) -> Iterator[str]:
    yield f"<details><summary>{summary}</summary>"
    yield ""
    yield from lines
    yield ""
    yield "</details>"
    yield ""


def _fenced(text: str) -> list[str]:
    """A fence that is longer than any in the text, so that nothing gets out of it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}diff", text.rstrip("\n"), fence]


def escaped(text: str) -> str:
    """Text that is nothing but text: manifests of a pull request are anybody's, and must neither format nor mention."""
    plain = " ".join(text.split()).replace(" -> ", " → ").replace("@", "@\u200b")
    return SPECIAL.sub(r"\\\1", plain)
