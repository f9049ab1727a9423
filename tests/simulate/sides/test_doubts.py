"""How doubts add up to a confidence."""

from __future__ import annotations

import pytest

from spillway.advise.review.effect import Band, Confidence
from spillway.simulate.sides.doubts import Doubt, of_days, of_interval, ranked


def test_without_doubts_confidence_is_high() -> None:
    assert ranked([]) == (Confidence.HIGH, ())


def test_the_worst_doubt_decides_and_stands_first_each_once() -> None:
    doubts = [
        Doubt("a", Confidence.HIGH),
        Doubt("b", Confidence.MEDIUM),
        Doubt("c", Confidence.LOW),
        Doubt("b", Confidence.MEDIUM),
        Doubt("d", Confidence.LOW),
    ]
    assert ranked(doubts) == (Confidence.LOW, ("c", "d", "b", "a"))


@pytest.mark.parametrize(
    ("days", "confidence", "says"),
    [
        (0.25, Confidence.LOW, "Only 6 hours of traffic"),
        (1.4, Confidence.LOW, "Only 33.6 hours"),
        (3.0, Confidence.MEDIUM, "3 days of traffic"),
        (10.0, Confidence.HIGH, "no whole weeks"),
        (7.0, Confidence.HIGH, ""),
        (13.8, Confidence.HIGH, ""),
    ],
)
def test_days(days: float, confidence: Confidence, says: str) -> None:
    found = of_days(days)
    assert ranked(found)[0] is confidence
    assert says in " ".join(doubt.text for doubt in found)
    assert bool(found) == bool(says)


@pytest.mark.parametrize(
    ("difference", "confidence", "says"),
    [
        (Band(-100, -110, -90), Confidence.HIGH, ""),
        (Band(-100, -140, -60), Confidence.MEDIUM, "Days differ much"),
        (Band(10, -80, 100), Confidence.LOW, "sign is open"),
        (Band(1, -20, 22), Confidence.HIGH, ""),
        (Band(0, 0, 0), Confidence.HIGH, ""),
        (Band(-100), Confidence.LOW, "A day or less tells nothing"),
    ],
)
def test_intervals_of_a_base_of_1000_dollars(difference: Band, confidence: Confidence, says: str) -> None:
    found = of_interval(difference, 1000.0)
    assert ranked(found)[0] is confidence
    assert bool(found) == bool(says)
    assert says in " ".join(doubt.text for doubt in found)
