"""Hosted models out of a LiteLLM proxy's configuration and counters. Keys stay where they are."""

from __future__ import annotations

from typing import Any, cast

import pytest
import yaml

from cli.first.objects import container, deployment
from spillway.cli.first.proxies import hosted_models, is_proxy, offered, teams
from spillway.cli.first.templates import Templated
from spillway.kube import Kube, KubeError
from spillway.observe.prices import PriceBook
from spillway.observe.traffic import GatewayTotals, Totals, Traffic

NOW = 1.78e9


def proxy(*config_maps: str) -> Templated:
    """A LiteLLM Deployment that mounts these."""
    item = deployment("egress", container("ghcr.io/berriai/litellm:v1", gpus=0))
    template = item["spec"]["template"]
    template["spec"]["volumes"] = [{"name": "k", "secret": {}}, *({"configMap": {"name": n}} for n in config_maps)]
    return Templated("Deployment", item, ((template, 1),))


class Maps:
    """ConfigMaps, and what is answered for others."""

    def __init__(self, maps: dict[str, str], error: KubeError | None = None) -> None:
        self._maps, self._error = maps, error

    async def find(self, _: object, __: str, name: str) -> dict[str, Any] | None:
        if self._error is not None:
            raise self._error
        return {"data": {"config.yaml": self._maps[name]}} if name in self._maps else None


def model_list(*models: tuple[str, str], **params: str) -> str:
    entries = [
        {"model_name": name, "litellm_params": {"model": model, "api_key": "k", **params}} for name, model in models
    ]
    return yaml.safe_dump({"model_list": entries})


async def test_hosted_models_by_their_names() -> None:
    config = model_list(("qwen3-32b", "groq/qwen/qwen3-32b"), ("fast", "groq/qwen/qwen3-32b"), ("g", "gemini/pro"),
                        ("own", "hosted_vllm/llama"), ("plain", "gpt-5-nano"))  # fmt: skip
    found, gap = await offered(cast(Kube, Maps({"a": config})), proxy("a", "absent"))
    assert gap is None
    assert found == {("groq", "qwen/qwen3-32b"): {"qwen3-32b", "fast"}, ("google", "pro"): {"g"}}


@pytest.mark.parametrize("text", ["", "a: [", "[]", "model_list: 3", "model_list: [3, {litellm_params: 4}]"])
async def test_any_text_is_survived(text: str) -> None:
    assert await offered(cast(Kube, Maps({"a": text})), proxy("a")) == ({}, None)


async def test_an_endpoint_of_ones_own_is_no_hosted_model() -> None:
    config = model_list(("m", "openai/m"), api_base="http://vllm:8000/v1")
    assert (await offered(cast(Kube, Maps({"a": config})), proxy("a")))[0] == {}


async def test_a_forbidden_config_map_is_a_gap_and_an_apiserver_that_is_gone_an_error() -> None:
    found, gap = await offered(cast(Kube, Maps({}, KubeError(403, "Forbidden", "no"))), proxy("a"))
    assert found == {}
    assert gap is not None
    assert (gap.what, gap.why) == ("ConfigMap inference/a", "forbidden")
    with pytest.raises(KubeError):
        await offered(cast(Kube, Maps({}, KubeError(0, "Unreachable", "gone"))), proxy("a"))


def test_prices_and_counts() -> None:
    rows = (
        GatewayTotals({"model": "qwen/qwen3-32b", "api_provider": "groq", "team": "a"}, Totals(3600.0, 10.0, 1.0)),
        GatewayTotals({"model": "qwen/qwen3-32b", "api_provider": "groq", "team": "b"}, Totals(3600.0, 5.0, 1.0)),
        GatewayTotals({"model": "qwen/qwen3-32b", "api_provider": "hosted_vllm"}, Totals(3600.0, 99.0, 1.0)),
    )
    offers = {("groq", "qwen/qwen3-32b"): {"qwen3-32b"}, ("openai", "no-such-model-2099"): {"x"}}
    unpriced, priced = sorted(
        hosted_models({"egress": offers}, Traffic(litellm=rows), PriceBook(), NOW), key=lambda each: each.price or ""
    )
    assert unpriced.price is None
    assert (unpriced.model, unpriced.counted) == ("no-such-model-2099", None)
    assert priced.price is not None
    assert "per million tokens (genai-prices" in priced.price
    assert (priced.served_as, priced.proxy) == (("qwen3-32b",), "egress")
    assert priced.counted is not None
    assert priced.counted.requests == 15.0


def test_teams_by_the_model_they_ask_for() -> None:
    rows = [
        GatewayTotals(
            {"model": "m", "requested_model": "chat", "team": "id", "team_alias": "a"}, Totals(1, 3, 1, 7, 2)
        ),
        GatewayTotals({"model": "chat", "team": "a"}, Totals(1, 1, 1)),
        GatewayTotals({"model": "m"}, Totals(1, 50, 1)),
    ]
    assert teams(rows) == {("chat", "a"): (4, 9)}


def test_what_is_a_proxy() -> None:
    assert is_proxy(proxy())
    other = deployment()
    assert not is_proxy(Templated("Deployment", other, ((other["spec"]["template"], 1),)))
