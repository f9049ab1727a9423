"""Accounts by class and team: every dollar once, whatever restarts; what can't be told apart is nobody's alone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway.decide.snapshot import TokenPrice
from spillway.observe.accounts import (
    FORGOTTEN_SECONDS,
    GAP_SECONDS,
    KEPT,
    MOST_TEAMS,
    OTHER_TEAMS,
    Accounts,
    OwnRate,
    spending,
    with_own,
)
from spillway.observe.ledger import Counted, Ledger, LedgerError, entered, from_text, opened, to_text

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
DAY, MONTH = date(2026, 11, 23), date(2026, 11, 1)
PRICE = TokenPrice(Decimal(1), Decimal(1), Decimal(1), "contract")
CHAT, AGENTS = "team-a/chat", "team-a/agents"


def tokens(million: float, *classes: str, team: str = "", series: str = "a") -> Counted:
    """Cumulative; a million tokens is a dollar."""
    return Counted(series, "ai/hosted", (), {"input_tokens": million * 1e6}, PRICE, "ai/main", classes or (CHAT,), team)


def begun() -> Ledger:
    return opened([], NOW)


def hosted(ledger: Ledger, key: str = CHAT, now: float = NOW) -> Decimal:
    return spending(ledger.accounts, key, now).hosted_months.get(MONTH, Decimal(0))


def test_hosted_dollars_by_class_and_team() -> None:
    counted = [tokens(3, team="growth"), tokens(2, team="search", series="b"), tokens(4, AGENTS, series="c")]
    ledger = entered(begun(), counted, NOW)
    found = spending(ledger.accounts, CHAT, NOW)
    assert (found.hosted_days, found.hosted_months) == ({DAY: Decimal(5)}, {MONTH: Decimal(5)})
    assert found.teams == {"growth": 3, "search": 2}
    assert hosted(ledger, AGENTS) == 4
    again = entered(ledger, counted, NOW + 15)
    assert again.accounts == ledger.accounts, "nothing twice"


def test_what_may_be_two_classes_is_neithers_and_told() -> None:
    ledger = entered(begun(), [tokens(3, CHAT, AGENTS), tokens(1, series="b")], NOW)
    found = spending(ledger.accounts, CHAT, NOW)
    assert (found.hosted_months[MONTH], found.shared, found.shared_with) == (1, 3, (AGENTS,))
    assert spending(ledger.accounts, AGENTS, NOW).shared_with == (CHAT,)
    assert spending(ledger.accounts, "team-a/other", NOW).shared == 0
    none = entered(ledger, [replace(tokens(9, series="c"), classes=())], NOW)
    assert none.accounts == ledger.accounts, "no class may go there"


def test_own_dollars_are_the_rate_over_time() -> None:
    accounts = with_own(Accounts(NOW), [OwnRate(CHAT, 3.6)], NOW)
    assert spending(accounts, CHAT, NOW).own_months == {}, "it begins"
    for tick in range(1, 5):
        accounts = with_own(accounts, [OwnRate(CHAT, 3.6, "growth")], NOW + 15 * tick)
    found = spending(accounts, CHAT, NOW + 60)
    assert (found.own_days, found.own_months) == ({DAY: Decimal("0.06")}, {MONTH: Decimal("0.06")})
    assert found.teams == {"growth": Decimal("0.06")}
    assert (found.own_known, found.unseen_seconds) == (True, 0)
    assert not spending(accounts, AGENTS, NOW).own_known


def test_a_short_gap_is_counted_once_and_a_long_one_is_told() -> None:
    accounts = with_own(Accounts(NOW), [OwnRate(CHAT, 3.6)], NOW)
    blind = with_own(accounts, [OwnRate(CHAT, None)], NOW + 600)
    assert blind == accounts
    short = with_own(blind, [OwnRate(CHAT, 3.6)], NOW + GAP_SECONDS)
    assert spending(short, CHAT, NOW).own_months[MONTH] == Decimal("0.9")
    assert with_own(short, [OwnRate(CHAT, 3.6)], NOW + GAP_SECONDS) == short
    waiting = spending(accounts, CHAT, NOW + 5000)
    assert waiting.unseen_seconds == 5000
    late = with_own(accounts, [OwnRate(CHAT, 3.6)], NOW + 5000)
    found = spending(late, CHAT, NOW + 5000)
    assert (found.own_months, found.unseen_seconds) == ({}, 5000)


def test_a_gap_over_the_months_end_is_this_months_from_its_beginning() -> None:
    first = datetime(2026, 12, 1, 1, tzinfo=UTC).timestamp()
    accounts = with_own(Accounts(NOW), [OwnRate(CHAT, 3.6)], NOW)
    assert spending(accounts, CHAT, first).unseen_seconds == 3600
    assert spending(with_own(accounts, [OwnRate(CHAT, 3.6)], first), CHAT, first).unseen_seconds == 3600


def test_a_clock_that_goes_back_takes_nothing() -> None:
    accounts = with_own(Accounts(NOW), [OwnRate(CHAT, 3.6)], NOW)
    back = with_own(accounts, [OwnRate(CHAT, 3.6)], NOW - 100)
    assert back == accounts


def test_a_restart_loses_nothing_of_either() -> None:
    """What was written last is gone on from: counters by what they grew, rates by the time since."""
    ledger = entered(begun(), [tokens(1, team="growth")], NOW)
    ledger = replace(ledger, accounts=with_own(ledger.accounts, [OwnRate(CHAT, 3.6)], NOW))
    back = from_text(to_text(ledger))
    assert back == ledger
    later = entered(back, [tokens(4, team="growth")], NOW + 60)
    found = spending(with_own(later.accounts, [OwnRate(CHAT, 3.6)], NOW + 60), CHAT, NOW + 60)
    assert (found.hosted_months[MONTH], found.own_months[MONTH]) == (4, Decimal("0.06"))
    assert found.teams == {"growth": 4, "": Decimal("0.06")}, "own GPUs don't know teams"


def test_days_months_and_teams_end() -> None:
    ledger = begun()
    for day in range(120):
        ledger = entered(ledger, [tokens(1 + day, team="growth")], NOW + 86_400.0 * day)
    lines = ledger.accounts.lines
    assert {kind: len(periods) for kind, periods in lines.items()} == KEPT
    assert sorted(lines["month"]) == ["2026-12", "2027-01", "2027-02", "2027-03"]
    assert hosted(ledger, now=ledger.at) == 0
    found = spending(ledger.accounts, CHAT, ledger.at)
    assert found.hosted_months[date(2027, 2, 1)] == 28
    assert found.hosted_days[date(2027, 3, 22)] == 1
    gone = with_own(ledger.accounts, [OwnRate(CHAT, 1.0)], ledger.at)
    assert with_own(gone, [], ledger.at + FORGOTTEN_SECONDS + 1).own_at == {}


def test_teams_are_bounded_but_for_those_with_caps() -> None:
    many = [tokens(1, team=f"team-{number:03}", series=str(number)) for number in range(MOST_TEAMS + 20)]
    capped = tokens(1, team="growth", series="capped")
    ledger = entered(begun(), [*many, capped], NOW, {CHAT: frozenset({"growth"})})
    found = spending(ledger.accounts, CHAT, NOW)
    assert len(found.teams) == MOST_TEAMS + 2
    assert (found.teams["growth"], found.teams[OTHER_TEAMS]) == (1, 20)
    assert sum(found.teams.values()) == found.hosted_months[MONTH]


def test_a_ledger_of_before_is_read_and_its_accounts_begin_with_it() -> None:
    ledger = entered(begun(), [tokens(5)], NOW)
    document = json.loads(to_text(ledger))
    del document["accounts"]
    old = from_text(json.dumps(document))
    assert (old.amounts, old.seen, old.accounts) == (ledger.amounts, ledger.seen, Accounts(NOW))
    assert hosted(entered(old, [tokens(7)], NOW + 30)) == 2


@pytest.mark.parametrize(
    "accounts", [[], {}, {"since": 1, "lines": [], "ownAt": {}}, {"since": 1, "lines": {"day": 3}}]
)
def test_what_is_no_account(accounts: Any) -> None:
    document = json.loads(to_text(begun())) | {"accounts": accounts}
    with pytest.raises(LedgerError, match="not a ledger"):
        from_text(json.dumps(document))


@given(st.lists(st.tuples(st.floats(0, 1e3), st.integers(1, int(GAP_SECONDS)), st.booleans()), min_size=1, max_size=30))
def test_own_dollars_are_the_integral_whatever_restarts(steps: list[tuple[float, int, bool]]) -> None:
    ledger = replace(begun(), accounts=with_own(Accounts(NOW), [OwnRate(CHAT, 0.0)], NOW))
    at, total = NOW, 0.0
    for rate, seconds, restarts in steps:
        at, total = at + seconds, total + rate * seconds / 3600
        ledger = replace(ledger, accounts=with_own(ledger.accounts, [OwnRate(CHAT, rate)], at))
        if restarts:
            ledger = from_text(to_text(ledger))
    found = spending(ledger.accounts, CHAT, at)
    assert float(sum(found.own_months.values())) == pytest.approx(total, abs=1e-6 * (len(steps) + 1))
