"""Names of policies as a user writes them: ``NAME[@tuned|@oracle][+queue|+cap|+hold]``.

A plain baseline spills by queue; with a suffix it is the same scaler with another spill rule. Tuning and spill rule may
come in either order; the result has the tuning first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

SPILLWAY = "spillway"
API_ONLY = "api-only"
STATIC_BEST, CRON_BEST = "static-best", "cron-best"
HINDSIGHT = (STATIC_BEST, CRON_BEST)
"""The best schedule of a kind on the scored window; searched, not tuned."""
REPLAY = "clairvoyant-replay"
SCALERS = (
    "hpa",
    "keda-queue",
    "keda-slo",
    "wva-saturation",
    "wva-model",
    "aibrix-apa",
    "aibrix-kpa",
    "dynamo-sla",
    "dynamo-load",
    "knative-kpa",
    "static-peak",
)
"""Baselines that are combined with a spill rule."""
VARIANTS = (
    "spillway-oracle-forecast",
    "spillway-oracle-service",
    "spillway-oracle-both",
    "spillway-no-spill",
    "spillway-no-hold",
    "spillway-no-cap",
    "spillway-no-learning",
    "spillway-no-learning-x2",
    "spillway-no-learning-x0.5",
    "spillway-prior-x2",
    "spillway-prior-x0.5",
    "spillway-no-prior",
)
"""Spillway with something taken away or given (`spillway.simulate.spillway.variants`); not in ``all``."""
NAMES = (SPILLWAY, *SCALERS, *HINDSIGHT, API_ONLY)
ALL = "all"


class Spill(StrEnum):
    """How a baseline's overflow leaves own GPUs."""

    QUEUE = "queue"
    CAP = "cap"
    HOLD = "hold"


class Tuning(StrEnum):
    """Where a baseline's thresholds come from."""

    DEFAULT = "default"
    TUNED = "tuned"
    """By a grid search on the development traces."""
    ORACLE = "oracle"
    """By the same search in hindsight on the scored window."""


class NameUnknownError(ValueError):
    """A policy name that nobody knows; one line."""


@dataclass(frozen=True, slots=True)
class PolicyName:
    """One policy of a backtest."""

    scaler: str
    tuning: Tuning = Tuning.DEFAULT
    spill: Spill | None = None
    """None: the policy has its own rule, or none."""

    @property
    def text(self) -> str:
        """The name in the result: queue overflow goes without saying."""
        tuning = "" if self.tuning is Tuning.DEFAULT else f"@{self.tuning}"
        spill = "" if self.spill in (None, Spill.QUEUE) else f"+{self.spill}"
        return f"{self.scaler}{tuning}{spill}"


def is_spillway(scaler: str) -> bool:
    """Whether it is Spillway or a variant of it."""
    return scaler == SPILLWAY or scaler in VARIANTS


def parse_names(texts: Sequence[str], spills: Sequence[Spill], known: Sequence[str] = SCALERS) -> list[PolicyName]:
    """The policies that a user asks for, in that order, each once.

    `spills` are the rules for baselines without a suffix, `known` the baselines that exist. ``all`` is every name of
    `NAMES` and the replay; ``all@tuned`` and ``all@oracle`` are every baseline, tuned. Raises NameUnknownError.
    """
    found: dict[PolicyName, None] = {}
    for text in (part.strip() for joined in texts for part in joined.split(",")):
        if text:
            for name in _parse(text, spills, known):
                found[name] = None
    if not found:
        raise NameUnknownError(f"--policy: name one policy or more: {', '.join(NAMES)}, or {ALL}")
    return list(found)


def _parse(text: str, spills: Sequence[Spill], known: Sequence[str]) -> list[PolicyName]:
    base, *suffixes = re.split(r"(?=[@+])", text)
    tuning: Tuning | None = None
    spill: Spill | None = None
    for suffix in suffixes:
        if suffix[0] == "@" and tuning is None and suffix[1:] in (Tuning.TUNED, Tuning.ORACLE):
            tuning = Tuning(suffix[1:])
        elif suffix[0] == "+" and spill is None and suffix[1:] in tuple(Spill):
            spill = Spill(suffix[1:])
        else:
            raise NameUnknownError(
                f"policy {text!r}: {suffix!r} is not understood; after the name come @tuned or @oracle, "
                "and +queue, +cap or +hold"
            )
    if base == ALL:
        whole = SCALERS if tuning else (*NAMES, REPLAY)
        return [name for each in whole for name in _combine(each, tuning, spill, spills, known)]
    if base not in (*NAMES, *VARIANTS, REPLAY) and base not in known:
        raise NameUnknownError(f"policy {base!r} is unknown; known: {', '.join((*NAMES, REPLAY, *VARIANTS))}, or {ALL}")
    return _combine(base, tuning, spill, spills, known, asked=text)


def _combine(
    base: str,
    tuning: Tuning | None,
    spill: Spill | None,
    spills: Sequence[Spill],
    known: Sequence[str],
    asked: str = "",
) -> list[PolicyName]:
    plain = PolicyName(base, tuning or Tuning.DEFAULT)
    if base not in known and base not in SCALERS:
        if asked and (tuning or spill):
            raise NameUnknownError(f"policy {asked!r}: {base} has nothing to tune and no spill rule to choose")
        return [replace(plain, tuning=Tuning.DEFAULT)]
    return [replace(plain, spill=rule) for rule in ((spill,) if spill else spills)]
