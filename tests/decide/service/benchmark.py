"""Error of the predicted spill-free throughput after hours of learning on a simulated fleet.

``PYTHONPATH=operator:tests python -m decide.service.benchmark [--hours 4]`` prints the table. A lane of constant size
serves a trace under an in-flight cap, the rest goes hosted; a learner sees its lagged scrapes. What it then predicts
for one full replica at several caps is compared with one of the same truth that is flooded at that cap.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from decide.builders import hosted_resource, own_resource, plan, workload
from simulate.profiles.fitting import step_table, tabled
from simulate.profiles.measured import profiles
from spillway.api import LatencyClass, ServiceProfile
from spillway.decide.service import Coefficients, Lengths, Mix, ServiceState, learned, throughput
from spillway.decide.snapshot import ServiceSample
from spillway.simulate.arrivals import ArrivalOptions, realise
from spillway.simulate.fleet import simulate
from spillway.simulate.policy import Action, Known, LaneInfo, LaneOverflow, Observation, Sample
from spillway.simulate.service_samples import samples_of
from spillway.simulate.traces import BinTrace, read_trace
from spillway.simulate.world import ClassTruth, Floats, HostedTruth, OwnTruth, StepTable, Workload, World

TRACES = Path(__file__).resolve().parents[3] / "examples" / "traces"
TRUTH = Coefficients(25.0, 0.25, 0.02, 80.0, 256, 450_000)
LONGEST = 16_000
LENGTHS = Lengths(0.8, 0.8, LONGEST, LONGEST)
OPTIONS = ArrivalOptions(length_cap=LONGEST)


@dataclass(frozen=True, slots=True)
class Case:
    """A trace, where in it, how much of it, and the cap under which a lane of constant size serves it."""

    name: str
    file: str
    series: str
    start_hour: float
    demand_scale: float
    cap: int
    load: float = 0.8
    """Mean demand over the lane's throughput at the cap."""


CASES = (
    Case("code", "azure2024_code_7d.csv.gz", "code", 32.0, 0.5, 6),
    Case("code-2", "azure2024_code_7d.csv.gz", "code", 32.0, 0.5, 2, 1.0),
    Case("office", "o365_A_7d.csv.gz", "a-prod", 32.0, 2.0, 10),
    Case("chat", "burstgpt_week1_7d.csv.gz", "chatgpt", 60.0, 250.0, 40),
)


@dataclass(slots=True)
class Constant:
    """A lane of constant size under a constant cap, which remembers what there was to learn from."""

    replicas: int
    cap: int
    name: str = "constant"
    tick_seconds: float = 15.0
    samples: list[ServiceSample] = field(default_factory=list)
    groups: list[tuple[float, tuple[ServiceSample, ...]]] = field(default_factory=list)
    last: Sample | None = None

    def start(self, known: Known) -> Action:
        del known
        return self._action()

    def act(self, seen: Observation) -> Action:
        for sample in seen.samples[-4:]:
            if self.last is not None and sample.at > self.last.at:
                self.groups.append((seen.now, samples_of(self.last, sample, 0)))
            if self.last is None or sample.at > self.last.at:
                self.last = sample
        return self._action()

    def _action(self) -> Action:
        return Action((self.replicas,), (LaneOverflow(cap=self.cap),))


def world(truth: Coefficients, table: StepTable | None, replicas: int, seconds: float) -> World:
    """One class, one own lane of that truth, one hosted lane for what is over the cap."""
    own = OwnTruth(
        "gpu", 30.0, 0.1, 256, 8192, 450_000, None,
        truth.alpha_ms, truth.beta_ms, truth.gamma_ms_per_ktoken, truth.prefill_ms_per_ktoken,
        table, replicas, replicas, 1.0,
    )  # fmt: skip
    hosted = HostedTruth("hosted", 0.5, 1.5, 0.015, 0.03, 0.0, (), 1e-6, 1e-6, 1e-6)
    group = ClassTruth("ai/chat", LatencyClass.INTERACTIVE, 4.0, 0.1, 0.99, (0,), (0,))
    return World((group,), (own,), (hosted,), 0.0, 0.0, seconds, 15.0)


def known_of(replicas: int) -> Known:
    lane = LaneInfo(own_resource(replicas={"min": replicas, "max": replicas}), 30.0)
    return Known(plan(), (workload(),), (lane,), (hosted_resource(),), 15.0)


def requests(case: Case, hours: float, *, shift: float = 1.0, seed: int = 1) -> tuple[Workload, Mix]:
    """The trace's requests and their mean mix. ``shift``: input lengths from half time on, outputs by its inverse."""
    trace = read_trace(TRACES / case.file)
    assert isinstance(trace, BinTrace)
    chosen = replace(trace, series=tuple(s for s in trace.series if s.class_name == case.series))
    cut = chosen.window(case.start_hour * 3600, hours * 3600)
    drawn = realise(cut, replace(OPTIONS, demand_scale=case.demand_scale), np.random.default_rng(seed))
    inputs, outputs = drawn.input_tokens.copy(), drawn.output_tokens.copy()
    late = drawn.arrival_s > hours * 1800
    inputs[late] = np.clip(inputs[late] * shift, 1, LONGEST)
    outputs[late] = np.clip(outputs[late] / shift, 1, LONGEST)
    last = drawn.arrival_s > (hours - 1) * 3600
    mix = Mix(float(inputs[last].mean()), float(outputs[last].mean()))
    return Workload(drawn.arrival_s, np.zeros(len(inputs), dtype=np.int64), inputs, outputs), mix


def real_throughput(truth: Coefficients, table: StepTable | None, like: Workload, cap: int) -> float:
    """Requests a second of one flooded replica at the cap, on requests as long as the workload's last hour's."""
    rng = np.random.default_rng(7)
    last = np.flatnonzero(like.arrival_s > like.arrival_s[-1] - 3600)
    pick = rng.choice(last, 60_000)
    mix = Mix(float(like.input_tokens[last].mean()), float(like.output_tokens[last].mean()))
    fastest = float(throughput(truth, mix, LENGTHS, np.array([float(cap)]))[0]) * 1.5
    seconds = min(3600.0, pick.size / fastest)
    arrivals = np.sort(rng.uniform(0.0, seconds, int(fastest * seconds)))
    flood = Workload(
        arrivals,
        np.zeros(len(arrivals), dtype=np.int64),
        like.input_tokens[pick[: len(arrivals)]],
        like.output_tokens[pick[: len(arrivals)]],
    )
    policy = _Flooded(cap)
    simulate(world(truth, table, 1, seconds), flood, known_of(1), policy, 1)
    first, final = policy.seen[len(policy.seen) // 10], policy.seen[-1]
    return (final[1] - first[1]) / (final[0] - first[0])


class _Flooded(Constant):
    def __init__(self, cap: int) -> None:
        super().__init__(1, cap)
        self.seen: list[tuple[float, float]] = []

    def _action(self) -> Action:
        return replace(super()._action(), hold_s=(60.0,))

    def act(self, seen: Observation) -> Action:
        if seen.samples and (not self.seen or seen.samples[-1].at > self.seen[-1][0]):
            self.seen.append((seen.samples[-1].at, seen.samples[-1].lanes[0].finished))
        return self._action()


def profile(truth: Coefficients, factor: float) -> ServiceProfile:
    """A declared profile that is wrong by that factor."""
    wrong = truth.scaled(factor)
    return ServiceProfile.model_validate(
        {
            "alphaMs": f"{wrong.alpha_ms:.4f}",
            "betaMsPerSequence": f"{wrong.beta_ms:.4f}",
            "gammaMsPerKToken": f"{wrong.gamma_ms_per_ktoken:.4f}",
            "prefillMsPerKToken": f"{wrong.prefill_ms_per_ktoken:.4f}",
            "maxSequences": 256,
            "kvCacheTokens": 450000,
        }
    )


@dataclass(frozen=True, slots=True)
class Run:
    """What a lane of constant size let be seen, and what is true of it."""

    groups: Sequence[tuple[float, tuple[ServiceSample, ...]]]
    mix: Mix
    caps: tuple[int, ...]
    real: Floats
    seconds_per_call: float = 0.0


def observe(case: Case, hours: float, truth: Coefficients, table: StepTable | None = None, shift: float = 1.0) -> Run:
    """Let the lane serve the trace, and flood one replica of it at a few caps."""
    work, mix = requests(case, hours, shift=shift)
    rate = work.size / (hours * 3600)
    one = real_throughput(truth, table, work, case.cap)
    replicas = max(2, round(rate / one / case.load))
    policy = Constant(replicas, case.cap)
    simulate(world(truth, table, replicas, hours * 3600), work, known_of(replicas), policy, 1)
    caps = (max(1, case.cap // 2), case.cap, case.cap * 2)
    real = np.array([real_throughput(truth, table, work, cap) for cap in caps])
    return Run(policy.groups, mix, caps, real)


def learn(run: Run, prior: ServiceProfile | None, until: float = np.inf) -> tuple[ServiceState, float]:
    """The belief at a moment, and CPU milliseconds a call."""
    state: ServiceState | None = None
    calls, spent = 0, 0.0
    for now, group in run.groups:
        if now > until:
            break
        began = time.process_time()
        state = learned(state, prior, group, now)
        spent += time.process_time() - began
        calls += 1
    assert state is not None
    return state, 1000 * spent / max(calls, 1)


def errors(run: Run, known: Coefficients) -> Floats:
    """Predicted over real throughput, less 1, by cap."""
    return throughput(known, run.mix, LENGTHS, np.array([float(c) for c in run.caps])) / run.real - 1.0


@cache
def measured_table(name: str = "llama2-70b h100-80gb x4") -> StepTable:
    """Iteration times as measured, with noise: a 70B model on four H100."""
    found = next(profile for profile in profiles() if profile.source == "splitwise" and profile.name == name)
    return step_table(tabled(found), noise_sigma=0.05)


def row(case: Case, truth: str, run: Run, prior: str, until_hours: float) -> str:
    """One line of the table."""
    given = None if prior == "none" else profile(TRUTH, float(prior.removeprefix("x")))
    state, spent = learn(run, given, until_hours * 3600)
    found = state.coefficients
    caps = " ".join(f"{cap:>4}: {e:+6.1%}" for cap, e in zip(run.caps, errors(run, found), strict=True))
    four = f"{found.alpha_ms:6.1f} {found.beta_ms:6.2f} {found.gamma_ms_per_ktoken:6.3f}"
    four += f" {found.prefill_ms_per_ktoken:6.1f}"
    sure = state.error(run.mix, case.cap, LENGTHS)
    start = f"{case.name:8}{truth:9}{prior:6}{until_hours:4.1f}"
    return f"{start}  {caps}  {four}  {sure:6.1%} {state.samples:8d} {spent:8.3f}"


def main(hours: float) -> None:
    """Print the table."""
    head = f"{'trace':8}{'truth':9}{'prior':6}{'h':>4}  {'error of predicted throughput by cap':39}"
    out = sys.stdout
    out.write(f"{head}{'alpha':>6}{'beta':>7}{'gamma':>7}{'prefill':>7}  {'sigma':>6} {'samples':>8} {'ms/call':>8}\n")
    for case in CASES:
        for label, table, shift in (("formula", None, 1.0), ("table", measured_table(), 1.0), ("shifts", None, 1.6)):
            run = observe(case, hours, TRUTH, table, shift)
            for prior in ("none", "x0.5", "x1", "x2"):
                for until in (0.5, 1.0, hours):
                    out.write(row(case, label, run, prior, until) + "\n")
            out.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=float, default=4.0)
    main(parser.parse_args().hours)
