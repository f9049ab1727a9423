"""Rendered configurations in a real LiteLLM proxy, with real upstreams on both sides."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping

import pytest

from spillway.act.litellm.compare import unconfirmed
from spillway.act.litellm.values import Decided, Limits, Sending
from spillway.observe.litellm import has_loaded
from spillway.observe.scope import ProxyScope
from spillway_dev.litellm.install import ensure_litellm
from spillway_dev.litellm.server import LiteLLMServer
from spillway_dev.processes import wait_until
from support.chat import Client, chat
from support.proxied import CLIENT_KEY, OPERATOR_KEY, PROVIDER_KEY, Proxy, hosted, of, proxy, rendered, workload

NOBODY = "http://127.0.0.1:9/v1"
ATTEMPTS = 5
TOKENS_PER_MINUTE, REQUESTS_PER_MINUTE = 400, 20
TOKENS_PER_REQUEST = 40
"""Half of them in the answer."""
SECRET = workload("secret", dataPolicy="SelfHostedOnly")

# The first test installs LiteLLM where it is missing, and slow machines answer slowly.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def splitting() -> Iterator[Proxy]:
    """70 to 30, and two classes on hosted lanes with limits."""
    weights = {
        "team-a/chat": {"gpu": 70, "hosted": 30},
        "team-a/dry": {"gpu": 100, "hosted": 0},
        "team-a/tokens": {"tokens": 100},
        "team-a/requests": {"requests": 100},
        "team-a/secret": {"gpu": 0, "hosted": 100},
    }
    armed = {
        "tokens": Limits(tokens_per_minute=TOKENS_PER_MINUTE),
        "requests": Limits(requests_per_minute=REQUESTS_PER_MINUTE),
    }
    decided = Decided(Sending.SPLIT, weights, armed=armed)
    classes = [*(workload(name) for name in ("chat", "dry", "tokens", "requests")), SECRET]
    with proxy(decided, classes, [hosted("hosted"), hosted("tokens"), hosted("requests")]) as running:
        yield running


@pytest.fixture(scope="module")
def spilling() -> Iterator[Proxy]:
    """Two requests in flight for each name on the own lane; the Flex lane, first in order, can't be reached."""
    classes = [workload("code"), workload("patient", latency="Background"), SECRET]
    # Three names share the own lane.
    decided = Decided(Sending.SPILL, in_flight={"gpu": 6}, hosted_order=("flex",))
    with proxy(decided, classes, [hosted(), hosted("flex", kind="Flex")], {"flex": NOBODY}) as running:
        yield running


@pytest.fixture(params=["splitting", "spilling"])
def either(request: pytest.FixtureRequest) -> Proxy:
    """One proxy, then the other."""
    found: Proxy = request.getfixturevalue(request.param)
    found.reset()
    return found


def test_the_rendered_configuration_is_what_the_proxy_shows(either: Proxy) -> None:
    info = either.server.model_info(OPERATOR_KEY)
    assert unconfirmed(either.rendered, info) == ()
    assert PROVIDER_KEY not in str(info)
    another = rendered(Decided(Sending.SPILL, in_flight={"gpu": 6}), [workload("code")])
    assert unconfirmed(another, info) != ()


async def test_what_finds_no_room_spills_at_once(spilling: Proxy) -> None:
    spilling.reset()
    spilling.gpu.set(token_seconds=0.3)
    for stream in (False, True):
        answers = await spilling.clients.ask([chat("code", 10, stream=stream)] * 12, 12)
        assert Counter((answer.status, answer.lane, answer.reason) for answer in answers) == {
            (200, "gpu", ""): 2,
            (200, "hosted", "Saturated"): 10,
        }
    assert spilling.gpu.counters()["most_in_flight"] == 2


async def test_what_is_refused_goes_on_once_and_comes_back_at_once(spilling: Proxy) -> None:
    spilling.reset()
    refused, served = spilling.gpu.counters()["failed"], spilling.gpu.counters()["served"]
    for status in (503, 429, 500):
        spilling.gpu.set(fail_status=status)
        answers = await spilling.clients.ask([chat("code")] * 20, 1)
        assert Counter((answer.status, answer.lane) for answer in answers) == {(200, "hosted"): 20}
    # One attempt each: no retries at an engine that is full.
    assert spilling.gpu.counters()["failed"] == refused + 60
    spilling.gpu.set(fail_status=None)
    answers = await spilling.clients.ask([chat("code")] * 5, 1)
    assert [answer.lane for answer in answers] == ["gpu"] * 5
    assert spilling.gpu.counters()["served"] == served + 5


async def test_a_hosted_lane_that_refuses_hands_on_to_the_next(spilling: Proxy) -> None:
    spilling.reset()
    assert {made.lane: made.order for made in of(spilling.rendered, "patient").values()} == {
        "gpu": 1, "flex": 2, "hosted": 3,
    }  # fmt: skip
    spilling.gpu.set(fail_status=503)
    answers = await spilling.clients.ask([chat("patient")] * 20, 4)
    assert Counter((answer.status, answer.lane) for answer in answers) == {(200, "hosted"): 20}


async def test_an_own_lane_that_is_gone_loses_no_request(spilling: Proxy) -> None:
    spilling.reset()
    process = spilling.gpu.process
    assert process is not None
    process.stop()
    try:
        answers = await spilling.clients.ask([chat("code")] * 20, 4)
    finally:
        spilling.gpu.start()
    assert Counter((answer.status, answer.lane) for answer in answers) == {(200, "hosted"): 20}


async def test_a_stream_that_breaks_is_not_begun_anew_elsewhere(spilling: Proxy) -> None:
    spilling.reset()
    spilling.gpu.set(token_seconds=0.2)
    received, process = spilling.gpu.counters()["received"], spilling.gpu.process
    assert process is not None
    before = spilling.paid.counters()
    asked = asyncio.create_task(spilling.clients.ask([chat("code", 200, stream=True)], 1))
    try:
        await asyncio.to_thread(
            wait_until, lambda: spilling.gpu.counters()["received"] > received, "the stream has begun", 120
        )
        await asyncio.sleep(4)  # The first of its 40 seconds of tokens arrive.
        process.kill()
        (answer,) = await asked
    finally:
        spilling.gpu.start()
    assert "token" in answer.text
    assert '"error"' in answer.text
    assert "[DONE]" not in answer.text
    assert spilling.paid.counters() == before


async def test_a_split_loses_nothing_that_one_side_refuses(splitting: Proxy) -> None:
    splitting.reset()
    splitting.gpu.set(fail_status=503)
    answers = await splitting.clients.ask([chat("chat")] * 60, 4)
    assert Counter((answer.status, answer.lane) for answer in answers) == {(200, "hosted"): 60}


async def test_a_lane_without_a_share_gets_nothing_even_of_what_is_refused(splitting: Proxy) -> None:
    splitting.reset()
    splitting.gpu.set(fail_status=503)
    before = splitting.paid.counters()
    answers = await splitting.clients.ask([chat("dry")] * 30, 4)
    assert {answer.status for answer in answers} == {503}
    assert splitting.paid.counters() == before


async def test_a_request_may_stay_on_own_lanes(either: Proxy) -> None:
    before = either.paid.counters()
    name = "chat" if "chat@gpu" in either.server.files["config.yaml"] else "code"
    never = {"X-Spillway-Overflow": "never"}
    answers = await either.clients.ask([chat(name)] * 20, 1, headers=never)
    assert {(answer.status, answer.lane) for answer in answers} == {(200, "gpu")}
    either.gpu.set(fail_status=503)
    answers = await either.clients.ask([chat(name)] * 20, 4, headers=never)
    assert all(answer.status in (429, 503) for answer in answers)
    assert either.paid.counters() == before


OTHER_NAMES = (
    "secret", "secret@hosted", "secret@gpu", "chat@hosted", "code@hosted", "openai/gpt-4o-mini", "gpt-4o-mini",
    "hosted_vllm/llama", "secret,chat", "secret,code", "*", "SECRET", " secret", ["secret"], "os.environ/X", None, "",
)  # fmt: skip
STEERING: tuple[Mapping[str, object], ...] = (
    {"fallbacks": ["chat"]},
    {"fallbacks": [{"secret": ["code"]}]},
    {"context_window_fallbacks": [{"secret": ["chat"]}]},
    {"_target_order": 2},
    {"_excluded_deployment_ids": ["secret@gpu"]},
    {"specific_deployment": True},
    {"user_config": {"model_list": []}},
    {"extra_body": {"model": "chat"}},
    {"extra_headers": {"x-model": "chat"}},
    {"custom_llm_provider": "openai"},
    {"num_retries": 3},
    {"mock_testing_fallbacks": True},
    {"metadata": {"model_group": "chat", "fallbacks": ["chat"]}},
)
OTHER_PATHS = (
    "/openai/v1/chat/completions", "/openai/deployments/chat@hosted/chat/completions", "/v1/responses",
    "/engines/chat@hosted/chat/completions", "/v1/chat/completions?model=chat@hosted", "/v1/messages", "/v1/embeddings",
    "/v1/chat/completions/../responses", "/v1beta/models/chat:generateContent", "/model/new", "/config/update",
    "/utils/transform_request", "/v1/rerank",
)  # fmt: skip


async def test_a_class_that_must_stay_cannot_be_led_out(either: Proxy) -> None:
    """While its own lane refuses everything, by names, fields and paths that LiteLLM alone would follow."""
    either.gpu.set(fail_status=503)
    before = either.paid.counters()
    answers = await either.clients.ask([chat(name) for name in OTHER_NAMES], 4)
    answers += await either.clients.ask([chat("secret", **field) for field in STEERING], 4)
    answers += await either.clients.ask([chat("secret", stream=True)] * 5, 4)
    for path in OTHER_PATHS:
        answers += await either.clients.ask([chat("secret")], 1, path=path)
    assert [answer for answer in answers if answer.status < 400] == []
    assert either.paid.counters() == before


async def test_keys_open_what_they_are_for(splitting: Proxy) -> None:
    splitting.reset()
    for key in ("", "sk-wrong", PROVIDER_KEY, OPERATOR_KEY):
        answers = await Client(splitting.server.url, key).ask([chat("chat")], 1)
        assert answers[0].status in (401, 403), answers[0].text
    with pytest.raises(OSError, match="403"):
        splitting.server.model_info(CLIENT_KEY)
    await splitting.clients.ask([chat("chat", service_tier="priority")] * 40, 4)
    own_headers = str([request["headers"] for request in splitting.gpu.last_requests()])
    assert not [key for key in (PROVIDER_KEY, CLIENT_KEY, OPERATOR_KEY) if key in own_headers]
    paid_headers = [request["headers"] for request in splitting.paid.last_requests()]
    assert paid_headers
    assert {headers["Authorization"] for headers in paid_headers} == {f"Bearer {PROVIDER_KEY}"}


async def test_limits_hold_although_nobody_watches(splitting: Proxy) -> None:
    splitting.reset()
    splitting.paid.set(prompt_tokens=TOKENS_PER_REQUEST // 2)
    for _ in range(ATTEMPTS):
        minute = this_minute()
        counted = await splitting.clients.ask([chat("requests", 20)] * 60, 8)
        first = await splitting.clients.ask([chat("tokens", TOKENS_PER_REQUEST // 2)] * 30, 8)
        # Tokens are counted just after the answer, what is in flight as if it used its most, requests at once.
        one_by_one = await splitting.clients.ask([chat("tokens", TOKENS_PER_REQUEST // 2)], 1)
        while one_by_one[-1].status == 200:
            one_by_one += await splitting.clients.ask([chat("tokens", TOKENS_PER_REQUEST // 2)], 1)
        second = await splitting.clients.ask([chat("tokens", 20, stream=number % 2 == 0) for number in range(10)], 8)
        if this_minute() == minute:
            break
        # What this one has used up would count in the next.
        begun = this_minute()
        wait_until(lambda begun=begun: this_minute() > begun, "the next minute", 90)
    else:
        pytest.fail("too slow for one minute")
    assert Counter(answer.status for answer in counted) == {200: REQUESTS_PER_MINUTE, 429: 60 - REQUESTS_PER_MINUTE}
    used = sum(answer.input_tokens + answer.output_tokens for answer in [*first, *one_by_one])
    assert TOKENS_PER_MINUTE - TOKENS_PER_REQUEST <= used <= 2 * TOKENS_PER_MINUTE
    assert {answer.status for answer in second} == {429}


def test_what_litellm_leaves_out_is_missed() -> None:
    """It starts without a deployment whose provider its version does not know, and answers as if nothing were wrong."""
    made = rendered(Decided(Sending.SPLIT, {"team-a/chat": {"gpu": 50, "hosted": 50}}))
    files = {name: text.replace("openai/gpt-4o-mini", "of-tomorrow/gpt-4o-mini") for name, text in made.files.items()}
    with LiteLLMServer(ensure_litellm(print), files, {"SPILLWAY_OPERATOR_KEY": OPERATOR_KEY}) as server:
        assert "chat@hosted is not loaded" in unconfirmed(made, server.model_info(OPERATOR_KEY))
        (count,) = re.findall(r'spillway_proxy_deployments\{config="(\w+)"\} (\S+)', server.metrics())
    assert count == (made.content_hash, "1.0")
    scope = ProxyScope("ai", written=made.content_hash, deployments=2, rolled_out=True, pods=("litellm-1",))
    assert has_loaded(scope, {("ai", "litellm-1"): {made.content_hash: 1.0}}) is False


def this_minute() -> int:
    """Minutes since the epoch: limits begin anew with each."""
    return int(time.time() // 60)
