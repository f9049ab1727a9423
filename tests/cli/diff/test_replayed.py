"""The command with its real replay, on some hours of a small plan."""

from __future__ import annotations

from pathlib import Path

from cli.diff.sides import Captured, document, run, write
from support.sides import Change, binding, trace


def test_a_dearer_provider_is_told_in_dollars_from_manifests_and_a_trace(tmp_path: Path, capsys: Captured) -> None:
    change = Change()
    for side in (change.base, change.head):
        side["plan"]["spec"]["routing"]["bindings"] = [binding("chat", "api")]
        side["api"]["spec"]["hosted"]["limits"] = {"requestsPerMinute": 100_000}
    change.head["api"]["spec"]["hosted"]["price"] |= {"inputUsdPerMTok": "1.76", "outputUsdPerMTok": "3.52"}
    base, head = change.documents()
    folders = str(write(tmp_path / "base", *base)), str(write(tmp_path / "head", *head))
    traffic = str(trace(tmp_path / "t.csv", requests=1200))

    (plan,) = document(capsys, *folders, "--traffic", traffic, "--fail-on", "never")["plans"]
    texts = [change["message"] for change in plan["changes"]]
    assert texts == [
        "hosted lane api: input price $0.88 -> $1.76 per million tokens (+100%)",
        "hosted lane api: output price $1.76 -> $3.52 per million tokens (+100%)",
    ]
    effect = plan["effect"]
    hosted = {side: float(effect[side]["hostedUsd"]) for side in ("base", "head")}
    assert hosted["base"] > 0
    assert abs(hosted["head"] - 2 * hosted["base"]) < 0.05
    assert abs(float(effect["differenceUsd"]["value"]) - (hosted["head"] - hosted["base"])) < 0.05
    assert plan["headline"].startswith("Monthly estimate increases by $")
    verdicts = {each["policy"]: each["verdict"] for each in plan["policies"]}
    assert verdicts["monthlyCost.increase"] == "warn"
    assert verdicts["confidence"] == "warn"

    out = run(capsys, *folders, "--traffic", traffic, "--fail-on", "never")
    assert "1.5 hours of traffic (t.csv) replayed on both sides." in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80
