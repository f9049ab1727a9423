"""Histories: what is asked for, how answers are merged, and that gaps stay gaps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway.observe import history as module
from spillway.observe.history import History, HistoryKey, Points, add, parse_matrix
from spillway.observe.prometheus import Evaluation

KEY: HistoryKey = ("vLLM/running", (("namespace", "ns"),))


def answer(when: Evaluation, *, upto: float = math.inf, key: HistoryKey = KEY) -> Points:
    """Prometheus' answer for a series whose value is its own time in seconds, modulo 1000."""
    assert when.start is not None
    times = np.arange(when.start, min(when.end, upto) + 0.1, when.step_seconds)
    return {key: (times, (times % 1000).astype(np.float32))}


def ask(history: History, now: float) -> Evaluation:
    when = history.next_request(now)
    assert when is not None
    return when


def test_it_is_full_at_first_and_incremental_afterwards() -> None:
    history = History(15, 480)
    first = ask(history, 10_007.0)
    assert (first.start, first.end, first.step_seconds) == (10_005 - 479 * 15, 10_005, 15)
    history.merge(answer(first))
    assert history.next_request(10_010.0) is None
    later = ask(history, 10_050.0)
    assert later.end == 10_050
    assert later.start == 10_005 - 4 * 15, "the newest points are read again: late scrapes change them"
    history.merge(answer(later))
    grid = history.grid
    assert grid is not None
    series = grid.to_series(grid.series[KEY])
    assert series is not None
    assert (series.start, series.end, len(series.values)) == (10_050 - 479 * 15, 10_050, 480)
    assert all(value == pytest.approx((series.start + 15 * n) % 1000) for n, value in enumerate(series.values))


def test_gaps_stay_gaps_and_a_series_begins_with_its_first_point() -> None:
    history = History(10, 6)
    when = ask(history, 100)
    times = np.array([70.0, 90.0])
    history.merge({KEY: (times, np.array([1.0, math.nan], dtype=np.float32))})
    assert when.start == 50
    grid = history.grid
    assert grid is not None
    series = grid.to_series(grid.series[KEY])
    assert series is not None
    assert series.start == 70
    assert series.values == (1.0, None, None, None)
    assert grid.to_series(grid.empty()) is None


def test_a_failed_read_leaves_a_gap_that_the_next_one_fills() -> None:
    history = History(15, 480)
    history.merge(answer(ask(history, 10_000)))
    ask(history, 10_100)
    history.failed(10_100, too_much=False)
    caught_up = ask(history, 10_200)
    assert caught_up.start is not None
    assert caught_up.start <= 9_990 + 15
    history.merge(answer(caught_up))
    grid = history.grid
    assert grid is not None
    assert np.isfinite(grid.series[KEY]).all()


def test_a_long_history_is_filled_in_pieces_when_the_whole_is_too_much() -> None:
    history = History(300, 4320)
    now, asked = 3_000_000.0, []
    whole = ask(history, now)
    assert whole.start == now - 4319 * 300
    history.failed(now, too_much=True)
    for _ in range(10):
        when = history.next_request(now)
        if when is None:
            break
        asked.append(when)
        history.merge(answer(when))
    assert len(asked) == 4, "a quarter of the points at a time, newest first"
    assert [a.end for a in asked] == sorted((a.end for a in asked), reverse=True)
    grid = history.grid
    assert grid is not None
    assert np.isfinite(grid.series[KEY]).all()


def test_a_server_that_cannot_give_the_past_is_left_alone_for_a_while_but_the_newest_is_asked_for() -> None:
    history = History(300, 4320)
    for _ in range(3):
        ask(history, 1_000_000)
        history.failed(1_000_000, too_much=True)
    newest = ask(history, 1_000_000)
    assert newest.start is not None
    assert newest.end - newest.start == (72 - 1) * 300
    history.merge(answer(newest))
    ask(history, 1_000_000)
    history.failed(1_000_000, too_much=True)
    assert history.next_request(1_000_000) is None
    assert ask(history, 1_000_200).end == 1_000_200, "new points are not held up"
    history.merge({})
    assert ask(history, 1_000_301).end < 1_000_000


def test_an_outage_does_not_make_it_ask_for_less() -> None:
    history = History(15, 480)
    for now in range(0, 300, 15):
        assert ask(history, 10_000 + now).end <= 10_000 + now
        history.failed(10_000 + now, too_much=False)
    when = ask(history, 10_300)
    assert when.start is not None
    assert (when.end - when.start) / 15 == 479


def test_series_that_left_the_window_are_forgotten() -> None:
    history = History(10, 10)
    history.merge(answer(ask(history, 1_000)))
    history.merge({})
    later = ask(history, 2_000)
    history.merge({})
    assert later.end == 2_000
    grid = history.grid
    assert grid is not None
    assert not grid.series


def test_a_clock_that_steps_back_starts_anew() -> None:
    history = History(10, 10)
    history.merge(answer(ask(history, 10_000)))
    assert ask(history, 5_000).end == 5_000


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_VALUES", 30)
    history = History(10, 10)
    when = ask(history, 1_000)
    history.merge({("t", (("pod", str(n)),)): next(iter(answer(when).values())) for n in range(5)})
    assert history.grid is not None
    assert len(history.grid.series) == 3
    assert history.truncated


def test_published_grids_do_not_change() -> None:
    history = History(10, 10)
    history.merge(answer(ask(history, 1_000)))
    before = history.grid
    assert before is not None
    copy = before.series[KEY].copy()
    history.merge(answer(ask(history, 1_050)))
    assert np.array_equal(before.series[KEY], copy)
    with pytest.raises(ValueError, match="read-only"):
        before.series[KEY][0] = 1


@given(
    ticks=st.lists(st.integers(0, 400), min_size=1, max_size=25),
    failures=st.sets(st.integers(0, 24), max_size=8),
)
def test_however_ticks_fall_the_window_is_right(ticks: list[int], failures: set[int]) -> None:
    history = History(10, 60)
    now = 50_000.0
    for number, gap in enumerate(ticks):
        now += gap
        if (when := history.next_request(now)) is None:
            continue
        if number in failures:
            history.failed(now, too_much=number % 2 == 0)
        else:
            history.merge(answer(when))
    if (grid := history.grid) is None:
        return
    for index, value in enumerate(grid.series[KEY]):
        if np.isfinite(value):
            assert value == pytest.approx((grid.start + index * 10) % 1000)
    if history.next_request(now) is None and not failures:
        assert np.isfinite(grid.series[KEY]).all()


def test_a_sum_is_known_where_any_part_is() -> None:
    left = np.array([1, math.nan, math.nan], dtype=np.float32)
    right = np.array([2, 5, math.nan], dtype=np.float32)
    total = add(left, right)
    assert total is not None
    assert total[:2].tolist() == [3, 5]
    assert math.isnan(total[2])
    assert add(None, None) is None
    assert add(None, right) is right


def test_a_matrix_is_parsed_and_nothing_else() -> None:
    raw = [{"metric": {"spillway_metric": "t", "a": "b"}, "values": [[10, "1.5"], [20, "NaN"], [30, "+Inf"]]}]
    times, values = parse_matrix(raw)["t", (("a", "b"),)]
    assert times.tolist() == [10, 20, 30]
    assert values[0] == 1.5
    assert np.isnan(values[1:]).all()
    with pytest.raises((TypeError, KeyError, ValueError)):
        parse_matrix([{"nonsense": 1}])
