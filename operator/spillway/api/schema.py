"""Structural OpenAPI schemas, as custom resource definitions want them, from the pydantic models.

An optional field is left non-nullable on purpose: the apiserver then drops an explicit ``null``, so that absent and
null are one thing and ``has(self.x)`` in a CEL rule means what it says.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

Schema = dict[str, Any]

ANY_JSON = "x-kubernetes-preserve-unknown-fields"
"""On a field that holds any JSON value: the one kind of field that needs no type."""

_REF_PREFIX = "#/$defs/"
_DROPPED = ("title", "$defs", "$ref")
_REFUSED = (
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "prefixItems",
    "uniqueItems",
    "patternProperties",
    "discriminator",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
)
_ORDER = (
    "description",
    "type",
    "format",
    "enum",
    "default",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
    "required",
    "properties",
    "additionalProperties",
    "items",
)


class SchemaError(ValueError):
    """A model uses something that a structural schema cannot say."""


class _Structural(GenerateJsonSchema):
    """JSON Schema without null types, and with the defaults that come from factories."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        generated = super().default_schema(schema)
        if generated.get("default", ...) is None:
            del generated["default"]
        if "default_factory" in schema:
            generated["default"] = {}
        return generated


def structural_schema(model: type[BaseModel]) -> Schema:
    """The model's schema by wire names: no references, no titles, defaults of nested objects as ``{}``.

    Raises SchemaError for a construct outside structural schemas, naming the field.
    """
    raw = model.model_json_schema(by_alias=True, schema_generator=_Structural, mode="validation")
    return _structural(raw, raw.get("$defs", {}), model.__name__)


def _structural(node: Schema, definitions: dict[str, Schema], path: str) -> Schema:
    merged = _resolve(node, definitions)
    for keyword in _REFUSED:
        if keyword in merged:
            raise SchemaError(f"{path}: {keyword} has no place in a structural schema; express it another way")
    if "const" in merged:
        merged["enum"] = [merged.pop("const")]
    if merged.get("additionalProperties") is False:
        del merged["additionalProperties"]
    if "properties" in merged:
        merged["properties"] = {
            name: _structural(child, definitions, f"{path}.{name}") for name, child in merged["properties"].items()
        }
    for keyword, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(merged.get(keyword), dict):
            merged[keyword] = _structural(merged[keyword], definitions, path + suffix)
    if _is_empty_default(merged):
        del merged["default"]
    if "type" not in merged and not merged.get(ANY_JSON):
        raise SchemaError(f"{path}: a structural schema needs a type for every field")
    return _ordered(merged, path)


def _resolve(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """Replace a reference by what it names; what stands beside the reference wins."""
    merged: Schema = {}
    for reference in [node.get("$ref"), *(part.get("$ref") for part in node.get("allOf", ()) if len(part) == 1)]:
        if reference is not None:
            merged.update(_resolve(definitions[reference.removeprefix(_REF_PREFIX)], definitions))
    single_all_of = len(node.get("allOf", ())) == 1
    merged.update({k: v for k, v in node.items() if k not in _DROPPED and not (k == "allOf" and single_all_of)})
    return {k: v for k, v in merged.items() if k not in _DROPPED}


def _is_empty_default(schema: Schema) -> bool:
    """An empty list shows nothing, and ``{}`` is of use only where it makes room for defaults below it."""
    default = schema.get("default", ...)
    if default == []:
        return True
    return default == {} and not any("default" in child for child in schema.get("properties", {}).values())


def _ordered(schema: Schema, path: str) -> Schema:
    unknown = sorted(set(schema) - set(_ORDER))
    if unknown:
        raise SchemaError(f"{path}: unexpected keyword {unknown[0]} in the generated schema")
    if "x-kubernetes-validations" in schema:
        rules = schema["x-kubernetes-validations"]
        schema["x-kubernetes-validations"] = [dict(sorted(rule.items(), reverse=True)) for rule in rules]
    return {keyword: schema[keyword] for keyword in _ORDER if keyword in schema}
