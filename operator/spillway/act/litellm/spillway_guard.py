"""Runs inside LiteLLM, beside config.yaml: whom it serves, what it refuses, what it counts and says of an answer.

LiteLLM alone would also take a deployment's id or its provider's model for a model name, send a request on to whatever
``fallbacks`` its body names, and pass other routes through to providers. Everything that is not clearly allowed here is
refused. It imports nothing of Spillway's: the proxy's image holds LiteLLM alone.
"""

from __future__ import annotations

import hmac
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import UserAPIKeyAuth
from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

RULES: dict[str, Any] = json.loads(Path(__file__).with_name("spillway.json").read_text(encoding="utf-8"))

CLIENT_PATHS = frozenset(
    f"{version}{path}" for version in ("", "/v1") for path in ("/chat/completions", "/completions", "/models")
)
OPERATOR_PATHS = frozenset({"/model/info", "/v1/model/info"})
KEYS = (
    ("SPILLWAY_CLIENT_KEY", "clients", CLIENT_PATHS),
    ("SPILLWAY_OPERATOR_KEY", "operator", OPERATOR_PATHS),
)
REFUSED_FIELDS = frozenset(
    {
        *("api_base", "api_key", "api_version", "base_url", "custom_llm_provider", "litellm_credential_name"),
        *("fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "num_retries", "max_retries"),
        *("user_config", "router_settings_override", "specific_deployment", "mock_response", "mock_testing_fallbacks"),
        # Both are laid over what is sent to the provider, its model included.
        *("extra_body", "extra_headers"),
    }
)
"""Fields of a request that would steer LiteLLM itself. Those that begin with an underscore are its own, too."""

OVERFLOW_HEADER = "x-spillway-overflow"
"""`never`: this request stays on own lanes."""
SERVED_BY_HEADER = "x-spillway-served-by"
REASON_HEADER = "x-spillway-spill-reason"


PERIODS = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}
"""How the running one is named, in UTC."""
SERVED_LABELS = ("class", "team", "model", "lane", "hosted", "reason")
TOKEN_KINDS = ("input", "cached_input", "output")


class Purse:
    """Dollars that this process has spent on hosted lanes, held against its part of what may be spent.

    What is in flight isn't counted yet: it goes over. A process that starts anew begins at what was left when its
    configuration was written.
    """

    def __init__(self, budget: Mapping[str, Any] | None) -> None:
        self.budget = budget
        self.spent = defaultdict[tuple[str, str], float](float)
        """By (ceiling, period), where a ceiling is a period's name or "tier/NAME"."""

    def add(self, usd: float, tier: str | None, now: float) -> None:
        """Enter what an answer has cost."""
        for period in PERIODS:
            self.spent[period, running(period, now)] += usd
        if tier:
            self.spent[f"tier/{tier}", running("hour", now)] += usd

    def has_room(self, tier: str | None, now: float) -> bool:
        """Whether any more may be spent."""
        if self.budget is None:
            return True
        for period, ceiling in self.budget["ceilings"].items():
            same = running(period, self.budget["at"]) == running(period, now)
            most = self.budget["left"].get(period, 0.0) if same else ceiling
            if self.spent[period, running(period, now)] >= most:
                return False
        limit = self.budget["tiers"].get(tier) if tier else None
        return limit is None or self.spent[f"tier/{tier}", running("hour", now)] < limit

    def usd(self, lane: str, tokens: Mapping[str, int]) -> float:
        """What these tokens cost on a lane; 0 where no ceiling asks."""
        price = (self.budget or {}).get("prices", {}).get(lane)
        if price is None:
            return 0.0
        fresh = max(0, tokens["input"] - tokens["cached_input"])
        counts = (fresh, tokens["cached_input"], tokens["output"])
        return float(sum(count * usd for count, usd in zip(counts, price, strict=True))) / 1e6


def running(period: str, now: float) -> str:
    """The name of the period that is running then."""
    return time.strftime(PERIODS[period], time.gmtime(now))


class Meter:
    """What this process has loaded, served and spent, for Prometheus."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, ...]] = Counter()
        self.tokens: Counter[tuple[str, ...]] = Counter()
        self.usd = defaultdict[tuple[str, ...], float](float)

    def served(self, labels: tuple[str, ...], tokens: Mapping[str, int], usd: float) -> None:
        """Count one answer."""
        self.requests[labels] += 1
        for kind in TOKEN_KINDS:
            self.tokens[*labels, kind] += tokens[kind]
        if usd:
            self.usd[labels] += usd

    def collect(self) -> Iterator[Any]:
        """prometheus_client asks at each scrape."""
        loaded = GaugeMetricFamily(
            "spillway_proxy_deployments", "Deployments loaded, by hash of their configuration.", labels=["config"]
        )
        for digest, count in self.loaded().items():
            loaded.add_metric([digest], count)
        yield loaded
        for name, text, labels, found in (
            ("requests", "Requests answered.", SERVED_LABELS, self.requests),
            ("tokens", "Tokens of answers; input holds cached_input, too.", (*SERVED_LABELS, "kind"), self.tokens),
            ("usd", "US dollars that hosted answers cost; where a ceiling is set.", SERVED_LABELS, self.usd),
        ):
            family = CounterMetricFamily(f"spillway_proxy_{name}", text, labels=labels)
            for key, value in list(found.items()):
                family.add_metric(key, value)
            yield family

    def loaded(self) -> dict[str, int]:
        """Hash to number of deployments that LiteLLM's router holds; the configuration's own even where it has none."""
        from litellm.proxy import proxy_server  # noqa: PLC0415 - it is what loads this file

        found = Counter({str(RULES["config"]): 0})
        for deployment in getattr(proxy_server.llm_router, "model_list", None) or []:
            found[str((deployment.get("model_info") or {}).get("spillway_config", ""))] += 1
        return dict(found)


def _meter() -> Meter:
    """LiteLLM loads this file more than once into one process."""
    found: Meter | None = getattr(REGISTRY, "spillway_meter", None)
    if found is None:
        found = Meter()
        REGISTRY.spillway_meter = found  # type: ignore[attr-defined]
        REGISTRY.register(found)
    return found


async def authenticate(request: Request, api_key: str) -> UserAPIKeyAuth:
    """Whose key it is, and whether the path is open to it."""
    path = request.url.path
    for variable, alias, paths in KEYS:
        known = os.environ.get(variable, "")
        if known and hmac.compare_digest(known.encode(), (api_key or "").encode()):
            if path not in paths:
                raise HTTPException(403, f"{path} is not open to this key")
            return UserAPIKeyAuth(api_key=f"spillway-{alias}", key_alias=alias, user_role="internal_user")
    raise HTTPException(401, "unknown key")


def _headers(data: Mapping[str, Any] | None) -> Mapping[str, str]:
    received = (data or {}).get("proxy_server_request") or {}
    return {str(name).lower(): str(value) for name, value in (received.get("headers") or {}).items()}


def _tokens(payload: Mapping[str, Any], response: Any) -> dict[str, int]:
    usage = getattr(response, "usage", None)
    details = getattr(usage, "prompt_tokens_details", None)
    return {
        "input": int(payload.get("prompt_tokens") or 0),
        "cached_input": int(getattr(details, "cached_tokens", None) or 0),
        "output": int(payload.get("completion_tokens") or 0),
    }


class Guard(CustomLogger):  # type: ignore[misc]
    """Spillway's rules, at LiteLLM's own hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.meter = _meter()
        self.purse = Purse(RULES.get("budget"))

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        """Refuse what is no model name of this configuration, and what would steer LiteLLM itself."""
        name = data.get("model")
        if not isinstance(name, str) or name not in RULES["models"]:
            raise HTTPException(400, f"no model {name!r} here; there are {', '.join(sorted(RULES['models']))}")
        body = (data.get("proxy_server_request") or {}).get("body") or {}
        for field in sorted({*body, *(data.keys() & REFUSED_FIELDS)}):
            if field in REFUSED_FIELDS or str(field).startswith("_"):
                raise HTTPException(400, f"the field {field!r} is not open to clients of this proxy")
        # The lane says which tier is bought.
        data.pop("service_tier", None)
        return data

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[Any],
        messages: Any,
        request_kwargs: dict[str, Any] | None = None,
        parent_otel_span: Any = None,
    ) -> list[Any]:
        """Own lanes alone for a request that asks for it, and for models that must not leave them."""
        stays = _headers(request_kwargs).get(OVERFLOW_HEADER, "").strip().lower() == "never"
        rules = RULES["deployments"]
        allowed = []
        for deployment in healthy_deployments:
            rule = rules.get((deployment.get("model_info") or {}).get("id"))
            if rule is None or rule["model"] not in RULES["models"]:
                continue
            asked = RULES["models"][rule["model"]]
            if not rule["hosted"] or (asked["hosted"] and not stays and self._affordable(rule["lane"], asked)):
                allowed.append(deployment)
        return allowed

    def _affordable(self, lane: str, asked: Mapping[str, Any]) -> bool:
        """Whether the lane has a price, where a ceiling asks for one, and there is room below every ceiling."""
        budget = self.purse.budget
        priced = budget is None or lane in budget["prices"]
        return priced and self.purse.has_room(asked.get("tier"), time.time())

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Count an answer, streams when they have ended."""
        payload = kwargs.get("standard_logging_object") or {}
        rule = RULES["deployments"].get(payload.get("model_id"))
        if rule is None:
            return
        asked = RULES["models"].get(rule["model"], {})
        tokens = _tokens(payload, response_obj)
        usd = self.purse.usd(rule["lane"], tokens) if rule["hosted"] else 0.0
        if usd:
            self.purse.add(usd, asked.get("tier"), time.time())
        team = (payload.get("metadata") or {}).get("user_api_key_team_alias") or ""
        reason = asked.get("reason", "") if rule["hosted"] else ""
        hosted = str(rule["hosted"]).lower()
        labels = (asked.get("class", ""), team, rule["model"], rule["lane"], hosted, reason)
        self.meter.served(labels, tokens, usd)

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: Any,
        response: Any,
        request_headers: Any = None,
        litellm_call_info: dict[str, Any] | None = None,
    ) -> dict[str, str] | None:
        """Which lane answered, and why it was a hosted one."""
        # Its model_info stays that of the first deployment that was tried.
        rule = RULES["deployments"].get((litellm_call_info or {}).get("model_id"))
        if response is None or rule is None:
            return None
        found = {SERVED_BY_HEADER: rule["lane"]}
        if rule["hosted"]:
            found[REASON_HEADER] = RULES["models"][rule["model"]]["reason"]
        return found


guard = Guard()
