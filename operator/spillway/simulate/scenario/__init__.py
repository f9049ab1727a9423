"""Scenario files: what a backtest runs, read and checked, as `World`, `Known` and the requests of each seed."""

from spillway.simulate.scenario.errors import ScenarioError
from spillway.simulate.scenario.exchange import dump_requests, read_requests, seed_file, workload_hash
from spillway.simulate.scenario.loading import Scenario, load_scenario

__all__ = [
    "Scenario",
    "ScenarioError",
    "dump_requests",
    "load_scenario",
    "read_requests",
    "seed_file",
    "workload_hash",
]
