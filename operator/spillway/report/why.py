"""Chains of figures and weights of routes, as a status holds them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from spillway.api.status import LaneWeightStatus, RouteWeightsStatus
from spillway.api.why import WhyStatus, WhyUnit
from spillway.decide.decision import Link, RouteDecision
from spillway.report.figures import percent, rate, shorten, usd

WHY_TEXT = 256
"""Longest text of a step of a chain, in characters."""
MAX_ROUTES = 16
MAX_LANES = 32


def why_status(chain: Iterable[Link]) -> tuple[WhyStatus, ...] | None:
    """The chain as status holds it; None where there is none."""
    told = tuple(
        WhyStatus(step=link.step, value=_figure(link), unit=link.unit, text=shorten(link.text, WHY_TEXT))
        for link in chain
    )
    return told or None


def _figure(link: Link) -> str | None:
    match link.unit:
        case WhyUnit.REPLICAS:
            return None if link.value is None else f"{link.value:.0f}"
        case WhyUnit.USD_PER_HOUR:
            return usd(link.value)
        case WhyUnit.PERCENT:
            return None if link.value is None else percent(link.value / 100)
        case WhyUnit.REQUESTS_PER_SECOND:
            return rate(link.value)


def weights_status(routes: Iterable[RouteDecision]) -> tuple[RouteWeightsStatus, ...] | None:
    """Weights by class, now and wanted; None where the plan has no rules."""
    by_class = {route.class_name: route for route in routes}
    told = tuple(
        RouteWeightsStatus(**{"class": name}, route=route.route, lanes=_lane_weights(route))
        for name, route in list(by_class.items())[:MAX_ROUTES]
    )
    return told or None


def _lane_weights(route: RouteDecision) -> tuple[LaneWeightStatus, ...]:
    lanes = list(dict.fromkeys((*route.current, *route.weights)))[:MAX_LANES]
    return tuple(
        LaneWeightStatus(lane=lane, now=route.current.get(lane), wanted=route.weights.get(lane, 0)) for lane in lanes
    )
