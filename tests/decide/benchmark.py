"""CPU time of a decision at 8 classes and 6 lanes: ``PYTHONPATH=tests python -m decide.benchmark``."""

from __future__ import annotations

import math
import sys
import time

import numpy as np

from decide.builders import (
    NOW,
    World,
    curve,
    engine,
    hosted_lane,
    hosted_resource,
    own_lane,
    own_resource,
    plan,
    samples,
    target,
    traffic,
    workload,
)
from spillway.decide import decide
from spillway.decide.memory import Memory
from spillway.decide.snapshot import PlanSnapshot, RouteState

CLASSES, OWN, HOSTED, ROUNDS = 8, 4, 2, 200
OWN_NAMES = [f"gpu-{i}" for i in range(OWN)]
HOSTED_NAMES = [f"hosted-{i}" for i in range(HOSTED)]
WEIGHTS = dict.fromkeys(OWN_NAMES, 25) | dict.fromkeys(HOSTED_NAMES, 0)


def bindings(classes: int) -> list[dict[str, object]]:
    backends = {name: name for name in (*OWN_NAMES, *HOSTED_NAMES)}
    return [
        {"class": f"c{i}", "ownership": "Adopted", "httpRoute": f"c{i}", "rule": "all", "backends": backends}
        for i in range(classes)
    ]


def busy_plan(random: np.random.Generator) -> PlanSnapshot:
    """Daily demand with noise, fine (480 points) and coarse (15 days) histories, four GPU types with unlike leads."""

    def rate(at: float) -> float:
        return float(60 * (1 - 0.8 * math.cos(2 * math.pi * at / 86400)) * random.uniform(0.8, 1.2))

    classes = tuple(
        traffic(
            f"c{i}",
            rate(NOW),
            resource=workload(f"c{i}"),
            history=(curve(rate, 480, 15.0), curve(rate, 4320, 300.0)),
        )
        for i in range(CLASSES)
    )
    learned = samples(lambda b: 11 + 0.5 * b, [5 + i % 50 for i in range(480)])
    own = tuple(
        own_lane(
            name,
            resource=own_resource(name, startupSeconds=120 + 60 * i, replicas={"min": 0, "max": 64}),
            state=target(20),
            engine=engine(samples=learned),
        )
        for i, name in enumerate(OWN_NAMES)
    )
    hosted = tuple(hosted_lane(name, "1.5", resource=hosted_resource(name)) for name in HOSTED_NAMES)
    return World(
        plan=plan(lanes=[*OWN_NAMES, *HOSTED_NAMES], routing={"bindings": bindings(CLASSES)}),
        classes=classes,
        lanes=(*own, *hosted),
        routes=tuple(RouteState(f"c{i}", f"c{i}", "all", True, "1", WEIGHTS, 0, True) for i in range(CLASSES)),
        tick=15.0,
        scrape=15.0,
    ).snapshot()


def main() -> None:
    random = np.random.default_rng(1)
    snapshot = busy_plan(random)
    memory, taken = Memory(), []
    for _ in range(ROUNDS):
        start = time.process_time()
        _, memory = decide(snapshot, memory)
        taken.append(1000 * (time.process_time() - start))
    p50, p99 = np.quantile(taken, [0.5, 0.99])
    sys.stdout.write(
        f"{CLASSES} classes, {OWN + HOSTED} lanes: p50 {p50:.1f} ms, p99 {p99:.1f} ms of CPU over {ROUNDS} decisions\n"
    )


if __name__ == "__main__":
    main()
