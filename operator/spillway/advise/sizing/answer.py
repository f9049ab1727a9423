"""The whole answer: what the model takes, where it runs, what that costs, and from when on hosted tokens cost more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spillway.advise.figures import Figure
from spillway.advise.prices import GpuOffer, Tariff
from spillway.advise.sizing.cost import BreakEven, Hours, Row, break_even, rows
from spillway.advise.sizing.errors import SizingError
from spillway.advise.sizing.gpus import GpuType
from spillway.advise.sizing.memory import kv_per_sequence, kv_per_token, weights
from spillway.advise.sizing.placement import Need, Placement, Refusal, places
from spillway.advise.sizing.speed import MeasuredProfile


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of GPUs, of their prices and of measured speed."""

    gpus: Sequence[GpuType]
    offers: Sequence[GpuOffer]
    profiles: tuple[MeasuredProfile, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What `size` finds."""

    need: Need
    hours: Hours
    spot: bool
    """Whether spot prices decide."""
    weights: Figure
    kv_token: Figure | None
    kv_sequence: Figure
    rows: tuple[Row, ...]
    """Cheapest first; never empty."""
    refused: tuple[Refusal, ...]
    """Types that don't serve, each with its reason."""
    unpriced: tuple[Placement, ...]
    """Types that serve and have no price of this kind."""
    break_evens: tuple[BreakEven, ...]
    """Of the cheapest row."""

    @property
    def cheapest(self) -> Row:
        """The row that costs least."""
        return self.rows[0]


def size(
    need: Need,
    facts: Facts,
    hours: Hours,
    spot: bool,
    tariffs: Sequence[Tariff] = (),
    input_share: Figure | None = None,
) -> Answer:
    """Sizes, prices and compares. Raises SizingError where nothing serves, or nothing that serves has a price."""
    _check_context(need)
    placed = places(need, facts.gpus, facts.profiles)
    serving = [each for each in placed if isinstance(each, Placement)]
    refused = tuple(each for each in placed if isinstance(each, Refusal))
    if not serving:
        raise SizingError(_nothing_serves(refused))
    found = rows(serving, facts.offers, hours, spot)
    priced = {row.placement.gpu.name for row in found}
    unpriced = tuple(each for each in serving if each.gpu.name not in priced)
    if not found:
        names = ", ".join(each.gpu.name for each in unpriced)
        raise SizingError(f"no {'spot' if spot else 'on-demand'} price for {names}: give --price USD an hour")
    evens = [
        each
        for tariff in tariffs
        if input_share is not None and (each := break_even(found[0], tariff, input_share, hours, spot)) is not None
    ]
    return Answer(
        need, hours, spot,
        weights(need.model, need.precision),
        kv_per_token(need.model, need.precision),
        kv_per_sequence(need.model, need.precision, need.context),
        tuple(found), refused, unpriced, tuple(evens),
    )  # fmt: skip


def _check_context(need: Need) -> None:
    longest, context = need.model.max_context, int(need.context.value)
    if longest is not None and context > longest:
        raise SizingError(
            f"--context {context}: {need.model.name} takes {longest} tokens at most (max_position_embeddings)"
        )


def _nothing_serves(refused: Sequence[Refusal]) -> str:
    if len(refused) == 1:
        return f"{refused[0].gpu.name} doesn't serve it: {refused[0].reason}"
    best = max(refused, key=lambda each: (each.fits, each.gpu.memory_gb, each.gpu.bandwidth_gb_s))
    return f"none of {len(refused)} GPU types serves it; {best.gpu.name}: {best.reason}"
