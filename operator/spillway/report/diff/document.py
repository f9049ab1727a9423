"""A review for programs. Amounts are decimal strings, in US dollars a month of 730 hours where the name says no other.

Keys stay as they are within a version; docs/review.md explains them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from spillway.advise.review.ceilings import refused_share
from spillway.advise.review.changes import Change
from spillway.advise.review.effect import Band, ClassFigures, Effect, LaneFigures, SideFigures
from spillway.advise.review.limits import Verdict
from spillway.advise.review.objects import PlanPair, PlanSide
from spillway.advise.review.review import PlanReview, Review
from spillway.advise.review.words import exact
from spillway.report.diff.headline import headline

VERSION = 1
Document = dict[str, Any]


def document(review: Review, texts: Mapping[str, str], failed: Collection[str] = ()) -> Document:
    """All plans; ``texts``: the text diff by plan key; ``failed``: keys of plans whose replay failed."""
    return {
        "version": VERSION,
        "verdict": _verdict(review.verdict, known=not failed),
        "plans": [
            _plan(plan, texts.get(plan.pair.key, ""), known=plan.pair.key not in failed) for plan in review.plans
        ],
        "unchanged": list(review.unchanged),
    }


def _verdict(worst: Verdict, *, known: bool) -> str | None:
    """None after a replay that failed: what was skipped may be worse, unless it can't be."""
    return worst.value if known or worst is Verdict.FAIL else None


def _plan(plan: PlanReview, text: str, *, known: bool) -> Document:
    return {
        "plan": plan.pair.key or None,
        "headline": headline(plan),
        "verdict": _verdict(plan.verdict, known=known),
        "changes": [_change(change) for change in plan.changes],
        "policies": [
            {"policy": each.policy, "verdict": each.verdict.value, "message": each.text} for each in plan.policies
        ],
        "effect": None if plan.effect is None else _effect(plan.effect, plan.pair),
        "notEstimated": plan.not_estimated or None,
        "textDiff": text,
    }


def _change(change: Change) -> Document:
    return {
        "kind": change.kind,
        "object": change.key,
        "field": change.field or None,
        "before": change.before,
        "after": change.after,
        "message": change.sentence,
        "bearing": change.bearing.value,
        "severity": change.severity.value,
    }


def _effect(effect: Effect, pair: PlanPair) -> Document:
    traffic = effect.traffic
    return {
        "differenceUsd": _band(effect.difference),
        "differencePercent": None if effect.percent is None else _places(effect.percent, "0.01"),
        "confidence": effect.confidence.value,
        "base": _side(effect.base, pair.base),
        "head": _side(effect.head, pair.head),
        "traffic": {
            "source": traffic.source,
            "days": _places(traffic.days, "0.001"),
            "requests": traffic.requests,
            "seeds": traffic.seeds,
            "sampled": traffic.sampled,
            "leftOut": list(traffic.left_out),
            "leftOutPercent": _places(100 * traffic.left_out_share, "0.01"),
        },
        "notKnown": list(effect.doubts),
        "lanesRestOn": dict(effect.truths),
        "newPlan": effect.new,
    }


def _side(side: SideFigures, plan: PlanSide) -> Document:
    return {
        "usd": _band(side.usd_per_month),
        "gpuUsd": _usd(side.gpu_usd_per_month),
        "hostedUsd": _usd(side.hosted_usd_per_month),
        "lanes": [_lane(lane) for lane in side.lanes],
        "classes": [_class(each, plan) for each in side.classes],
    }


def _lane(lane: LaneFigures) -> Document:
    return {
        "name": lane.name,
        "type": lane.type,
        "usd": _usd(lane.usd_per_month),
        "replicasMean": None if lane.replicas_mean is None else _places(lane.replicas_mean, "0.01"),
        "replicasPeak": lane.replicas_peak,
        "gpuHours": None if lane.gpu_hours_per_month is None else _places(lane.gpu_hours_per_month, "0.1"),
        "requests": round(lane.requests_per_month),
        "tokens": round(lane.tokens_per_month),
    }


def _class(each: ClassFigures, side: PlanSide) -> Document:
    served = each.requests_per_month > 0
    return {
        "class": each.key,
        "usd": _usd(each.usd_per_month),
        "requests": round(each.requests_per_month),
        "tokens": round(each.tokens_per_month),
        "hostedPercent": _places(100 * each.hosted_share, "0.001") if served else None,
        "attainmentPercent": _places(each.attainment_percent, "0.0001") if served else None,
        "objectivePercent": _places(each.objective_percent, "0.001"),
        "misses": round(each.misses_per_month),
        "held": each.held if served else None,
        "refusedTimePercent": _places(100 * refused_share(each, side), "0.01"),
    }


def _band(band: Band) -> Document:
    low, high = (None if end is None else _usd(end) for end in (band.low, band.high))
    return {"value": _usd(band.value), "low": low, "high": high}


def _usd(value: float) -> str:
    return f"{exact(value):f}"


def _places(value: float, step: str) -> str:
    return f"{Decimal(str(value)).quantize(Decimal(step)):f}"
