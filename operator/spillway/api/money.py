"""What a class is expected to ask for and what it may cost: declared demand, budgets, what a success is worth."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from spillway.api.common import DecimalText, Model


class DeclaredDemand(Model):
    """What is declared before anything is measured: tokens a month = developers x tasks x tokens x workdays."""

    developers: int = Field(ge=1, le=1_000_000, description="People, or other users, who make the requests.")
    tasks_per_developer_day: int = Field(
        ge=1, le=1_000_000, description="Tasks of each of them on a workday. Typical for active developers: 15 to 50."
    )
    tokens_per_task: int = Field(
        ge=1,
        le=1_000_000_000,
        description="Input and output tokens of one task, without retries: about 5,000 for a simple one, 200,000 and "
        "more for an agent's.",
    )
    workdays_per_month: int = Field(default=22, ge=1, le=31, description="Workdays in a month. Default: 22.")
    input_share_percent: int = Field(
        default=60, ge=0, le=100, description="Share of the tokens that are input (prompt), in percent. Default: 60."
    )
    cached_input_share_percent: int = Field(
        default=0,
        ge=0,
        le=100,
        description="Share of the input tokens that are read from a prompt cache, in percent. Default: 0.",
    )
    retry_inflation_percent: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Tokens that retries and tool loops add, in percent of the tokens without them. Default: 0.",
    )
    monthly_growth_percent: int = Field(
        default=0,
        ge=-99,
        le=1_000,
        description="Growth from month to month, in percent; 10 to 20 is typical of a first year. Default: 0.",
    )


class TeamCap(Model):
    """The part of a class's budget that one team may use."""

    team: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        description="Name of the team, as the gateway's team label has it."
    )
    monthly_usd: DecimalText = Field(description="What the team may cost in a calendar month (UTC), in US dollars.")


class Budget(Model):
    """What a class may cost in a calendar month. It warns and forecasts; a plan's ceilings are what stops spending."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "has(self.monthlyUsd) != has(self.measuredPlusPercent)",
                    "message": "budget needs exactly one of monthlyUsd, measuredPlusPercent",
                }
            ]
        }
    )

    monthly_usd: DecimalText | None = Field(
        default=None, description="What the class may cost in a calendar month (UTC), in US dollars. Default: none."
    )
    measured_plus_percent: int | None = Field(
        default=None,
        ge=0,
        le=1_000,
        description="Instead of monthlyUsd: the measured average of a month plus this buffer, in percent; 20 is usual. "
        "Default: none.",
    )
    alert_percent: int = Field(
        default=80,
        ge=1,
        le=100,
        description="Share of the budget, in percent, from which BudgetAtRisk is reported. Default: 80.",
    )
    team_caps: tuple[TeamCap, ...] = Field(
        default=(),
        max_length=64,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["team"]},
        description="What single teams may cost. Default: none.",
    )
    overflow_pool_usd: DecimalText | None = Field(
        default=None,
        description="What all teams share for use beyond their caps, in US dollars a month. Default: none.",
    )
