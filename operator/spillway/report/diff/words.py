"""The sentences and cells of a review, whatever they are laid out in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spillway.advise.review.ceilings import IF_SERVED, refused
from spillway.advise.review.consequences import short_class
from spillway.advise.review.effect import MUCH_LEFT_OUT, Band, ClassFigures, Effect, LaneFigures, SideFigures
from spillway.advise.review.limits import Verdict
from spillway.advise.review.objects import PlanSide
from spillway.advise.review.policies import PolicyResult
from spillway.advise.review.review import PlanReview, Review
from spillway.advise.review.values import joined
from spillway.advise.review.words import (
    NO_INTERVAL,
    attained,
    count,
    exact,
    interval,
    length,
    rough,
    signed_percent,
    signed_usd,
    unsure,
    usd,
)

MISSING = "–"
GPU_RESERVED, API_TOKENS = "GPU reserved", "API tokens"
SHARED = "own GPUs' dollars are shared out by tokens among the classes that a lane serves"
HOW_TO_ESTIMATE = "No traffic was given to replay (--traffic FILE, --scenario FILE, or --prometheus-url URL)"


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A lane on both sides."""

    lane: str
    usage: str
    change: str
    monthly: str


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A class on both sides."""

    name: str
    objective: str
    attained: str
    slo: str
    hosted: str
    monthly: str


def title(plan: PlanReview) -> str:
    """Whose changes they are."""
    return f"plan {plan.pair.key}" if plan.pair.key else "lanes that no plan names"


def nothing_changes(review: Review) -> str:
    """Said where no spec differs."""
    plans = f" ({joined(review.unchanged)})" if review.unchanged else ""
    return f"No capacity plan, lane or workload class changes{plans}"


def certainty(effect: Effect) -> str:
    """How far the estimate may be trusted, in a sentence or two."""
    if effect.new:
        return (
            f"{effect.traffic.source} replayed on the new plan; what its traffic costs without it is not known. "
            f"{_left_out(effect)}Confidence {effect.confidence.value}"
        )
    day = length(effect.traffic.days)
    no_change = ", so that zero is possible" if unsure(effect.difference) and effect.difference.value else ""
    band = NO_INTERVAL
    if effect.difference.low is not None:
        band = f"95% interval of the difference {interval(effect.difference)} a month{no_change}"
    return (
        f"{day} of traffic ({effect.traffic.source}) replayed on both sides. {_left_out(effect)}Confidence "
        f"{effect.confidence.value}; {band}"
    )


def _left_out(effect: Effect) -> str:
    traffic = effect.traffic
    if traffic.left_out_share <= MUCH_LEFT_OUT:
        return ""
    names = joined(traffic.left_out)
    return f"{rough(traffic.left_out_share)} of its requests are left out: no plan has a class {names}. "


def lane_rows(effect: Effect) -> list[LaneRow]:
    """All lanes of either side, and the total."""
    names = dict.fromkeys(lane.name for lane in (*effect.base.lanes, *effect.head.lanes))
    rows = [_lane_row(name, effect.base.lane(name), effect.head.lane(name)) for name in names]
    base, head = effect.base.usd_per_month.value, effect.head.usd_per_month.value
    return [*rows, LaneRow("total", "", _money_change(base, head), _arrow(usd(base), usd(head)))]


def _lane_row(name: str, base: LaneFigures | None, head: LaneFigures | None) -> LaneRow:
    any_side = head or base
    own = any_side is not None and any_side.type == "SelfHosted"
    usage = f"{GPU_RESERVED}: {_replicas(base, head)}" if own else f"{API_TOKENS}: {_tokens(base, head)}"
    before, after = (0.0 if side is None else side.usd_per_month for side in (base, head))
    sides = _arrow(_side(base), _side(head))
    return LaneRow(name, usage, _money_change(before, after), sides)


def _side(lane: LaneFigures | None) -> str:
    return "no lane" if lane is None else usd(lane.usd_per_month)


def _money_change(before: float, after: float) -> str:
    amount = exact(after) - exact(before)
    if usd(before) == usd(after):
        return "none"
    percent = signed_percent(100 * (after - before) / before) if before else ""
    return f"{signed_usd(float(amount))}{f' ({percent})' if percent else ''}"


def _replicas(base: LaneFigures | None, head: LaneFigures | None) -> str:
    means = [MISSING if s is None or s.replicas_mean is None else f"{s.replicas_mean:.1f}" for s in (base, head)]
    peaks = [MISSING if s is None or s.replicas_peak is None else str(s.replicas_peak) for s in (base, head)]
    return f"{_arrow(*means)} replicas on average, {_arrow(*peaks)} at peak"


def _tokens(base: LaneFigures | None, head: LaneFigures | None) -> str:
    return f"{_arrow(*(MISSING if s is None else count(s.tokens_per_month) for s in (base, head)))} a month"


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"


def class_rows(plan: PlanReview) -> list[ClassRow]:
    """All classes of either side."""
    effect = plan.effect
    if effect is None:
        return []
    keys = dict.fromkeys(each.key for each in (*effect.base.classes, *effect.head.classes))
    return [_class_row(key, effect.base.of(key), effect.head.of(key), plan) for key in keys]


def _class_row(key: str, base: ClassFigures | None, head: ClassFigures | None, plan: PlanReview) -> ClassRow:
    sides = (base, head)
    plans = (plan.pair.base, plan.pair.head)
    # Nothing is attained, held or paid where there is nothing to serve.
    served = tuple(side if side is not None and side.requests_per_month else None for side in sides)
    return ClassRow(
        short_class(key, plan.pair),
        _arrow(*(MISSING if s is None else attained(s.objective_percent) for s in sides)),
        _arrow(*(MISSING if s is None else attained(s.attainment_percent) for s in served)),
        _arrow(*(_held(s, of_plan) for s, of_plan in zip(served, plans, strict=True))),
        _arrow(*(MISSING if s is None else _share(s.hosted_share) for s in served)),
        _arrow(*(MISSING if s is None else usd(s.usd_per_month) for s in served)),
    )


def _held(each: ClassFigures | None, plan: PlanSide) -> str:
    if each is None:
        return MISSING
    if not each.held:
        return "MISSED"
    return f"held, {IF_SERVED}" if refused(each, plan) else "held"


def shared_lanes(plan: PlanReview) -> str:
    """Said below the classes, where an own lane serves several of them on either side; empty otherwise."""
    effect, pair = plan.effect, plan.pair
    if effect is None:
        return ""
    return SHARED if _shares(effect.base, pair.base) or _shares(effect.head, pair.head) else ""


def _shares(figures: SideFigures, side: PlanSide) -> bool:
    served = [side.classes[c.key] for c in figures.classes if c.requests_per_month and c.key in side.classes]
    lanes = [lane.metadata.name for item in served for lane in side.own_lanes(item)]
    return len(lanes) > len(set(lanes))


def _share(value: float) -> str:
    if 0 < value < 0.001:
        return "<0.1%"
    return f"{value:.1%}" if 0 < value < 0.1 else f"{value:.0%}"


def objectives(plan: PlanReview) -> Iterator[str]:
    """What each class's objective is, on head."""
    for key, item in (plan.pair.head.classes or plan.pair.base.classes).items():
        slo = item.spec.slo
        if slo is not None:
            yield (
                f"{short_class(key, plan.pair)}: {slo.attainment_percent:f}% of requests with the first token within "
                f"{slo.time_to_first_token_ms:,} ms and at most {slo.inter_token_latency_ms:,} ms between tokens"
            )


def method(effect: Effect) -> Iterator[str]:
    """How the estimate was made, what it rests on and what is not known; a sentence each."""
    traffic = effect.traffic
    drawn = ", drawn from counts by time bin, not single requests" if traffic.sampled else ""
    yield (
        f"Traffic: {traffic.source}, {traffic.requests:,} requests in {length(traffic.days)}{drawn}; "
        f"{_where(effect)}, simulated {'once' if traffic.seeds == 1 else f'{traffic.seeds} times'}"
    )
    yield (
        "Each side was decided by Spillway's own code and served by a simulated fleet; dollars are extrapolated to a "
        "month of 730 hours"
    )
    for name, side in (("base", effect.base), ("head", effect.head))[effect.new :]:
        yield (
            f"Estimate of {name}: {usd(side.usd_per_month.value)} a month{_band(side.usd_per_month)}, of which GPUs "
            f"{usd(side.gpu_usd_per_month)} and hosted APIs {usd(side.hosted_usd_per_month)}"
        )
    for lane, truth in effect.truths.items():
        yield f"Lane {lane}: {truth}"
    for doubt in effect.doubts:
        yield f"Not known: {doubt.removesuffix('.')}"


def _band(band: Band) -> str:
    if band.low is None or band.high is None:
        return ""
    return f" (95% interval {usd(band.low)} to {usd(band.high)})"


def _where(effect: Effect) -> str:
    return "on head alone" if effect.new else "the same requests on both sides"


def policy_rows(policies: Sequence[PolicyResult]) -> list[tuple[Verdict, str, str]]:
    """Worst first, without what passes and needs no row; what could not be checked for one reason in one row."""
    order = (Verdict.FAIL, Verdict.WARN, Verdict.PASS)
    told = [p for p in policies if p.verdict in order and not (p.quiet and p.verdict is Verdict.PASS)]
    checked = sorted(told, key=lambda p: order.index(p.verdict))
    rows = [(each.verdict, each.title, each.text) for each in checked]
    skipped: dict[str, list[str]] = {}
    for each in policies:
        if each.verdict is Verdict.SKIP:
            skipped.setdefault(each.text, []).append(each.title)
    return [*rows, *((Verdict.SKIP, ", ".join(titles), text) for text, titles in skipped.items())]
