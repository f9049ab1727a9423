"""Limits of a proxy without a database: each counts in one process alone, so that they are shared out beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from spillway.act.litellm.values import Limits
from spillway.decide.snapshot import TokenPrice

MILLION = Decimal(1_000_000)
MINUTES = Decimal(60)
REQUEST_SLACK = 2
"""Requests that are let through, in those that the tokens suffice for at their mean size: sizes vary."""


def share(limit: int | None, parts: int) -> int | None:
    """What each of ``parts`` gets of a limit, at least 1; None is no limit."""
    return None if limit is None else max(1, limit // max(1, parts))


@dataclass(frozen=True, slots=True)
class Armed:
    """A limit that holds although nobody watches, and what it lets through, in US dollars an hour."""

    limits: Limits
    usd_per_hour: Decimal
    """At the mix that it was made for."""
    worst_usd_per_hour: Decimal
    """If every token were of the dearest kind."""


def armed(
    usd_per_hour: Decimal,
    price: TokenPrice,
    output_share: Decimal | None = None,
    tokens_per_request: Decimal | None = None,
) -> Armed:
    """The rates at which a lane costs ``usd_per_hour``.

    ``output_share`` (0 to 1) is the share of output in all tokens; without it every token is taken at the dearest
    price, so that no mix costs more. Raises ValueError for a price of 0.

    LiteLLM counts tokens shortly after an answer is complete, so that what is in flight, and what is answered in that
    moment, goes over. Requests are counted before they are sent, exactly: with ``tokens_per_request``, the mean, they
    bound how far it goes. Both count in calendar minutes, and anew in a process that starts.
    """
    dearest = max(price.input_usd_per_mtok, price.cached_input_usd_per_mtok, price.output_usd_per_mtok)
    mean = dearest
    if output_share is not None:
        mean = price.input_usd_per_mtok * (1 - output_share) + price.output_usd_per_mtok * output_share
    if mean <= 0:
        raise ValueError("a lane whose tokens cost nothing can't be limited in dollars: give it a price")
    tokens = max(1, int((usd_per_hour * MILLION / MINUTES / mean).to_integral_value(ROUND_FLOOR)))
    requests = None
    if tokens_per_request:
        requests = int((REQUEST_SLACK * tokens / tokens_per_request).to_integral_value(ROUND_CEILING))
    hourly = Decimal(tokens) * MINUTES / MILLION
    return Armed(Limits(tokens, requests), hourly * mean, hourly * dearest)
