"""Prices of tokens and GPUs as advice sees them: values with a date and a source; who looks them up is passed in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol


class Tier(StrEnum):
    """How a hosted API processes a request."""

    STANDARD = "Standard"
    BATCH = "Batch"
    FLEX = "Flex"
    PRIORITY = "Priority"


class PriceUnknownError(LookupError):
    """Nobody prices it; one line that says what was looked for, where, and the way out."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a hosted model's tokens cost at one moment, in US dollars per million tokens."""

    provider: str
    model: str
    tier: Tier
    input_usd_per_mtok: Decimal
    cached_input_usd_per_mtok: Decimal | None
    """None: no price of its own is known for cached input; it costs what input does."""
    output_usd_per_mtok: Decimal
    source: str
    """Such as "contract of CapacityLane inference/hosted", "genai-prices 0.2.3: openai/gpt-5-nano", "--model"."""
    as_of: date | None
    """The day for which the price holds. None: it was given without a date, which ``origin`` says."""
    in_force_since: date | None = None
    """Where the source knows it."""
    note: str = ""
    """Such as "base tier of a price that rises with the prompt's length"."""

    @property
    def origin(self) -> str:
        """Source and dates, one line."""
        since = f", in force since {self.in_force_since.isoformat()}" if self.in_force_since else ""
        note = f" ({self.note})" if self.note else ""
        day = f"price of {self.as_of.isoformat()}" if self.as_of else "price as given, without a date"
        return f"{self.source}, {self.tier.value} {day}{since}{note}"


class TokenPrices(Protocol):
    """Where tariffs come from."""

    def tariff(self, provider: str | None, model: str, tier: Tier, at: datetime) -> Tariff:
        """The tariff in force at a moment; ``provider`` None: the model's own. Raises PriceUnknownError: no such model,
        or no price of this tier (never another tier's in silence)."""


@dataclass(frozen=True, slots=True)
class GpuOffer:
    """What one GPU costs an hour somewhere."""

    gpu: str
    """Type, as the source names it, such as "H100" or "nvidia-h100-80gb"."""
    provider: str
    """Such as "aws", "lambda"; "own" for a lane's declared price."""
    region: str
    """Empty where the price holds everywhere."""
    spot: bool
    usd_per_gpu_hour: Decimal
    memory_gb: Decimal | None
    source: str
    as_of: date | None
    """None: the source carries no date, which is said wherever the price is shown."""
    gpus_of_instance: Decimal | None = None
    """GPUs that are rented together, mean over what is offered; None: not known."""
