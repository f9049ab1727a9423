"""``spillway top``: figures of lanes and classes, sorted, on and off a terminal."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from cli.view.objects import cluster, plan, run, status
from spillway.api import UtilizationStatus
from spillway.cli.view import top as views
from spillway.cli.view.rows import LaneRow
from spillway.kube import PLANS, KubeError

Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip()]


def test_lanes_have_replicas_five_utilizations_load_and_dollars(monkeypatch: Patch, capsys: Capture) -> None:
    assert run(monkeypatch, cluster(plan(status())), "top", "lanes") == 0
    head, gpu, hosted = rows(capsys.readouterr().out)
    assert head == ["LANE", "READY", "ALLOC", "BUSY", "EFF", "LOAD", "SAT", "$/H", "$/MTOK", "HOSTED"]
    assert gpu == ["gpu", "5/6→4", "75%", "91%", "40%", "62%", "10%", "$23.10", "$0.4487", "-"]
    assert hosted == ["hosted", "-", "-", "-", "-", "-", "-", "$0.90", "-", "3%"]


def test_classes_have_attainment_against_the_objective(monkeypatch: Patch, capsys: Capture) -> None:
    assert run(monkeypatch, cluster(plan(status())), "top", "classes") == 0
    head, chat, code = rows(capsys.readouterr().out)
    assert head == ["NAMESPACE", "CLASS", "REQ/S", "TOK/S", "SLO%/GOAL", "HOSTED", "$/H", "BUDGET"]
    assert chat == ["inference", "chat", "8.2", "9,300", "99.4/99", "3%", "$15.20", "$1,250/4,000"]
    assert code == ["team-a", "code", "4.3", "-", "-/99", "0%", "-", "-"]


def test_all_namespaces_name_the_plan(monkeypatch: Patch, capsys: Capture) -> None:
    other = plan(status(), name="other", namespace="team-a")
    assert run(monkeypatch, cluster(plan(status()), other), "top", "lanes", "-A") == 0
    assert [row[0] for row in rows(capsys.readouterr().out)] == [
        "PLAN", "inference/main", "inference/main", "team-a/other", "team-a/other",
    ]  # fmt: skip


def sorted_names(monkeypatch: Patch, capsys: Capture, what: str, column: str) -> list[str]:
    kind = {"lanes": "lanes", "classes": "classes"}[what]
    assert run(monkeypatch, cluster(plan(lane_status())), "top", what, "--sort-by", column, "-o", "json") == 0
    return [row["name"] for row in json.loads(capsys.readouterr().out)[kind]]


def lane_status() -> dict[str, Any]:
    lanes = [
        {"name": "gpu", "usdPerHour": "9.00", "utilization": {"load": "0.9"}},
        {"name": "hosted", "usdPerHour": "10.00"},
        {"name": "b", "utilization": {"load": "0.95"}},
    ]
    return status(lanes=lanes)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("usd", ["hosted", "gpu", "b"]),
        ("load", ["b", "gpu", "hosted"]),
        ("lane", ["b", "gpu", "hosted"]),
    ],
)
def test_figures_sort_by_number_downwards_and_the_unknown_last(
    monkeypatch: Patch, capsys: Capture, column: str, expected: list[str]
) -> None:
    assert sorted_names(monkeypatch, capsys, "lanes", column) == expected


def test_classes_sort_too(monkeypatch: Patch, capsys: Capture) -> None:
    assert sorted_names(monkeypatch, capsys, "classes", "requests") == ["chat", "code"]


def test_an_unknown_column_is_wrong_usage_and_names_the_others(monkeypatch: Patch, capsys: Capture) -> None:
    assert run(monkeypatch, cluster(plan(status())), "top", "lanes", "--sort-by", "requests") == 2
    assert "take one of lane, replicas, allocated" in capsys.readouterr().err


def test_every_column_has_something_to_sort_by() -> None:
    figures = UtilizationStatus(allocated="0.7", busy="0.5", effective="0.4", load="0.6", saturation="0.1")
    row = LaneRow("p", "gpu", None, 6, 5, 4, figures, "23.10", "0.4", "3")
    for column in views.LANE_COLUMNS:
        assert isinstance(column.value(row), Decimal | str), column.key


def test_old_figures_are_said_to_be_old(monkeypatch: Patch, capsys: Capture) -> None:
    assert run(monkeypatch, cluster(plan(status(age=900))), "top") == 0
    assert "figures are 15 min old" in " ".join(capsys.readouterr().out.split())
    assert run(monkeypatch, cluster(plan()), "top") == 0
    assert "has not reported yet" in " ".join(capsys.readouterr().out.split())


class Ends:
    """Sleeps that end by Ctrl-C after so many."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def __call__(self, seconds: float) -> None:
        self.left -= 1
        if self.left <= 0:
            raise KeyboardInterrupt


def test_watch_is_a_stream_off_a_terminal_and_ends_cleanly(monkeypatch: Patch, capsys: Capture) -> None:
    monkeypatch.setattr(views.time, "sleep", Ends(3))
    assert run(monkeypatch, cluster(plan(status())), "top", "lanes", "--watch") == 0
    printed = capsys.readouterr()
    assert printed.out.count("LANE") == 3
    assert "\x1b" not in printed.out
    assert printed.err == ""


def test_watch_streams_one_document_a_line(monkeypatch: Patch, capsys: Capture) -> None:
    monkeypatch.setattr(views.time, "sleep", Ends(2))
    assert run(monkeypatch, cluster(plan(status())), "top", "--watch", "-o", "json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [list(json.loads(line)) for line in lines] == [["lanes", "classes", "notes"]] * 2


def test_watch_goes_on_where_a_later_look_fails(monkeypatch: Patch, capsys: Capture) -> None:
    found = cluster(plan(status()))

    class Fails(Ends):
        def __call__(self, seconds: float) -> None:
            super().__call__(seconds)
            found._errors[PLANS] = KubeError(0, "Unreachable", "the apiserver did not answer: timed out")

    monkeypatch.setattr(views.time, "sleep", Fails(3))
    assert run(monkeypatch, found, "top", "lanes", "--watch") == 0
    printed = capsys.readouterr()
    assert printed.out.count("LANE") == 3
    assert printed.err.count("timed out") == 2
