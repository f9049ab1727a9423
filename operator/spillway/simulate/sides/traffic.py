"""The requests that both sides get: from a trace, or from a scenario; the same ones for each class of either side."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from spillway.advise.review.effect import MUCH_LEFT_OUT, Confidence
from spillway.advise.review.words import rough
from spillway.api import API_VERSION, WorkloadClass
from spillway.simulate.scenario.build import class_numbers
from spillway.simulate.scenario.demand import WAYS_OUT, Demand, Stream, load_demand, read_demand
from spillway.simulate.scenario.errors import ScenarioError, problem, read_yaml
from spillway.simulate.scenario.model import ScenarioFile, TraceEntry
from spillway.simulate.sides.ask import Ask
from spillway.simulate.sides.doubts import BOTH, Doubt
from spillway.simulate.traces import BinTrace, TraceError, read_trace
from spillway.simulate.world import Interval, Workload

LOW, HIGH = Confidence.LOW, Confidence.HIGH
DAY_SECONDS = 86_400.0
WARMUP_SHARE = 0.25
"""Of a trace shorter than four days; a day of longer ones."""
SHORTEST_SECONDS = 1_800.0
METRICS_LAG_SECONDS = 15.0
DRAWN_AS = "traffic.csv.gz"
"""A trace's requests are drawn as if it were called so, whatever its name: a name must not change dollars."""
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
    named: bool = True
    """Whether requests are drawn by the traces' names, as a backtest of the scenario has them."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Demand by the classes of both sides."""

    demand: Demand
    keys: tuple[str, ...]
    """Classes by `Demand` class index."""
    gaps: tuple[Interval, ...]
    sampled: bool
    doubts: tuple[Doubt, ...]
    left_out: tuple[str, ...] = ()
    """Classes of the traces that no plan has."""
    left_out_share: float = 0.0
    """Their part of the requests, 0 to 1; traffic of other plans aside."""

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


def load_traffic(source: Source, classes: Sequence[WorkloadClass], elsewhere: Collection[str] = ()) -> Traffic:
    """The demand of the classes of either side; `classes` are all of them, each key once. Raises ScenarioError.

    `elsewhere`: keys of the classes of other plans, whose traffic is none of this plan's.
    """
    numbers = class_numbers(classes)
    mine, others = _split(source.file.traces, numbers)
    left_out = list(dict.fromkeys(name for entry in others for name in entry.classes.values()))
    if not mine:
        names = ", ".join(sorted(numbers)) or "none"
        raise ScenarioError(
            f"{source.origin}: classes: {', '.join(left_out) or 'none'} are no WorkloadClasses of the plan; name them "
            f"{names}"
        )
    file = source.file.model_copy(update={"traces": tuple(mine)})
    demand = load_demand(file, source.folder, numbers, source.origin, source.ways_out)
    keys = tuple(item.metadata.key for item in classes)
    if not source.named:
        demand = _drawn_by_class(demand, keys)
    fed = {stream.class_index for stream in demand.streams if stream.mean().requests > 0}
    known = {name for key in elsewhere for name in (key, key.partition("/")[2])}
    nobodys = [name for name in left_out if name not in known]
    share = _share(source, others, nobodys, demand)
    unfed = [
        Doubt(f"WorkloadClass {key}: the traffic has no requests of it, so it costs nothing here.", LOW)
        for index, key in enumerate(keys)
        if index not in fed
    ]
    return Traffic(
        demand,
        keys,
        demand.gaps(),
        any(isinstance(stream.trace, BinTrace) for stream in demand.streams),
        (*_of_left_out(nobodys, share), *unfed, *_of_others([name for name in left_out if name in known])),
        tuple(nobodys),
        share,
    )


def _split(traces: Sequence[TraceEntry], numbers: Mapping[str, int]) -> tuple[list[TraceEntry], list[TraceEntry]]:
    """The traces with the classes that the plan has, and with the others."""
    found: tuple[list[TraceEntry], list[TraceEntry]] = ([], [])
    for entry in traces:
        for part, wanted in zip(found, (True, False), strict=True):
            classes = {name: key for name, key in entry.classes.items() if (key in numbers) is wanted}
            if classes:
                part.append(entry.model_copy(update={"classes": classes}))
    return found


def _drawn_by_class(demand: Demand, keys: Sequence[str]) -> Demand:
    """With each stream's randomness from its WorkloadClass alone."""
    seen: Counter[int] = Counter()
    streams: list[Stream] = []
    for stream in demand.streams:
        seen[stream.class_index] += 1
        again = seen[stream.class_index]
        key = f"{DRAWN_AS}\n{keys[stream.class_index]}" + (f"\n{again}" if again > 1 else "")
        streams.append(replace(stream, key=key))
    return Demand(tuple(streams), demand.duration_s)


def _share(source: Source, others: Sequence[TraceEntry], nobodys: Sequence[str], kept: Demand) -> float:
    """Which part of the requests belongs to no plan."""
    if not nobodys:
        return 0.0
    entries = [
        entry.model_copy(update={"classes": {its: name for its, name in entry.classes.items() if name in nobodys}})
        for entry in others
    ]
    file = source.file.model_copy(update={"traces": tuple(entry for entry in entries if entry.classes)})
    lost = read_demand(file, source.folder, dict.fromkeys(nobodys, 0), source.origin)
    gone, stays = (sum(stream.mean().requests for stream in each.streams) for each in (lost, kept))
    return gone / (gone + stays) if gone else 0.0


def _of_left_out(names: Sequence[str], share: float) -> list[Doubt]:
    if not names:
        return []
    text = (
        f"{rough(share)} of the traffic's requests are left out: no plan has a WorkloadClass {', '.join(names)}, "
        f"so what they cost is missing{BOTH}."
    )
    return [Doubt(text, LOW if share > MUCH_LEFT_OUT else HIGH)]


def _of_others(names: Sequence[str]) -> list[Doubt]:
    if not names:
        return []
    return [Doubt(f"The traffic of {', '.join(names)} is left out: another plan serves it.", HIGH)]


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
    return Source(file, path.parent, path.name, f"traffic {path}", ways_out=TRACE_WAYS_OUT, named=False)
