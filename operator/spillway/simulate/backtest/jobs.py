"""One unit of work of a backtest, and doing it: a policy, a search or the bound on the requests of one seed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from spillway.simulate.backtest.names import CRON_BEST, REPLAY, STATIC_BEST, Spill, is_spillway
from spillway.simulate.backtest.timeline import timeline_of
from spillway.simulate.backtest.tuning import Choice
from spillway.simulate.baselines import catalogue
from spillway.simulate.baselines.catalogue import BaselineError
from spillway.simulate.policy import Known, Policy
from spillway.simulate.score import ClassScore, DayScore, SeedScore, score
from spillway.simulate.world import Workload, World

if TYPE_CHECKING:
    from spillway.simulate.backtest.forecasts import Watched

BOUND = "bound"
SEARCHES = (REPLAY, STATIC_BEST, CRON_BEST)
Document = dict[str, Any]


class JobError(ValueError):
    """A policy that can't run in a scenario; one line."""


@dataclass(frozen=True, slots=True)
class Job:
    """A run: `scaler` is a policy's name, or `BOUND`."""

    scaler: str
    seed: int
    choice: Choice | None = None
    """Of a baseline."""

    @property
    def identity(self) -> list[Any]:
        """What tells this job from others on the same requests."""
        choice = None if self.choice is None else [self.choice.spill, list(self.choice.parameters)]
        return [self.scaler, self.seed, choice]

    @property
    def label(self) -> str:
        """For progress lines."""
        spill = "" if self.choice is None else f"+{self.choice.spill}"
        return f"{self.scaler}{spill}, seed {self.seed}"


def do(job: Job, world: World, known: Known, workload: Workload) -> Document:
    """Do a job; the document is what is kept of it. Raises JobError."""
    from spillway.simulate import bound, fleet  # noqa: PLC0415 - the compiled simulator is slow to import

    watched = None
    try:
        if job.scaler == BOUND:
            return {"bound": asdict(bound.cost_bound(world, workload))}
        if job.scaler in SEARCHES:
            search = {REPLAY: bound.clairvoyant_replay, STATIC_BEST: bound.static_best, CRON_BEST: bound.cron_best}
            outcome = search[job.scaler](world, workload, known, job.seed)
        else:
            world, known, policy = prepared(job, world, known, workload)
            watched = _watched(policy)
            outcome = fleet.simulate(world, workload, known, watched or policy, job.seed)
    except BaselineError as error:
        raise JobError(str(error)) from error
    scored = asdict(score(world, workload, outcome))
    timeline = timeline_of(world, workload, outcome)
    if watched is not None:
        timeline["forecast"] = watched.lines(timeline["at_s"])
    # Lists, as JSON will have them: a run kept from before is equal to a fresh one.
    return {"score": {**scored, "days": list(scored["days"])}, "timeline": timeline}


def _watched(policy: Policy) -> Watched | None:
    from spillway.simulate.backtest.forecasts import Watched  # noqa: PLC0415 - only where it is run
    from spillway.simulate.spillway import SpillwayPolicy  # noqa: PLC0415

    return Watched(policy) if isinstance(policy, SpillwayPolicy) else None


def prepared(job: Job, world: World, known: Known, workload: Workload) -> tuple[World, Known, Policy]:
    """A fresh policy for one run, with the world that it runs in and what it is told. Raises BaselineError."""
    if is_spillway(job.scaler):
        from spillway.simulate.spillway import VARIANTS  # noqa: PLC0415 - only where it is run
        from spillway.simulate.spillway import create as create_spillway  # noqa: PLC0415

        variant = VARIANTS[job.scaler]
        return *variant.setting(world, known), create_spillway(variant, world, workload)
    choice = job.choice or Choice(Spill.QUEUE)
    return world, known, catalogue.create(job.scaler, known, choice.spill, dict(choice.parameters), workload)


def score_of(document: Document) -> SeedScore:
    """The score as a value again."""
    fields = dict(document["score"])
    fields["slo_attainment_by_class"] = {
        key: ClassScore(**value) for key, value in fields["slo_attainment_by_class"].items()
    }
    fields["days"] = tuple(DayScore(**day) for day in fields["days"])
    return SeedScore(**fields)
