"""The requests that both sides share."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from spillway.advise.review.effect import Confidence
from spillway.api import WorkloadClass
from spillway.simulate.scenario import ScenarioError, load_scenario
from spillway.simulate.sides import Ask
from spillway.simulate.sides.traffic import Traffic, load_traffic, part_of, source_of
from support.scenario_files import CLASS, Files
from support.sides import BINS, WIDTH, another_class, trace

CHAT = WorkloadClass.parse(CLASS)
CODE = WorkloadClass.parse(another_class("code"))


def loaded(path: Path, *classes: WorkloadClass) -> Traffic:
    return load_traffic(source_of(Ask(traffic=path)), classes)


def test_a_trace_is_warmed_up_for_a_quarter_of_it_and_a_day_at_most(tmp_path: Path) -> None:
    short = source_of(Ask(traffic=trace(tmp_path / "a.csv", bins=12))).file.time
    assert (short.duration_seconds, short.warmup_seconds) == (7200, 1800)
    long = source_of(Ask(traffic=trace(tmp_path / "b.csv", bins=8 * 144))).file.time
    assert (long.duration_seconds, long.warmup_seconds) == (8 * 86_400, 86_400)


def test_each_side_gets_the_same_requests_of_a_class(tmp_path: Path) -> None:
    traffic = loaded(trace(tmp_path / "t.csv", "chat", "code"), CHAT, CODE)
    whole = traffic.demand.workload(1)
    both = part_of(whole, {0: 1, 1: 0})
    alone = part_of(whole, {1: 0})
    assert both.size == whole.size > alone.size > 0
    assert np.array_equal(both.arrival_s[both.class_index == 0], alone.arrival_s)
    assert np.array_equal(both.output_tokens[both.class_index == 0], alone.output_tokens)
    only = loaded(tmp_path / "t.csv", CODE).demand.workload(1)
    assert np.array_equal(only.arrival_s, alone.arrival_s)


def test_classes_go_by_name_or_by_key(tmp_path: Path) -> None:
    traffic = loaded(trace(tmp_path / "t.csv", "inference/chat"), CHAT)
    assert traffic.demand.streams[0].class_index == 0
    assert traffic.doubts == ()


def test_traffic_of_other_classes_is_left_out_and_said(tmp_path: Path) -> None:
    traffic = loaded(trace(tmp_path / "t.csv", "chat", "elsewhere"), CHAT, CODE)
    assert [stream.class_index for stream in traffic.demand.streams] == [0]
    said = [doubt.text for doubt in traffic.doubts]
    assert said == [
        "50% of the traffic's requests are left out: no plan has a WorkloadClass elsewhere, so what they cost is "
        "missing on both sides.",
        "WorkloadClass inference/code: the traffic has no requests of it, so it costs nothing here.",
    ]
    assert (traffic.left_out, traffic.left_out_share) == (("elsewhere",), 0.5)
    assert traffic.doubts[0].most is Confidence.LOW


def test_a_little_traffic_of_no_class_is_said_without_harm(tmp_path: Path) -> None:
    path = trace(tmp_path / "t.csv", "chat", requests=990)
    rows = [f"{WIDTH * number},ghost,10,10,10\n" for number in range(BINS)]
    path.write_text(path.read_text("utf-8") + "".join(rows), encoding="utf-8")
    (doubt,) = loaded(path, CHAT).doubts
    assert doubt.text.startswith("1% of the traffic's requests are left out")
    assert doubt.most is Confidence.HIGH


def test_traffic_of_another_plan_is_not_missing(tmp_path: Path) -> None:
    source = source_of(Ask(traffic=trace(tmp_path / "t.csv", "chat", "team-b/code")))
    traffic = load_traffic(source, [CHAT], ["team-b/code"])
    assert traffic.left_out_share == 0.0
    assert [doubt.text for doubt in traffic.doubts] == [
        "The traffic of team-b/code is left out: another plan serves it."
    ]


def test_what_a_file_is_called_changes_no_request(tmp_path: Path) -> None:
    path = trace(tmp_path / "a.csv", "chat", "code")
    plain, renamed, packed = path.read_text("utf-8"), tmp_path / "b.csv", tmp_path / "c.csv.gz"
    renamed.write_text(plain, encoding="utf-8")
    packed.write_bytes(gzip.compress(plain.encode()))
    by_key = tmp_path / "keys.csv"
    by_key.write_text(plain.replace("chat", "inference/chat"), encoding="utf-8")
    one, *others = (loaded(each, CHAT, CODE).demand.workload(1) for each in (path, renamed, packed, by_key))
    for other in others:
        for column in ("arrival_s", "class_index", "input_tokens", "output_tokens"):
            assert np.array_equal(getattr(one, column), getattr(other, column))


def test_a_scenario_is_drawn_as_its_backtest_draws_it(tmp_path: Path) -> None:
    path = Files().write(tmp_path)
    drawn = load_traffic(source_of(Ask(scenario=path)), [CHAT]).demand.workload(1)
    assert np.array_equal(drawn.arrival_s, load_scenario(path).workload(1).arrival_s)


def test_traffic_of_no_class_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"t\.csv: classes: elsewhere are no WorkloadClasses.*chat, inference/chat"):
        loaded(trace(tmp_path / "t.csv", "elsewhere"), CHAT)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (Ask(), "traffic: nothing is given to replay"),
        (Ask(traffic=Path("missing.csv")), r"traffic: trace missing\.csv: cannot be read"),
        (Ask(scenario=Path("missing.yaml")), r"scenario missing\.yaml: cannot be read"),
    ],
)
def test_nothing_to_replay(ask: Ask, says: str) -> None:
    with pytest.raises(ScenarioError, match=says):
        source_of(ask)


def test_a_trace_of_minutes_is_too_short(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"covers 1200 s, which is too short"):
        source_of(Ask(traffic=trace(tmp_path / "t.csv", bins=2)))


def test_too_much_and_too_little_traffic_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"24\.0 million requests are too many.*give fewer days"):
        loaded(trace(tmp_path / "t.csv", requests=2_000_000), CHAT)
    with pytest.raises(ScenarioError, match=r"no request falls into the span; give a trace with requests"):
        loaded(trace(tmp_path / "t.csv", requests=0), CHAT)


def test_a_scenario_brings_its_time_and_truths_and_not_its_manifests(tmp_path: Path) -> None:
    files = Files()
    files.scenario["metadata"]["source"] = "Prometheus http://p"
    files.scenario["manifests"] = ["elsewhere.yaml"]
    source = source_of(Ask(scenario=files.write(tmp_path)))
    assert source.label == "Prometheus http://p"
    assert source.truths_from == "scenario scenario.yaml"
    assert source.file.time.warmup_seconds == 600
    traffic = load_traffic(source, [CHAT])
    assert traffic.sampled
    assert traffic.demand.workload(1).size > 0
