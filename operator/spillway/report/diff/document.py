"""A review for programs. Amounts are decimal strings, in US dollars a month of 730 hours where the name says no other.

Keys stay as they are within a version; docs/review.md explains them.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from spillway.advise.review.changes import Change
from spillway.advise.review.effect import Band, ClassFigures, Effect, LaneFigures, SideFigures
from spillway.advise.review.review import PlanReview, Review
from spillway.advise.review.words import exact
from spillway.report.diff.words import headline

VERSION = 1
Document = dict[str, Any]


def document(review: Review, texts: Mapping[str, str]) -> Document:
    """All plans; ``texts``: the text diff by plan key."""
    return {
        "version": VERSION,
        "verdict": review.verdict.value,
        "plans": [_plan(plan, texts.get(plan.pair.key, "")) for plan in review.plans],
        "unchanged": list(review.unchanged),
    }


def _plan(plan: PlanReview, text: str) -> Document:
    return {
        "plan": plan.pair.key or None,
        "headline": headline(plan),
        "verdict": plan.verdict.value,
        "changes": [_change(change) for change in plan.changes],
        "policies": [
            {"policy": each.policy, "verdict": each.verdict.value, "message": each.text} for each in plan.policies
        ],
        "effect": None if plan.effect is None else _effect(plan.effect),
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


def _effect(effect: Effect) -> Document:
    traffic = effect.traffic
    return {
        "differenceUsd": _band(effect.difference),
        "differencePercent": None if effect.percent is None else _places(effect.percent, "0.01"),
        "confidence": effect.confidence.value,
        "base": _side(effect.base),
        "head": _side(effect.head),
        "traffic": {
            "source": traffic.source,
            "days": _places(traffic.days, "0.001"),
            "requests": traffic.requests,
            "seeds": traffic.seeds,
            "sampled": traffic.sampled,
        },
        "notKnown": list(effect.doubts),
        "lanesRestOn": dict(effect.truths),
        "newPlan": effect.new,
    }


def _side(side: SideFigures) -> Document:
    return {
        "usd": _band(side.usd_per_month),
        "gpuUsd": _usd(side.gpu_usd_per_month),
        "hostedUsd": _usd(side.hosted_usd_per_month),
        "lanes": [_lane(lane) for lane in side.lanes],
        "classes": [_class(each) for each in side.classes],
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


def _class(each: ClassFigures) -> Document:
    return {
        "class": each.key,
        "usd": _usd(each.usd_per_month),
        "requests": round(each.requests_per_month),
        "tokens": round(each.tokens_per_month),
        "hostedPercent": _places(100 * each.hosted_share, "0.001"),
        "attainmentPercent": _places(each.attainment_percent, "0.0001"),
        "objectivePercent": _places(each.objective_percent, "0.001"),
        "misses": round(each.misses_per_month),
        "held": each.held,
    }


def _band(band: Band) -> Document:
    return {"value": _usd(band.value), "low": _usd(band.low), "high": _usd(band.high)}


def _usd(value: float) -> str:
    return f"{exact(value):f}"


def _places(value: float, step: str) -> str:
    return f"{Decimal(str(value)).quantize(Decimal(step)):f}"
