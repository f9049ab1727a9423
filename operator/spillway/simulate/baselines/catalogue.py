"""Baselines as policies: a scaler with the spill rule, by name, with one set of parameters; grids and tuned values.

Parameters are the scaler's (`registry.parameters_of`) and the rule's: `spill_threshold` (requests waiting, or in
flight, of one replica), `cap_share` (of the default cap, without a threshold), `hold_share` (of the TTFT objective).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from spillway.simulate.baselines import tuned as tuned_values
from spillway.simulate.baselines.facts import BaselineError
from spillway.simulate.baselines.fixed import peak_replicas
from spillway.simulate.baselines.registry import (
    API_ONLY,
    CATALOGUE,
    NAMES,
    STATIC_PEAK,
    VARIANTS,
    parameters_of,
    scaler,
)
from spillway.simulate.baselines.spill import TUNING_GRID, Composed, SpillKind, rule_of, rule_parameters
from spillway.simulate.policy import Known
from spillway.simulate.world import Workload

__all__ = ["NAMES", "VARIANTS", "BaselineError", "create", "grid", "tuned"]


def create(
    name: str,
    known: Known,
    spill: str,
    parameters: Mapping[str, float] | None = None,
    workload: Workload | None = None,
) -> Composed:
    """A fresh policy for one run.

    Args:
        name: one of `NAMES` or `VARIANTS`.
        known: of the run; only static-peak and api-only look at it here.
        spill: `none`, `queue`, `cap` or `hold`; api-only has none.
        parameters: put over the defaults.
        workload: the requests whose peak static-peak is sized for; api-only takes it for the classes that may not be
            hosted, if there are any.

    Raises:
        BaselineError: an unknown name or parameter, a lane without the profile that the baseline is configured from,
            or a peak that cannot be counted.
    """
    given = dict(parameters or {})
    kind = SpillKind.NONE if name == API_ONLY else SpillKind(spill)
    rule = rule_of(kind, {key: given.pop(key) for key in rule_parameters(kind) if key in given})
    peak = None
    if workload is not None and name in (STATIC_PEAK, API_ONLY):
        peak = peak_replicas(known, workload, hosted_never=name == API_ONLY)
    return Composed(scaler(name, given, peak_replicas=peak), rule)


def grid(name: str, spill: str) -> Sequence[Mapping[str, float]]:
    """What tuning tries: the scaler's grid times the rule's."""
    parameters_of(name)
    if name == API_ONLY:
        return ({},)
    return tuple({**own, **rule} for own, rule in product(CATALOGUE[name].grid, TUNING_GRID[SpillKind(spill)]))


def tuned(name: str, spill: str) -> Mapping[str, float]:
    """Parameters of `NAME@tuned` with this spill rule: found on the development traces, else the defaults ({})."""
    parameters_of(name)
    return tuned_values.tuned_parameters(name, spill)
