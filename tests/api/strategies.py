"""Random valid resources, made from the models' own annotations (not from the generated schema)."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel, JsonValue, WithJsonSchema
from pydantic.fields import FieldInfo

from spillway.api import (
    AllowedClasses,
    Binding,
    Budget,
    CapacityLane,
    CapacityLaneSpec,
    CapacityPlan,
    LaneChange,
    LaneType,
    LatencyClass,
    Match,
    ObjectMeta,
    Ownership,
    ReplicaBounds,
    Routing,
    RoutingPlane,
    WorkloadClass,
    WorkloadClassSpec,
)
from spillway.api.plan import AllowedFrom

Draw = Callable[[st.SearchStrategy[Any]], Any]
Values = dict[str, Any]

NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
TIMES = st.datetimes().map(lambda moment: f"{moment.replace(microsecond=0):%Y-%m-%dT%H:%M:%S}Z".zfill(20))
TEXT = st.characters(codec="utf-8")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(TEXT, max_size=24),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


class _Limits:
    """What annotations say of one value."""

    def __init__(self) -> None:
        self.min_length, self.max_length = 0, 24
        self.ge, self.le = -(2**63), 2**63 - 1
        self.pattern: str | None = None
        self.unique_by: Any = None

    def read(self, metadata: list[Any]) -> _Limits:
        for item in metadata:
            if isinstance(item, FieldInfo):
                self.read(item.metadata)
            elif isinstance(item, WithJsonSchema):
                self.pattern = item.json_schema["pattern"] if item.json_schema else None
            else:
                for name in ("min_length", "ge", "le", "pattern"):
                    if getattr(item, name, None) is not None:
                        setattr(self, name, getattr(item, name))
                self.max_length = min(self.max_length, getattr(item, "max_length", None) or self.max_length)
        return self


def _value(annotation: Any, limits: _Limits) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _value(arguments[0], limits.read(list(arguments[1:])))
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return st.none() | _value(inner, limits)
    if origin is tuple:
        items = _value(arguments[0], _Limits())
        return st.lists(
            items, min_size=limits.min_length, max_size=min(limits.max_length, 3), unique_by=limits.unique_by
        ).map(tuple)
    if origin is dict:
        values = _value(arguments[1], _Limits())
        return st.dictionaries(NAMES, values, min_size=limits.min_length, max_size=3)
    if annotation is JsonValue:
        return JSON
    if annotation is bool:
        return st.booleans()
    if annotation is int:
        return st.integers(limits.ge, limits.le)
    if annotation in (str, Decimal):
        if limits.pattern:
            texts = st.from_regex(limits.pattern, fullmatch=True)
            return texts.filter(lambda text: limits.min_length <= len(text) <= limits.max_length)
        return st.text(TEXT, min_size=limits.min_length, max_size=limits.max_length)
    if issubclass(annotation, Enum):
        return st.sampled_from(annotation)
    if annotation is ObjectMeta:
        return st.builds(ObjectMeta, name=NAMES)
    assert issubclass(annotation, BaseModel), f"no test knows how to make a {annotation}"
    return model(annotation)


def _field(info: FieldInfo) -> st.SearchStrategy[Any]:
    limits = _Limits().read(info.metadata)
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    keys = extra.get("x-kubernetes-list-map-keys")
    if extra.get("x-kubernetes-list-type") == "set":
        limits.unique_by = lambda item: item
    elif isinstance(keys, list):
        limits.unique_by = lambda item: tuple(
            getattr(item, name) for name, field in type(item).model_fields.items() if (field.alias or name) in keys
        )
    if extra.get("format") == "date-time":
        return TIMES
    return _value(info.annotation, limits)


@functools.cache
def fields(kind: type[BaseModel]) -> dict[str, st.SearchStrategy[Any]]:
    """A strategy for each field of a model."""
    return {name: _field(info) for name, info in kind.model_fields.items()}


def _given(kind: type[BaseModel], name: str) -> st.SearchStrategy[Any]:
    """An optional field that is not left out."""
    return fields(kind)[name].filter(lambda value: value is not None)


@functools.cache
def model(kind: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Valid instances of a model, rules between fields included."""

    @st.composite
    def build(draw: Draw) -> BaseModel:
        values = {name: draw(strategy) for name, strategy in fields(kind).items()}
        return kind(**_RULES.get(kind, lambda _, given: given)(draw, values))

    return build()


def _match(draw: Draw, values: Values) -> Values:
    chosen = draw(st.sampled_from(sorted(values)))
    return {chosen: draw(_given(Match, chosen))}


def _class_spec(draw: Draw, values: Values) -> Values:
    needed = values["latency"] is not LatencyClass.DEFERRABLE and values["slo"] is None
    return values | {"latency": LatencyClass.DEFERRABLE} if needed else values


def _budget(draw: Draw, values: Values) -> Values:
    if values["monthly_usd"] is not None:
        return values | {"measured_plus_percent": None}
    percent = values["measured_plus_percent"]
    return values | {
        "measured_plus_percent": draw(_given(Budget, "measured_plus_percent")) if percent is None else percent
    }


def _lane_spec(draw: Draw, values: Values) -> Values:
    keep, drop = ("self_hosted", "hosted") if values["type"] is LaneType.SELF_HOSTED else ("hosted", "self_hosted")
    return values | {keep: values[keep] or draw(_given(CapacityLaneSpec, keep)), drop: None}


def _bounds(draw: Draw, values: Values) -> Values:
    low, high = sorted(values.values())
    return {"min": low, "max": high}


def _allowed(draw: Draw, values: Values) -> Values:
    selects = values["namespace_selector"] is not None
    return values | {"from_": AllowedFrom.SELECTOR if selects else AllowedFrom.SAME}


def _binding(draw: Draw, values: Values) -> Values:
    needed = "rule" if values["ownership"] is Ownership.ADOPTED else "gateway"
    backends = {lane: _with_a_port_that_exists(text) for lane, text in values["backends"].items()}
    return values | {needed: values[needed] or draw(_given(Binding, needed)), "backends": backends}


def _with_a_port_that_exists(backend: str) -> str:
    name, colon, port = backend.partition(":")
    return f"{name}:{int(port) % 65_535 + 1}" if colon else name


def _routing(draw: Draw, values: Values) -> Values:
    if values["bindings"]:
        return values | {"plane": RoutingPlane.GATEWAY_API}
    return values | {"plane": RoutingPlane.LITELLM if values["litellm"] else RoutingPlane.NONE}


_RULES: dict[type[BaseModel], Callable[[Draw, Values], Values]] = {
    Match: _match,
    WorkloadClassSpec: _class_spec,
    Budget: _budget,
    CapacityLaneSpec: _lane_spec,
    ReplicaBounds: _bounds,
    AllowedClasses: _allowed,
    Binding: _binding,
    Routing: _routing,
}

RESOURCES: dict[str, st.SearchStrategy[WorkloadClass | CapacityLane | CapacityPlan | LaneChange]] = {
    "WorkloadClass": model(WorkloadClass),
    "CapacityLane": model(CapacityLane),
    "CapacityPlan": model(CapacityPlan),
    "LaneChange": model(LaneChange),
}
