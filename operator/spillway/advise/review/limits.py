"""What a change may do: the policy file, with its defaults."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from spillway.api.common import DecimalText


class Verdict(StrEnum):
    """What a policy says."""

    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"
    """It could not be checked, such as for want of traffic."""


class Action(StrEnum):
    """What a finding leads to."""

    IGNORE = "ignore"
    WARN = "warn"
    FAIL = "fail"

    @property
    def verdict(self) -> Verdict:
        """As a policy's answer."""
        return Verdict.PASS if self is Action.IGNORE else Verdict(self.value)


Finding = tuple[Verdict, str]
"""What a policy says, and the sentence."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class CostLimits(_Part):
    """How far the monthly estimate may go in one direction; each limit bites by itself."""

    warn_usd: DecimalText | None = None
    fail_usd: DecimalText | None = None
    warn_percent: Decimal | None = Field(default=None, ge=0, le=100_000)
    fail_percent: Decimal | None = Field(default=None, ge=0, le=100_000)


class MonthlyCost(_Part):
    """The difference of the monthly estimates."""

    increase: CostLimits = CostLimits(warn_usd=Decimal(500), warn_percent=Decimal(10))
    decrease: CostLimits = CostLimits(warn_percent=Decimal(50))
    ignore_percent_below_usd: DecimalText = Decimal(50)
    """A difference below this is not looked at in percent."""


class SloLimits(_Part):
    """Objectives on head, and misses against base."""

    missed: Action = Action.FAIL
    missed_as_before: Action = Action.WARN
    """Missed on both sides."""
    warn_more_misses_percent: Decimal | None = Field(default=Decimal(25), ge=0, le=100_000)
    fail_more_misses_percent: Decimal | None = Field(default=None, ge=0, le=100_000)
    ignore_misses_below_percent: Decimal = Field(default=Decimal("0.1"), ge=0, le=100)
    """A rise by less than this share of the class's requests is not looked at."""


class BudgetLimits(_Part):
    """Budgets of classes (spec.budget) against head's estimate."""

    exceeded: Action = Action.FAIL
    at_alert: Action = Action.WARN


class CeilingLimits(_Part):
    """Ceilings of hosted spending (spec.overflow.ceilingUsd) against head's estimate."""

    exceeded: Action = Action.FAIL
    near: Action = Action.WARN
    near_percent: Decimal = Field(default=Decimal(80), ge=1, le=100)


class FallbackLimits(_Part):
    """Classes that lose a place to go to."""

    last_hosted_lane: Action = Action.WARN
    last_lane: Action = Action.FAIL
    class_removed: Action = Action.WARN
    """The class itself goes: its traffic, if it still comes, is planned for by nobody."""


class DataLimits(_Part):
    """Prompts that may go where they did not go."""

    loosened: Action = Action.FAIL
    new_provider: Action = Action.WARN
    new_class: Action = Action.WARN
    """A class that was not on base, and whose prompts may go to a provider."""


class ReferenceLimits(_Part):
    """Lanes, classes, plans and tiers that are named and not there."""

    dangling: Action = Action.FAIL
    dangling_as_before: Action = Action.WARN
    """On base too, or where neither side's manifests hold a plan."""


class ConfidenceLimits(_Part):
    """How far the estimate may be trusted."""

    low: Action = Action.WARN


class Limits(_Part):
    """A policy file. Every part and field may be left out."""

    monthly_cost: MonthlyCost = MonthlyCost()
    slo: SloLimits = SloLimits()
    budgets: BudgetLimits = BudgetLimits()
    ceilings: CeilingLimits = CeilingLimits()
    fallback: FallbackLimits = FallbackLimits()
    data_policy: DataLimits = DataLimits()
    references: ReferenceLimits = ReferenceLimits()
    not_estimated: Action = Action.WARN
    """A plan changes and there is no estimate of it, although traffic was given or `limits_dollars`."""
    confidence: ConfidenceLimits = ConfidenceLimits()

    @property
    def limits_dollars(self) -> bool:
        """Whether the file itself has a limit of the monthly cost."""
        cost = self.monthly_cost
        return any(
            getattr(given, name) is not None
            for part, given in (("increase", cost.increase), ("decrease", cost.decrease))
            if part in cost.model_fields_set
            for name in given.model_fields_set
        )
