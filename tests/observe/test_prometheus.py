"""The client against a server that does everything wrong, and with everything that a real installation asks for."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from spillway.config import PrometheusConfig
from spillway.observe.prometheus import Evaluation, PrometheusClient, PrometheusError

EMPTY = json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}}).encode()
SECRET = "s3cr3t-token"


@dataclass
class Faults:
    """What the server does next, and what it was asked."""

    url: str = ""
    status: int = 200
    body: bytes = EMPTY
    headers: dict[str, str] = field(default_factory=dict)
    before_answer: Callable[[], None] = lambda: None
    drip_seconds: float = 0.0
    asked: list[tuple[str, dict[str, str], dict[str, list[str]]]] = field(default_factory=list)


@pytest.fixture
def faults() -> Iterator[Faults]:
    state = Faults()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            state.asked.append((self.path, dict(self.headers), parse_qs(form)))
            state.before_answer()
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(state.body)))
            self.end_headers()
            try:
                if not state.drip_seconds:
                    self.wfile.write(state.body)
                for number in range(len(state.body) if state.drip_seconds else 0):
                    self.wfile.write(state.body[number : number + 1])
                    time.sleep(state.drip_seconds)
            except OSError:
                pass  # the client has hung up, as it should

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()


def config(url: str, **more: Any) -> PrometheusConfig:
    return PrometheusConfig.model_validate({"url": url, "timeoutSeconds": 1} | more)


async def ask(settings: PrometheusConfig, when: Evaluation | None = None, max_bytes: int = 1 << 20) -> Any:
    client = PrometheusClient(settings, max_bytes)
    try:
        client.refresh_credentials()
        return await client.query("up", when or Evaluation(1000.0), lambda result: [dict(item) for item in result])
    finally:
        client.close()


async def cause(work: Awaitable[Any]) -> str:
    with pytest.raises(PrometheusError) as caught:
        await work
    return str(caught.value)


async def test_an_answer_is_parsed(faults: Faults) -> None:
    faults.body = json.dumps({"data": {"result": [{"a": 1}]}}).encode()
    assert await ask(config(faults.url)) == [{"a": 1}]
    path, _, form = faults.asked[0]
    assert path == "/api/v1/query"
    assert form["query"] == ["up"]
    assert form["time"] == ["1000.000"]
    assert form["timeout"] == ["1"], "Prometheus gives up when we do"


async def test_a_range_is_asked_for_on_its_grid(faults: Faults) -> None:
    await ask(config(f"{faults.url}/prefix/"), Evaluation(end=2000, start=1000, step_seconds=15))
    path, _, form = faults.asked[0]
    assert path == "/prefix/api/v1/query_range"
    assert (form["start"], form["end"], form["step"]) == (["1000"], ["2000"], ["15"])


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (503, b"internal: " + SECRET.encode(), "HTTP 503"),
        (500, b"", "HTTP 500"),
        (401, b"", "HTTP 401"),
        (422, b'{"status":"error","error":"too many samples"}', "HTTP 422"),
        (200, b"<html>login</html>", "answer is not JSON"),
        (200, b"", "answer is not JSON"),
        (200, b"\xff\xfe\x00garbage", "answer is not JSON"),
        (200, b"[]", "answer is not a Prometheus result"),
        (200, b'{"status":"success"}', "answer is not a Prometheus result"),
        (200, b'{"data":{"result":17}}', "answer is not a Prometheus result"),
        (200, b'{"data":null}', "answer is not a Prometheus result"),
        (302, b"", "redirect refused (HTTP 302)"),
        (307, b"", "redirect refused (HTTP 307)"),
    ],
)
async def test_each_fault_has_one_short_cause(faults: Faults, status: int, body: bytes, expected: str) -> None:
    faults.status, faults.body = status, body
    faults.headers = {"Location": faults.url + "/elsewhere"} if 300 <= status < 400 else {}
    assert await cause(ask(config(faults.url))) == expected
    assert len(faults.asked) == 1, "no retry and no redirect followed: the next tick asks again"


async def test_nobody_listens() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://user:{SECRET}@127.0.0.1:{held.getsockname()[1]}"
        assert await cause(ask(config(url))) == "connection refused"


async def test_a_silent_server_costs_no_more_than_the_limit(faults: Faults) -> None:
    gate = threading.Event()
    faults.before_answer = lambda: gate.wait(10) and None
    began = time.monotonic()
    try:
        assert await cause(ask(config(faults.url))) == "no answer within 1 s"
    finally:
        gate.set()
    assert time.monotonic() - began < 8


async def test_a_dripping_server_costs_no_more_than_the_limit(faults: Faults) -> None:
    faults.body, faults.drip_seconds = EMPTY * 10, 0.05
    began = time.monotonic()
    assert await cause(ask(config(faults.url))) == "no answer within 1 s"
    assert time.monotonic() - began < 8


async def test_the_event_loop_goes_on_meanwhile(faults: Faults) -> None:
    gate = threading.Event()
    faults.before_answer = lambda: gate.wait(10) and None
    task = asyncio.create_task(ask(config(faults.url)))
    while not faults.asked:  # noqa: ASYNC110 - the server runs in a thread
        await asyncio.sleep(0.01)
    assert not task.done()
    gate.set()
    assert await task == []


async def test_a_connection_cut_in_the_middle(faults: Faults) -> None:
    faults.headers, faults.body = {}, EMPTY[:20]
    faults.headers["Transfer-Encoding"] = "chunked"
    assert "connection" in await cause(ask(config(faults.url)))


async def test_an_endless_answer_is_refused(faults: Faults) -> None:
    faults.body = b" " * (3 << 20)
    assert await cause(ask(config(faults.url))) == "answer is larger than 1 MiB"


async def test_a_zip_bomb_is_refused_before_it_unfolds(faults: Faults) -> None:
    faults.body, faults.headers = gzip.compress(b" " * (64 << 20)), {"Content-Encoding": "gzip"}
    assert await cause(ask(config(faults.url))) == "answer is larger than 1 MiB"


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "169.254.1.1:9090", "[::ffff:169.254.169.254]"])
async def test_link_local_addresses_are_refused(host: str) -> None:
    assert await cause(ask(config(f"http://{host}"))) == "link-local address refused"


async def test_a_name_that_nobody_knows() -> None:
    assert await cause(ask(config("http://prometheus.invalid:9090"))) == "host name not found"


@pytest.mark.parametrize("url", ["ftp://prometheus", "prometheus:9090", "file:///etc/passwd"])
async def test_an_address_that_is_none(url: str) -> None:
    assert await cause(ask(config(url))) == "prometheus.url must be http://host:port or https://host:port"


async def test_the_token_is_read_again_each_time(faults: Faults, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    settings = config(faults.url, bearerTokenFile=str(token), tenant={"header": "X-Scope-OrgID", "value": "team"})
    client = PrometheusClient(settings)
    try:
        for text in ("first", "second"):
            token.write_text(f"{text}\n")
            client.refresh_credentials()
            await client.query("up", Evaluation(0), list)
    finally:
        client.close()
    assert [headers["Authorization"] for _, headers, _ in faults.asked] == ["Bearer first", "Bearer second"]
    assert {headers["X-Scope-OrgID"] for _, headers, _ in faults.asked} == {"team"}


async def test_a_token_file_that_is_gone_says_which(tmp_path: Path) -> None:
    path = tmp_path / "missing"
    found = await cause(ask(config("http://127.0.0.1:1", bearerTokenFile=str(path))))
    assert found == f"bearer token file {path} is not readable"


async def test_a_user_in_the_address_is_sent_and_never_said(faults: Faults) -> None:
    url = faults.url.replace("http://", f"http://us%20er:{SECRET}@")
    await ask(config(url))
    assert faults.asked[0][1]["Authorization"].startswith("Basic ")
    faults.status, faults.body = 500, SECRET.encode()
    assert SECRET not in await cause(ask(config(url)))


async def test_cookies_and_proxies_of_the_environment_are_not_used(
    faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    faults.headers = {"Set-Cookie": "a=b; Path=/"}
    client = PrometheusClient(config(faults.url))
    try:
        client.refresh_credentials()
        for _ in range(2):
            await client.query("up", Evaluation(0), list)
    finally:
        client.close()
    assert all("Cookie" not in headers for _, headers, _ in faults.asked)
