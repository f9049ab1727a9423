"""What is kept of a lane: time observed and no other, dollars as they add up, days and no more."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advise.structural.builders import BASIS, NOW, hours
from spillway.advise.structural.record import HOUR_SECONDS, KEPT_HOURS, Record, Sight, seen
from spillway.advise.structural.text import RecordError, from_text, to_text

SIGHTS = st.builds(
    Sight, st.integers(0, 6), st.booleans(), st.dictionaries(st.integers(0, 9), st.floats(-50, 50), max_size=4)
)
STEPS = st.lists(st.tuples(SIGHTS, st.floats(0, 4000)), max_size=40)


def test_percentiles_are_of_the_time_observed() -> None:
    record = hours([1] * 19 + [5])
    assert record.seconds == 20 * HOUR_SECONDS
    assert record.needed_for(Decimal("0.95")) == 1
    assert record.needed_for(Decimal("0.96")) == 5
    assert record.seconds_where(lambda n: n > 1) == HOUR_SECONDS
    assert record.days_where(lambda n: n > 1) == 1
    assert Record(BASIS).needed_for(Decimal("0.95")) == 0


def test_dollars_are_scaled_from_the_time_observed_to_a_month() -> None:
    record = seen(hours([1] * 9, {1: 6.0}), BASIS, Sight(3, used=True), NOW, HOUR_SECONDS)
    assert record.saved_a_month(1) == Decimal("5.4") * 730
    assert record.saved_a_month(2) == 0
    assert Record(BASIS).saved_a_month(1) == 0


def test_another_basis_begins_anew() -> None:
    record = seen(hours([4] * 5), "f" * 16, Sight(1, used=True), NOW, 15.0)
    assert (record.basis, record.seconds, record.needed_for(Decimal(1))) == ("f" * 16, 15, 1)


def test_a_gap_counts_nothing_and_old_hours_go() -> None:
    record = hours([2] * 10)
    assert seen(record, BASIS, Sight(9, used=True), NOW + 50 * HOUR_SECONDS, 0.0) == record
    later = seen(record, BASIS, Sight(2, used=True), NOW + (KEPT_HOURS - 5) * HOUR_SECONDS, 15.0)
    assert later.seconds == 5 * HOUR_SECONDS + 15


@given(STEPS)
def test_what_was_observed_adds_up(steps: list[tuple[Sight, float]]) -> None:
    record, at = Record(BASIS), NOW
    for sight, length in steps:
        at += length
        record = seen(record, BASIS, sight, at, length)
    total = sum(Decimal(str(round(length, 3))) for _, length in steps)
    assert record.seconds == total
    assert record.seconds_where(lambda _: True) == total
    assert 0 <= record.used_seconds <= total
    saved = sum(sight.saves_usd_per_hour.get(3, 0.0) * length / 3600 for sight, length in steps)
    if total:
        assert float(record.saved_a_month(3) * total / (730 * 3600)) == pytest.approx(saved, rel=1e-3, abs=1e-3)


@given(STEPS)
def test_a_text_gives_the_same_answers(steps: list[tuple[Sight, float]]) -> None:
    record, at = Record(BASIS), NOW
    for sight, length in steps:
        at += length
        record = seen(record, BASIS, sight, at, length)
    again = from_text(to_text({"gpu": record}, 10**6))["gpu"]
    assert (again.basis, again.seconds, again.used_seconds) == (record.basis, record.seconds, record.used_seconds)
    for bound in range(10):
        assert again.saved_a_month(bound) == record.saved_a_month(bound)
    for share in (Decimal("0.5"), Decimal("0.95"), Decimal(1)):
        assert again.needed_for(share) == record.needed_for(share)


def test_a_text_is_bounded_by_leaving_out_the_oldest_days() -> None:
    records = {name: hours([1, 2, 3, 4] * 60, {0: 1.0, 1: 2.0}) for name in ("gpu", "other")}
    whole = to_text(records, 10**7)
    short = to_text(records, len(whole) // 2)
    assert len(short) <= len(whole) // 2
    kept = from_text(short)
    assert {len(record.hours) for record in kept.values()} == {len(kept["gpu"].hours)}
    assert 0 < len(kept["gpu"].hours) < 240
    assert kept["gpu"].hours[-1] == records["gpu"].hours[-1]
    assert from_text(to_text(records, 10)) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version":2,"lanes":{}}',
        '{"version":1,"lanes":[]}',
        '{"version":1,"lanes":{"gpu":{"basis":"a","hours":[[1,"x","0",{},{}]]}}}',
        '{"version":1,"lanes":{"gpu":{"basis":"a","hours":[[1,"NaN","0",{},{}]]}}}',
        '{"version":1,"lanes":{"gpu":{"basis":"a","hours":[[1,"1"]]}}}',
    ],
)
def test_a_text_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RecordError):
        from_text(text)
