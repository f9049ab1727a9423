"""What a structural schema may say, and what is refused with a name."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from spillway.api.schema import SchemaError, structural_schema


class Colour(StrEnum):
    """Some colours."""

    RED = "Red"
    BLUE = "Blue"


class Inner(BaseModel):
    """Inner docstring."""

    size: int = Field(default=3, description="Size.")


class Plain(BaseModel):
    """No defaults inside."""

    text: str | None = None


class Outer(BaseModel):
    """Outer docstring."""

    inner: Inner = Field(default_factory=Inner, description="Field's own words.")
    plain: Plain = Field(default_factory=Plain)
    colour: Colour = Colour.RED
    only: Literal["One"] = "One"
    title: str | None = Field(default=None, max_length=3)
    names: tuple[str, ...] = ()
    labels: dict[str, Annotated[str, Field(max_length=2)]] = Field(default_factory=dict)


def test_references_are_inlined_and_the_fields_words_win() -> None:
    inner = structural_schema(Outer)["properties"]["inner"]
    assert inner == {
        "description": "Field's own words.",
        "type": "object",
        "default": {},
        "properties": {"size": {"description": "Size.", "type": "integer", "default": 3}},
    }


def test_a_parent_default_only_where_it_makes_room_for_others() -> None:
    properties = structural_schema(Outer)["properties"]
    assert "default" not in properties["plain"]
    assert "default" not in properties["labels"]
    assert "default" not in properties["names"]


def test_enums_constants_and_optional_fields() -> None:
    properties = structural_schema(Outer)["properties"]
    assert properties["colour"] == {
        "description": "Some colours.",
        "type": "string",
        "enum": ["Red", "Blue"],
        "default": "Red",
    }
    assert properties["only"]["enum"] == ["One"]
    assert properties["title"] == {"type": "string", "maxLength": 3}


class Union(BaseModel):
    """Two types in one."""

    value: int | str


class Exclusive(BaseModel):
    """A bound that a structural schema writes another way."""

    value: int = Field(gt=0)


class Untyped(BaseModel):
    """Anything goes."""

    value: object


class Unknown(BaseModel):
    """A keyword that no CRD knows."""

    value: str = Field(json_schema_extra={"x-other": True})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Union, "Union.value: anyOf has no place"),
        (Exclusive, "Exclusive.value: exclusiveMinimum has no place"),
        (Untyped, "Untyped.value: a structural schema needs a type"),
        (Unknown, "Unknown.value: unexpected keyword x-other"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(model: type[BaseModel], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        structural_schema(model)
