"""The chain of figures that leads to a decision, as a status holds it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, JsonValue

from spillway.api.common import Model


class WhyStep(StrEnum):
    """A step of the chain of figures that leads to a decision."""

    DEMAND = "Demand"
    FORECAST = "Forecast"
    SERVICE = "Service"
    PRICE = "Price"
    CHEAPEST = "Cheapest"
    GUARD = "Guard"
    HELD = "Held"
    RECOMMENDED = "Recommended"
    OVERFLOW = "Overflow"


class WhyUnit(StrEnum):
    """What the figure of a step counts."""

    REQUESTS_PER_SECOND = "req/s"
    REPLICAS = "replicas"
    USD_PER_HOUR = "USD/h"
    PERCENT = "percent"


class WhyStatus(Model):
    """One step of the chain of figures that leads to a decision."""

    step: WhyStep = Field(
        description="Demand: what is asked for now; Forecast: in a start-up time, the middle of what may come; "
        "Service: what one replica serves within the SLO, of classes: what the warm replicas of their lanes serve; "
        "Price: what a replica costs, of classes: what all of it would cost hosted; Cheapest: the replicas that cost "
        "least; Guard: what a bound or guard made of them; Held: why nothing is decided or written; Recommended: what "
        "comes out; Overflow: the share that goes to hosted lanes."
    )
    value: str | None = Field(
        default=None, max_length=24, description="The figure, in the unit beside it; absent where it is not known."
    )
    unit: WhyUnit = Field(description="Unit of value: req/s, replicas, USD/h or percent.")
    text: str = Field(max_length=256, description="What the figure rests on, for people.")


WHY_LIST: dict[str, JsonValue] = {"x-kubernetes-list-type": "atomic"}
