"""What must hold for a gateway to spill by itself, and what of it is missing: endpoints, policy, engines' queue limits.

Envoy Gateway tries a Backend with ``fallback: true`` for what the others refuse, if all are host names and all have a
weight, and a BackendTrafficPolicy says what to try again. Without one of these everything is accepted all the same,
and either nothing spills or the fallback gets its weight's share all the time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from spillway.api import Binding, CapacityLane, CapacityPlan, Engine, OverflowMode, Ownership, RoutingPlane
from spillway.api.names import BackendName
from spillway.decide.snapshot import Finding
from spillway.observe.endpoints import Backends, endpoint_problem
from spillway.observe.membership import subject, warning
from spillway.observe.scope import Queue

JSON = dict[str, Any]

QUEUE_UNLIMITED, QUEUE_UNKNOWN, POLICY_MISSING = "QueueUnlimited", "QueueLimitUnknown", "SpillPolicyMissing"
UNPROVEN = "SpillUnproven"
QUEUE_FLAG, SEQUENCES_FLAG = "--max-num-queued-reqs", "--max-num-seqs"


def spills(plan: CapacityPlan) -> bool:
    """Whether the plan leaves spilling to its gateway."""
    spec = plan.spec
    return spec.overflow.mode is OverflowMode.SPILL and spec.routing.plane.has_routes


def spill_problem(binding: Binding, own: Collection[str], backends: Backends) -> str | None:
    """Why a rule over these backends must not be left to spill, as the end of a sentence; None where it may."""
    if not any(lane not in own for lane in binding.backends):
        return None
    if backends is None:
        return "is to spill, and Envoy Gateway's Backends can't be read: install it, or grant list on backends"
    for lane, text in binding.backends.items():
        named = BackendName.parse(text)
        where = f"backends.{lane}: {named.kind} {named.name}"
        if named.kind != "Backend":
            return f"is to spill, but {where} is no Backend: make one with an fqdn endpoint of the Service's DNS name"
        found = backends.get(named.name)
        if found is None:
            return f"names Backend {named.name}, which does not exist: create it"
        spec = found.get("spec") or {}
        if any(not endpoint.get("fqdn") for endpoint in spec.get("endpoints") or []):
            return (
                f"is to spill, but {where} has an endpoint that is no host name, so that its fallback would be a paid "
                "split: give it fqdn endpoints only"
            )
        if lane in own and spec.get("fallback"):
            return f"is to spill, but {where} of an own lane has fallback: true: take that out"
        if lane not in own and not spec.get("fallback"):
            return f"is to spill, but {where} lacks fallback: true, so that it would be a paid split: set it"
    return None


def mix_problem(
    plan: CapacityPlan, binding: Binding, refs: Sequence[Mapping[str, Any]], own: Collection[str], backends: Backends
) -> str | None:
    """Why traffic must not be moved over a binding's backends, as the end of a sentence."""
    if spills(plan) and any(lane not in own for lane in binding.backends):
        return spill_problem(binding, own, backends)
    return endpoint_problem(refs, backends)


def policy_findings(plan: CapacityPlan, policies: Mapping[str, JSON] | None, own: Collection[str]) -> list[Finding]:
    """Adopted rules that no policy lets spill: Spillway writes policies of its own routes alone.

    ``policies``: BackendTrafficPolicies of the plan's namespace by name; None where they can't be read.
    """
    if not spills(plan):
        return []
    found = []
    for binding in plan.spec.routing.bindings:
        if binding.ownership is not Ownership.ADOPTED or all(lane in own for lane in binding.backends):
            continue
        where = f"HTTPRoute {plan.metadata.namespace}/{binding.http_route}"
        missing = _missing(binding, policies)
        if missing:
            message = f"binding {binding.class_}: {where} {missing}"
            found.append(warning(subject(plan), POLICY_MISSING, message))
    return found


def unproven_findings(plan: CapacityPlan) -> list[Finding]:
    """A plane whose spilling has not been run with a real gateway: what is not certain is not counted on."""
    if not spills(plan) or plan.spec.routing.plane is not RoutingPlane.ENVOY_AI_GATEWAY:
        return []
    message = (
        "Envoy AI Gateway is given priorities and a policy, by which it should spill, but no real one has been tried: "
        "own lanes are sized as if nothing spilled; overflow.mode Split does not depend on it"
    )
    return [warning(subject(plan), UNPROVEN, message)]


def _missing(binding: Binding, policies: Mapping[str, JSON] | None) -> str | None:
    if policies is None:
        return "may not spill: its BackendTrafficPolicy can't be read; grant list on backendtrafficpolicies"
    specs = [item.get("spec") or {} for item in policies.values()]
    mine = [spec for spec in specs if _targets(spec, binding)]
    if not mine:
        return (
            "does not spill: no BackendTrafficPolicy targets it; create one with retry.numAttemptsPerPriority 1 and "
            "retry.retryOn.httpStatusCodes [429, 503]"
        )
    if not any(_retries(spec) for spec in mine):
        return (
            "does not spill: its BackendTrafficPolicy needs retry.numAttemptsPerPriority 1 and retry.retryOn with "
            "triggers [connect-failure, refused-stream, retriable-status-codes] and httpStatusCodes [429, 503]"
        )
    return None


def _targets(spec: JSON, binding: Binding) -> bool:
    targets = [*(spec.get("targetRefs") or []), *([spec["targetRef"]] if spec.get("targetRef") else [])]
    return any(
        (each.get("kind"), each.get("name")) == ("HTTPRoute", binding.http_route)
        and each.get("sectionName") in (None, binding.rule)
        for each in targets
    )


def _retries(spec: JSON) -> bool:
    retry = spec.get("retry") or {}
    on = retry.get("retryOn") or {}
    codes = {429, 503} <= set(on.get("httpStatusCodes") or [])
    triggers = {"connect-failure", "retriable-status-codes"} <= set(on.get("triggers") or [])
    return codes and triggers and retry.get("numAttemptsPerPriority") == 1 and (retry.get("numRetries", 2) or 0) >= 1


def queue_of(lane: CapacityLane, target: JSON) -> Queue:
    """What the containers' arguments in the target's pod template say."""
    template = ((target.get("spec") or {}).get("template") or {}).get("spec") or {}
    own = lane.spec.self_hosted
    if own is None or own.engine is not Engine.VLLM:
        return Queue(None)
    texts = [_arguments(container) for container in template.get("containers") or []]
    engines = [text for text in texts if "vllm" in text]
    if any(QUEUE_FLAG in text for text in engines):
        return Queue(True)
    # A file of arguments, or variables that hold some, can't be looked into.
    if not engines or any("--config" in text or "$" in text for text in engines):
        return Queue(None)
    found = re.search(rf"{SEQUENCES_FLAG}[=\s]+([0-9]+)", " ".join(engines))
    return Queue(False, int(found[1]) if found else None)


def _arguments(container: JSON) -> str:
    parts = [container.get("image"), *(container.get("command") or []), *(container.get("args") or [])]
    # vLLM takes both spellings.
    return " ".join(str(part) for part in parts if part is not None).replace("_", "-")


def queue_findings(lanes: Iterable[tuple[CapacityLane, Queue | None]]) -> list[Finding]:
    """Own lanes that queue what they can't take, so that nothing of it spills."""
    found = []
    for lane, queue in lanes:
        own = lane.spec.self_hosted
        if own is None or (queue is not None and queue.limited):
            continue
        where = f"lane {lane.metadata.name}: {own.target_ref.kind} {lane.metadata.namespace}/{own.target_ref.name}"
        if queue is None or queue.limited is None:
            message = f"{where} does not show whether its engine refuses what it can't take ({QUEUE_FLAG} of vLLM)"
            found.append(warning(subject(lane), QUEUE_UNKNOWN, message))
            continue
        most = queue.max_sequences or (own.profile.max_sequences if own.profile else None)
        number = str(most) if most else "N"
        hint = "counts running requests, too: N is --max-num-seqs and the queue that may wait"
        message = f"{where} queues without limit, so nothing spills: start vLLM with {QUEUE_FLAG} {number} (it {hint})"
        found.append(warning(subject(lane), QUEUE_UNLIMITED, message))
    return found
