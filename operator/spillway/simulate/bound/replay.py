"""Clairvoyant replay: the best schedule that foresight finds, played in the simulator at the held objective.

A plan knows every request. What it does not know is how full a replica may be run so that the objective just holds:
the cap (as a share of the inter-token objective), the hold (as a share of the time to first token) and the margin on
demand are searched by playing plans on the busiest day, and the winner is planned and played on the whole span.
"""

from __future__ import annotations

from dataclasses import replace

from spillway.simulate.bound.demand import Totals, demand, totals
from spillway.simulate.bound.plan import PlanRule, by_tick, plan
from spillway.simulate.bound.schedule import TICK_S
from spillway.simulate.bound.span import Part, busiest_day
from spillway.simulate.bound.trial import Play, Settings, Trial, better, fullest, play, settle, shortest_hold_s
from spillway.simulate.outcome import Outcome
from spillway.simulate.policy import Known
from spillway.simulate.world import Workload, World

HOLD_SHARES = (0.3, 0.6)
MARGINS = (0.9, 1.1)
FULL_STEPS = (1.02, 1.04, 1.08)
"""Steps of the caps on the whole span."""


def clairvoyant_replay(world: World, workload: Workload, known: Known, seed: int) -> Outcome:
    """The outcome of the best schedule found with foresight."""
    return best_replay(world, workload, known, seed).outcome


def best_replay(world: World, workload: Workload, known: Known, seed: int) -> Trial:
    """The same with the settings that were found and its score."""
    day = busiest_day(world, workload)
    found = search(_player(day, known, seed))
    if day.world is world:
        return found
    return settle(_player(Part(world, workload), known, seed), found.settings, FULL_STEPS)


def _player(part: Part, known: Known, seed: int) -> Play:
    """Plans with the settings and plays the plan."""
    summed: Totals = totals(part.world, part.workload)

    def play_it(settings: Settings) -> Trial:
        needs = demand(part.world, summed, settings.itl_share)
        chosen = plan(part.world, needs, PlanRule(shortest_hold_s(part.world, settings), settings.margin))
        return play(part, known, seed, settings, by_tick(part.world, chosen, TICK_S), needs)

    return play_it


def search(play_day: Play) -> Trial:
    """The fullest caps by bisection, for some holds and some margins."""
    best = fullest(play_day, Settings(), 3)
    for hold_share in HOLD_SHARES:
        best = better(best, play_day(replace(best.settings, hold_share=hold_share)))
    for margin in MARGINS:
        best = better(best, fullest(play_day, replace(best.settings, margin=margin), 2))
    return best
