"""What is not known, and how much confidence each of it leaves.

An estimate is of high confidence unless a doubt says otherwise; it is as good as its worst doubt allows. The rules:

- low: under a day and a half of traffic; more than 2% of it of classes that no plan has; an interval that leaves the
  sign open although a month's bill may move by more than 5%; a lane on a new GPU type with the profile of the one
  before; a class without traffic, or one that only the base has; a plan of which the traffic can't tell what it
  changes (its mode).
- medium: under six days; service that is declared and was not learned from the lane's own engines, or measured
  elsewhere; latency, start-up, cache or queues assumed; batches beyond what was measured or seen on the base's side;
  requests over a ceiling; an interval wider than a quarter of the difference; a plan that doesn't apply its
  decisions by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spillway.advise.review.effect import Band, Confidence
from spillway.advise.review.words import length

ORDER = (Confidence.LOW, Confidence.MEDIUM, Confidence.HIGH)
FEW_DAYS, TOO_FEW_DAYS, WEEK = 6.0, 1.5, 7.0
BOTH = " on both sides"
"""Behind what is said of base and head alike: where there is no base it is left out."""
OPEN_SHARE = 0.05
"""Of the base's bill: an interval about 0 that is wider leaves open whether the change saves or costs."""
LEAST_BLOCKS = 2
"""Days and seeds that an interval needs."""
WIDE_SHARE = 0.25
"""Of the difference: half an interval that is wider makes the estimate one of the order of magnitude."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """One sentence, and the most confidence that it leaves."""

    text: str
    most: Confidence = Confidence.MEDIUM


def ranked(doubts: Iterable[Doubt]) -> tuple[Confidence, tuple[str, ...]]:
    """The confidence that all doubts leave, and their sentences, worst first; each once."""
    ordered = sorted(dict.fromkeys(doubts), key=lambda doubt: ORDER.index(doubt.most))
    most = ordered[0].most if ordered else Confidence.HIGH
    return most, tuple(dict.fromkeys(doubt.text for doubt in ordered))


def of_days(days: float) -> list[Doubt]:
    """How much traffic there is."""
    if days < TOO_FEW_DAYS:
        return [Doubt(f"Only {length(days)} of traffic were replayed: other days may differ much.", Confidence.LOW)]
    if days < FEW_DAYS:
        return [Doubt(f"{length(days)} of traffic were replayed: weekdays and weekends may differ from them.")]
    if abs(days / WEEK - round(days / WEEK)) * WEEK > 0.5:
        text = f"{length(days)} of traffic are no whole weeks: a month has weekdays and weekends in another proportion."
        return [Doubt(text, Confidence.HIGH)]
    return []


def of_interval(difference: Band, base_usd: float) -> list[Doubt]:
    """How far days differ in what the change does."""
    if difference.low is None or difference.high is None:
        return [
            Doubt("A day or less tells nothing of how days differ: the difference has no interval.", Confidence.LOW)
        ]
    half = (difference.high - difference.low) / 2
    if half <= OPEN_SHARE * abs(base_usd) and difference.low <= 0.0 <= difference.high:
        return []  # that it hardly changes anything is sure
    if difference.low < 0.0 < difference.high:
        return [Doubt("Whether it saves or costs differs from day to day: the sign is open.", Confidence.LOW)]
    if half > WIDE_SHARE * abs(difference.value):
        return [Doubt("Days differ much in what the change brings: see the interval.")]
    return []
