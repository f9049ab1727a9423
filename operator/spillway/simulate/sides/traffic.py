"""The requests that both sides get: from a trace, or from a scenario; the same ones for each class of either side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from spillway.advise.review.effect import Confidence
from spillway.api import API_VERSION, WorkloadClass
from spillway.simulate.scenario.build import class_numbers
from spillway.simulate.scenario.demand import WAYS_OUT, Demand, load_demand
from spillway.simulate.scenario.errors import ScenarioError, problem, read_yaml
from spillway.simulate.scenario.model import ScenarioFile
from spillway.simulate.sides.ask import Ask
from spillway.simulate.sides.doubts import Doubt
from spillway.simulate.traces import BinTrace, TraceError, read_trace
from spillway.simulate.world import Interval, Workload

LOW, HIGH = Confidence.LOW, Confidence.HIGH
DAY_SECONDS = 86_400.0
WARMUP_SHARE = 0.25
"""Of a trace shorter than four days; a day of longer ones."""
SHORTEST_SECONDS = 1_800.0
METRICS_LAG_SECONDS = 15.0
TRACE_WAYS_OUT = ("give a trace with requests", "give fewer days, or a part of each class's requests")


@dataclass(frozen=True, slots=True)
class Source:
    """What is replayed: a scenario's file, or one made up for a trace, with what its paths are relative to."""

    file: ScenarioFile
    folder: Path
    label: str
    """For people."""
    origin: str
    """For messages."""
    truths_from: str = ""
    """What its truths are called; empty where it has none."""
    ways_out: tuple[str, str] = WAYS_OUT
    """See `load_demand`."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Demand by the classes of both sides."""

    demand: Demand
    keys: tuple[str, ...]
    """Classes by `Demand` class index."""
    gaps: tuple[Interval, ...]
    sampled: bool
    doubts: tuple[Doubt, ...]

    def of(self, keys: Sequence[str]) -> Demand:
        """The part of one side, whose classes have these keys in this order."""
        numbers = {self.keys.index(key): index for index, key in enumerate(keys)}
        mine = [stream for stream in self.demand.streams if stream.class_index in numbers]
        streams = tuple(replace(stream, class_index=numbers[stream.class_index]) for stream in mine)
        return Demand(streams, self.demand.duration_s)


def part_of(workload: Workload, numbers: Mapping[int, int]) -> Workload:
    """The requests of some classes, renumbered; the same ones in the same order."""
    table = np.full(max([*numbers, int(workload.class_index.max(initial=0))], default=0) + 1, -1, dtype=np.int64)
    for old, new in numbers.items():
        table[old] = new
    index = table[workload.class_index]
    mine = index >= 0
    if mine.all():
        return Workload(workload.arrival_s, index, workload.input_tokens, workload.output_tokens)
    return Workload(workload.arrival_s[mine], index[mine], workload.input_tokens[mine], workload.output_tokens[mine])


def source_of(ask: Ask) -> Source:
    """The scenario to replay. Raises ScenarioError."""
    if ask.scenario is not None:
        return _of_scenario(ask.scenario)
    if ask.traffic is not None:
        return _of_trace(ask.traffic)
    raise ScenarioError("traffic: nothing is given to replay; give a trace, or a scenario")


def load_traffic(source: Source, classes: Sequence[WorkloadClass]) -> Traffic:
    """The demand of the classes of either side; `classes` are all of them, each key once. Raises ScenarioError."""
    numbers = class_numbers(classes)
    entries, left_out = [], []
    for entry in source.file.traces:
        known = {name: key for name, key in entry.classes.items() if key in numbers}
        left_out += [name for name in entry.classes if name not in known]
        if known:
            entries.append(entry.model_copy(update={"classes": known}))
    if not entries:
        names = ", ".join(sorted(numbers)) or "none"
        raise ScenarioError(
            f"{source.origin}: classes: {', '.join(left_out) or 'none'} are no WorkloadClasses of the plan; name them "
            f"{names}"
        )
    demand = load_demand(
        source.file.model_copy(update={"traces": tuple(entries)}),
        source.folder,
        numbers,
        source.origin,
        source.ways_out,
    )
    fed = {stream.class_index for stream in demand.streams if stream.mean().requests > 0}
    doubts = [
        Doubt(f"WorkloadClass {item.metadata.key}: the traffic has no requests of it, so it costs nothing here.", LOW)
        for index, item in enumerate(classes)
        if index not in fed
    ]
    if left_out:
        text = f"The traffic of {', '.join(left_out)} is left out: the plan has no such WorkloadClass."
        doubts.append(Doubt(text, HIGH))
    return Traffic(
        demand,
        tuple(item.metadata.key for item in classes),
        demand.gaps(),
        any(isinstance(stream.trace, BinTrace) for stream in demand.streams),
        tuple(doubts),
    )


def warmup_of(seconds: float, step_s: float) -> float:
    """Of so long a trace: a day, or a quarter of less than four; whole bins."""
    return math.floor(min(DAY_SECONDS, WARMUP_SHARE * seconds) / step_s) * step_s


def _of_scenario(path: Path) -> Source:
    origin = f"scenario {path}"
    documents = read_yaml(path, "scenario")
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise ScenarioError(f"{origin}: one YAML document with apiVersion, kind Scenario and so on is needed")
    try:
        file = ScenarioFile.model_validate(documents[0])
    except ValidationError as error:
        raise ScenarioError(f"{origin}: {problem(error)}") from error
    return Source(file, path.parent, file.metadata.source or path.name, origin, f"scenario {path.name}")


def _of_trace(path: Path) -> Source:
    try:
        trace = read_trace(path)
    except TraceError as error:
        raise ScenarioError(f"traffic: {error}") from error
    if isinstance(trace, BinTrace):
        names = [series.class_name for series in trace.series]
        step, seconds = trace.width_s, trace.duration_s
    else:
        names = list(trace.classes)
        step, seconds = 1.0, math.ceil(float(trace.arrival_s[-1])) if len(trace.arrival_s) else 0.0
    if seconds < SHORTEST_SECONDS:
        raise ScenarioError(
            f"traffic {path}: covers {seconds:g} s, which is too short to tell anything; give {SHORTEST_SECONDS:g} s "
            "or more, better a week"
        )
    warmup = warmup_of(seconds, step)
    document = {
        "apiVersion": API_VERSION,
        "kind": "Scenario",
        "metadata": {"name": "traffic"},
        "manifests": ["of-both-sides"],
        "traces": [{"file": str(path.absolute()), "classes": {name: name for name in names}}],
        "time": {
            "warmupSeconds": warmup,
            "durationSeconds": seconds,
            "metricsLagSeconds": METRICS_LAG_SECONDS,
        },
    }
    file = ScenarioFile.model_validate(document)
    return Source(file, path.parent, path.name, f"traffic {path}", ways_out=TRACE_WAYS_OUT)
