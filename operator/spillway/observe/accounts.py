"""Who has cost what: dollars by class and team, by day and month, beside the ledger's by lane. Pure.

Hosted dollars come from the egress' counters with the ledger's own entries. A class's share of the own GPUs' bill is a
rate; it is integrated from tick to tick. What a series may be of several classes stands under all of their names.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from spillway.advise.positions import Spending

KEPT = {"day": 35, "month": 4, "team": 2}
"""Periods that are kept: days and months of classes, months of teams."""
MOST_TEAMS = 100
"""Teams of a class that have a line of their own in a month; what others cost stands under ``OTHER_TEAMS``."""
OTHER_TEAMS = "other"
GAP_SECONDS = 900.0
"""A rate holds for the time since it was last known if that is no longer than this; beyond, nobody knows."""
FORGOTTEN_SECONDS = 40 * 86_400.0
"""A class that was not decided on for so long is gone."""
HOSTED, OWN, UNSEEN = "hosted", "own", "unseenSeconds"

Lines = Mapping[str, Mapping[str, int]]
"""By classes (joined by commas where it may be any of them) and what it is: micro-dollars, or seconds."""
Periods = Mapping[str, Mapping[str, Lines]]
"""By kind ("day", "month", "team") and the period's name, such as "2026-11-22"."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """What was counted by class and team."""

    since: float
    """When counting began, Unix time in seconds."""
    lines: Periods = field(default_factory=dict)
    own_at: Mapping[str, float] = field(default_factory=dict)
    """Until when each class's share of own GPUs is counted."""


@dataclass(frozen=True, slots=True)
class HostedLine:
    """Hosted dollars of one entry."""

    classes: tuple[str, ...]
    team: str
    micro_usd: int


@dataclass(frozen=True, slots=True)
class OwnRate:
    """What a class takes of own GPUs now."""

    class_key: str
    usd_per_hour: float | None
    """None: not known now."""
    team: str = ""
    """Whose all of the class is; empty where that isn't known."""


TeamCaps = Mapping[str, frozenset[str]]
"""Teams with caps by class: they have lines of their own, however many others there are."""
NO_CAPS: TeamCaps = {}


def with_hosted(accounts: Accounts, spent: Iterable[HostedLine], now: float, caps: TeamCaps = NO_CAPS) -> Accounts:
    """With hosted dollars that were spent since the last entry."""
    for each in spent:
        if each.classes and each.micro_usd > 0:
            key = ",".join(sorted(each.classes))
            accounts = _entered(accounts, key, HOSTED, each.micro_usd, now)
            accounts = _by_team(accounts, key, each.team, each.micro_usd, now, caps)
    return accounts


def with_own(accounts: Accounts, rates: Iterable[OwnRate], now: float, caps: TeamCaps = NO_CAPS) -> Accounts:
    """With the classes' shares of the own GPUs' bill up to ``now``, at the rates of now.

    A class that wasn't known before begins. Where nothing was known for longer than ``GAP_SECONDS`` that time is
    noted as unseen, and costs nothing.
    """
    own_at = {key: at for key, at in accounts.own_at.items() if now - at <= FORGOTTEN_SECONDS}
    for rate in rates:
        if rate.usd_per_hour is None:
            continue
        elapsed = now - own_at.get(rate.class_key, now)
        own_at[rate.class_key] = max(now, own_at.get(rate.class_key, now))
        if elapsed > GAP_SECONDS:
            accounts = _added(accounts, "month", rate.class_key, UNSEEN, round(min(elapsed, _in_month(now))), now)
        elif elapsed > 0:
            micro = round(rate.usd_per_hour * elapsed / 3600.0 * 1e6)
            if micro > 0:
                accounts = _entered(accounts, rate.class_key, OWN, micro, now)
                accounts = _by_team(accounts, rate.class_key, rate.team, micro, now, caps)
    return replace(accounts, own_at=own_at)


def spending(accounts: Accounts, key: str, now: float, created: float | None = None) -> Spending:
    """What a class ("namespace/name") has cost. ``created``: when the class was made, Unix time in seconds."""
    moment = datetime.fromtimestamp(now, UTC)
    month = accounts.lines.get("month", {}).get(_names(now)["month"], {})
    shared = {
        classes: line.get(HOSTED, 0)
        for classes, line in month.items()
        if key in (them := classes.split(",")) and len(them) > 1
    }
    known = key in accounts.own_at
    waiting = now - accounts.own_at.get(key, now)
    unseen = month.get(key, {}).get(UNSEEN, 0) + (min(waiting, _in_month(now)) if waiting > GAP_SECONDS else 0.0)
    teams = accounts.lines.get("team", {}).get(_names(now)["team"], {}).get(key, {})
    return Spending(
        key=key,
        at=moment,
        since=datetime.fromtimestamp(accounts.since, UTC),
        created=None if created is None else datetime.fromtimestamp(created, UTC),
        hosted_days=_series(accounts, "day", key, HOSTED),
        hosted_months=_series(accounts, "month", key, HOSTED),
        own_days=_series(accounts, "day", key, OWN),
        own_months=_series(accounts, "month", key, OWN),
        own_known=known,
        unseen_seconds=int(unseen),
        teams={team: _usd(micro) for team, micro in teams.items()},
        shared=_usd(sum(shared.values())),
        shared_with=tuple(sorted({each for classes in shared for each in classes.split(",")} - {key})),
    )


def to_document(accounts: Accounts) -> dict[str, Any]:
    """For the ledger's key; `from_document` reads it back."""
    return {"since": accounts.since, "lines": accounts.lines, "ownAt": dict(sorted(accounts.own_at.items()))}


def from_document(document: Any) -> Accounts:
    """Read what was kept. Raises ValueError, TypeError, KeyError or AttributeError where it is something else."""
    lines = {
        kind: {
            name: {key: {label: int(count) for label, count in line.items()} for key, line in found.items()}
            for name, found in periods.items()
        }
        for kind, periods in document["lines"].items()
    }
    own_at = {key: float(at) for key, at in document["ownAt"].items()}
    return Accounts(float(document["since"]), lines, own_at)


def _names(now: float) -> dict[str, str]:
    moment = datetime.fromtimestamp(now, UTC)
    return {"day": moment.strftime("%Y-%m-%d"), "month": moment.strftime("%Y-%m"), "team": moment.strftime("%Y-%m")}


def _in_month(now: float) -> float:
    """Seconds since the month began."""
    moment = datetime.fromtimestamp(now, UTC)
    return now - calendar.timegm((moment.year, moment.month, 1, 0, 0, 0))


def _entered(accounts: Accounts, key: str, label: str, count: int, now: float) -> Accounts:
    return _added(_added(accounts, "day", key, label, count, now), "month", key, label, count, now)


def _by_team(accounts: Accounts, key: str, team: str, count: int, now: float, caps: TeamCaps) -> Accounts:
    known = accounts.lines.get("team", {}).get(_names(now)["team"], {}).get(key, {})
    capped = caps.get(key, frozenset())
    if team and team not in known and team not in capped and len(known.keys() - capped) >= MOST_TEAMS:
        team = OTHER_TEAMS
    return _added(accounts, "team", key, team, count, now)


def _added(accounts: Accounts, kind: str, key: str, label: str, count: int, now: float) -> Accounts:
    name = _names(now)[kind]
    periods = dict(accounts.lines.get(kind, {}))
    period = periods.get(name, {})
    line = period.get(key, {})
    periods[name] = {**period, key: {**line, label: line.get(label, 0) + count}}
    # Names sort as time does.
    kept = {each: periods[each] for each in sorted(periods)[-KEPT[kind] :]}
    return replace(accounts, lines={**accounts.lines, kind: kept})


def _series(accounts: Accounts, kind: str, key: str, label: str) -> dict[date, Decimal]:
    found = {}
    for name, period in accounts.lines.get(kind, {}).items():
        if (micro := period.get(key, {}).get(label)) is not None:
            found[date.fromisoformat(name if kind == "day" else f"{name}-01")] = _usd(micro)
    return found


def _usd(micro: int) -> Decimal:
    return Decimal(micro) / 1_000_000
