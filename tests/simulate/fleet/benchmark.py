"""How fast the core is: one week, 5 million requests, about 6 replicas, a policy that does nothing.

PYTHONPATH=operator:tests python -m simulate.fleet.benchmark [REQUESTS]
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from simulate.fleet.worlds import Fixed, known_nothing, lane_truth, one_class_world
from spillway.simulate.fleet import simulate
from spillway.simulate.policy import Action, LaneOverflow
from spillway.simulate.world import Workload

WEEK = 604800.0


def main() -> None:
    """Print seconds, requests a second and memory."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000
    random = np.random.default_rng(1)
    workload = Workload(
        np.sort(random.random(requests) * WEEK),
        np.zeros(requests, dtype=np.int64),
        np.clip(random.lognormal(6.6, 0.8, requests), 1, 16000).astype(np.int64),
        np.clip(random.lognormal(4.9, 0.8, requests), 1, 4000).astype(np.int64),
    )
    world = one_class_world(lane_truth(), duration_s=WEEK)
    policy = Fixed(Action(replicas=(6,), overflow=(LaneOverflow(cap=64),)))
    short = Workload(*(array[:1000] for array in (workload.arrival_s, workload.class_index,
                                                   workload.input_tokens, workload.output_tokens)))  # fmt: skip
    began = time.perf_counter()
    simulate(one_class_world(lane_truth(), duration_s=600.0), _until(short, 600.0), known_nothing(), policy, 1)
    print(f"compiled or loaded in {time.perf_counter() - began:.1f} s")  # noqa: T201
    began = time.process_time()
    out = simulate(world, workload, known_nothing(), policy, 1)
    seconds = time.process_time() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    own = float(np.mean(out.requests.served == 0))
    print(  # noqa: T201
        f"{requests} requests, {len(out.replicas.lane)} replicas: {seconds:.2f} s, {requests / seconds / 1e6:.2f} M/s, "
        f"{1e6 * seconds / requests:.2f} us each; own {own:.3f}, in flight {out.timeline.in_flight.mean():.1f}, "
        f"{memory:.0f} MiB"
    )


def _until(workload: Workload, end: float) -> Workload:
    keep = workload.arrival_s < end
    return Workload(workload.arrival_s[keep], workload.class_index[keep],
                    workload.input_tokens[keep], workload.output_tokens[keep])  # fmt: skip


if __name__ == "__main__":
    main()
