"""Budgets of classes in conditions, status and metrics. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from spillway.advise.figures import cents
from spillway.advise.positions import Alert, BudgetPosition, BudgetReason, TeamPosition
from spillway.api.status import ClassBudgetStatus, TeamBudgetStatus
from spillway.report.conditions import State
from spillway.report.figures import shorten

AT_RISK = "BudgetAtRisk"
UNKNOWN = "SpendingUnknown"
MAX_TEAMS = 8
"""Teams of a class in a status: those that have used most of their caps."""
MOST_TEAMS = 100
"""Teams of a plan that have series of their own: those with caps, then the dearest; the others are one."""
OTHER_TEAMS = "other"
GRAVITY = {reason: rank for rank, reason in enumerate(BudgetReason)}

_TEAM = ("plan", "class", "team")
BUDGET_DEFINITIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("spillway_budget_cap_usd", "What the class may cost in this month (UTC), US dollars.", ("plan", "class")),
    (
        "spillway_budget_alert_ratio",
        "Share of the budget from which BudgetAtRisk is reported.",
        ("plan", "class"),
    ),
    ("spillway_budget_spent_usd", "What the class has cost this month, US dollars.", ("plan", "class")),
    (
        "spillway_budget_spent_part_usd",
        "Its parts (hosted, own: share of the GPU bill), and shared: what may be its own or another's, in no other.",
        ("plan", "class", "part"),
    ),
    (
        "spillway_budget_projected_usd",
        "What the month is expected to cost, US dollars, by bound (expected, low, high).",
        ("plan", "class", "bound"),
    ),
    ("spillway_budget_pool_usd", "The overflow pool that teams share, US dollars a month.", ("plan", "class")),
    ("spillway_budget_pool_balance_usd", "What is left of the overflow pool, US dollars.", ("plan", "class")),
    ("spillway_budget_at_risk", "1 for each reason for which the budget is at risk.", ("plan", "class", "reason")),
    ("spillway_team_spent_usd", "What the team has cost of the class this month, US dollars.", _TEAM),
    ("spillway_team_cap_usd", "What the team may cost of the class in a month, US dollars.", _TEAM),
)
"""Name, help and labels of the metrics."""

Positions = Mapping[str, BudgetPosition | None]
"""By class ("namespace/name"), of classes with a budget; None where what it has cost is not known."""


def class_state(key: str, position: BudgetPosition | None) -> State:
    """``BudgetAtRisk`` of a class with a budget."""
    if position is None:
        return State(AT_RISK, None, UNKNOWN, _unknown(key))
    said = [alert.message for alert in position.alerts] or [position.standing.message]
    return State(AT_RISK, position.at_risk, position.standing.reason.value, _joined((*said[:1], *position.warnings)))


def with_budgets(state: State, budgets: Positions) -> State:
    """``BudgetAtRisk`` of a plan, from what it says of ceilings and its classes' budgets; ceilings go first."""
    alerts = sorted(_gravest(budgets), key=lambda alert: GRAVITY[alert.reason])
    if alerts:
        said = [alert.message for alert in alerts[:3]] + ([f"and {len(alerts) - 3} more"] if len(alerts) > 3 else [])
        if state.holds:
            return State(AT_RISK, True, state.reason, _joined((state.message, *said)))
        return State(AT_RISK, True, alerts[0].reason.value, _joined(tuple(said)))
    unknown = sorted(key for key, position in budgets.items() if position is None)
    if unknown and not state.holds:
        return State(AT_RISK, None, UNKNOWN, _unknown(", ".join(unknown)))
    if budgets and state.reason == "NoCeiling":
        count = "1 class is" if len(budgets) == 1 else f"{len(budgets)} classes are"
        return State(AT_RISK, False, "WithinBudgets", f"{count} within budget; {state.message}")
    return state


def _gravest(budgets: Positions) -> Iterator[Alert]:
    for position in budgets.values():
        if position is not None and position.alerts:
            yield position.alerts[0]


def _unknown(who: str) -> str:
    return f"class {who}: what it has cost is not known: hosted tokens are not counted, or the ledger can't be read"


def _joined(said: tuple[str, ...]) -> str:
    return shorten("; ".join(said))


def budget_status(position: BudgetPosition) -> ClassBudgetStatus:
    """The position as a status has it."""
    hosted, own = position.spent.inputs
    projected, pool = position.projected, position.pool
    return ClassBudgetStatus(
        reason=position.standing.reason.value,
        cap_usd=None if position.cap is None else _text(position.cap.value),
        spent_usd=_text(position.spent.value),
        hosted_usd=_text(hosted.value),
        own_usd=_text(own.value),
        shared_usd=None if position.shared is None else _text(position.shared.value),
        projected_usd=None if projected is None else _text(projected.value),
        projected_low_usd=None if projected is None or projected.low is None else _text(projected.low),
        projected_high_usd=None if projected is None or projected.high is None else _text(projected.high),
        pool_balance_usd=None if pool is None else _text(pool.balance),
        teams=tuple(_team(each) for each in _fullest(position)),
    )


def _fullest(position: BudgetPosition) -> list[TeamPosition]:
    capped = [each for each in position.teams if each.cap is not None]
    return sorted(capped, key=lambda each: (-(each.spent / each.cap if each.cap else each.spent), each.team))[
        :MAX_TEAMS
    ]


def _team(each: TeamPosition) -> TeamBudgetStatus:
    return TeamBudgetStatus(
        team=each.team, spent_usd=_text(each.spent), cap_usd=None if each.cap is None else _text(each.cap)
    )


def _text(usd: Decimal) -> str:
    return str(cents(usd))


def budget_samples(plan: str, budgets: Positions) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """Name, labels and value of every series; what is not known has none."""
    for key, found in budgets.items():
        if found is not None:
            for name, label, usd in _values(found):
                if usd is not None:
                    yield name, (plan, key, label) if label else (plan, key), float(usd)
    for key, team in _team_dollars(budgets):
        yield "spillway_team_spent_usd", (plan, key, team.team), float(team.spent)
        if team.cap is not None:
            yield "spillway_team_cap_usd", (plan, key, team.team), float(team.cap)


def _values(found: BudgetPosition) -> Iterator[tuple[str, str, Decimal | None]]:
    """Name, last label and value of one class's series."""
    hosted, own = found.spent.inputs
    yield "spillway_budget_cap_usd", "", None if found.cap is None else found.cap.value
    yield "spillway_budget_alert_ratio", "", found.alert_share
    yield "spillway_budget_spent_usd", "", found.spent.value
    yield "spillway_budget_spent_part_usd", "hosted", hosted.value
    yield "spillway_budget_spent_part_usd", "own", own.value
    yield "spillway_budget_spent_part_usd", "shared", None if found.shared is None else found.shared.value
    if (projected := found.projected) is not None:
        yield "spillway_budget_projected_usd", "expected", projected.value
        yield "spillway_budget_projected_usd", "low", projected.low
        yield "spillway_budget_projected_usd", "high", projected.high
    if (pool := found.pool) is not None:
        yield "spillway_budget_pool_usd", "", pool.size
        yield "spillway_budget_pool_balance_usd", "", pool.balance
    for alert in found.alerts:
        yield "spillway_budget_at_risk", alert.reason.value, Decimal(1)


def _team_dollars(budgets: Positions) -> Iterator[tuple[str, TeamPosition]]:
    """Class and team with its dollars: ``MOST_TEAMS`` of them, and one for the others of each class."""
    found = [(key, each) for key, position in budgets.items() if position is not None for each in position.teams]
    found.sort(key=lambda pair: (pair[1].cap is None, -pair[1].spent, pair[0], pair[1].team))
    yield from found[:MOST_TEAMS]
    others: dict[str, Decimal] = {}
    for key, each in found[MOST_TEAMS:]:
        others[key] = others.get(key, Decimal(0)) + each.spent
    for key, spent in others.items():
        yield key, TeamPosition(OTHER_TEAMS, spent, None)
