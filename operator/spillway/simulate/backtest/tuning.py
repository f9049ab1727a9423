"""Choosing a baseline's thresholds: its published defaults, the tuned file, or a search over its grid.

The search goes by turns: with the best parameters so far every spill threshold of the grid, with the best threshold
every parameter set, until neither finds anything better. Better is: holds the SLO in more scenarios (on every seed),
then the lower geometric mean of cost; where the SLO is missed, a miss costs ten times its hosted price.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from spillway.simulate.backtest.names import PolicyName, Spill, Tuning
from spillway.simulate.baselines.catalogue import tuned
from spillway.simulate.baselines.registry import CATALOGUE
from spillway.simulate.baselines.spill import TUNING_GRID, SpillKind, rule_parameters
from spillway.simulate.score import SeedScore

MISS_FACTOR = "10"
MAX_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Choice:
    """One setting of a baseline."""

    spill: Spill
    parameters: tuple[tuple[str, float], ...] = ()
    """The scaler's and the spill rule's, by name, in order; what is not here is the default."""


Evaluated = Mapping[Choice, Sequence[Sequence[SeedScore]]]
"""By choice: by scenario: by seed."""


def fixed_choice(name: PolicyName, spill: Spill) -> Choice:
    """The defaults, or what the tuned file says. Raises BaselineError."""
    return _choice(spill, tuned(name.scaler, spill) if name.tuning is Tuning.TUNED else {})


def proposals(scaler: str, spill: Spill, evaluated: Evaluated) -> list[Choice]:
    """What to evaluate next; empty where the search has come to its end."""
    rules = TUNING_GRID[SpillKind(spill)]
    if not evaluated:
        wanted = [_choice(spill, {}), _choice(spill, tuned(scaler, spill)), *(_choice(spill, rule) for rule in rules)]
    else:
        found = dict(best(evaluated).parameters)
        of_rule = {key: found[key] for key in rule_parameters(SpillKind(spill)) if key in found}
        own = {key: value for key, value in found.items() if key not in of_rule}
        wanted = [_choice(spill, {**each, **of_rule}) for each in CATALOGUE[scaler].grid]
        wanted += [_choice(spill, {**own, **rule}) for rule in rules]
    return [choice for choice in dict.fromkeys(wanted) if choice not in evaluated]


def best(evaluated: Evaluated) -> Choice:
    """The best choice; the first of equals."""
    return min(evaluated, key=lambda choice: _rank(evaluated[choice]))


def _rank(scenarios: Sequence[Sequence[SeedScore]]) -> tuple[int, float]:
    missed, logs = 0, []
    for scores in scenarios:
        held = all(score.slo_held for score in scores)
        missed += not held
        usd = fmean(score.cost_usd if held else score.cost_with_misses_usd[MISS_FACTOR] for score in scores)
        logs.append(math.log(max(usd, 1e-9)))
    return missed, fmean(logs)


def _choice(spill: Spill, parameters: Mapping[str, float]) -> Choice:
    return Choice(spill, tuple(sorted(parameters.items())))
