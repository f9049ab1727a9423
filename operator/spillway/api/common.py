"""Building blocks that every resource shares: base model, money, names, references, metadata."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

GROUP = "spillway.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
DECIMAL_PATTERN = r"^[0-9]{1,12}(\.[0-9]{1,9})?$"
SIGNED_PATTERN = r"^-?[0-9]{1,12}(\.[0-9]{1,9})?$"
PERCENT_PATTERN = r"^[5-9][0-9](\.[0-9]{1,3})?$"
SUCCESS_PATTERN = r"^(100|[1-9]?[0-9](\.[0-9]{1,3})?)$"


class Model(BaseModel):
    """A frozen value with camelCase names on the wire; fields from a newer CRD are ignored, not refused."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True, use_enum_values=False
    )

    def to_wire(self) -> dict[str, Any]:
        """The JSON form that the apiserver stores: camelCase, without unset fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def _refuse_float(value: object) -> object:
    if isinstance(value, float):
        raise ValueError(f'write it as a quoted decimal string, such as "{value}", not as a float')
    return value


def decimal_text(value: Decimal) -> str:
    """Plain notation without exponent and trailing zeros ('12.5', '100')."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _decimal_type(pattern: str, max_length: int, meaning: str) -> Any:
    """A Decimal that is a string on the wire; the pattern binds in Python as it does in the apiserver."""

    def matches(value: object) -> bool:
        return not isinstance(value, str) or re.fullmatch(pattern, value) is not None

    def check_text(value: object) -> object:
        if not matches(_refuse_float(value)):
            raise ValueError(f"write it as {meaning}")
        return value

    def check_value(value: Decimal) -> Decimal:
        if not matches(decimal_text(value)):
            raise ValueError(f"write it as {meaning}")
        return value

    return Annotated[
        Decimal,
        BeforeValidator(check_text),
        AfterValidator(check_value),
        PlainSerializer(decimal_text, return_type=str, when_used="json"),
        WithJsonSchema({"type": "string", "pattern": pattern, "maxLength": max_length}),
    ]


DecimalText = _decimal_type(
    DECIMAL_PATTERN, 22, 'a decimal string, not negative, of at most 12 digits and 9 decimals, such as "3.85"'
)
"""A non-negative amount as a decimal string, such as "3.85": money, milliseconds, ratios."""

SignedDecimalText = _decimal_type(
    SIGNED_PATTERN, 23, 'a decimal string of at most 12 digits and 9 decimals, such as "-120.50"'
)
"""An amount that may be negative, as a decimal string, such as "-120.50"."""

AttainmentText = _decimal_type(PERCENT_PATTERN, 6, 'a percentage from 50 to 99.999, such as "99.5"')
"""A percentage from 50 to 99.999 as a decimal string, such as "99.5"."""

SuccessText = _decimal_type(SUCCESS_PATTERN, 6, 'a percentage from 0 to 100, such as "97.5"')
"""A percentage from 0 to 100 as a decimal string, such as "97.5"."""

Name = Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL)]
TierName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$")]
SHORT_NAME_RULES: dict[str, JsonValue] = {
    "x-kubernetes-validations": [
        {
            "rule": "self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')",
            "message": "the name must have at most 63 characters and no dot: plans, routes and status refer to it",
        }
    ]
}
"""For a kind whose name other objects' fields hold as a ``Name``."""

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
ModelName = Annotated[str, Field(min_length=1, max_length=128)]


class ObjectRef(Model):
    """A reference to an object, possibly in another namespace."""

    name: ObjectName = Field(description="Name of the object.")
    namespace: Name | None = Field(
        default=None,
        description="Namespace of the object. Default: the namespace of the resource that refers to it.",
    )


class OwnerReference(Model):
    """The part of an owner reference that Spillway reads."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class ObjectMeta(Model):
    """The part of an object's metadata that Spillway reads; never part of a CRD's schema."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    owner_references: tuple[OwnerReference, ...] = ()

    @property
    def key(self) -> str:
        """``namespace/name``: how messages name the object."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name
