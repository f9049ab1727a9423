"""Upstreams and the load generator: what they say is what happened."""

from __future__ import annotations

import time
import urllib.error
from collections.abc import Iterator

import pytest

from spillway_dev.processes import wait_until
from spillway_dev.upstreams import Load, LoadOptions, Upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream("one") as started:
        yield started


def options(requests: int, concurrency: int = 1, **body: object) -> LoadOptions:
    return LoadOptions(concurrency, requests, 60, body=body, headers={"x-team": "a"})


def test_every_request_is_counted_on_both_sides(upstream: Upstream) -> None:
    with Load(upstream.url, options(200, 4, model="llama")) as load:
        report = load.finish()
    assert (report.sent, report.ok, report.failed) == (200, 200, 0)
    assert report.served_by == {"one": 200}
    assert report.share("one") == 100
    counters = upstream.counters()
    assert (counters["received"], counters["served"], counters["in_flight"]) == (200, 200, 0)
    last = upstream.last_requests()[-1]
    assert last["model"] == "llama"
    assert last["headers"]["x-team"] == "a"


@pytest.mark.parametrize("status", [429, 503])
def test_above_the_limit_it_refuses(upstream: Upstream, status: int) -> None:
    upstream.set(limit=2, refuse_status=status, token_seconds=0.5)
    with Load(upstream.url, options(6, 6, stream=True, max_tokens=4)) as load:
        report = load.finish()
    assert dict(report.statuses) == {200: 2, status: 4}
    assert (report.ok, report.failed) == (2, 4)
    assert "too many requests" in report.errors[0]
    counters = upstream.counters()
    assert (counters["refused"], counters["most_in_flight"]) == (4, 2)


def test_a_setting_that_is_none_is_refused(upstream: Upstream) -> None:
    with pytest.raises(urllib.error.HTTPError, match="400"):
        upstream.set(limmit=2)


def test_streams_have_the_length_asked_for_and_are_finished_on_sigterm(upstream: Upstream) -> None:
    upstream.set(token_seconds=0.1)
    with Load(upstream.url, options(3, 3, stream=True, max_tokens=20)) as load:
        wait_until(lambda: upstream.counters()["in_flight"] == 3, "streams open", 120)
        began = time.monotonic()
        upstream.terminate()
        assert upstream.wait_ended() == 0
        report = load.finish()
    assert report.ok == 3, report.errors
    # Nearly all of 20 tokens were still to come.
    assert time.monotonic() - began > 1


def test_a_cut_stream_is_a_failure(upstream: Upstream) -> None:
    upstream.set(token_seconds=0.1)
    with Load(upstream.url, options(2, 2, stream=True, max_tokens=1000)) as load:
        wait_until(lambda: upstream.counters()["in_flight"] == 2, "streams open", 120)
        assert upstream.process is not None
        upstream.process.kill()
        report = load.finish()
    assert (report.ok, report.failed) == (0, 2)


def test_load_ends_at_its_limits_and_stays_on_loopback(upstream: Upstream) -> None:
    began = time.monotonic()
    with Load(upstream.url, LoadOptions(1, 1_000_000, 1.0, per_second=20)) as load:
        report = load.finish()
    assert time.monotonic() - began >= 1
    assert 0 < report.sent <= 25
    with pytest.raises(ValueError, match="max_requests up to"):
        LoadOptions(1, 10_000_000, 1.0)
    with pytest.raises(ValueError, match="loopback addresses only"):
        Load("http://192.0.2.1:80", options(1))
    with pytest.raises(ValueError, match="loopback addresses only"):
        Load("http://example.test", options(1))
