"""What was measured of a class, as figures and as a sentence, and the SLO that it suggests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from spillway.advise.figures import Figure, computed, given, plain
from spillway.advise.first.facts import Counted, Latency

MONTH_DAYS = Decimal("30.4")
WEEK_DAYS = 6.5
"""From here on weekdays and weekends have been seen."""
ROOM = Decimal("1.5")
"""The suggested SLO over the 90% quantile: close to what users have now, with room for a bad hour."""
DEFAULT_TTFT_MS, DEFAULT_ITL_MS = 2000, 100
"""Where nothing is measured: about what people who wait put up with."""
LONGEST_TTFT_MS, LONGEST_ITL_MS = 10_000, 500
"""Beyond these what users get now is a queue, and no wish."""
LOW, HIGH = Decimal("0.8"), Decimal("1.2")
LOW_SHORT, HIGH_SHORT = Decimal("0.4"), Decimal(2)
"""Assumed band of a month taken from a week and more, and from less."""


@dataclass(frozen=True, slots=True)
class SuggestedSlo:
    """An SLO with where it comes from."""

    ttft_ms: int
    itl_ms: int
    attainment: str
    figures: tuple[Figure, ...]
    """Empty where nothing was measured."""
    why: str


def tokens_per_month(counted: Counted) -> Figure | None:
    """Tokens of a month at the measured rate, with a band; None where tokens are not counted, or less than a day."""
    if counted.input_tokens is None or counted.output_tokens is None or counted.days < 1:
        return None
    days = given("days measured", _decimal(counted.days), "days", counted.source)
    tokens_in = given("input tokens", round(counted.input_tokens), "tokens", counted.source)
    tokens_out = given("output tokens", round(counted.output_tokens), "tokens", counted.source)
    value = round((tokens_in.value + tokens_out.value) / days.value * MONTH_DAYS)
    formula = f"(input tokens + output tokens) / days measured x {MONTH_DAYS}"
    found = computed("tokens a month", value, "tokens", formula, tokens_in, tokens_out, days)
    short = counted.days < WEEK_DAYS
    low, high = (LOW_SHORT, HIGH_SHORT) if short else (LOW, HIGH)
    return found.banded(round(found.value * low) + Decimal(0), round(found.value * high) + Decimal(0))


def told(counted: Counted | None) -> tuple[str, ...]:
    """Sentences on what was measured."""
    if counted is None or counted.requests <= 0:
        return ("Measured: nothing. No counter has any traffic of it in the time looked at.",)
    mean = counted.requests / counted.seconds
    lines = [
        f"Measured in {span(counted.seconds)} by {counted.source}: {counted.requests:,.0f} requests, {mean:.3g}/s in "
        f"the mean, {counted.peak_requests_per_second:.3g}/s in the busiest minutes."
    ]
    month = tokens_per_month(counted)
    if counted.input_tokens is not None and counted.output_tokens is not None:
        total = counted.input_tokens + counted.output_tokens
        cached = ""
        if counted.cached_tokens is not None and counted.input_tokens > 0:
            cached = f" ({_percent(counted.cached_tokens / counted.input_tokens)} of it from the prefix cache)"
        lines.append(
            f"{total:,.0f} tokens, {_percent(counted.input_tokens / total if total else 0)} of them input{cached}."
        )
    if month is not None:
        lines.append(
            f"At this rate {_short(month.value)} tokens a month; taken as {_short(month.low)} to {_short(month.high)}, "
            "a band that is assumed and not measured."
        )
    if counted.days < WEEK_DAYS:
        lines.append(
            f"Less than a week ({span(counted.seconds)}): weekdays, weekends and monthly peaks were not seen"
            f"{'' if counted.days >= 1 else ', nor a whole day, so that no month is told'}. "
            "Look again after one or two weeks."
        )
    return tuple(lines)


def suggest(latencies: Sequence[Latency], source: str) -> SuggestedSlo:
    """An SLO from measured quantiles: the worst workload's, with room. Marked where nothing was measured."""
    ttft, itl = _worst(latencies, "ttft_p90"), _worst(latencies, "itl_p90")
    if ttft is None or itl is None:
        why = "not known: nothing measured. Typical of people who wait; ask who uses it."
        return SuggestedSlo(DEFAULT_TTFT_MS, DEFAULT_ITL_MS, "99", (), why)
    if _ms(ttft) * ROOM > LONGEST_TTFT_MS or _ms(itl) * ROOM > LONGEST_ITL_MS:
        why = (
            f"not known: what users need. What 10% get now is slower than {_ms(ttft):,.0f} ms to the first token or "
            f"{_ms(itl):,.0f} ms between tokens ({source}), a queue rather than a wish; these are typical of people "
            "who wait."
        )
        return SuggestedSlo(DEFAULT_TTFT_MS, DEFAULT_ITL_MS, "99", (), why)
    first = given("90% quantile of the time to first token", _ms(ttft), "ms", source)
    gap = given("90% quantile of the inter-token latency", _ms(itl), "ms", source)
    bounds = [
        computed(name, _rounded_up(figure.value * ROOM), "ms", f"{figure.name} x {ROOM}, rounded up", figure)
        for name, figure in (("timeToFirstTokenMs", first), ("interTokenLatencyMs", gap))
    ]
    ttft_p99, itl_p99 = _worst(latencies, "ttft_p99"), _worst(latencies, "itl_p99")
    tails = [(ttft_p99, bounds[0].value), (itl_p99, bounds[1].value)]
    within = all(tail is not None and _ms(tail) <= bound for tail, bound in tails)
    why = (
        f"Suggested by what users get now: 90% of requests have their first token within {plain(first.value)} ms and "
        f"{plain(gap.value)} ms between tokens ({source}), times {ROOM}. "
        + ("99% meet that today. " if within else "99% do not meet that today, so 95 is asked. ")
        + "not known: what they need. Ask; a tighter SLO costs GPUs."
    )
    return SuggestedSlo(int(bounds[0].value), int(bounds[1].value), "99" if within else "95", tuple(bounds), why)


def _worst(latencies: Sequence[Latency], name: str) -> float | None:
    return max((value for each in latencies if (value := getattr(each, name)) is not None), default=None)


def _ms(seconds: float) -> Decimal:
    return Decimal(str(round(seconds * 1000, 1)))


def _rounded_up(value: Decimal) -> int:
    """To two leading digits, at least 1."""
    step = int(f"1{'0' * max(0, len(str(int(value))) - 2)}")
    return max(1, math.ceil(value / step) * step)


def _decimal(value: float) -> Decimal:
    return Decimal(str(round(value, 4)))


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def span(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds >= 2 * 86_400:
        return f"{seconds / 86_400:.1f} days"
    return f"{seconds / 3600:.1f} hours" if seconds >= 5400 else f"{seconds / 60:.0f} minutes"


def _short(value: Decimal | None) -> str:
    if value is None:
        return "?"
    for size, letter in ((10**9, " billion"), (10**6, " million"), (10**3, ",000")):
        if value >= size:
            return f"{float(value) / size:.3g}{letter}"
    return f"{value:.0f}"
