"""The spend ledger: what each hosted lane has cost by hour, day and month, from the egress' own token counters. Pure.

Counters are cumulative, so nothing is lost while nobody looks: whatever they have grown by since the last entry is
entered at the next. A counter that has fallen began anew; one that was not there before began at 0. The ledger is keyed
by lane and value tier: a plan that is deleted and created again finds what its lanes have spent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from spillway.decide.snapshot import Spent, TokenPrice
from spillway.observe.accounts import NO_CAPS, Accounts, HostedLine, TeamCaps, from_document, to_document, with_hosted
from spillway.observe.queries import HOSTED_TOKENS as TOKENS

VERSION = 1
KEPT = {"hour": 26, "day": 32, "month": 3}
"""Periods that are kept."""
SERIES_KEPT_SECONDS = 7 * 86_400.0
"""An egress pod that comes back within this time goes on where it was."""
MOST_SERIES = 5_000

Amounts = Mapping[str, Mapping[str, int]]
"""Micro-dollars by lane ("namespace/name") and value tiers (joined by commas; "" for none)."""


class LedgerError(ValueError):
    """What is kept can't be read; one sentence."""


@dataclass(frozen=True, slots=True)
class Counted:
    """One series of an egress, cumulative, with whose money it is."""

    series: str
    """What tells it from every other: gateway, instance and labels."""
    lane: str
    tiers: tuple[str, ...]
    """Value tiers of the classes that it may belong to."""
    tokens: Mapping[str, float]
    """By name in ``TOKENS``."""
    price: TokenPrice | None
    """None: nobody prices the lane, so it can't be counted in dollars."""
    plan: str = ""
    """The plan whose lane it is, "namespace/name"."""
    classes: tuple[str, ...] = ()
    """The classes that it may belong to, "namespace/name"."""
    team: str = ""
    """As the egress knows it; empty where it knows none."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A series at the last entry."""

    at: float
    tokens: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything that was ever counted and is still of interest."""

    since: float
    """When counting began, Unix time in seconds."""
    at: float
    """The last entry."""
    seen: Mapping[str, Seen] = field(default_factory=dict)
    amounts: Mapping[str, Mapping[str, Amounts]] = field(default_factory=dict)
    """By kind of period ("hour", "day", "month") and its name, such as "2026-11-22T09"."""
    accounts: Accounts = field(default_factory=lambda: Accounts(0.0))
    """The same dollars by class and team, and the own GPUs' beside them."""
    counting: bool = True
    """False: no egress counts hosted tokens, so all that is known are the own GPUs' dollars."""


def opened(counted: Iterable[Counted], now: float, before: Ledger | None = None) -> Ledger:
    """A ledger that begins to count now: what the counters show already is nobody's.

    ``before``: what is known from a time when nothing counted hosted tokens.
    """
    known = before or Ledger(now, now, accounts=Accounts(now))
    seen = {each.series: Seen(now, dict(each.tokens)) for each in counted}
    return replace(known, since=now, at=now, seen=seen, counting=True)


def uncounted(before: Ledger | None, now: float) -> Ledger:
    """A ledger while nothing counts hosted tokens."""
    return replace(before or Ledger(now, now, accounts=Accounts(now)), at=now, counting=False)


def entered(ledger: Ledger, counted: Iterable[Counted], now: float, caps: TeamCaps = NO_CAPS) -> Ledger:
    """With what was spent since the last entry, at the prices of now. ``caps``: teams to keep apart by class."""
    seen, lines = dict(ledger.seen), list[HostedLine]()
    spent: dict[str, dict[str, int]] = {}
    for each in counted:
        before = seen.get(each.series)
        micro = micro_usd(growth(each, before), each.price) or 0
        seen[each.series] = Seen(now, {**(before.tokens if before else {}), **each.tokens})
        if micro > 0:
            tiers = ",".join(sorted(each.tiers))
            lane = spent.setdefault(each.lane, {})
            lane[tiers] = lane.get(tiers, 0) + micro
            lines.append(HostedLine(each.classes, each.team, micro))
    amounts, accounts = _added(ledger.amounts, spent, now), with_hosted(ledger.accounts, lines, now, caps)
    return replace(ledger, at=now, seen=recent(seen, now), amounts=amounts, accounts=accounts)


def spent(ledger: Ledger, lanes: Iterable[str], now: float) -> Spent:
    """What these lanes ("namespace/name") have cost in the running hour, day and month."""
    wanted = set(lanes)
    by_kind = {kind: _of(ledger.amounts.get(kind, {}).get(name, {}), wanted) for kind, name in _periods(now).items()}
    tiers: dict[str, float] = {}
    for joined, micro in by_kind["hour"].items():
        for tier in filter(None, joined.split(",")):
            tiers[tier] = tiers.get(tier, 0.0) + micro / 1e6
    total = {kind: sum(amounts.values()) / 1e6 for kind, amounts in by_kind.items()}
    return Spent(total["hour"], total["day"], total["month"], tiers, ledger.since)


def to_text(ledger: Ledger) -> str:
    """The ledger as it is kept; `from_text` reads it back."""
    seen = {name: {"at": each.at, **each.tokens} for name, each in sorted(ledger.seen.items())}
    document = {
        "version": VERSION, "since": ledger.since, "at": ledger.at, "seen": seen, "microUsd": ledger.amounts,
        "accounts": to_document(ledger.accounts), "counting": ledger.counting,
    }  # fmt: skip
    return json.dumps(document, separators=(",", ":"), sort_keys=True)


def from_text(text: str) -> Ledger:
    """Read what was kept. Raises LedgerError."""
    try:
        document: Any = json.loads(text)
        if document["version"] != VERSION:
            raise LedgerError(f"it has version {document['version']}, this operator reads {VERSION}")
        seen = {
            name: Seen(float(each["at"]), {key: float(value) for key, value in each.items() if key in TOKENS})
            for name, each in document["seen"].items()
        }
        amounts = {
            kind: {
                name: {lane: {tier: int(micro) for tier, micro in tiers.items()} for lane, tiers in lanes.items()}
                for name, lanes in periods.items()
            }
            for kind, periods in document["microUsd"].items()
        }
        since, at = float(document["since"]), float(document["at"])
        # Written before classes had accounts: they begin with what comes after its last entry.
        accounts = from_document(document["accounts"]) if "accounts" in document else Accounts(at)
        return Ledger(since, at, seen, amounts, accounts, bool(document.get("counting", True)))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, LedgerError):
            raise
        raise LedgerError("it is not a ledger of Spillway's") from error


def growth(counted: Counted, before: Seen | None) -> dict[str, Decimal]:
    """The tokens that a series has grown by, by name in ``TOKENS``; all of it where it was not there before."""
    return {name: _grown(counted.tokens.get(name), before, name) for name in TOKENS}


def _grown(value: float | None, before: Seen | None, name: str) -> Decimal:
    """What a counter has grown by; a fall is a new beginning at 0."""
    if value is None or value < 0:
        return Decimal(0)
    known = before.tokens.get(name, 0.0) if before else 0.0
    return Decimal(str(value - known if value >= known else value))


def micro_usd(grown: Mapping[str, Decimal], price: TokenPrice | None) -> int | None:
    """Dollars per million tokens times tokens are micro-dollars; None without a price."""
    if price is None:
        return None
    cached = min(grown["cached_tokens"], grown["input_tokens"])
    total = (
        (grown["input_tokens"] - cached) * price.input_usd_per_mtok
        + cached * price.cached_input_usd_per_mtok
        + grown["output_tokens"] * price.output_usd_per_mtok
    )
    return int(total.quantize(Decimal(1), ROUND_HALF_UP))


def recent(seen: Mapping[str, Seen], now: float) -> dict[str, Seen]:
    """Those that may still come back: seen within a week, and no more than ``MOST_SERIES``, newest first."""
    kept = {name: each for name, each in seen.items() if now - each.at <= SERIES_KEPT_SECONDS}
    if len(kept) <= MOST_SERIES:
        return kept
    newest = sorted(kept, key=lambda name: (-kept[name].at, name))[:MOST_SERIES]
    return {name: kept[name] for name in newest}


def _periods(now: float) -> dict[str, str]:
    moment = datetime.fromtimestamp(now, UTC)
    return {
        "hour": moment.strftime("%Y-%m-%dT%H"),
        "day": moment.strftime("%Y-%m-%d"),
        "month": moment.strftime("%Y-%m"),
    }


def _added(
    amounts: Mapping[str, Mapping[str, Amounts]], spent: Amounts, now: float
) -> Mapping[str, Mapping[str, Amounts]]:
    found = {}
    for kind, name in _periods(now).items():
        periods = dict(amounts.get(kind, {}))
        if spent:
            periods[name] = _sum(periods.get(name, {}), spent)
        # Names sort as time does.
        found[kind] = {each: periods[each] for each in sorted(periods)[-KEPT[kind] :]}
    return found


def _sum(one: Amounts, other: Amounts) -> Amounts:
    found = {lane: dict(tiers) for lane, tiers in one.items()}
    for lane, tiers in other.items():
        mine = found.setdefault(lane, {})
        for tier, micro in tiers.items():
            mine[tier] = mine.get(tier, 0) + micro
    return found


def _of(amounts: Amounts, lanes: set[str]) -> dict[str, int]:
    """By tiers, over these lanes."""
    found: dict[str, int] = {}
    for lane, tiers in amounts.items():
        if lane in lanes:
            for tier, micro in tiers.items():
                found[tier] = found.get(tier, 0) + micro
    return found
