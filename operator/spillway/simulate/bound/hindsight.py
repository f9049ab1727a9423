"""Best constant and best hourly schedule in hindsight, with the best overflow: what a careful person could set up.

Both know the whole span, as a plan does, but may only keep the same replicas all the time, or the same ones at each
hour of the day (with other ones on the quiet days of the week, where the demand has such days).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from spillway.simulate.bound.demand import PIECE_S, Demand, demand, totals
from spillway.simulate.bound.plan import PlanRule, by_tick, cost_by_replicas
from spillway.simulate.bound.schedule import TICK_S
from spillway.simulate.bound.span import Part, busiest_day
from spillway.simulate.bound.trial import Play, Search, Settings, Trial, better, play, settle, shortest_hold_s
from spillway.simulate.outcome import Outcome
from spillway.simulate.policy import Known
from spillway.simulate.score import DAY_SECONDS, HOUR_SECONDS
from spillway.simulate.world import Floats, Integers, Workload, World

HOURS = 24
HOLD_SHARES = (0.0, 0.3, 0.55)
"""0: a cap without a hold."""
FACTORS = (0.9, 1.1)
"""On the replicas that were planned; `Settings.margin` is that factor here."""
QUEUE_LIMITS = (1, 5)
QUEUE_FACTORS = (1.0, 1.5, 2.2)
"""Queue limits keep no latency by themselves: more replicas must."""
QUIET_SHARE = 0.8
"""Quiet days have less than this share of the other days' work in the mean."""


@dataclass(frozen=True, slots=True, eq=False)
class _Calendar:
    """Which days of the span are quiet ones."""

    quiet: tuple[bool, ...]

    def rows(self, start_s: Floats) -> tuple[Integers, Integers]:
        """Group (1: quiet) and hour of the day of each moment."""
        day = np.minimum(start_s // DAY_SECONDS, len(self.quiet) - 1).astype(np.int64)
        return np.array(self.quiet, dtype=np.int64)[day], ((start_s % DAY_SECONDS) // HOUR_SECONDS).astype(np.int64)


def static_best(world: World, workload: Workload, known: Known, seed: int) -> Outcome:
    """The outcome of the cheapest constant that holds the objective."""
    return best_hindsight(world, workload, known, seed, hourly=False).outcome


def cron_best(world: World, workload: Workload, known: Known, seed: int) -> Outcome:
    """The outcome of the cheapest hourly schedule that holds the objective."""
    return best_hindsight(world, workload, known, seed, hourly=True).outcome


def best_hindsight(world: World, workload: Workload, known: Known, seed: int, hourly: bool) -> Trial:
    """The same with the settings that were found and its score."""
    whole, day = Part(world, workload), busiest_day(world, workload)
    calendar = _calendar(world, workload) if hourly else _Calendar((False,))

    of_whole = totals(world, workload)

    def player(part: Part) -> Play:
        of_part = of_whole if part is whole else totals(part.world, part.workload)

        def play_it(settings: Settings) -> Trial:
            needs = demand(part.world, of_part, settings.itl_share)
            replicas = _table(world, demand(world, of_whole, settings.itl_share), settings, calendar, hourly)
            return play(part, known, seed, settings, _replicas(part, calendar, replicas), needs)

        return play_it

    play_all = player(whole)
    best = settle(play_all, _best_cap(player(day)).settings)
    for factor in FACTORS:
        best = better(best, play_all(replace(best.settings, margin=factor * best.settings.margin)))
    queue = _best_queue(player(day))
    return best if queue is None else better(best, play_all(queue))


def _best_cap(play_day: Play) -> Trial:
    """The fullest caps that hold the objective, with the hold that would cost the least at the target."""
    day = Search(play_day)
    found = day.fullest(Settings(), 1)
    trials = [found, *(day.at(replace(found.settings, hold_share=share)) for share in HOLD_SHARES)]
    return day.fullest(min(trials, key=day.at_target).settings, 1)


def _best_queue(play_day: Play) -> Settings | None:
    """Queue limits with more and more replicas, until the objective is held."""
    found: list[Trial] = []
    for limit in QUEUE_LIMITS:
        for margin in QUEUE_FACTORS:
            trial = play_day(Settings(queue_limit=limit, margin=margin))
            if trial.result.slo_held:
                found.append(trial)
                break
    return min(found, key=lambda t: t.rank).settings if found else None


def _table(world: World, needs: Demand, settings: Settings, calendar: _Calendar, hourly: bool) -> Integers:
    """(2, 24, L) replicas by group of days and hour, lane by lane, cheapest lane first."""
    rule = PlanRule(shortest_hold_s(world, settings))
    count = len(needs.billed)
    group, hour = calendar.rows(_starts(count))
    slot = group * HOURS + hour if hourly else np.zeros(count, dtype=np.int64)
    table = np.zeros((2, HOURS, len(world.own)), dtype=np.int64)
    dollars = [n.load.sum() * lane.usd_per_replica_hour for n, lane in zip(needs.lanes, world.own, strict=True)]
    others = np.zeros((count, len(world.own)))
    for index in np.argsort(dollars, kind="stable"):
        lane, need = world.own[index], needs.lanes[index]
        if not need.load.any():
            table[:, :, index] = lane.min_replicas
            continue
        worth = [need.load.sum() / n.load.sum() if n.load.any() else 0.0 for n in needs.lanes]
        cost = cost_by_replicas(world, needs, rule, int(index), others @ np.array(worth))
        of_slot = np.zeros((2 * HOURS if hourly else 1, cost.shape[1]))
        np.add.at(of_slot, slot, cost)
        up_usd = lane.usd_per_replica_hour / HOUR_SECONDS * lane.startup_mean_s
        chosen = _hours(of_slot, up_usd, calendar) if hourly else np.full(2 * HOURS, np.argmin(of_slot[0]))
        table[:, :, index] = chosen.reshape(2, HOURS)
        others[:, index] = table[group, hour, index]
    lows = np.array([lane.min_replicas for lane in world.own], dtype=np.int64)
    scaled: Integers = np.rint(table * settings.margin).astype(np.int64)
    return np.asarray(np.maximum(scaled, lows), dtype=np.int64)


def _hours(of_slot: Floats, up_usd: float, calendar: _Calendar) -> Integers:
    """(48,) replicas by group and hour: the cheapest way around the day, each rise paid once a day of the group.

    The way starts at the group's cheapest hour, so that it ends where it began but for a fall, which costs nothing.
    """
    chosen = np.zeros(2 * HOURS, dtype=np.int64)
    for group in (0, 1):
        days = sum(quiet == bool(group) for quiet in calendar.quiet)
        rows = of_slot[group * HOURS : (group + 1) * HOURS]
        numbers = np.arange(rows.shape[1])
        if not days:
            continue
        first = int(np.argmin(rows.min(axis=1)))
        order = (first + np.arange(HOURS)) % HOURS
        rise = days * up_usd * np.maximum(numbers[None, :] - numbers[:, None], 0)
        best, origins = rows[order[0]].copy(), []
        for hour in order[1:]:
            ways = best[:, None] + rise
            origins.append(np.argmin(ways, axis=0))
            best = ways.min(axis=0) + rows[hour]
        path = [int(np.argmin(best))]
        for origin in reversed(origins):
            path.append(int(origin[path[-1]]))
        chosen[group * HOURS + order] = path[::-1]
    return chosen


def _replicas(part: Part, calendar: _Calendar, table: Integers) -> Integers:
    """(T, L) replicas by tick of a part."""
    count = max(1, math.ceil(part.world.duration_s / PIECE_S))
    group, hour = calendar.rows(_starts(count) + part.offset_s)
    return by_tick(part.world, table[group, hour], TICK_S)


def _starts(count: int) -> Floats:
    """(P,) where each piece starts."""
    return np.arange(count, dtype=np.float64) * PIECE_S


def _calendar(world: World, workload: Workload) -> _Calendar:
    """Days of the week that are quiet in the mean; none in less than a week."""
    days = max(1, math.ceil(world.duration_s / DAY_SECONDS))
    if days < 7:
        return _Calendar((False,) * days)
    day = np.minimum(workload.arrival_s // DAY_SECONDS, days - 1).astype(np.int64)
    tokens = (workload.input_tokens + workload.output_tokens).astype(np.float64)
    total = np.bincount(day, weights=tokens, minlength=days)
    of_week = np.array([total[weekday::7].mean() for weekday in range(7)])
    order = np.argsort(of_week)
    steps = np.diff(of_week[order])
    split = int(np.argmax(steps)) + 1
    quiet, busy = order[:split], order[split:]
    if of_week[quiet].mean() >= QUIET_SHARE * of_week[busy].mean():
        return _Calendar((False,) * days)
    return _Calendar(tuple(bool(np.isin(d % 7, quiet)) for d in range(days)))
