"""Checks of what routing needs: rights on proxies' ConfigMaps, and room for requests at the gateway. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from spillway.cli.doctor.facts import AdoptedRule, Facts, ProxyRights
from spillway.cli.doctor.result import Check, failed, listed, passed, warned

PROXY = "LiteLLM"
GATEWAY = "gateway"
ENVOY_DEFAULT = 1024
"""What Envoy takes of each kind where nothing is set."""
LIMITS = ("maxConnections", "maxPendingRequests", "maxParallelRequests")
RETRIES = "maxParallelRetries"
"""What has spilled counts as a retry until it is answered."""
ROOM = 100_000


def check_proxies(facts: Facts) -> Iterable[Check]:
    """Whether the ConfigMaps of LiteLLM proxies may be read, and written where a plan is in Apply."""
    if not facts.proxies:
        return
    names = sorted({proxy.config_map for proxy in facts.proxies})
    denied = [(proxy, verb) for proxy in facts.proxies if (verb := _denied(proxy)) is not None]
    for proxy, verb in denied:
        where = f"ConfigMap {proxy.namespace}/{proxy.config_map}"
        fix = f"helm upgrade with --set 'rbac.litellm.configMaps={{{','.join(names)}}}'"
        if verb == "patch":
            fix += " --set rbac.mode=apply"
        yield failed(PROXY, f"{facts.user} may not {verb} {where} of plan {proxy.plan}", fix)
    if not denied:
        yield passed(PROXY, f"{facts.user} has the rights on {listed([f'ConfigMap {name}' for name in names])}")


def _denied(proxy: ProxyRights) -> str | None:
    if not proxy.may_read:
        return "get"
    return "patch" if proxy.applies and not proxy.may_patch else None


def check_adopted_rules(facts: Facts) -> Iterable[Check]:
    """Whether rules that plans adopt take more at once than Envoy's own limits; Spillway sets those of its own."""
    tight = [(rule, low) for rule in facts.adopted if (low := _low(rule))]
    for rule, low in tight:
        least = min(rule.limits.get(name, ENVOY_DEFAULT) for name in low)
        message = (
            f"{rule.route} rule {rule.rule}: {listed(low, 4)} of its backends together at most {least:,}; "
            "requests beyond get 503 from the gateway"
        )
        wanted = ", ".join(f"{name}: {ROOM}" for name in low)
        yield warned(GATEWAY, message, f"set circuitBreaker: {{{wanted}}} in its BackendTrafficPolicy")
    if facts.adopted and not tight:
        yield passed(GATEWAY, f"{len(facts.adopted)} adopted rules have room for more than {ENVOY_DEFAULT:,} requests")


def _low(rule: AdoptedRule) -> list[str]:
    names = (*LIMITS, RETRIES) if rule.spills else LIMITS
    return [name for name in names if rule.limits.get(name, ENVOY_DEFAULT) <= ENVOY_DEFAULT]
