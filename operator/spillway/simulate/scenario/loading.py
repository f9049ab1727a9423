"""Loading a scenario: file, manifests, traces and tables together, checked, with everything that a run needs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from spillway.simulate.policy import Known
from spillway.simulate.scenario.build import build_known, build_world, class_numbers
from spillway.simulate.scenario.demand import Demand, load_demand
from spillway.simulate.scenario.errors import ScenarioError, problem, read_yaml
from spillway.simulate.scenario.exchange import workload_hash
from spillway.simulate.scenario.manifests import load_resources
from spillway.simulate.scenario.model import ScenarioFile
from spillway.simulate.world import Workload, World


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario that can be run."""

    name: str
    path: Path
    file: ScenarioFile
    world: World
    known: Known
    demand: Demand
    seeds: tuple[int, ...]
    class_numbers: dict[str, int]
    """Position in `World.classes` by "namespace/name", and by name where that is unambiguous."""
    warnings: tuple[str, ...]
    content_hash: str
    """Of every file that the scenario is made of."""

    def workload(self, seed: int) -> Workload:
        """The realised requests of one seed."""
        return self.demand.workload(seed)

    def known_to(self, seed: int) -> Known:
        """What a policy is told in the run of one seed."""
        return replace(self.known, seed=seed)

    def class_names(self) -> tuple[str, ...]:
        """By class: the shortest name that is unambiguous, as files of requests have it."""
        short = {index: name for name, index in self.class_numbers.items() if "/" not in name}
        return tuple(short.get(index, item.key) for index, item in enumerate(self.world.classes))

    def requests_hash(self, workload: Workload) -> str:
        """Fingerprint of realised requests."""
        return workload_hash(workload, [item.key for item in self.world.classes])


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file and all that it names, relative to its folder. Raises ScenarioError."""
    file = _file(path)
    folder, origin = path.parent, f"scenario {path}"
    resources = load_resources([folder / name for name in file.manifests])
    if not resources.classes:
        raise ScenarioError(f"{origin}: manifests: no WorkloadClass has planRef {resources.plan.metadata.key}; add one")
    numbers = class_numbers(resources.classes)
    demand = load_demand(file, folder, numbers, origin)
    world = build_world(file, resources, demand, folder, origin)
    fed = {stream.class_index for stream in demand.streams}
    idle = [
        f"{origin}: WorkloadClass {item.key}: no trace feeds it: it has no requests"
        for index, item in enumerate(world.classes)
        if index not in fed
    ]
    return Scenario(
        name=file.metadata.name,
        path=path,
        file=file,
        world=world,
        known=build_known(file, resources, world),
        demand=demand,
        seeds=file.seeds,
        class_numbers=numbers,
        warnings=(*resources.warnings, *idle),
        content_hash=_content_hash(file, path),
    )


def _file(path: Path) -> ScenarioFile:
    documents = read_yaml(path, "scenario")
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise ScenarioError(f"scenario {path}: one YAML document with apiVersion, kind Scenario and so on is needed")
    try:
        return ScenarioFile.model_validate(documents[0])
    except ValidationError as error:
        raise ScenarioError(f"scenario {path}: {problem(error)}") from error


def _content_hash(file: ScenarioFile, path: Path) -> str:
    names: Sequence[Path] = [
        *file.manifests,
        *(entry.file for entry in file.traces),
        *(truth.table for truth in file.truth.values() if truth.table is not None),
    ]
    digest = hashlib.sha256(path.read_bytes())
    for name in names:
        digest.update(hashlib.sha256((path.parent / name).read_bytes()).digest())
    return digest.hexdigest()
