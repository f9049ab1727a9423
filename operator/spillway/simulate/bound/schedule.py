"""A schedule of replicas and caps as a policy: what foresight and hindsight play in the simulator."""

from __future__ import annotations

from dataclasses import dataclass

from spillway.simulate.policy import Action, Known, LaneOverflow, Observation
from spillway.simulate.world import Integers

TICK_S = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """What to ask for at each tick, the first one at time 0, by lane (T, L) and class."""

    replicas: Integers
    caps: Integers | None
    """Requests in flight per replica; None: no cap."""
    queue_limit: int | None = None
    """Waiting requests per replica; None: no limit."""
    hold_s: tuple[float, ...] = ()

    def action(self, tick: int) -> Action:
        """What is asked for at a tick; the last one goes on."""
        row = min(tick, len(self.replicas) - 1)
        replicas = tuple(self.replicas[row].tolist())
        if self.caps is None:
            overflow = tuple(LaneOverflow(queue_limit=self.queue_limit) for _ in replicas)
        else:
            overflow = tuple(LaneOverflow(self.queue_limit, cap) for cap in self.caps[row].tolist())
        return Action(replicas, overflow, self.hold_s)


class SchedulePolicy:
    """Plays a schedule, whatever happens."""

    tick_seconds = TICK_S

    def __init__(self, name: str, schedule: Schedule):
        self.name = name
        self._schedule = schedule

    def start(self, known: Known) -> Action:
        """The replicas of the first tick are Ready at time 0."""
        return self._schedule.action(0)

    def act(self, seen: Observation) -> Action:
        """The tick's replicas and caps."""
        return self._schedule.action(round(seen.now / self.tick_seconds))
