"""A plan that base doesn't have: head replayed alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from spillway.advise.review.effect import Band, Confidence, Effect, SideFigures
from spillway.simulate.sides.ask import Ask
from spillway.simulate.sides.compare import Document
from spillway.simulate.sides.compare import replay as replay_both
from spillway.simulate.sides.doubts import BOTH

NOTHING = SideFigures(Band(0.0, 0.0, 0.0), 0.0, 0.0, (), ())


def replay_new(head: Sequence[Document], ask: Ask, progress: Callable[[str], None]) -> Effect:
    """Replay the documents of a new plan: its whole cost is the difference. Raises ScenarioError with one line.

    Head is its own base in the replay, so that nothing but head is run; sides that are alike are run once.
    """
    found = replay_both(head, head, ask, lambda line: progress(line.removesuffix(" of both sides")))
    text = (
        f"CapacityPlan {found.plan_key} is new: nobody has seen its lanes under this load, and what the traffic costs "
        "without it is not known."
    )
    doubts = tuple(doubt.replace(BOTH, "") for doubt in found.doubts)
    low = found.confidence is Confidence.LOW
    return replace(
        found,
        base=NOTHING,
        difference=found.head.usd_per_month,
        confidence=Confidence.LOW if low else Confidence.MEDIUM,
        doubts=(*doubts, text) if low else (text, *doubts),
        new=True,
    )
