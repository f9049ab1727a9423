"""What is kept of a lane: time observed and no other, dollars as they add up, days and no more."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advise.structural.builders import BASIS, NOW, hours
from spillway.advise.structural.record import (
    HOUR_SECONDS,
    KEPT_HOURS,
    MICRO,
    MONTH_SECONDS,
    Record,
    Sight,
    seen,
)
from spillway.advise.structural.text import RecordError, from_text, share_out, to_text, written
from spillway.config import ProposalsConfig

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


def test_the_longest_observation_is_reached_over_gaps() -> None:
    longest = next(each.le for each in ProposalsConfig.model_fields["observe_seconds"].metadata if hasattr(each, "le"))
    record = None
    for hour in range(40 * 24):
        minutes = 60 if hour % 24 else 30  # half an hour of each day is lost
        record = seen(record, BASIS, Sight(1, used=True), NOW + hour * HOUR_SECONDS, minutes * 60.0)
    assert record is not None
    assert record.seconds >= longest


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
    half_a_micro = len(record.hours) * MONTH_SECONDS / (record.seconds or 1) / 2_000_000 + MICRO
    for bound in range(10):
        assert abs(again.saved_a_month(bound) - record.saved_a_month(bound)) <= half_a_micro
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


def test_what_was_cut_is_told() -> None:
    records = {"gpu": hours([1] * 100, {0: 1.0}), "other": hours([2] * 10)}
    whole = written(records, 10**7)
    assert (whole.first, whole.kept(records["gpu"])) == (0, 100 * HOUR_SECONDS)
    short = written(records, len(whole.text) - 1)
    kept = from_text(short.text)
    assert len(kept["gpu"].hours) == 99, "no more than has to go"
    assert short.kept(records["gpu"]) == kept["gpu"].seconds
    assert short.kept(records["other"]) == 10 * HOUR_SECONDS
    none = written(records, 10)
    assert from_text(none.text) == {}
    assert none.kept(records["gpu"]) == 0


@given(st.dictionaries(st.text("ab", min_size=1, max_size=4), st.integers(0, 40), max_size=6), st.integers(600, 9000))
def test_room_is_shared_by_need(lengths: dict[str, int], most: int) -> None:
    books = {key: {"gpu": hours([1] * length, {0: 1.0})} for key, length in lengths.items()}
    found = share_out(books, most)
    assert found.keys() == books.keys()
    assert sum(2 * len(key) + len(page.text) for key, page in found.items()) <= most
    sizes = {key: len(to_text(book, 10**7)) for key, book in books.items()}
    cut = [key for key, page in found.items() if len(page.text) < sizes[key]]
    if sum(sizes.values()) + len(sizes) * 24 <= most:
        assert cut == []
    for key in cut:
        assert len(found[key].text) + 80 >= most // len(books) - 24, "never less than an equal share, but for an hour"


def test_plans_with_nothing_to_say_take_nothing_from_others() -> None:
    large = {"gpu": hours([1, 2, 3] * 100, dict.fromkeys(range(8), 1.0))}
    most = len(to_text(large, 10**7)) + 100 * 200
    books = {"large": large} | {f"small-{number:02}": {"gpu": hours([1])} for number in range(100)}
    assert all(page.first == 0 for page in share_out(books, most).values())


def test_a_lane_with_many_bounds_takes_little() -> None:
    wide = hours([1] * 72, {n: -1.234567891 * n for n in range(32)})
    assert len(to_text({"gpu": wide}, 10**7)) < 30_000, "of 900 kB for all; 49 kB as the release before wrote it"


def test_what_the_release_before_has_written_is_read() -> None:
    text = (
        '{"version":1,"lanes":{"gpu":{"basis":"6f1c0d2e9a3b4c5d","hours":['
        '[500000,"3600","1800.5",{"1":"3000","2":"600"},{"0":"1.5","3":"-0.25"}],[500001,"15","0",{"0":"15"},{}]]}}}'
    )
    record = from_text(text)["gpu"]
    assert (record.basis, record.seconds, record.used_seconds) == (BASIS, 3615, Decimal("1800.5"))
    assert record.hours[0].saved == {0: Decimal("1.5"), 3: Decimal("-0.25")}
    again = to_text({"gpu": record}, 10**6)
    assert '"version":2' in again
    assert from_text(again)["gpu"] == record


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version":3,"lanes":{}}',
        '{"version":"1","lanes":{}}',
        '{"version":[],"lanes":{}}',
        '{"version":1,"lanes":[]}',
        '{"version":2,"lanes":[]}',
        '{"version":2,"lanes":{"gpu":{"basis":"a","hours":[[1,"1","0",{},[]]]}}}',
        '{"version":2,"lanes":{"gpu":{"basis":"a","bounds":[1],"hours":[[1,"1","0",{},[]]]}}}',
        '{"version":2,"lanes":{"gpu":{"basis":"a","bounds":[1],"hours":[[1,"1","0",{},["x"]]]}}}',
        '{"version":2,"lanes":{"gpu":{"basis":"a","bounds":[1],"hours":[[1,"1","0",{},[Infinity]]]}}}',
        '{"version":2,"lanes":{"gpu":{"basis":"a","bounds":[1],"hours":[[1,"NaN","0",{},[1]]]}}}',
        '{"version":1,"lanes":{"gpu":{"basis":"a","hours":[[1,"x","0",{},{}]]}}}',
        '{"version":1,"lanes":{"gpu":{"basis":"a","hours":[[1,"NaN","0",{},{}]]}}}',
        '{"version":1,"lanes":{"gpu":{"basis":"a","hours":[[1,"1"]]}}}',
    ],
)
def test_a_text_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RecordError):
        from_text(text)
