"""Skill and coverage: ``PYTHONPATH=operator:tests python -m decide.forecast.benchmark [--json] [PATH ...]``.

PATHs are traces or folders of traces; without any, the repository's own but for the cut of a longer one. Skill is
1 - loss / loss of the better of persistence and yesterday, chosen per class and lead, each with rolling residuals.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np

from decide.forecast.evaluation import DAY, LEADS, Judged, forecast, interval, judge, origins_of, read_rates

TRACES = Path(__file__).resolve().parents[3] / "examples" / "traces"
CUTS = ("azure2024_code_2d.csv",)


def main() -> None:
    """Judge all traces and print a table, or JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("paths", nargs="*", type=Path, default=[TRACES])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    files = [
        f for p in arguments.paths for f in ([p] if p.is_file() else sorted(p.glob("*.csv*"))) if f.name not in CUTS
    ]
    result = measure(files, lambda line: print(line, file=sys.stderr if arguments.json else sys.stdout, flush=True))
    if arguments.json:
        print(json.dumps(result, indent=1))  # noqa: T201


def measure(files, say):  # type: ignore[no-untyped-def]
    """Everything by trace, class and lead, and pooled."""
    found: dict[str, dict[float, dict[str, Judged]]] = {}
    updates, draws, result = [], [], {"traces": {}, "pooled": {}}
    say(
        f"{'trace, class':<36} {'origins':>7} "
        + " ".join(f"{f'skill, cover at {lead / 60:g} min':>30}" for lead in LEADS)
    )
    for file in files:
        name = file.name.split(".csv")[0]
        rates = read_rates(file)
        origins, counted = origins_of(rates)
        if counted.sum() < 1:
            continue
        made = forecast(rates, origins)
        updates.append(made.update_seconds)
        draws.append(made.path_seconds)
        by_lead: dict[float, dict[str, Judged]] = {lead: {} for lead in LEADS}
        for (key, lead), rows in made.made.items():
            judged = judge(rates[key], origins, counted, rows, lead)
            if judged is not None:
                by_lead[lead][key] = judged
        if not by_lead[LEADS[0]]:
            say(f"{name:<36} too short to judge")
            continue
        found[name] = by_lead
        keys = list(by_lead[LEADS[0]])
        result["traces"][name] = {
            "classes": {
                key: [figures([by_lead[lead][key]], [1.0]) for lead in LEADS if key in by_lead[lead]] for key in keys
            },
            "all": [figures(list(by_lead[lead].values()), [1.0] * len(by_lead[lead])) for lead in LEADS],
        }
        for key in keys:
            if len(keys) > 1:
                say(line(f"{name[:24]} {key}", result["traces"][name]["classes"][key]))
        say(line(name, result["traces"][name]["all"]))
    days = {name: max(float(j.origins[-1]) for j in by[LEADS[0]].values()) / DAY for name, by in found.items()}
    for label, chosen in (("pooled", list(found)), ("pooled, 2 days and longer", [n for n in found if days[n] > 2])):
        rows = []
        for lead in LEADS:
            items = [(j, sum(i.mean for i in found[n][lead].values())) for n in chosen for j in found[n][lead].values()]
            rows.append(figures([j for j, _ in items], [scale for _, scale in items]))
        result["pooled"][label] = rows
        say(line(label, rows))
    spent, drawn = np.concatenate(updates) * 1e3, np.concatenate(draws) * 1e3
    result["cpu_ms"] = {
        "update_mean": float(spent.mean()),
        "update_p99": float(np.quantile(spent, 0.99)),
        "update_max": float(spent.max()),
        "paths_mean": float(drawn.mean()),
        "paths_p99": float(np.quantile(drawn, 0.99)),
    }
    say("CPU ms per class: " + ", ".join(f"{key} {value:.2f}" for key, value in result["cpu_ms"].items()))
    return result


def figures(items: list[Judged], scales: list[float]) -> dict[str, float]:
    """Skill with its interval, and coverage over all origins."""
    skill, low, high = interval(items, scales)
    return {
        "origins": int(sum(len(j.origins) for j in items)),
        "skill": skill,
        "low": low,
        "high": high,
        "coverage": float(np.concatenate([j.covered for j in items]).mean()),
        "steep_seen": share(np.concatenate([j.covered[j.steep_seen] for j in items])),
        "steep_around": share(np.concatenate([j.covered[j.steep_around] for j in items])),
    }


def share(covered: np.ndarray) -> float:
    """Share that is covered; NaN where there is nothing steep."""
    return float(covered.mean()) if covered.size else math.nan


def line(name: str, rows: list[dict[str, float]]) -> str:
    """One row of the table: skill [interval] coverage steep-seen steep-around, in percent."""
    cells = (
        f"{100 * r['skill']:6.1f} [{100 * r['low']:5.1f},{100 * r['high']:5.1f}] "
        f"{100 * r['coverage']:3.0f} {100 * r['steep_seen']:3.0f} {100 * r['steep_around']:3.0f}"
        for r in rows
    )
    return f"{name:<36} {rows[0]['origins']:>7} " + " ".join(f"{cell:>30}" for cell in cells)


if __name__ == "__main__":
    main()
