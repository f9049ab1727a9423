"""Every resource in ``examples/`` is one that the apiserver takes and the models read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from spillway.api import API_VERSION
from spillway.api.crd import KINDS

from .conftest import Api
from .manifests import Manifest

EXAMPLES = Path(__file__).parents[2] / "examples"
MODELS = {kind.kind: kind.model for kind in KINDS}


def _resources() -> list[Manifest]:
    documents = [
        document
        for path in sorted(EXAMPLES.rglob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text("utf-8"))
    ]
    ours = [document for document in documents if (document or {}).get("apiVersion") == API_VERSION]
    # A Scenario is a file for `spillway backtest`, not a resource.
    return [document for document in ours if document["kind"] != "Scenario"]


def test_every_kind_has_an_example() -> None:
    assert {resource["kind"] for resource in _resources()} == set(MODELS)


@pytest.mark.parametrize(
    "resource", _resources(), ids=lambda resource: f"{resource['kind']}-{resource['metadata']['name']}"
)
def test_example(api: Api, resource: Manifest) -> None:
    metadata = {key: value for key, value in resource["metadata"].items() if key != "namespace"}
    answer = api.create(resource | {"metadata": metadata})
    assert answer.accepted, answer.body["message"]
    assert MODELS[resource["kind"]].parse(answer.body).spec == MODELS[resource["kind"]].parse(resource).spec
