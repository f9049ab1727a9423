"""Small builders for PromQL, so that one request carries many measures.

Every measure is tagged with the label ``spillway_metric`` and all are united with ``or``: one HTTP request then returns
what would else be one request per metric, and the number of requests never depends on how much there is to observe.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

TAG = "spillway_metric"

SAFE = "[bcdfghjklmnpqrstvwxz2456789]"
"""The alphabet of Kubernetes' generated name suffixes."""

WORKLOAD_PATTERN = f"(.*?)(-[0-9]+|(-{SAFE}{{6,10}})?-{SAFE}{{5}})"
"""Splits a pod's name into its workload's name and the generated suffix (Deployment, ReplicaSet or an ordinal)."""


@dataclass(frozen=True, slots=True)
class Term:
    """One measure of a united query."""

    tag: str
    expression: str


def quote(text: str) -> str:
    """``text`` as a PromQL string literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def window(seconds: float) -> str:
    """A PromQL duration in whole milliseconds."""
    return f"{max(1, round(seconds * 1000))}ms"


def matchers(conditions: Mapping[str, Sequence[str]]) -> str:
    """Matchers that a series must fulfil: for each label one of the values."""
    parts = []
    for label, values in sorted(conditions.items()):
        alternatives = "|".join(re.escape(value) for value in sorted(set(values)))
        parts.append(f"{label}=~{quote(alternatives)}")
    return ",".join(parts)


def selector(name: str, conditions: str = "") -> str:
    """An instant vector selector."""
    return f"{name}{{{conditions}}}" if conditions else name


def grouped(how: str, by: Iterable[str], expression: str) -> str:
    """``how by (...) (expression)``."""
    return f"{how} by ({','.join(by)}) ({expression})"


def first_of(expressions: Sequence[str]) -> str:
    """The first expression that has a value for a label set (aliases, best first)."""
    return " or ".join(expressions)


def with_workload(expression: str, pod_label: str) -> str:
    """Adds the label ``workload``, cut out of the pod's name; empty where the name follows no known pattern."""
    return f'label_replace({expression}, "workload", "$1", {quote(pod_label)}, {quote(WORKLOAD_PATTERN)})'


def _tagged(term: Term) -> str:
    return f'label_replace({term.expression}, "{TAG}", {quote(term.tag)}, "", "")'


def union(terms: Sequence[Term]) -> str:
    """All terms in one expression. Balanced, because the server hashes the left side again for each ``or``."""
    if len(terms) == 1:
        return _tagged(terms[0])
    middle = len(terms) // 2
    return f"({union(terms[:middle])}) or ({union(terms[middle:])})"
