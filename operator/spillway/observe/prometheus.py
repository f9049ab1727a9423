"""The Prometheus client: ``prometheus-api-client`` behind hard limits.

The library is synchronous, follows redirects, retries and puts answers' bodies into its errors. Here it runs on a small
thread pool over a session that refuses redirects and link-local addresses (metadata services), reads at most so much
for at most so long, and fails with one short cause that never holds a body, a token or a user name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from spillway.config import PrometheusConfig

MAX_ANSWER_BYTES = 256 * 1024 * 1024
WORKERS = 6
_CHUNK_BYTES = 1 << 20

Parsed = TypeVar("Parsed")


class PrometheusError(Exception):
    """Prometheus could not be read. The text is the short cause, fit for a condition's message."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """When a query is evaluated: at one moment, or over a range (Unix seconds)."""

    end: float
    start: float | None = None
    step_seconds: int = 0


class _BoundedSession(requests.Session):
    """A session that the library may use as it likes, within our limits."""

    def __init__(self, timeout_seconds: float, max_bytes: int) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._timeout_seconds = timeout_seconds
        self._max_bytes = max_bytes

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """One request, answered with status 200 within the limits, or a PrometheusError."""
        deadline = time.monotonic() + self._timeout_seconds
        _refuse_link_local(str(url))
        # Queries travel in the body: united ones are longer than some proxies' limit on addresses.
        kwargs["data"] = kwargs.pop("params", None)
        kwargs |= {"allow_redirects": False, "stream": True, "timeout": self._timeout_seconds}
        response = super().request(method, url, *args, **kwargs)
        try:
            if 300 <= response.status_code < 400:
                raise PrometheusError(f"redirect refused (HTTP {response.status_code})")
            if response.status_code != 200:
                raise PrometheusError(f"HTTP {response.status_code}")
            response._content = self._body(response, deadline)
        finally:
            response.close()
        return response

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """No redirect is ever prepared: requests would read the whole body first."""
        return None

    def _body(self, response: requests.Response, deadline: float) -> bytes:
        parts: list[bytes] = []
        size = 0
        while part := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > self._max_bytes:
                raise PrometheusError(f"answer is larger than {self._max_bytes // 2**20} MiB")
            if time.monotonic() > deadline:
                raise _timed_out(self._timeout_seconds)
        return b"".join(parts)


def _timed_out(seconds: float) -> PrometheusError:
    return PrometheusError(f"no answer within {seconds:g} s")


def _refuse_link_local(url: str) -> None:
    host = urlsplit(url).hostname or ""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise PrometheusError("host name not found") from error
    for *_, address in found:
        ip = ipaddress.ip_address(str(address[0]).split("%", 1)[0])
        plain = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
        if (plain or ip).is_link_local:
            raise PrometheusError("link-local address refused")


class PrometheusClient:
    """Reads one Prometheus; safe for one reader at a time. ``close`` ends its threads."""

    def __init__(self, config: PrometheusConfig, max_bytes: int = MAX_ANSWER_BYTES) -> None:
        """Prepare the client; nothing is asked yet. Raises PrometheusError for an address that cannot be used."""
        self._config = config
        url, self._auth = _split_address(config.url)
        self._session = _BoundedSession(config.timeout_seconds, max_bytes)
        self._session.verify = str(config.ca_file) if config.ca_file else True
        self._connect = PrometheusConnect(
            url=url,
            session=self._session,
            retry=Retry(total=0, redirect=False),
            timeout=config.timeout_seconds,
            method="POST",
        )
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="prometheus")

    def refresh_credentials(self) -> None:
        """Read the bearer token's file again (it rotates); call before each round of queries."""
        headers: dict[str, str] = {}
        if self._config.tenant:
            headers[self._config.tenant.header] = self._config.tenant.value
        self._connect.auth = self._auth
        if self._config.bearer_token_file:
            try:
                token = self._config.bearer_token_file.read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise PrometheusError(f"bearer token file {self._config.bearer_token_file} is not readable") from error
            headers["Authorization"] = f"Bearer {token}"
            self._connect.auth = None
        self._connect.headers = headers

    async def query(self, expression: str, when: Evaluation, parse: Callable[[Any], Parsed]) -> Parsed:
        """Ask and parse off the event loop. Raises PrometheusError, within the configured time limit."""
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._pool, self._ask, expression, when, parse)
        try:
            return await asyncio.wait_for(work, self._config.timeout_seconds * 1.5)
        except TimeoutError as error:
            raise _timed_out(self._config.timeout_seconds) from error

    def _ask(self, expression: str, when: Evaluation, parse: Callable[[Any], Parsed]) -> Parsed:
        try:
            return parse(self._raw(expression, when))
        except PrometheusError:
            raise
        except requests.exceptions.JSONDecodeError as error:
            raise PrometheusError("answer is not JSON") from error
        except (requests.exceptions.RequestException, HTTPError, OSError) as error:
            raise PrometheusError(_cause(error, self._config.timeout_seconds)) from error
        except PrometheusApiClientException as error:
            raise PrometheusError("request refused") from error
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise PrometheusError("answer is not a Prometheus result") from error

    def _raw(self, expression: str, when: Evaluation) -> Any:
        limit = {"timeout": f"{self._config.timeout_seconds:g}"}
        if when.start is None:
            return self._connect.custom_query(expression, params={"time": f"{when.end:.3f}", **limit})
        return self._connect.custom_query_range(
            expression,
            start_time=datetime.fromtimestamp(when.start, UTC),
            end_time=datetime.fromtimestamp(when.end, UTC),
            step=str(when.step_seconds),
            params=limit,
        )

    def close(self) -> None:
        """End the threads and connections; answers under way are dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._session.close()


def _split_address(url: str) -> tuple[str, tuple[str, str] | None]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PrometheusError("prometheus.url must be http://host:port or https://host:port")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    address = f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path.rstrip('/')}"
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return address, auth


def _chain(error: BaseException) -> Iterable[BaseException]:
    seen: list[BaseException] = [error]
    for known in seen:
        linked = (known.__cause__, known.__context__, getattr(known, "reason", None), *known.args)
        seen.extend(item for item in linked if isinstance(item, BaseException) and item not in seen)
    return seen


def _cause(error: BaseException, timeout_seconds: float) -> str:
    """The cause in a few words, from the types alone: messages may hold addresses with credentials."""
    chain = list(_chain(error))
    if any(isinstance(item, ConnectionRefusedError) for item in chain):
        return "connection refused"
    if any(isinstance(item, requests.exceptions.SSLError) for item in chain):
        return "TLS certificate not trusted or TLS failed; set prometheus.caFile"
    if any(isinstance(item, (TimeoutError, requests.exceptions.Timeout)) for item in chain):
        return str(_timed_out(timeout_seconds))
    if any(isinstance(item, requests.exceptions.ContentDecodingError) for item in chain):
        return "answer is not readable"
    if any(isinstance(item, (ConnectionResetError, requests.exceptions.ChunkedEncodingError)) for item in chain):
        return "connection closed before the answer was complete"
    return "connection failed"
