"""Runs inside LiteLLM, beside config.yaml: whom it serves, what it refuses, and what it says of an answer.

LiteLLM alone would also take a deployment's id or its provider's model for a model name, send a request on to whatever
``fallbacks`` its body names, and pass other routes through to providers. Everything that is not clearly allowed here is
refused. It imports nothing of Spillway's: the proxy's image holds LiteLLM alone.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import UserAPIKeyAuth

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


class Guard(CustomLogger):  # type: ignore[misc]
    """Spillway's rules, at LiteLLM's own hooks."""

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
            known = rule is not None and rule["model"] in RULES["models"]
            if known and (not rule["hosted"] or (RULES["models"][rule["model"]]["hosted"] and not stays)):
                allowed.append(deployment)
        return allowed

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
