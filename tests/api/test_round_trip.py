"""Model to wire to apiserver and back: nothing is lost, changed or added."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spillway.api import API_VERSION
from spillway.api.crd import KINDS
from spillway.api.schema import ANY_JSON

from .cases import locate
from .conftest import Api
from .constraints import load_crds, nodes, schema_of
from .manifests import DELETE, MINIMAL, VARIANTS, Manifest, edited
from .strategies import RESOURCES

MODELS = {kind.kind: kind.model for kind in KINDS}
SCHEMAS = {kind: schema_of(crd) for kind, crd in load_crds().items()}
THOROUGH = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
ON_THE_APISERVER = settings(THOROUGH, max_examples=20, database=None)


def prune(schema: dict[str, Any], value: Any) -> Any:
    """What an apiserver keeps of a value: the fields that the schema knows."""
    if schema.get(ANY_JSON):
        return value
    if isinstance(value, list):
        return [prune(schema["items"], item) for item in value]
    if not isinstance(value, dict):
        return value
    if "additionalProperties" in schema:
        return {key: prune(schema["additionalProperties"], item) for key, item in value.items()}
    if "properties" not in schema:
        return value
    known = schema["properties"]
    return {key: prune(known[key], item) for key, item in value.items() if key in known}


def wire(resource: Any) -> Manifest:
    """The manifest of a model."""
    head = {"apiVersion": API_VERSION, "kind": resource.KIND}
    return head | resource.to_wire() | {"metadata": {"name": resource.metadata.name}}


@pytest.mark.parametrize("kind", RESOURCES)
@THOROUGH
@given(data=st.data())
def test_pruning_by_the_schema_keeps_every_field(kind: str, data: st.DataObject) -> None:
    resource = data.draw(RESOURCES[kind])
    manifest = wire(resource)
    assert prune(SCHEMAS[kind], manifest) == manifest
    assert MODELS[kind].parse(manifest) == resource


@pytest.mark.parametrize("kind", RESOURCES)
@ON_THE_APISERVER
@given(data=st.data())
def test_the_apiserver_keeps_every_field(api: Api, live: dict[str, Manifest], kind: str, data: st.DataObject) -> None:
    resource = data.draw(RESOURCES[kind])
    manifest = wire(resource)
    made = api.create(manifest)
    assert made.accepted, made.body["message"]
    assert made.body["spec"] == manifest["spec"]
    assert MODELS[kind].parse(made.body).spec == resource.spec
    if resource.status is not None:
        written = api.update_status(live[kind], manifest["status"])
        assert written.accepted, written.body["message"]
        assert MODELS[kind].parse(written.body).status == resource.status


@pytest.mark.parametrize("kind", MINIMAL)
def test_the_apiserver_and_the_models_have_the_same_defaults(api: Api, kind: str) -> None:
    minimal = MINIMAL[kind]
    made = api.create(minimal)
    assert MODELS[kind].parse(made.body).spec == MODELS[kind].parse(minimal).spec
    assert prune(SCHEMAS[kind], made.body) == made.body


def _optional_fields() -> list[tuple[str, tuple[str, ...]]]:
    found = []
    for kind, schema in SCHEMAS.items():
        for path, node in nodes(schema["properties"]["spec"], ("spec",)):
            found += [
                (kind, (*path, name)) for name in node.get("properties", {}) if name not in node.get("required", ())
            ]
    return found


@pytest.mark.parametrize(
    ("kind", "path"), _optional_fields(), ids=lambda part: part if isinstance(part, str) else ".".join(part)
)
def test_null_is_the_same_as_absent(api: Api, kind: str, path: tuple[str, ...]) -> None:
    """For every optional field; what is refused is refused with the same words."""
    base = next(variant for variant in VARIANTS[kind] if locate(variant, path))
    dotted = ".".join(map(str, locate(base, path) or ()))
    absent, null = (api.create(edited(base, {dotted: value})) for value in (DELETE, None))
    assert (null.code, null.body.get("spec"), null.causes) == (absent.code, absent.body.get("spec"), absent.causes)
    if absent.accepted:
        assert MODELS[kind].parse(edited(base, {dotted: DELETE})).spec == MODELS[kind].parse(absent.body).spec
