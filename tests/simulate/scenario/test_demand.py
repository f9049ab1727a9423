"""Realised requests: what they depend on, what a trace of single requests becomes, and that files hold them exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spillway.simulate.scenario import (
    Scenario,
    ScenarioError,
    dump_requests,
    load_scenario,
    read_requests,
    seed_file,
)
from spillway.simulate.traces import TraceError, read_trace
from support.scenario_files import BINS, Files

REQUESTS = "arrival_s,class,input_tokens,output_tokens\n"


def loaded(folder: Path, files: Files) -> Scenario:
    return load_scenario(files.write(folder))


def test_requests_lie_in_the_span_and_follow_the_trace(tmp_path: Path) -> None:
    workload = loaded(tmp_path, Files()).workload(1)
    assert workload.size == 3600
    assert (np.diff(workload.arrival_s) >= 0).all()
    assert workload.arrival_s.min() >= 0
    assert workload.arrival_s.max() < 3600
    assert workload.input_tokens.mean() == pytest.approx(1000, rel=0.05)
    assert workload.output_tokens.mean() == pytest.approx(50, rel=0.05)


def test_an_offset_within_a_bin_moves_the_requests_and_no_more(tmp_path: Path) -> None:
    files = Files()
    files.scenario["traces"][0]["offsetSeconds"] = 900
    files.scenario["time"] = {"warmupSeconds": 0, "durationSeconds": 1800}
    workload = loaded(tmp_path, files).workload(1)
    assert workload.size == pytest.approx(1800, rel=0.1)
    assert np.bincount((workload.arrival_s // 600).astype(int)).tolist() == pytest.approx([600, 600, 600], rel=0.2)


def test_randomness_depends_on_seed_trace_and_class_alone(tmp_path: Path) -> None:
    alone = loaded(tmp_path / "a", Files())
    beside = Files()
    beside.scenario["traces"].insert(0, {"file": "other.csv", "classes": {"late": "chat"}})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "other.csv").write_text(BINS + "".join(f"{900 * i},late,90,900,900\n" for i in range(4)))
    both = loaded(tmp_path / "b", beside)
    first, second = alone.workload(1), both.workload(1)
    assert second.size == first.size + 360
    assert set(first.arrival_s.tolist()) <= set(second.arrival_s.tolist())
    assert (
        alone.requests_hash(first) == alone.requests_hash(alone.workload(1)) != alone.requests_hash(alone.workload(2))
    )


def test_a_gap_is_filled_for_the_load_and_not_scored(tmp_path: Path) -> None:
    files = Files()
    files.trace = BINS + "".join(f"{600 * i},code,{'' if i in (2, 3) else 600},600000,30000\n" for i in range(6))
    scenario = loaded(tmp_path, files)
    assert scenario.world.gaps == ((1200.0, 2400.0),)
    arrivals = scenario.workload(1).arrival_s
    assert np.bincount((arrivals // 600).astype(int)).tolist() == [600] * 6
    assert scenario.world.scored(np.array([700.0, 1300.0, 2399.0, 2400.0])).tolist() == [True, False, False, True]


def test_single_requests_are_used_as_they_are(tmp_path: Path) -> None:
    files = Files()
    files.trace = REQUESTS + "".join(f"{10 * i}.5,code,{100 + i},{1 + i}\n" for i in range(400))
    files.scenario["traces"][0]["offsetSeconds"] = 100
    workload = loaded(tmp_path, files).workload(1)
    assert workload.size == 360
    assert workload.arrival_s[:2].tolist() == [0.5, 10.5]
    assert workload.input_tokens[:2].tolist() == [110, 111]
    assert workload.output_tokens[0] == 11


@pytest.mark.parametrize(
    ("demand", "length", "count", "tokens"), [(0.5, 1, 180, 100), (3, 1, 1080, 100), (2, 4, 180, 400)]
)
def test_single_requests_are_thinned_repeated_and_stretched(
    tmp_path: Path, demand: float, length: float, count: int, tokens: int
) -> None:
    files = Files()
    files.trace = REQUESTS + "".join(f"{10 * i},code,100,10\n" for i in range(360))
    files.scenario["traces"][0].update(demandScale=demand, lengthScale=length)
    workload = loaded(tmp_path, files).workload(1)
    assert workload.size == pytest.approx(count, rel=0.2)
    assert set(workload.input_tokens.tolist()) == {tokens}
    assert ((workload.arrival_s >= 0) & (workload.arrival_s < 3600)).all()
    assert (np.diff(workload.arrival_s) >= 0).all()


@pytest.mark.parametrize("name", ["r.csv", "r.csv.gz"])
def test_dumped_requests_read_back_are_the_same(tmp_path: Path, name: str) -> None:
    scenario = loaded(tmp_path, Files())
    workload = scenario.workload(1)
    path = tmp_path / name
    dump_requests(path, workload, scenario.class_names())
    again = read_requests(path, scenario.class_numbers, 3600)
    assert scenario.requests_hash(again) == scenario.requests_hash(workload)
    trace = read_trace(path)
    assert trace.classes == ("chat",)


def test_requests_of_another_plan_or_after_the_end(tmp_path: Path) -> None:
    scenario = loaded(tmp_path, Files())
    path = tmp_path / "r.csv"
    path.write_text(REQUESTS + "0,chatt,1,1\n")
    with pytest.raises(ScenarioError, match=r"r\.csv: there is no WorkloadClass 'chatt' in the plan; known: .*chat"):
        read_requests(path, scenario.class_numbers, 3600)
    path.write_text(REQUESTS + "3600,chat,1,1\n")
    with pytest.raises(ScenarioError, match="no request arrives within 3600 s"):
        read_requests(path, scenario.class_numbers, 3600)
    path.write_text(BINS + "0,chat,1,1,1\n600,chat,1,1,1\n")
    with pytest.raises(ScenarioError, match="holds bins"):
        read_requests(path, scenario.class_numbers, 3600)


@pytest.mark.parametrize(
    ("name", "several", "expected"),
    [
        ("r.csv.gz", False, "r.csv.gz"),
        ("r.csv.gz", True, "r-7.csv.gz"),
        ("r.v2.csv", True, "r.v2-7.csv"),
        ("r-{seed}.csv", False, "r-7.csv"),
        ("requests", True, "requests-7"),
    ],
)
def test_one_file_for_each_seed(name: str, several: bool, expected: str) -> None:
    assert seed_file(Path("a") / name, 7, several) == Path("a") / expected


def test_bad_bytes_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(b"not gzip")
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("t.csv.gz", "t.csv"):
        with pytest.raises(TraceError, match="cannot be read"):
            read_trace(tmp_path / name)
