"""Logs are structured and hold no secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway.report.logs import configure_logging, formatter, redact


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """The root logger writes here; what was set up before comes back afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    out = io.StringIO()
    configure_logging("info", out)
    yield out
    root.handlers[:] = handlers
    root.setLevel(level)


def test_lines_are_json_with_extras(stream: io.StringIO) -> None:
    logging.getLogger("spillway.loop").info("tick done", extra={"plan": "a/b", "seconds": 0.2})
    record = json.loads(stream.getvalue())
    assert record["message"] == "tick done"
    assert (record["level"], record["logger"], record["plan"], record["seconds"]) == (
        "INFO",
        "spillway.loop",
        "a/b",
        0.2,
    )
    assert record["time"].startswith("20")


@pytest.mark.parametrize(
    "text",
    [
        "GET https://user:{}@prometheus.example/api",
        "Authorization: Bearer {}",
        "authorization=Basic {}",
        '{{"api_key": "{}"}}',
        "x-api-key: {}",
        "?token={}&x=1",
        "password = {}",
        "client_secret={}",
    ],
)
def test_secrets_never_reach_the_log(stream: io.StringIO, text: str) -> None:
    secret = "hunter2abcdef"
    logger = logging.getLogger("spillway")
    logger.warning(text.format(secret))
    logger.warning("with an argument: %s", text.format(secret), extra={"detail": text.format(secret)})
    try:
        raise ValueError(text.format(secret))
    except ValueError:
        logger.exception("failed")
    lines = stream.getvalue().splitlines()
    assert redact(redact(text.format(secret))) == redact(text.format(secret))
    assert secret not in stream.getvalue()
    assert len(lines) == 3
    assert all("[redacted]" in json.dumps(json.loads(line)) for line in lines)


def test_keys_are_known_by_their_form() -> None:
    assert "sk-proj-abcdefgh1234" not in redact("key sk-proj-abcdefgh1234 is bad")
    assert "eyJhbGciOiJ9" not in redact("got eyJhbGciOiJ9.eyJzdWIi.c2ln back")


def test_secrets_are_known_by_their_name_and_to_the_last_character(stream: io.StringIO) -> None:
    logging.getLogger("spillway").info(
        "sent", extra={"headers": {"Authorization": 'a "quoted\\ secret'}, "token": "x1"}
    )
    record = json.loads(stream.getvalue())
    assert record["headers"] == {"Authorization": "[redacted]"}
    assert record["token"] == "[redacted]"
    assert redact("""token="with spaces \\ and more" end""") == "token=[redacted] end"


def test_ordinary_words_stay() -> None:
    text = "max_tokens: 4096, tokens: 12, input_tokens=5, the token bucket is full, http://host:9090/path"
    assert redact(text) == text


@given(st.text(max_size=200))
def test_json_stays_json_whatever_is_logged(text: str) -> None:
    record = logging.LogRecord("spillway", logging.INFO, "", 0, "%s", (f"token={text}",), None)
    json.loads(formatter(as_json=True).format(record))


def test_libraries_speak_from_warning_on(stream: io.StringIO) -> None:
    logging.getLogger("kopf.activities").info("noise")
    logging.getLogger("kopf").warning("worth it")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["worth it"]


def test_plain_lines_for_people() -> None:
    record = logging.LogRecord("spillway", logging.INFO, "", 0, "hello", (), None)
    assert formatter(as_json=False).format(record).endswith("INFO    hello")
