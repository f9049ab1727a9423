"""Running scenarios for the benchmark, with everything kept that has been run before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spillway.simulate.backtest.jobs import Job, score_of
from spillway.simulate.backtest.names import SCALERS, PolicyName, Spill, Tuning, parse_names
from spillway.simulate.backtest.result import policy_entry
from spillway.simulate.backtest.runner import backtest, search
from spillway.simulate.backtest.session import Listener, Session
from spillway.simulate.backtest.store import Store
from spillway.simulate.scenario import Scenario, load_scenario
from spillway_dev.bench.settings import ROOT

Result = dict[str, Any]
RIVALS = 2
"""Tuned baselines of each spill rule that are run on all seeds."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where and how benchmarks are run."""

    store: Store
    workers: int
    listener: Listener
    folder: Path
    """Of generated scenarios, results and pages."""

    def backtest(self, path: Path, policies: Sequence[str], seeds: int) -> Result:
        """The result of `spillway backtest` with these policies under every spill rule.

        Raises ScenarioError, BaselineError, WorkerLostError, OSError.
        """
        scenario = load_scenario(path)
        with self.session(scenario, seeds) as session:
            result: Result = finite(
                backtest(session, parse_names(policies, list(Spill)), command(path, policies, seeds))
            )
        return result

    def compare(self, path: Path, policies: Sequence[str], tuned: Sequence[str], seeds: int) -> Result:
        """The same, with further seeds only for the cheapest tuned baselines that hold the SLO on the first one.

        One that misses it there does not hold it, whatever the others would show; one far dearer is no rival.
        """
        if not tuned or seeds == 1:
            return self.backtest(path, [*policies, *tuned], seeds)
        first = self.backtest(path, tuned, 1)
        held = rivals(first)
        # A plain name would be run under every spill rule.
        exact = [name if "+" in name else f"{name}+queue" for name in held]
        whole = self.backtest(path, [*policies, *exact], seeds)
        missed = {name: entry for name, entry in first["policies"].items() if name not in whole["policies"]}
        return {
            **whole,
            "policies": {**whole["policies"], **missed},
            "failed": {**first["failed"], **whole["failed"]},
            "command": command(path, [*policies, *tuned], seeds),
        }

    def with_oracles(self, path: Path, result: Result, most: int) -> Result:
        """The result with the best tuned baselines also tuned in hindsight.

        The search is on the first seed; what it finds is run on all of the result's seeds.
        """
        rivals = best_tuned(result, most)
        if not rivals:
            return result
        scenario = load_scenario(path)
        policies = dict(result["policies"])
        with self.session(scenario, 1) as first, self.session(scenario, len(result["seeds"])) as session:
            for scaler, spill in rivals:
                found = search([first], scaler, spill)
                if found is None:
                    continue
                documents = session.documents([Job(scaler, seed, found) for seed in session.seeds])
                scores = {job.seed: score_of(document) for job, document in documents.items()}
                name = PolicyName(scaler, Tuning.ORACLE, spill)
                policies[name.text] = finite(policy_entry(scores, name, dict(found.parameters)))
        return {**result, "policies": policies}

    def session(self, scenario: Scenario, seeds: int) -> AbstractContextManager[Session]:
        """A session of the scenario's first seeds."""
        return Session(scenario, scenario.seeds[:seeds], self.workers, self.store, self.listener)


def rivals(result: Result) -> list[str]:
    """The cheapest of each spill rule that hold the SLO."""
    found: list[str] = []
    for rule in Spill:
        costs = {n: e["cost_usd"] for n, e in result["policies"].items() if e["slo_held"] and e["spill"] == rule}
        found += sorted(costs, key=lambda name: costs[name])[:RIVALS]
    return found


def best_tuned(result: Result, most: int) -> list[tuple[str, Spill]]:
    """Scaler and spill rule of the cheapest tuned baselines that held the SLO; then others, by cost with misses."""
    entries = [e for e in result["policies"].values() if e["tuning"] == Tuning.TUNED and e["scaler"] in SCALERS]
    entries.sort(key=lambda e: (not e["slo_held"], e["cost_usd"] if e["slo_held"] else e["cost_with_misses_usd"]["10"]))
    return [(entry["scaler"], Spill(entry["spill"])) for entry in entries[:most]]


def command(path: Path, policies: Sequence[str], seeds: int) -> str:
    """What a user types for the same figures."""
    wanted = f"--policy {','.join(policies)} --spill {','.join(Spill)} --seeds {seeds}"
    return f"spillway backtest {shown(path)} {wanted} -o json"


def shown(path: Path) -> str:
    """A path as a reader of the repository knows it."""
    whole = path.resolve()
    return whole.relative_to(ROOT).as_posix() if whole.is_relative_to(ROOT) else whole.name


def finite(value: Any) -> Any:
    """The same without what JSON can't say: an infinite figure is None."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
