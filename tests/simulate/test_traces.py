"""Both trace forms are read; a gap stays a gap; a bad file gets one clear line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from spillway.simulate.traces import BinTrace, RequestTrace, TraceError, read_trace

BINS = "t_s,class,requests,input_tokens,output_tokens,iat_cv\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_bins_with_a_gap(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", BINS + "0,a,5,50,10,1.5\n600,a,,,,\n1800,a,0,0,0,\n600,b,2,20,4,\n")
    trace = read_trace(path)
    assert isinstance(trace, BinTrace)
    assert (trace.width_s, trace.bins, trace.duration_s) == (600.0, 4, 2400.0)
    first, second = trace.series
    assert first.requests[0] == 5
    assert first.iat_cv[0] == 1.5
    assert np.isnan(first.requests[1:3]).all()
    assert first.requests[3] == 0
    assert np.isnan(second.requests[0])


def test_requests_gzipped(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    with gzip.open(path, "wt") as stream:
        stream.write("arrival_s,class,input_tokens,output_tokens\n3.5,code,10,2\n1.0,chat,7,0\n")
    trace = read_trace(path)
    assert isinstance(trace, RequestTrace)
    assert trace.classes == ("chat", "code")
    assert trace.arrival_s.tolist() == [1.0, 3.5]
    assert trace.output_tokens.tolist() == [1, 2]


def test_window_and_compression_keep_the_rate(tmp_path: Path) -> None:
    rows = "".join(f"{i * 600},a,{i * 60},600,60,\n" for i in range(6))
    trace = read_trace(write(tmp_path / "t.csv", BINS + rows))
    assert isinstance(trace, BinTrace)
    day = trace.window(1200, 1800).compressed(240)
    assert (day.start_s, day.width_s, day.bins) == (0.0, 2.5, 3)
    assert (day.series[0].requests / day.width_s).tolist() == [0.2, 0.3, 0.4]
    with pytest.raises(TraceError, match="choose a window inside"):
        trace.window(3000, 1800)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "header 'a,b' is neither"),
        (BINS + "0,a,x,1,1,\n600,a,1,1,1,\n", "line 2: requests is 'x'"),
        (BINS + "0,a,-4,1,1,\n600,a,1,1,1,\n", "line 2: requests is '-4'"),
        (BINS + "0,a,1,1,1,\n", "two bins or more"),
        (BINS + ",a,1,1,1,\n", "line 2: t_s is empty"),
        ("arrival_s,class,input_tokens,output_tokens\n1,a,,3\n", "line 2: a request needs all of"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TraceError, match=message) as caught:
        read_trace(write(tmp_path / "t.csv", text))
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be read: No such file"):
        read_trace(tmp_path / "none.csv")


@pytest.mark.parametrize("content", [b"\xd1\xbc\x00\x01", gzip.compress(b"t_s,class" * 200)[:-9]])
def test_what_is_gzipped_by_its_name_alone_is_said_in_plain_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bin.csv.gz"
    path.write_bytes(content)
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    assert str(caught.value) == (
        f"trace {path}: cannot be read: its name ends in .gz, but it is not gzipped, or not to its end; gzip it, or "
        "name it .csv"
    )


def test_requests_in_any_csv_are_the_same_as_in_a_plain_one(tmp_path: Path) -> None:
    header = "arrival_s,class,input_tokens,output_tokens,note\n"
    plain = read_trace(write(tmp_path / "a.csv", header + "2,chat,10,3,x\n\n1.5,a b,0,7,y\n"))
    quoted = read_trace(write(tmp_path / "b.csv", header + '2,"chat",10,3,"x,y"\n\n1.5,"a b",0,7,y\n'))
    for trace in (plain, quoted):
        assert isinstance(trace, RequestTrace)
        assert trace.classes == ("a b", "chat")
        assert trace.arrival_s.tolist() == [1.5, 2.0]
        assert trace.class_index.tolist() == [0, 1]
        assert trace.input_tokens.tolist() == [1, 10]
        assert trace.output_tokens.tolist() == [7, 3]


def test_a_mistake_is_named_by_its_line_in_a_long_file(tmp_path: Path) -> None:
    rows = ["1,a,1,1\n"] * 5000
    rows[4000] = "1,a,1,-1\n"
    with pytest.raises(TraceError, match="line 4002: output_tokens is '-1'"):
        read_trace(write(tmp_path / "t.csv", "arrival_s,class,input_tokens,output_tokens\n" + "".join(rows)))
