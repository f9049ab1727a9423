"""A change in plain words: one sentence for each field, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from spillway.advise.review.added import added, removed
from spillway.advise.review.consequences import Case, consequence, short_class
from spillway.advise.review.fields import Bearing, Severity, Unit, Words, words_of
from spillway.advise.review.objects import Pair, PlanPair
from spillway.advise.review.values import listed, percent_change, value_text
from spillway.advise.review.walk import Difference, differences, leaves
from spillway.api import CapacityLane, CapacityPlan, LaneType

LESS = {Severity.HIGH: Severity.MEDIUM, Severity.MEDIUM: Severity.LOW, Severity.LOW: Severity.LOW}
ORDER = (Severity.HIGH, Severity.MEDIUM, Severity.LOW)
OPPOSITE = {
    Bearing.LOOSENS: Bearing.TIGHTENS,
    Bearing.TIGHTENS: Bearing.LOOSENS,
    Bearing.NEUTRAL: Bearing.NEUTRAL,
}
MORE_MODELS = "equivalentModels"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changes."""

    kind: str
    key: str
    """namespace/name of the object."""
    subject: str
    """The object as people call it: "GPU lane gpu-h100"."""
    field: str
    """Its path from spec on; empty where the whole object comes or goes."""
    before: Any
    """As JSON; None: it was not there."""
    after: Any
    text: str
    """What changes and what follows, without the subject and without a full stop."""
    bearing: Bearing
    severity: Severity

    @property
    def sentence(self) -> str:
        """With its subject."""
        return f"{self.subject}: {self.text}"


def changes_of(pair: PlanPair) -> tuple[Change, ...]:
    """Everything that changes in a plan, the plan first, then lanes, then classes; nothing of a spec is left out."""
    return tuple(change for each in pair.pairs for change in _changes(each, pair))


def worst_first(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """By severity, else in their order."""
    return tuple(sorted(changes, key=lambda change: ORDER.index(change.severity)))


def _changes(each: Pair, pair: PlanPair) -> Iterator[Change]:
    subject = subject_of(each, pair)
    if each.before is None and each.after is not None:
        text, severity = added(each.after, pair)
        yield Change(each.kind, each.key, subject, "", None, "added", text, Bearing.NEUTRAL, severity)
    elif each.after is None and each.before is not None:
        yield Change(
            each.kind, each.key, subject, "", "there", None, removed(each.before, pair), Bearing.NEUTRAL, Severity.HIGH
        )
    elif each.before is not None and each.after is not None:
        for found in differences(each.before, each.after):
            yield _change(found, each, pair, subject)


def subject_of(each: Pair, pair: PlanPair) -> str:
    """The object as people call it."""
    resource = each.after or each.before
    namespace, _, name = each.key.partition("/")
    home = pair.key.partition("/")[0]
    short = name if namespace == home else each.key
    if isinstance(resource, CapacityPlan):
        return f"plan {each.key}"
    if isinstance(resource, CapacityLane):
        return f"{'GPU lane' if resource.spec.type is LaneType.SELF_HOSTED else 'hosted lane'} {short}"
    return f"class {short_class(each.key, pair)}"


def _change(found: Difference, each: Pair, pair: PlanPair, subject: str) -> Change:
    words = words_of(each.kind, found.node.pattern)
    bearing = _bearing(found, words)
    text = _text(found, words, each.kind)
    follows = consequence(Case(found, each, pair)) or words.notes.get(value_text(words, found.after), "")
    path = f"spec.{found.node.path}" if found.node.path else "spec"
    severity = LESS[words.level] if bearing is Bearing.TIGHTENS else words.level
    whole = f"{text}: {follows}" if follows else text
    return Change(each.kind, each.key, subject, path, found.before, found.after, whole, bearing, severity)


def _text(found: Difference, words: Words, kind: str) -> str:
    node, before, after = found.node, found.before, found.after
    prefix = ""
    if node.entry is not None and node.pattern != node.entry[0]:
        prefix = f"{words_of(kind, node.entry[0]).label} {node.entry[1]}: "
    label = f"{words.label} {_own_key(found)}".rstrip()
    if isinstance(before, list) or isinstance(after, list):
        return prefix + _list_text(label, before or [], after or [])
    if "properties" in found.schema or "additionalProperties" in found.schema:
        if before is None:
            return f"{prefix}{label} added{_details(found, kind, after)}"
        if after is None:
            return f"{prefix}{label} removed{_details(found, kind, before, was='was ')}"
    if node.pattern.endswith(".*"):
        label += ":"
    per = f" {words.per}" if words.per else ""
    change = percent_change(before, after) if words.unit in (Unit.USD, Unit.MS) else ""
    return f"{prefix}{label} {value_text(words, before)} -> {value_text(words, after)}{per}{change}"


def _own_key(found: Difference) -> str:
    """The key of an entry that comes, goes or is a value by itself."""
    node = found.node
    if node.entry is not None and node.pattern == node.entry[0]:
        return node.entry[1]
    return node.path.rpartition(".")[2] if node.pattern.endswith(".*") else ""


def _details(found: Difference, kind: str, value: Any, was: str = "") -> str:
    parts, outer = [], words_of(kind, found.node.pattern).label
    for node, leaf in leaves(found.node, found.schema, value):
        if node.entry is not None and found.node.entry == node.entry and leaf == node.entry[1]:
            continue
        words = words_of(kind, node.pattern)
        key = f" {node.path.rpartition('.')[2]}" if node.pattern.endswith(".*") else ""
        per = f" {words.per}" if words.per else ""
        label = words.label.removeprefix(f"{outer}: ")
        parts.append(f"{label}{key} {value_text(words, leaf)}{per}")
    return f" ({was}{', '.join(parts)})" if parts else ""


def _list_text(label: str, before: list[Any], after: list[Any]) -> str:
    news = [str(each) for each in after if each not in before]
    gone = [str(each) for each in before if each not in after]
    if not news and not gone:
        return f"{label}: order {listed(before)} -> {listed(after)}; the first is preferred"
    parts = [f"{listed(news)} added"] if news else []
    parts += [f"{listed(gone)} removed"] if gone else []
    now = f" (now {listed(after)})" if after else ""
    return f"{label}: {' and '.join(parts)}{now}"


def _bearing(found: Difference, words: Words) -> Bearing:
    before, after = found.before, found.after
    if found.node.pattern == MORE_MODELS:
        more, fewer = set(after) - set(before), set(before) - set(after)
        return Bearing.LOOSENS if more else Bearing.TIGHTENS if fewer else Bearing.NEUTRAL
    if words.binds and (before is None or after is None):
        return Bearing.TIGHTENS if before is None else Bearing.LOOSENS
    if words.order:
        old, new = (words.order.index(text) if (text := value_text(words, v)) in words.order else None
                    for v in (before, after))  # fmt: skip
        return Bearing.NEUTRAL if old is None or new is None else _by(new > old)
    if not words.looser or ((before is None or after is None) and not words.unbounded):
        return Bearing.NEUTRAL
    infinite = Decimal("Infinity")
    old_number = infinite if before is None else Decimal(str(before))
    new_number = infinite if after is None else Decimal(str(after))
    return _by((new_number > old_number) == (words.looser == "up"))


def _by(looser: bool) -> Bearing:
    return Bearing.LOOSENS if looser else Bearing.TIGHTENS
