"""LiteLLM proxies and the hosted models that they offer: out of the ConfigMaps that their pods mount, and counters.

Of a ConfigMap only names of models are taken; keys and addresses are neither kept nor shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from spillway.advise.first.facts import Counted, Gap, HostedModel
from spillway.api import API_VERSION, CapacityLane
from spillway.api.providers import OWN_PROVIDER, PROVIDERS
from spillway.cli.first.engines import LONGEST_NAME, counted
from spillway.cli.first.templates import Templated
from spillway.kube import CONFIG_MAPS, Kube, KubeError
from spillway.observe.prices import PriceBook
from spillway.observe.traffic import GatewayTotals, Totals, Traffic, combined

JSON = dict[str, Any]
PRICED_AS = {theirs: ours for ours, theirs in PROVIDERS.items()}
"""LiteLLM's name of a provider to the price packages'; of two that they know, the one that differs from LiteLLM's."""
Offered = dict[tuple[str, str], set[str]]
"""Provider and model to the names that clients ask by."""


def is_proxy(each: Templated) -> bool:
    """Whether the workload is a LiteLLM proxy."""
    return any("litellm" in str(container.get("image", "")).lower() for container in each.containers())


async def offered(kube: Kube, each: Templated) -> tuple[Offered, Gap | None]:
    """The hosted models of one proxy's configuration."""
    found: Offered = {}
    for name in _mounted(each):
        try:
            item = await kube.find(CONFIG_MAPS, each.namespace, name)
        except KubeError as error:
            if error.status in (0, 401):
                raise
            why = "forbidden" if error.forbidden else f"HTTP {error.status}"
            where = f"ConfigMap {each.namespace}/{name}"
            return found, Gap(
                where, why, f"Hosted models of LiteLLM proxy {each.name} are not known: write their lanes."
            )
        for text in ((item or {}).get("data") or {}).values():
            _read_models(text, found)
    return found, None


def _mounted(each: Templated) -> list[str]:
    volumes = (each.templates[0][0].get("spec") or {}).get("volumes") or []
    return [str(volume["configMap"]["name"]) for volume in volumes if (volume.get("configMap") or {}).get("name")]


def _read_models(text: str, found: Offered) -> None:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return
    entries = document.get("model_list") if isinstance(document, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        params = entry.get("litellm_params") if isinstance(entry, dict) else None
        target = str(params.get("model", "")) if isinstance(params, dict) else ""
        provider, _, model = target.partition("/")
        if 0 < len(model) <= LONGEST_NAME and provider in PRICED_AS and not (params or {}).get("api_base"):
            found.setdefault((PRICED_AS[provider], model), set()).add(
                str(entry.get("model_name") or model)[:LONGEST_NAME]
            )


def hosted_models(
    by_proxy: Mapping[str, Offered], traffic: Traffic | None, book: PriceBook, now: float
) -> tuple[HostedModel, ...]:
    """All hosted models of one namespace's proxies; without proxies none, as nothing could be routed to them.

    ``by_proxy``: by the Deployment's name.
    """
    found = []
    for proxy, models in by_proxy.items():
        counts = _hosted_counts(traffic)
        for (provider, model), names in sorted(models.items()):
            totals = counts.get((provider, model)) or counts.get(("", model))
            found.append(
                HostedModel(
                    provider=provider,
                    model=model,
                    served_as=tuple(sorted(names)),
                    proxy=proxy,
                    source=f"the configuration of LiteLLM proxy {proxy}",
                    price=price_of(provider, model, book, now),
                    counted=_counted(totals),
                )
            )
    return tuple(found)


def _counted(totals: Totals | None) -> Counted | None:
    return None if totals is None else counted(totals, "LiteLLM's counters")


def _hosted_counts(traffic: Traffic | None) -> dict[tuple[str, str], Totals]:
    groups: dict[tuple[str, str], list[Totals]] = {}
    for row in traffic.litellm if traffic else ():
        provider, model = row.labels.get("api_provider", ""), row.labels.get("model", "")
        if model and provider != OWN_PROVIDER and row.totals.requests > 0:
            groups.setdefault((PRICED_AS.get(provider, provider), model), []).append(row.totals)
    return {key: total for key, parts in groups.items() if (total := combined(parts)) is not None}


def price_of(provider: str, model: str, book: PriceBook, now: float) -> str | None:
    """The list price in words; None where nobody prices it."""
    spec = {"type": "HostedRealtime", "models": [model], "hosted": {"provider": provider, "model": model}}
    manifest = {"apiVersion": API_VERSION, "kind": "CapacityLane", "metadata": {"name": "asked"}, "spec": spec}
    price = book.quote(CapacityLane.parse(manifest), now).price
    if price is None:
        return None
    return (
        f"${price.input_usd_per_mtok} in and ${price.output_usd_per_mtok} out per million tokens ({price.source}), "
        "looked up anew as it changes"
    )


def teams(rows: Iterable[GatewayTotals]) -> dict[tuple[str, str], tuple[float, float | None]]:
    """Requests and tokens by the model asked for and the team."""
    found: dict[tuple[str, str], list[Totals]] = {}
    for row in rows:
        model = row.labels.get("requested_model") or row.labels.get("model")
        team = row.labels.get("team_alias") or row.labels.get("team")
        if model and team:
            found.setdefault((model, team), []).append(row.totals)
    shares = {}
    for key, parts in found.items():
        total = combined(parts)
        if total is not None:
            tokens = None if total.input_tokens is None else total.input_tokens + (total.output_tokens or 0.0)
            shares[key] = (total.requests, tokens)
    return shares
