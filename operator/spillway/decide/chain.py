"""The chain of figures that leads to a lane's replicas and a class's hosted share: what was computed, told in order.

Nothing is worked out anew here but sums and rates of figures that the decision used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from spillway.api import Mode
from spillway.api.why import WhyStep, WhyUnit
from spillway.decide.decision import ClassDecision, LaneDecision, Link, Reason
from spillway.decide.demand import ClassDemand
from spillway.decide.eligibility import Placement
from spillway.decide.overflow import Load
from spillway.decide.plan import Planned, Sizing
from spillway.decide.reasons import Code, count, figure, usd
from spillway.decide.scaling import Scaled
from spillway.decide.service import ServiceState
from spillway.decide.snapshot import PlanSnapshot
from spillway.decide.traffic import ClassTraffic

MOST_LANE_LINKS, MOST_CLASS_LINKS = 10, 6
OTHER_LANE_LINKS = 7
"""Links of a lane that are no guards: as many guards as then have room are told one by one."""
SHOWN_CLASSES = 3


@dataclass(frozen=True, slots=True)
class Figures:
    """What a decision was made from."""

    snapshot: PlanSnapshot
    held: Reason | None
    places: Mapping[str, Placement]
    demands: Mapping[str, ClassDemand]
    loads: Mapping[str, Load]
    services: Mapping[str, ServiceState]
    planned: Planned | None
    scaled: Mapping[str, Scaled]
    traffic: Mapping[str, ClassTraffic]


def lane_told(lane: LaneDecision, known: Figures) -> LaneDecision:
    """The lane's decision with its chain; hosted lanes have none."""
    scaled = known.scaled.get(lane.name)
    if scaled is None:
        return lane
    links = [_demand(scaled, known)]
    if scaled.desired is not None:
        links += [_forecast(scaled.view.classes, known)] if scaled.sizing is not None else []
        links += [_service(lane, scaled, known), _price(scaled), _cheapest(scaled)]
    else:
        links += [_service(lane, scaled, known), _price(scaled)]
    links += guard_links(scaled.view.current if scaled.desired is None else scaled.desired, scaled.bites)
    if (held := _held(scaled, known)) is not None:
        links.append(held)
    links += [_recommended(lane, scaled, known), _overflow(scaled, known)]
    return replace(lane, chain=tuple(links[:MOST_LANE_LINKS]))


def class_told(each: ClassDecision, known: Figures) -> ClassDecision:
    """The class's decision with its chain."""
    links = [_class_demand(each, known)]
    if each.forecast:
        links.append(_forecast((each.key,), known))
    links += _class_service(each.key, known)
    links += _class_price(each, known)
    if known.held is not None:
        links.append(Link(WhyStep.HELD, None, WhyUnit.PERCENT, known.held.message))
    links.append(_class_share(each, known))
    return replace(each, chain=tuple(links[:MOST_CLASS_LINKS]))


# Lanes.


def _demand(scaled: Scaled, known: Figures) -> Link:
    keys = [key for key, place in known.places.items() if scaled.view.name in place.own]
    rates = {key: now.value for key in keys if (now := known.demands[key].now) is not None}
    if not keys:
        text = "no class of the plan may use the lane"
    elif not rates:
        problem = known.demands[keys[0]].problem()
        text = "not known" if problem is None else problem.message
    else:
        text = _shares(rates)
        tokens = _tokens(rates, known.demands)
        text += "" if tokens is None else f"; {tokens:,.0f} tokens/s"
        missing = len(keys) - len(rates)
        text += f"; {missing} more not known" if missing else ""
    return Link(WhyStep.DEMAND, sum(rates.values()) if rates else None, WhyUnit.REQUESTS_PER_SECOND, text)


def _shares(rates: Mapping[str, float]) -> str:
    """The largest classes by name, and how many more there are."""
    ordered = sorted(rates, key=lambda key: (-rates[key], key))
    if len(ordered) == 1:
        return f"all of {ordered[0].partition('/')[2]}"
    shown = [f"{key.partition('/')[2]} {figure(rates[key])}" for key in ordered[:SHOWN_CLASSES]]
    more = len(ordered) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _tokens(rates: Mapping[str, float], demands: Mapping[str, ClassDemand]) -> float | None:
    known = [(rate, mix) for key, rate in rates.items() if (mix := demands[key].mix) is not None]
    if len(known) < len(rates):
        return None
    return sum(rate * (mix.input_tokens + mix.output_tokens) for rate, mix in known)


def lead_seconds(known: Figures) -> float | None:
    """How far ahead the forecast that is told looks: the shortest start-up of the sized lanes and one tick."""
    sized = () if known.planned is None else known.planned.sizings
    leads = [known.scaled[name].view.startup_seconds for name in sized if name in known.scaled]
    return min(leads) + known.snapshot.tick_seconds if leads else None


def _forecast(keys: Iterable[str], known: Figures) -> Link:
    quantiles = {} if known.planned is None else known.planned.quantiles
    found = [quantiles[key] for key in keys if quantiles.get(key)]
    if not found:
        return Link(WhyStep.FORECAST, None, WhyUnit.REQUESTS_PER_SECOND, "not known")
    lead, upper = lead_seconds(known), sum(each["0.9"] for each in found)
    when = "at the start-up lead" if lead is None else f"in {lead:.0f} s"
    each = ", summed by class" if len(found) > 1 else ""
    text = f"expected {when}; nine times out of ten at most {figure(upper)}{each}"
    return Link(WhyStep.FORECAST, sum(q["0.5"] for q in found), WhyUnit.REQUESTS_PER_SECOND, text)


def _service(lane: LaneDecision, scaled: Scaled, known: Figures) -> Link:
    rate, curve = lane.replica_requests_per_second, scaled.view.service
    if rate is None or curve is None:
        reason = scaled.view.problem
        text = "not known" if reason is None else reason.message
        return Link(WhyStep.SERVICE, None, WhyUnit.REQUESTS_PER_SECOND, text)
    state = known.services.get(lane.name)
    source = "learned" if state is not None and state.informed else "as spec.selfHosted.profile says"
    number = scaled.desired or scaled.view.current or 1
    work = curve.usable_work(number)
    text = f"one full replica, {source}; {count(number)} serve{'s' if number == 1 else ''} {figure(work * rate)} "
    text += f"within the SLO, {100 * work / number:.0f}% of full"
    return Link(WhyStep.SERVICE, rate, WhyUnit.REQUESTS_PER_SECOND, text)


def _price(scaled: Scaled) -> Link:
    sizing = scaled.sizing
    price = scaled.view.usd_per_replica_hour
    if scaled.desired is None:
        text = "a replica; what one saves is not known"
    elif sizing is None:
        text = "a replica; only deferrable classes use the lane, which justify none"
    else:
        price, text = sizing.usd_per_replica_hour, _saves(sizing)
    return Link(WhyStep.PRICE, price, WhyUnit.USD_PER_HOUR, text)


def _saves(sizing: Sizing) -> str:
    last = f"the last saves {usd(max(0.0, sizing.last_saves_usd_per_hour))}/h, " if sizing.replicas > 0 else ""
    more = "one more" if sizing.replicas > 0 else "a first"
    saves = usd(max(0.0, sizing.next_saves_usd_per_hour))
    return (
        f"a replica; {last}{more} would save {saves} of the {usd(sizing.hosted_usd_per_hour)}/h left for hosted"
        " tokens and misses"
    )


def _cheapest(scaled: Scaled) -> Link:
    text = "cost least at that forecast, within the lane's bounds"
    if scaled.sizing is None:
        text = "no class that uses the lane justifies a GPU"
    return Link(WhyStep.CHEAPEST, scaled.desired, WhyUnit.REPLICAS, text)


def guard_links(first: int | None, bites: Iterable[Reason]) -> list[Link]:
    """What each bound and guard made of the number, which was ``first`` before them; at most three are told."""
    before, found = first, list[Link]()
    for bite in bites:
        if bite.replicas is None:
            continue
        moved = "binds" if bite.replicas == before else f"{before} -> {bite.replicas}"
        found.append(Link(WhyStep.GUARD, bite.replicas, WhyUnit.REPLICAS, f"{moved}: {bite.message}"))
        before = bite.replicas
    room = MOST_LANE_LINKS - OTHER_LANE_LINKS
    if len(found) <= room:
        return found
    last = found[-1]
    text = f"after {count(len(found) - room, 'guard')} more, {last.text}"
    return [*found[: room - 1], replace(last, text=text)]


def _held(scaled: Scaled, known: Figures) -> Link | None:
    """What keeps everything, or this lane, as it is."""
    reason = known.held or scaled.blocked
    if reason is None and scaled.desired is None:
        reason = next((bite for bite in scaled.bites if bite.replicas is None), scaled.view.problem)
    current = scaled.view.current
    return None if reason is None else Link(WhyStep.HELD, current, WhyUnit.REPLICAS, reason.message)


def _recommended(lane: LaneDecision, scaled: Scaled, known: Figures) -> Link:
    current, mode = scaled.view.current, known.snapshot.plan.spec.mode
    now = "no target" if current is None else f"{current} asked for now, {scaled.view.ready or 0} Ready"
    if lane.recommended is None:
        tail = "none is recommended"
    elif lane.recommended == current:
        tail = "nothing to change"
    elif lane.writable:
        tail = "mode Apply writes it"
    elif mode is Mode.APPLY:
        tail = "held, not written"
    else:
        tail = f"mode {mode.value} writes nothing"
    return Link(WhyStep.RECOMMENDED, lane.recommended, WhyUnit.REPLICAS, f"{now}; {tail}")


def _overflow(scaled: Scaled, known: Figures) -> Link:
    """Where that part of the lane's classes goes which own GPUs don't take."""
    keys = [key for key, place in known.places.items() if scaled.view.name in place.own]
    by_lane, total = _hosted(keys, known), 0.0
    for key in keys:
        now, share = known.demands[key].now, known.traffic[key].share
        if now is None or share is None:
            reason = known.traffic[key].reason
            return Link(WhyStep.OVERFLOW, None, WhyUnit.PERCENT, reason.message)
        total += now.value
    if not by_lane:
        reasons = [known.traffic[key].reason for key in keys]
        # Gateways and engines that spill by themselves take what they take: weights say nothing of it.
        unknown = any(reason.code == Code.SPILLING for reason in reasons)
        largest = max((known.traffic[key].share or 0.0 for key in keys), default=0.0)
        text = reasons[0].message if reasons else "no class uses the lane"
        return Link(WhyStep.OVERFLOW, None if unknown else 100 * largest, WhyUnit.PERCENT, text)
    share = sum(rate for rate, _ in by_lane.values()) / total if total > 0 else 0.0
    shown = ", ".join(f"{name} at {usd(cost)}/h" for name, (_, cost) in sorted(by_lane.items()))
    return Link(WhyStep.OVERFLOW, 100 * share, WhyUnit.PERCENT, f"of these classes' requests should go to {shown}")


def _hosted(keys: Iterable[str], known: Figures) -> dict[str, tuple[float, float]]:
    """Requests a second and dollars an hour by hosted lane, at the demand of now and the shares decided."""
    found: dict[str, tuple[float, float]] = {}
    for key in keys:
        moved, now, load = known.traffic[key], known.demands[key].now, known.loads.get(key)
        if now is None or load is None or not moved.share or moved.wanted is None:
            continue
        prices = {outlet.lane: outlet.usd_per_request for outlet in load.outlets}
        split = moved.wanted.by_lane or dict.fromkeys(list(prices)[:1], 1.0)
        for name, part in split.items():
            rate = now.value * moved.share * part
            before = found.get(name, (0.0, 0.0))
            found[name] = (before[0] + rate, before[1] + 3600 * rate * prices.get(name, 0.0))
    return {name: each for name, each in found.items() if each[0] > 0}


# Classes.


def _class_demand(each: ClassDecision, known: Figures) -> Link:
    demand = known.demands[each.key]
    problem = demand.problem()
    if each.requests_per_second is None:
        text = "not known" if problem is None else problem.message
    else:
        mix, tokens = demand.mix, each.tokens_per_second
        text = "tokens a request not known"
        if mix is not None and tokens is not None:
            text = f"{mix.input_tokens:,.0f} tokens in, {mix.output_tokens:,.0f} out a request; {tokens:,.0f} tokens/s"
    return Link(WhyStep.DEMAND, each.requests_per_second, WhyUnit.REQUESTS_PER_SECOND, text)


def _class_service(key: str, known: Figures) -> list[Link]:
    """What the warm replicas of the class's own lanes serve within the SLO, if it came alone."""
    parts: list[str] = []
    total = 0.0
    for name in known.places[key].own:
        scaled = known.scaled.get(name)
        service = None if scaled is None else scaled.view.service
        if scaled is None or service is None or key not in service.request_seconds:
            continue
        warm = scaled.view.warm
        total += service.usable_work(warm) / service.request_seconds[key]
        parts.append(f"{warm} warm on {name}")
    if not parts:
        return []
    text = f"{', '.join(parts)}; within the SLO, if no other class came"
    return [Link(WhyStep.SERVICE, total, WhyUnit.REQUESTS_PER_SECOND, text)]


def _class_price(each: ClassDecision, known: Figures) -> list[Link]:
    load = known.loads.get(each.key)
    if load is None or each.requests_per_second is None:
        return []
    if not load.outlets:
        return [Link(WhyStep.PRICE, None, WhyUnit.USD_PER_HOUR, "no hosted lane may take it")]
    outlet = load.outlets[0]
    text = f"all of it on {outlet.lane}, the cheapest hosted lane for it"
    return [Link(WhyStep.PRICE, 3600 * each.requests_per_second * outlet.usd_per_request, WhyUnit.USD_PER_HOUR, text)]


def _class_share(each: ClassDecision, known: Figures) -> Link:
    share, reason = each.hosted_share, each.reason
    itself = share == 0 and reason is not None and reason.code == Code.SPILLING
    value = None if share is None or itself else 100 * share
    return Link(WhyStep.OVERFLOW, value, WhyUnit.PERCENT, "not known" if reason is None else reason.message)


def told(
    lanes: Sequence[LaneDecision], classes: Sequence[ClassDecision], known: Figures
) -> tuple[tuple[LaneDecision, ...], tuple[ClassDecision, ...]]:
    """Lanes and classes with their chains."""
    return tuple(lane_told(lane, known) for lane in lanes), tuple(class_told(each, known) for each in classes)
