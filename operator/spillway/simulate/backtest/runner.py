"""A backtest from end to end: the policies that are asked for, on every seed, and the result as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import spillway
from spillway.simulate.backtest.jobs import BOUND, Document, Job, score_of
from spillway.simulate.backtest.names import REPLAY, PolicyName, Spill, Tuning
from spillway.simulate.backtest.result import policy_entry, ratios, spill_matrix
from spillway.simulate.backtest.session import Session, combined_hash
from spillway.simulate.backtest.tuning import MAX_ROUNDS, Choice, best, fixed_choice, proposals
from spillway.simulate.score import SeedScore

Scores = dict[int, SeedScore]


@dataclass(frozen=True, slots=True)
class Run:
    """One policy on every seed."""

    name: PolicyName
    choice: Choice | None
    scores: Scores
    timeline: Document
    """Of the first seed."""


def backtest(session: Session, names: Sequence[PolicyName], command: str = "") -> dict[str, Any]:
    """Run the policies and the bound; the result is what `spillway backtest -o json` prints.

    Raises ScenarioError, BaselineError, WorkerLostError, OSError.
    """
    choices: dict[PolicyName, Choice | None] = {
        name: None if name.spill is None else fixed_choice(name, name.spill)
        for name in names
        if name.tuning is not Tuning.ORACLE
    }
    fixed = [job for name, choice in choices.items() for job in _jobs(session, name, choice)]
    bound_jobs = [Job(BOUND, seed) for seed in session.seeds]
    session.documents([*bound_jobs, *fixed])
    for name in names:
        if name.tuning is Tuning.ORACLE and name.spill is not None:
            choices[name] = search([session], name.scaler, name.spill) or fixed_choice(name, name.spill)
    runs, failed = {}, {}
    for name in names:
        jobs = _jobs(session, name, choices[name])
        documents = session.documents(jobs)
        if len(documents) < len(jobs):
            failed[name.text] = next(session.errors[job] for job in jobs if job in session.errors)
        else:
            runs[name] = _run(name, choices[name], documents)
    bound = {job.seed: document["bound"]["cost_usd"] for job, document in session.documents(bound_jobs).items()}
    return _result(session, runs, bound, failed, command)


def search(sessions: Sequence[Session], scaler: str, spill: Spill) -> Choice | None:
    """The best setting of a baseline over all sessions' scenarios; None where it can't run in one of them."""
    evaluated: dict[Choice, list[list[SeedScore]]] = {}
    for _ in range(MAX_ROUNDS):
        wanted = proposals(scaler, spill, evaluated)
        found: dict[Choice, list[list[SeedScore]]] = {choice: [] for choice in wanted}
        for session in sessions:
            jobs = {choice: [Job(scaler, seed, choice) for seed in session.seeds] for choice in wanted}
            documents = session.documents([job for each in jobs.values() for job in each])
            for choice, own in jobs.items():
                if choice in found and all(job in documents for job in own):
                    found[choice].append([score_of(documents[job]) for job in own])
                else:
                    found.pop(choice, None)
        if not found:
            break
        evaluated |= found
    return best(evaluated) if evaluated else None


def _jobs(session: Session, name: PolicyName, choice: Choice | None) -> list[Job]:
    return [Job(name.scaler, seed, choice) for seed in session.seeds]


def _run(name: PolicyName, choice: Choice | None, documents: Mapping[Job, Document]) -> Run:
    scores = {job.seed: score_of(document) for job, document in documents.items()}
    return Run(name, choice, scores, next(iter(documents.values()))["timeline"])


def _result(
    session: Session,
    runs: Mapping[PolicyName, Run],
    bound: Mapping[int, float],
    failed: Mapping[str, str],
    command: str,
) -> dict[str, Any]:
    scenario, world = session.scenario, session.scenario.world
    hashes = session.hashes()
    entries = {name: policy_entry(run.scores, name, _settings(run.choice)) for name, run in runs.items()}
    replay = next((run.scores for name, run in runs.items() if name.scaler == REPLAY), {})
    shown = {name: entry for name, entry in entries.items() if name.scaler != REPLAY}
    by_text = {name.text: runs[name].scores for name in shown}
    replay_entry = next((entry for name, entry in entries.items() if name.scaler == REPLAY), {"cost_usd": None})
    return {
        "scenario": scenario.name,
        "requests_hash": combined_hash(hashes),
        "requests_hash_by_seed": {str(seed): value for seed, value in hashes.items()},
        "policies": {name.text: entry for name, entry in shown.items()},
        "bound": _bound(bound),
        "clairvoyant_replay": replay_entry,
        "ratios": ratios(by_text, bound, replay),
        "spill": spill_matrix(shown),
        "failed": dict(failed),
        "seeds": list(session.seeds),
        "warmup_seconds": world.warmup_s,
        "duration_seconds": world.duration_s,
        "target": min(item.attainment for item in world.classes),
        "target_by_class": {item.key: item.attainment for item in world.classes},
        "version": spillway.__version__,
        "command": command,
        "timelines": {name.text: runs[name].timeline for name in shown},
    }


def _bound(bound: Mapping[int, float]) -> Document:
    if not bound:
        return {"cost_usd": None}
    return {
        "cost_usd": sum(bound.values()) / len(bound),
        "seeds": [{"seed": s, "cost_usd": b} for s, b in bound.items()],
    }


def _settings(choice: Choice | None) -> dict[str, float] | None:
    if choice is None:
        return None
    return dict(choice.parameters)
