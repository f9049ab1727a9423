"""Clairvoyant replay: the best schedule that foresight finds, played in the simulator at the held objective.

A plan knows every request. What it does not know is how full a replica may be run so that the objective just holds:
the cap (as a share of the inter-token objective), the hold (as a share of the time to first token) and the margin on
demand are searched by playing plans on the busiest day, and the winner is planned and played on the whole span.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from spillway.simulate.bound.demand import Totals, demand, totals
from spillway.simulate.bound.plan import PlanRule, by_tick, plan
from spillway.simulate.bound.schedule import TICK_S
from spillway.simulate.bound.span import Part, busiest_day
from spillway.simulate.bound.trial import Play, Search, Settings, Trial, better, play, settle, shortest_hold_s
from spillway.simulate.outcome import Outcome
from spillway.simulate.policy import Known
from spillway.simulate.world import Workload, World

HOLD_SHARES = tuple(partial(replace, hold_share=share) for share in (0.3, 0.55))
MARGINS = tuple(partial(replace, margin=margin) for margin in (0.9, 1.1))


def clairvoyant_replay(world: World, workload: Workload, known: Known, seed: int) -> Outcome:
    """The outcome of the best schedule found with foresight."""
    return best_replay(world, workload, known, seed).outcome


def best_replay(world: World, workload: Workload, known: Known, seed: int) -> Trial:
    """The same with the settings that were found and its score."""
    day = busiest_day(world, workload)
    found = search(_player(day, known, seed))
    if day.world is world:
        return found
    return settle(_player(Part(world, workload), known, seed), found.settings)


def _player(part: Part, known: Known, seed: int) -> Play:
    """Plans with the settings and plays the plan."""
    summed: Totals = totals(part.world, part.workload)

    def play_it(settings: Settings) -> Trial:
        needs = demand(part.world, summed, settings.itl_share)
        chosen = plan(part.world, needs, PlanRule(shortest_hold_s(part.world, settings), settings.margin))
        return play(part, known, seed, settings, by_tick(part.world, chosen, TICK_S), needs)

    return play_it


def search(play_day: Play) -> Trial:
    """The fullest caps; then the hold and the margin that would cost the least at the target; then caps again."""
    day = Search(play_day)
    found = day.fullest(Settings(), 1)
    for changes in HOLD_SHARES, MARGINS:
        trials = [found, *(day.at(change(found.settings)) for change in changes)]
        found = min(trials, key=day.at_target)
    return better(found, day.fullest(found.settings, 2))
