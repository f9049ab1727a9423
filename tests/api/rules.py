"""For each CEL rule of the CRDs: objects that keep it and objects that break it."""

from __future__ import annotations

from dataclasses import dataclass

from .manifests import BASIS, DELETE, HOSTED, LITELLM, SELF_HOSTED, VARIANTS, Manifest, edited


@dataclass(frozen=True)
class Rule:
    """Examples for one rule."""

    field: str
    """Field that a refusal names."""
    accepts: tuple[Manifest, ...]
    refuses: tuple[Manifest, ...]
    old: Manifest | None = None
    """For a rule on updates: the object as it was."""


_CLASS, _CLASS_BY_HEADER, *_ = VARIANTS["WorkloadClass"]
_LANE, _HOSTED_LANE, *_ = VARIANTS["CapacityLane"]
_PLAN = VARIANTS["CapacityPlan"][0]
_CHANGE, _CHANGE_REMOVES, _CHANGE_OBJECT = VARIANTS["LaneChange"]
_BINDING = "spec.routing.bindings.0"
_ON_AI_GATEWAY = {
    "spec.routing.plane": "EnvoyAIGateway",
    f"{_BINDING}.rule": DELETE,
    f"{_BINDING}.backends": {"gpu-h100": "vllm-llama", "hosted": "openai"},
}

RULES: dict[str, Rule] = {}
"""By the rule's message."""


def _rule(message: str, field: str, accepts: list[Manifest], refuses: list[Manifest]) -> None:
    RULES[message] = Rule(field, tuple(accepts), tuple(refuses))


def _named(base: Manifest, name: str) -> Manifest:
    return edited(base, {"metadata.name": name})


_rule(
    "the name must have at most 63 characters and no dot: plans, routes and status refer to it",
    "<nil>",
    [_named(base, name) for base in (_CLASS, _LANE) for name in ("a" * 63, "a")],
    [_named(base, name) for base in (_CLASS, _LANE) for name in ("a" * 64, "a.b")],
)
_rule(
    "slo is required unless latency is Deferrable",
    "spec",
    [
        _CLASS,
        edited(_CLASS, {"spec.latency": "Deferrable", "spec.slo": DELETE}),
        edited(_CLASS, {"spec.latency": "Deferrable"}),
    ],
    [
        edited(_CLASS, {"spec.slo": DELETE}),
        edited(_CLASS, {"spec.latency": "Background", "spec.slo": DELETE}),
        edited(_CLASS, {"spec.latency": DELETE, "spec.slo": DELETE}),
        edited(_CLASS, {"spec.slo": None}),
    ],
)
_rule(
    "match needs exactly one of header, model, team, routeRule",
    "spec.match",
    list(VARIANTS["WorkloadClass"]),
    [
        edited(_CLASS, {"spec.match": {}}),
        edited(_CLASS, {"spec.match.team": "payments"}),
        edited(_CLASS_BY_HEADER, {"spec.match.routeRule": {"route": "chat", "rule": "coding"}}),
        edited(_CLASS_BY_HEADER, {"spec.match.team": "payments", "spec.match.model": "llama"}),
    ],
)
_rule(
    "budget needs exactly one of monthlyUsd, measuredPlusPercent",
    "spec.budget",
    [_CLASS, edited(_CLASS, {"spec.budget.monthlyUsd": DELETE, "spec.budget.measuredPlusPercent": 20})],
    [
        edited(_CLASS, {"spec.budget": {}}),
        edited(_CLASS, {"spec.budget.measuredPlusPercent": 20}),
    ],
)
_rule(
    "selfHosted belongs to type SelfHosted, and is required there",
    "spec",
    [_LANE, _HOSTED_LANE],
    [
        edited(_LANE, {"spec.selfHosted": DELETE}),
        *(edited(base, {"spec.selfHosted": SELF_HOSTED}) for base in VARIANTS["CapacityLane"][1:]),
    ],
)
_rule(
    "hosted belongs to types HostedRealtime, Flex and Batch, and is required there",
    "spec",
    list(VARIANTS["CapacityLane"]),
    [
        edited(_LANE, {"spec.hosted": HOSTED}),
        *(edited(base, {"spec.hosted": DELETE}) for base in VARIANTS["CapacityLane"][1:]),
    ],
)
_rule(
    "replicas.min must not be above replicas.max",
    "spec.selfHosted.replicas",
    [
        edited(_LANE, {"spec.selfHosted.replicas": bounds})
        for bounds in ({"min": 2, "max": 2}, {"max": 1}, {"min": 0, "max": 0})
    ],
    [edited(_LANE, {"spec.selfHosted.replicas": bounds}) for bounds in ({"min": 3, "max": 2}, {"max": 0})],
)
_rule(
    "namespaceSelector belongs to from: Selector, and is required there",
    "spec.allowedClasses",
    [_PLAN, edited(_PLAN, {"spec.allowedClasses": {}}), edited(_PLAN, {"spec.allowedClasses": DELETE})],
    [
        edited(_PLAN, {"spec.allowedClasses": {"from": "Selector"}}),
        edited(_PLAN, {"spec.allowedClasses.from": "Same"}),
        edited(_PLAN, {"spec.allowedClasses.from": DELETE}),
    ],
)
_rule(
    "bindings need plane: GatewayAPI or EnvoyAIGateway",
    "spec.routing",
    [
        _PLAN,
        edited(_PLAN, _ON_AI_GATEWAY),
        edited(_PLAN, {"spec.routing": {"plane": "None", "bindings": []}}),
        edited(_PLAN, {"spec.routing": {}}),
    ],
    [
        edited(_PLAN, {"spec.routing.plane": "None", "spec.routing.litellm": DELETE}),
        edited(_PLAN, {"spec.routing.plane": DELETE, "spec.routing.litellm": DELETE}),
        edited(_PLAN, {"spec.routing.plane": "LiteLLM"}),
    ],
)
_rule(
    "plane LiteLLM needs litellm: the proxy's ConfigMap and Deployment",
    "spec.routing",
    [edited(_PLAN, {"spec.routing": {"plane": "LiteLLM", "litellm": LITELLM}})],
    [edited(_PLAN, {"spec.routing": {"plane": "LiteLLM"}})],
)
_rule(
    "litellm needs plane LiteLLM, or GatewayAPI with the proxy behind it",
    "spec.routing",
    [_PLAN, edited(_PLAN, {"spec.routing": {"plane": "GatewayAPI", "litellm": LITELLM}})],
    [edited(_PLAN, {"spec.routing": {"litellm": LITELLM}})],
)
_rule(
    "an Adopted binding needs rule: the name of the rule whose weights it moves",
    "spec.routing",
    [_PLAN, edited(_PLAN, {f"{_BINDING}.gateway": DELETE}), edited(_PLAN, _ON_AI_GATEWAY)],
    [edited(_PLAN, {f"{_BINDING}.rule": DELETE})],
)
_rule(
    "with plane EnvoyAIGateway backends are names of AIServiceBackends, without kind and port, and no rule is named: "
    "the one that matches the class's model or header is meant",
    "spec.routing",
    [_PLAN, edited(_PLAN, _ON_AI_GATEWAY), edited(_PLAN, _ON_AI_GATEWAY | {f"{_BINDING}.ownership": "Managed"})],
    [
        edited(_PLAN, _ON_AI_GATEWAY | change)
        for change in (
            {f"{_BINDING}.rule": "coding"},
            {f"{_BINDING}.backends": {"hosted": "Backend/openai"}},
            {f"{_BINDING}.backends": {"hosted": "openai:443"}},
        )
    ],
)
_rule(
    "a Managed binding needs gateway: what the generated HTTPRoute attaches to",
    _BINDING.replace(".0", "[0]"),
    [edited(_PLAN, {f"{_BINDING}.ownership": "Managed", f"{_BINDING}.rule": DELETE})],
    [edited(_PLAN, {f"{_BINDING}.ownership": "Managed", f"{_BINDING}.gateway": DELETE})],
)
_rule(
    "a backend's port must be from 1 to 65535",
    _BINDING.replace(".0", "[0]"),
    [edited(_PLAN, {f"{_BINDING}.backends": {"a": text, "b": "egress"}}) for text in ("x:1", "x:65535", "Backend/x")],
    [
        edited(_PLAN, {f"{_BINDING}.backends": {"a": "egress", "b": text}})
        for text in ("x:0", "x:65536", "Backend/x:99999")
    ],
)
RULES["type cannot be changed: create another lane"] = Rule(
    "spec", (_LANE, edited(_LANE, {"spec.models": ["other"]})), (_HOSTED_LANE,), old=_LANE
)
_STEP = "spec.change.0.patch.1"
RULES[
    "a proposal can't be changed: approve or reject it, or write the change that you want into the class, lane or plan "
    "itself"
] = Rule(
    "spec",
    (_CHANGE,),
    (
        _CHANGE_REMOVES,
        _CHANGE_OBJECT,
        *(edited(_CHANGE, {f"{_STEP}.value": value}) for value in (2, "1", None, DELETE, [1], {"min": 1}, True)),
        edited(_CHANGE, {f"{_STEP}.path": "/spec/selfHosted/replicas/max"}),
        edited(_CHANGE, {"spec.change.0.name": "other"}),
        edited(_CHANGE, {"spec.basis": BASIS[:1]}),
        edited(_CHANGE, {"spec.basis.0.generation": 5}),
        edited(_CHANGE, {"spec.planHash": "6f1c0d2e9a3b4c5e"}),
        edited(_CHANGE, {"spec.expiresAt": "2027-01-12T09:00:00Z"}),
        edited(_CHANGE, {"spec.effect.usdPerMonth": "-9999"}),
        edited(_CHANGE, {"spec.effect.attainmentPercent": DELETE}),
        edited(_CHANGE, {"spec.message": "Trust me."}),
    ),
    old=_CHANGE,
)
