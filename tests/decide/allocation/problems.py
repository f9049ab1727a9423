"""Problems to allocate, from tiny ones with exact answers to 8 classes on 6 lanes."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from spillway.api import LatencyClass
from spillway.decide.allocation import ClassProblem, HostedOption, LaneProblem, Problem, Response
from spillway.decide.allocation.types import Floats

INTERACTIVE, BACKGROUND, DEFERRABLE = LatencyClass.INTERACTIVE, LatencyClass.BACKGROUND, LatencyClass.DEFERRABLE


def response(most: int, batch: float = 20.0, top: float = 80.0, points: int = 161) -> Response:
    """What is left where work in progress is normal about the load with variance load / batch: convex in both."""
    counts, load = np.arange(most + 1.0), np.linspace(0.0, top, points)
    left = np.array([[left_of(float(x), int(n), batch) for x in load] for n in counts])
    return Response(counts, load, left)


def left_of(load: float, count: int, batch: float = 20.0) -> float:
    """E[(X - count)+] for X ~ N(load, load / batch), never more than the load."""
    if load <= 0 or count <= 0:
        return max(load, 0.0)
    sigma = math.sqrt(load / batch)
    z = (count - load) / sigma
    below = 0.5 * (1 + math.erf(z / math.sqrt(2)))
    return min(load, sigma * math.exp(-z * z / 2) / math.sqrt(2 * math.pi) + (load - count) * (1 - below))


def walks(random: np.random.Generator, paths: int, periods: int, mean: float, volatility: float = 0.15) -> Floats:
    """Geometric random walks of requests a second."""
    return np.asarray(mean * np.exp(np.cumsum(random.normal(0, volatility, (paths, periods)), axis=1)))


def one_class(
    demand: Floats, *, key: str = "a", usd: float | None = 0.004, miss_usd: float = 0.05, **more: object
) -> ClassProblem:
    """An interactive class with one hosted lane, or none."""
    hosted = () if usd is None else (HostedOption("hosted", usd),)
    fields: dict[str, object] = {"latency": INTERACTIVE, "hosted": hosted, "miss_usd": miss_usd} | more
    return ClassProblem(key=key, demand=demand, **fields)  # type: ignore[arg-type]


def one_lane(classes: tuple[ClassProblem, ...], *, name: str = "gpu", most: int = 12, **more: object) -> LaneProblem:
    """An own lane whose requests take a second of a replica."""
    fields: dict[str, object] = {
        "usd_per_replica_hour": 3.0,
        "min_replicas": 0,
        "ready": 0,
        "startup_seconds": 240.0,
        "work_seconds": {item.key: 1.0 for item in classes},
        "response": response(most + 1),
    } | more
    return LaneProblem(name=name, max_replicas=most, **fields)  # type: ignore[arg-type]


def busy(
    seed: int, *, periods: int = 6, classes: int = 8, own: int = 4, scale: float = 1.0, ceiling: float = 60.0
) -> Problem:
    """Four GPU types of unlike price, speed and start-up in two pools, two hosted lanes with limits, unlike classes."""
    random = np.random.default_rng(seed)
    made = []
    for i in range(classes):
        latency = (INTERACTIVE, BACKGROUND, DEFERRABLE)[i % 3]
        hosted = (
            HostedOption("h0", 0.003 + 0.0003 * i, 20.0, 2000.0),
            HostedOption("h1", 0.005 + 0.0002 * i, 40.0, 2000.0),
        )
        alone = i == 7
        demand = walks(random, 64, periods, scale * float(random.uniform(0.5, 2.0)))
        made.append(ClassProblem(f"c{i}", latency, () if alone else hosted, 1.0 if alone else 0.05, demand))
    lanes = []
    for number in range(own):
        speed, price = (1.0, 1.6, 0.7, 1.2)[number], (3.0, 2.1, 4.5, 2.85)[number]
        keys = [i for i in range(classes) if (i + number) % 4 != 0]
        lanes.append(
            LaneProblem(
                name=f"gpu{number}",
                usd_per_replica_hour=price,
                min_replicas=0,
                max_replicas=(16, 12, 10, 16)[number],
                ready=(6, 4, 2, 3)[number],
                startup_seconds=(240.0, 300.0, 180.0, 480.0)[number],
                work_seconds={f"c{i}": 1.5 * speed * (1 + 0.2 * i) for i in keys},
                response=response(17),
                pending_seconds=(30.0,),
                pool="p" if number < 2 else "q",
            )
        )
    return Problem(
        np.full(periods, 240.0),
        tuple(lanes),
        tuple(made),
        ceiling,
        pools={"p": 20.0, "q": 18.0},
        hosted_tokens_per_minute={"h0": 2e6},
    )


@dataclass(frozen=True)
class Markov:
    """One lane under demand that is a Markov chain with quarters as probabilities, so that paths can be listed."""

    loads: tuple[float, ...]
    """Work in replicas, by level."""
    start: tuple[int, ...]
    """Levels of the first period, equally likely."""
    follow: tuple[tuple[int, ...], ...]
    """By level: the next levels, equally likely (repeat one for more weight)."""
    periods: int
    stages: int
    """Start-up in periods: 1 or 2."""
    usd_per_replica_period: float
    usd_per_left: float
    """Hosted dollars for one replica's work over a period."""
    most: int
    ready: int = 0
    pending: tuple[int, ...] = ()
    """Periods until Ready of what is under way."""

    def paths(self, level: int | None = None, periods: int | None = None) -> Floats:
        """All paths of work (S, K), equally likely; from a known level if given."""
        length = self.periods if periods is None else periods
        fan = math.lcm(*(len(row) for row in self.follow))
        rows = [list(row) * (fan // len(row)) for row in self.follow]
        found = []
        for first in self.start if level is None else (level,):
            for choice in itertools.product(range(fan), repeat=length - 1):
                path = [first]
                for step in choice:
                    path.append(rows[path[-1]][step])
                found.append([self.loads[i] for i in path])
        return np.array(found)

    def problem(
        self,
        ready: int | None = None,
        pending: tuple[int, ...] | None = None,
        level: int | None = None,
        periods: int | None = None,
    ) -> Problem:
        """The same as allocation sees it, from its start or from a later state."""
        seconds = 240.0
        rate = self.paths(level, periods)
        item = one_class(rate, usd=self.usd_per_left / seconds)
        lane = one_lane(
            (item,),
            most=self.most,
            ready=self.ready if ready is None else ready,
            pending_seconds=tuple(seconds * p for p in (self.pending if pending is None else pending)),
            startup_seconds=seconds * self.stages,
            usd_per_replica_hour=self.usd_per_replica_period * 3600 / seconds,
            response=response(self.most + 1, top=20.0, points=401),
        )
        return Problem(np.full(rate.shape[1], seconds), (lane,), (item,))
