"""Plain words: every field of every spec is told, and the sentences say what a reviewer needs."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from advise.review.builders import ALL, CHAT, GPU, HOSTED, PLAN, change, changes, made, objects, pair_of, with_spec
from api.manifests import DELETE, VARIANTS, Manifest
from spillway.advise.review.changes import changes_of
from spillway.advise.review.fields import FIELDS, WHOLE, Bearing, Severity
from spillway.advise.review.objects import Objects, plan_pairs
from spillway.advise.review.walk import MODELS, Node, spec_schema
from spillway.api.schema import Schema

Path = tuple[str | int, ...]


def leaves(schema: Schema, value: Any, pattern: str, path: Path) -> Iterator[tuple[str, Path, Schema]]:
    """Every value of a manifest that is no object, with the schema's pattern; a set of values counts as one."""
    if "properties" in schema:
        for name, child in schema["properties"].items():
            if name in value:
                dot = "." if pattern else ""
                yield from leaves(child, value[name], f"{pattern}{dot}{name}", (*path, name))
    elif isinstance(schema.get("additionalProperties"), dict):
        for name, each in value.items():
            yield from leaves(schema["additionalProperties"], each, f"{pattern}.*", (*path, name))
    elif schema.get("x-kubernetes-list-type") == "map":
        for number, each in enumerate(value):
            yield from leaves(schema["items"], each, f"{pattern}[]", (*path, number))
    else:
        yield pattern, path, schema


def patterns(schema: Schema, pattern: str = "") -> Iterator[str]:
    """Every leaf of the schema."""
    if "properties" in schema:
        for name, child in schema["properties"].items():
            yield from patterns(child, f"{pattern}{'.' if pattern else ''}{name}")
    elif isinstance(schema.get("additionalProperties"), dict):
        yield from patterns(schema["additionalProperties"], f"{pattern}.*")
    elif schema.get("x-kubernetes-list-type") == "map":
        yield from patterns(schema["items"], f"{pattern}[]")
    else:
        yield pattern


def other(schema: Schema, value: Any) -> Any:
    """Another valid value of the field."""
    if "enum" in schema:
        return next(each for each in schema["enum"] if each != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value - 1 if value > schema.get("minimum", 0) else value + 1
    if isinstance(value, list):
        return [other(schema["items"], value[0]), *value[1:]]
    if schema.get("pattern", "").startswith(("^[0-9]", "^[5-9]", "^(100", "^-?[0-9]")):
        return str(Decimal(value) - 1 if Decimal(value) > 1 else Decimal(value) + 1)
    if value[-1].isdigit():
        return f"{value[:-1]}{int(value[-1]) % 9 + 1}"
    return f"{value[:-1]}x" if not value.endswith("x") else f"{value}y"


def edited(document: Manifest, path: Path, value: Any) -> Manifest:
    result = copy.deepcopy(document)
    node: Any = result["spec"]
    for step in path[:-1]:
        node = node[step]
    if value is DELETE:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return result


def told(before: Manifest, after: Manifest) -> list[Any]:
    kind = before["kind"]

    def side(document: Manifest) -> Objects:
        resource = MODELS[kind].parse({**document, "metadata": {"name": "sample", "namespace": "team-a"}})
        key = resource.metadata.key
        return Objects(
            **{{"CapacityPlan": "plans", "CapacityLane": "lanes", "WorkloadClass": "classes"}[kind]: {key: resource}}
        )

    return [each for pair in plan_pairs(side(before), side(after)) for each in changes_of(pair)]


CASES = [
    pytest.param(document, path, schema, id=f"{kind}-{number}-{pattern}")
    for kind, documents in VARIANTS.items()
    if kind in MODELS
    for number, document in enumerate(documents)
    for pattern, path, schema in leaves(spec_schema(kind), document["spec"], "", ())
]


@pytest.mark.parametrize(("document", "path", "schema"), CASES)
def test_another_value_of_any_field_is_told(document: Manifest, path: Path, schema: Schema) -> None:
    value = document["spec"]
    for step in path:
        value = value[step]
    new = other(schema, value)
    found = told(document, edited(document, path, new))
    assert found
    shown = "yes" if new is True else "no" if new is False else str(new[0] if isinstance(new, list) else new)
    assert any(shown in each.text.replace(",", "") or shown in each.text for each in found), [e.text for e in found]
    assert all(each.field.startswith("spec.") and each.before != each.after for each in found)
    assert told(document, document) == []


def optional_parts(schema: Schema, value: Any, path: Path = ()) -> Iterator[tuple[Path, Schema]]:
    """Everything of a manifest that may be left out."""
    if "properties" in schema:
        for name, child in schema["properties"].items():
            if name in value:
                if name not in schema.get("required", ()):
                    yield (*path, name), child
                yield from optional_parts(child, value[name], (*path, name))
    elif isinstance(schema.get("additionalProperties"), dict) and len(value) > 1:
        for name in value:
            yield (*path, name), schema["additionalProperties"]
    elif schema.get("x-kubernetes-list-type") == "map":
        for number, each in enumerate(value):
            yield from optional_parts(schema["items"], each, (*path, number))


REMOVALS = [
    pytest.param(document, path, id=f"{kind}-{number}-{'.'.join(map(str, path))}")
    for kind, documents in VARIANTS.items()
    if kind in MODELS
    for number, document in enumerate(documents)
    for path, _ in optional_parts(spec_schema(kind), document["spec"])
]


@pytest.mark.parametrize(("document", "path"), REMOVALS)
def test_what_is_left_out_or_comes_is_told_unless_it_is_the_default(document: Manifest, path: Path) -> None:
    without = edited(document, path, DELETE)
    parse = MODELS[document["kind"]].parse
    named = {"metadata": {"name": "sample"}}
    if parse({**document, **named}).spec == parse({**without, **named}).spec:
        assert told(document, without) == []
    else:
        assert told(document, without)
        assert told(without, document)


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_every_field_has_words_of_its_own_and_is_walked(kind: str) -> None:
    walked = {param.id.split("-", 2)[2] for param in CASES if str(param.id).startswith(f"{kind}-")}
    for pattern in patterns(spec_schema(kind)):
        assert pattern in walked, f"{kind} {pattern}: no manifest of tests/api has it"
        whole = next((each for each in WHOLE if pattern.startswith(f"{each}.")), None)
        assert (whole or pattern) in FIELDS[kind], f"{kind} {pattern}: has no words in advise/review/fields.py"


def test_a_node_names_its_place() -> None:
    node = Node().field("valueTiers").item("Gold").field("missUsd")
    assert (node.path, node.pattern) == ("valueTiers[Gold].missUsd", "valueTiers[].missUsd")
    assert Node().field("a").member("k").pattern == "a.*"


SENTENCES = [
    (GPU, {"selfHosted.replicas.min": 0},
     "GPU lane gpu: fewest replicas 2 -> 0: up to $15.40 less an hour where there is little traffic; "
     "the lane may go off entirely, and what comes then goes to a hosted lane until it has started"),
    (GPU, {"selfHosted.replicas.min": 3},
     "GPU lane gpu: fewest replicas 2 -> 3: $7.70 more an hour is paid even without traffic"),
    (GPU, {"selfHosted.replicas.max": 9},
     "GPU lane gpu: most replicas 8 -> 9: peaks may cost $7.70 more an hour on own GPUs"),
    (GPU, {"selfHosted.replicas.max": 7},
     "GPU lane gpu: most replicas 8 -> 7: peaks beyond that go to hosted lanes, or wait"),
    (GPU, {"selfHosted.gpu.type": "nvidia-l40s"},
     "GPU lane gpu: GPU type nvidia-h100-80gb -> nvidia-l40s: price ($3.85 an hour) "
     "and declared speed left as with the old type: check that"),
    (GPU, {"selfHosted.price.usdPerGpuHour": "2.5"}, "GPU lane gpu: GPU price $3.85 -> $2.50 an hour (-35%)"),
    (GPU, {"selfHosted.startupSeconds": 300}, "GPU lane gpu: start-up of a replica learned from its pods -> 5 min"),
    (GPU, {"selfHosted.profile": None},
     "GPU lane gpu: declared speed removed (was each iteration takes 7 ms, each running sequence adds 0.06 ms, "
     "1,000 tokens in the KV cache add 0 ms, 1,000 prompt tokens take 18 ms, "
     "sequences that a replica runs at once 256)"),
    (HOSTED, {"hosted.price.outputUsdPerMTok": "0.60"},
     "hosted lane hosted: output price $0.40 -> $0.60 per million tokens (+50%)"),
    (GPU, {"selfHosted.gpu.perReplica": 1},
     "GPU lane gpu: GPUs of a replica 2 -> 1: a replica costs $3.85 an hour instead of $7.70"),
    (GPU, {"selfHosted.profile.prefillMsPerKToken": "36"},
     "GPU lane gpu: declared speed: 1,000 prompt tokens take 18 ms -> 36 ms (+100%)"),
    (HOSTED, {"hosted.provider": "groq"},
     "hosted lane hosted: provider openai -> groq: prompts of class chat may now go to provider groq (lane hosted)"),
    (HOSTED, {"hosted.limits": {"concurrency": 5}}, "hosted lane hosted: limits added (requests in flight, at most 5)"),
    (PLAN, {"mode": "Recommend"},
     "plan inference/main: mode Apply -> Recommend: the operator says what it would do, and changes nothing"),
    (PLAN, {"overflow.ceilingUsd": {"perHour": "50"}},
     "plan inference/main: most spent on hosted lanes an hour no ceiling -> $50"),
    (PLAN, {"lanes": ["hosted", "gpu"]},
     "plan inference/main: lanes of the plan: order gpu, hosted -> hosted, gpu; the first is preferred"),
    (PLAN, {"lanes": ["gpu", "hosted", "more"]},
     "plan inference/main: lanes of the plan: more added (now gpu, hosted, more): "
     "no CapacityLane more is in the manifests"),
    (PLAN, {"paused": True}, "plan inference/main: paused no -> yes: nothing is changed, whatever the load"),
    (PLAN, {"valueTiers": [{"name": "Gold", "missUsd": "0.01"}]},
     "plan inference/main: value tier Gold added (cost of a missed request $0.01)"),
    (CHAT, {"dataPolicy": "SelfHostedOnly"},
     "class chat: data policy Any -> SelfHostedOnly: its prompts stay on own GPUs, whatever the load; replicas "
     "are then sized so that own GPUs alone hold the objective, whatever they cost"),
    (CHAT, {"slo.attainmentPercent": "95"}, "class chat: share of requests within both limits 99% -> 95%"),
    (CHAT, {"budget": {"monthlyUsd": "4000"}},
     "class chat: budget added (budget $4,000 a month, share of the budget from which to warn 80%)"),
    (CHAT, {"match": {"team": "red"}}, "class chat: traffic that counts as this class model m -> team red"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "edits", "sentence"), SENTENCES, ids=[str(each[1]) for each in SENTENCES])
def test_sentences(document: Manifest, edits: dict[str, Any], sentence: str) -> None:
    assert change(document, edits).sentence == sentence


def test_a_loosened_data_policy_names_who_gets_prompts() -> None:
    own = with_spec(CHAT, {"dataPolicy": "SelfHostedOnly"})
    (found,) = changes_of(pair_of(ALL, (PLAN, GPU, HOSTED, own)))
    assert found.sentence == (
        "class chat: data policy SelfHostedOnly -> Any: prompts may now go to provider openai (lane hosted); own "
        "replicas are then sized by what they save in hosted tokens, not so that own GPUs alone hold the objective: "
        "fewer of them, and more of the misses that it allows, may follow"
    )
    assert (found.bearing, found.severity) == (Bearing.LOOSENS, Severity.HIGH)


@pytest.mark.parametrize(
    "edits",
    [
        {"latency": "Deferrable"},  # takes what is left over
        {"slo.timeToFirstTokenMs": 500},  # the hosted lane is too slow for it
    ],
)
def test_a_data_policy_that_sizes_nothing_says_nothing_of_replicas(edits: dict[str, Any]) -> None:
    own, anywhere = (with_spec(CHAT, {**edits, "dataPolicy": policy}) for policy in ("SelfHostedOnly", "Any"))
    for before, after in ((own, anywhere), (anywhere, own)):
        (found,) = changes_of(pair_of((PLAN, GPU, HOSTED, after), (PLAN, GPU, HOSTED, before)))
        assert "sized" not in found.text


def test_a_minimum_of_0_says_where_a_replica_stays_all_the_same() -> None:
    own = with_spec(CHAT, {"dataPolicy": "SelfHostedOnly"})
    off = with_spec(GPU, {"selfHosted.replicas.min": 0})
    (found,) = changes_of(pair_of((PLAN, off, HOSTED, own), (PLAN, GPU, HOSTED, own)))
    assert found.text.endswith("1 replica stays all the same, as class chat has no hosted lane to go to")


@pytest.mark.parametrize(
    ("document", "edits", "bearing", "severity"),
    [
        (PLAN, {"overflow.mode": "Never"}, Bearing.TIGHTENS, Severity.MEDIUM),
        (PLAN, {"overflow.ceilingUsd": {"perDay": "5"}}, Bearing.TIGHTENS, Severity.LOW),
        (PLAN, {"mode": "Observe"}, Bearing.TIGHTENS, Severity.MEDIUM),
        (CHAT, {"slo.timeToFirstTokenMs": 3000}, Bearing.LOOSENS, Severity.MEDIUM),
        (CHAT, {"slo.attainmentPercent": "99.9"}, Bearing.TIGHTENS, Severity.LOW),
        (CHAT, {"equivalentModels": ["m", "n"]}, Bearing.LOOSENS, Severity.MEDIUM),
        (CHAT, {"budget": {"monthlyUsd": "1"}}, Bearing.TIGHTENS, Severity.LOW),
        (GPU, {"selfHosted.replicas.min": 1}, Bearing.LOOSENS, Severity.MEDIUM),
        (GPU, {"selfHosted.price.usdPerGpuHour": "9"}, Bearing.NEUTRAL, Severity.MEDIUM),
        (HOSTED, {"hosted.limits": {"concurrency": 5}}, Bearing.TIGHTENS, Severity.LOW),
    ],
)
def test_what_loosens_and_what_tightens(
    document: Manifest, edits: dict[str, Any], bearing: Bearing, severity: Severity
) -> None:
    found = change(document, edits)
    assert (found.bearing, found.severity) == (bearing, severity)


def test_a_removed_ceiling_loosens() -> None:
    capped = with_spec(PLAN, {"overflow.ceilingUsd": {"perHour": "50"}})
    (found,) = changes_of(pair_of(ALL, (capped, GPU, HOSTED, CHAT)))
    assert found.bearing is Bearing.LOOSENS
    assert found.text.endswith("$50 -> no ceiling")


def bound(*lanes: str) -> Manifest:
    backends = {lane: f"{lane}-backend" for lane in lanes}
    binding = {"class": "chat", "ownership": "Adopted", "httpRoute": "r", "rule": "a", "backends": backends}
    return with_spec(PLAN, {"routing": {"plane": "GatewayAPI", "bindings": [binding]}})


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (("hosted",), ("gpu", "hosted"),
         "backend of lane gpu: none -> gpu-backend: the lane's GPUs may now serve this class, too"),
        (("gpu", "hosted"), ("hosted",),
         "route of class chat: backend of lane gpu: gpu-backend -> none: the lane's GPUs no longer serve this class"),
        (("gpu",), ("gpu", "hosted"), "prompts of class chat may now go to provider openai (lane hosted)"),
        (("gpu", "hosted"), ("gpu",), "the lane's provider no longer serves this class"),
    ],
)  # fmt: skip
def test_a_lane_that_a_route_gains_or_loses(before: tuple[str, ...], after: tuple[str, ...], words: str) -> None:
    (found,) = changes_of(pair_of((bound(*after), *ALL[1:]), (bound(*before), *ALL[1:])))
    assert found.text.endswith(words)


def test_added_and_removed_objects_say_what_they_are() -> None:
    more = made("CapacityLane", "more", {**HOSTED["spec"], "hosted": {**HOSTED["spec"]["hosted"], "provider": "groq"}})
    plan = with_spec(PLAN, {"lanes": ["gpu", "hosted", "more"]})
    lanes, lane = changes(plan, more)
    assert lanes.text.endswith(
        "more added (now gpu, hosted, more): prompts of class chat may now go to provider groq (lane more)"
    )
    assert lane.sentence == (
        "hosted lane more: added: gpt-5-nano of groq at $0.05 in and $0.40 out per million tokens, as m; for chat"
    )
    back = changes_of(pair_of(ALL, (plan, GPU, HOSTED, more, CHAT)))
    assert back[1].text.startswith("removed (was gpt-5-nano of groq")
    assert back[1].severity is Severity.HIGH
    gone = changes_of(pair_of((PLAN, GPU, HOSTED)))
    assert [each.sentence for each in gone] == ["class chat: removed: its traffic is no longer planned for"]
    (new,) = changes_of(pair_of(ALL, (PLAN, GPU, HOSTED)))
    assert new.text == (
        "added: Interactive work, 99% within 2,000 ms to the first token and 60 ms between tokens, its prompts may "
        "go to provider openai (lane hosted)"
    )


def test_a_moved_class_is_told_in_both_plans() -> None:
    other_plan = made("CapacityPlan", "second", {"lanes": ["gpu"]})
    moved = with_spec(CHAT, {"planRef": {"name": "second"}})
    pairs = plan_pairs(objects(*ALL, other_plan), objects(PLAN, GPU, HOSTED, other_plan, moved))
    texts = {pair.key: [each.text for each in changes_of(pair)] for pair in pairs}
    assert texts == {
        "inference/main": ["plan name main -> name second"],
        "inference/second": ["plan name main -> name second"],
    }
