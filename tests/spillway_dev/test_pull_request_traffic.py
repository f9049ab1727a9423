"""The traffic of the example pull requests is what its generator makes of the public traces."""

from __future__ import annotations

import gzip

import pytest

from spillway_dev.pull_request_traffic import DAY_BINS, PARTS, TRAFFIC, WEEK_BINS, text, week


def test_the_committed_file_is_the_generators() -> None:
    weeks = {name: week(part) for name, part in PARTS.items()}
    assert gzip.decompress(TRAFFIC.read_bytes()).decode() == text(weeks)
    for name, part in PARTS.items():
        assert weeks[name][:, 0].sum() == pytest.approx(part.requests, rel=1e-3)


def test_the_warm_up_is_the_weeks_last_day() -> None:
    lines = text({"only": week(PARTS["support/chat"])}).splitlines()[1:]
    values = [line.partition(",")[2] for line in lines]
    assert len(values) == DAY_BINS + WEEK_BINS
    assert values[:DAY_BINS] == values[-DAY_BINS:]
