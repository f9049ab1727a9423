"""The generated CRDs: what they say to people, and that the committed files are the generated ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from spillway.api import crd
from spillway.api.crd import KINDS
from spillway.api.schema import ANY_JSON

from .constraints import ITEM, VALUE, load_crds, nodes, schema_of

UNITS = {
    "Ms": "millisecond",
    "Seconds": "seconds",
    "Percent": "percent",
    "UsdPerHour": "US dollars an hour",
    "UsdPerGpuHour": "US dollars an hour",
    "UsdPerMTok": "US dollars per million",
    "Usd": "US dollars",
    "perHour": "an hour",
    "PerMinute": "minute",
}
FIELDS = [
    (kind, path, node)
    for kind, document in load_crds().items()
    for path, node in nodes(schema_of(document))
    if path and path[0] in ("spec", "status")
]
CASES = [pytest.param(path, node, id=f"{kind}:{'.'.join(path)}") for kind, path, node in FIELDS]


def test_the_committed_files_are_the_generated_ones(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of ``crds/`` and those of the chart."""
    monkeypatch.chdir(repository)
    assert crd.main(["--check"]) == 0, capsys.readouterr().err


def test_check_names_the_file_that_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = ["--output", str(tmp_path)]
    assert crd.main(output) == 0
    assert crd.main(["--check", *output]) == 0
    changed, gone, *_ = sorted(tmp_path.iterdir())
    changed.write_text(changed.read_text().replace("maximum: 86400", "maximum: 86401", 1))
    gone.unlink()
    (tmp_path / "spillway.dev_old.yaml").write_text("")
    capsys.readouterr()
    assert crd.main(["--check", *output]) == 1
    lines = capsys.readouterr().err.splitlines()
    command = f"run `python -m spillway.api.crd --output {tmp_path}`"
    assert all(line.endswith(command) for line in lines)
    by_file = dict(line.split(": ", 1) for line in lines)
    assert set(by_file) == {str(gone), str(changed), str(tmp_path / "spillway.dev_old.yaml")}
    assert by_file[str(gone)].startswith("missing;")
    assert by_file[str(changed)].startswith("differs from the models at line ")


def test_writing_mends_every_folder_and_removes_stale_files(tmp_path: Path) -> None:
    folders = [tmp_path / "crds", tmp_path / "chart"]
    folders[0].mkdir()
    (folders[0] / "spillway.dev_old.yaml").write_text("")
    assert crd.main([part for folder in folders for part in ("--output", str(folder))]) == 0
    for folder in folders:
        assert {path.name: path.read_text() for path in folder.iterdir()} == crd.render()


def test_the_files_hold_what_the_functions_return() -> None:
    assert [yaml.safe_load(text) for text in crd.render().values()] == crd.custom_resource_definitions()


def test_names() -> None:
    names = {kind.kind: crd.custom_resource_definition(kind)["spec"]["names"] for kind in KINDS}
    assert {kind: name["shortNames"] for kind, name in names.items()} == {
        "WorkloadClass": ["wclass"],
        "CapacityLane": ["clane"],
        "CapacityPlan": ["cplan"],
        "LaneChange": ["lchange"],
    }
    assert all(name["categories"] == ["spillway"] for name in names.values())


@pytest.mark.parametrize(("path", "node"), CASES)
def test_every_field_says_what_it_means_in_which_unit(path: tuple[str, ...], node: dict[str, object]) -> None:
    if path[-1] in (ITEM, VALUE) and node["type"] != "object":
        return
    description = str(node.get("description", ""))
    assert description.endswith(".")
    unit = next((unit for suffix, unit in UNITS.items() if path[-1].endswith(suffix)), "")
    if node.get("type") in ("string", "integer"):
        assert unit in description


@pytest.mark.parametrize(("path", "node"), CASES)
def test_every_text_list_and_map_is_bounded(path: tuple[str, ...], node: dict[str, object]) -> None:
    if ANY_JSON in node:  # bounded by what an object may hold at all
        return
    if node["type"] == "string":
        assert "maxLength" in node or "enum" in node
    if node["type"] == "array":
        assert "maxItems" in node
        assert "x-kubernetes-list-type" in node
    if "additionalProperties" in node:
        assert "maxProperties" in node
    if node["type"] == "integer" and path[0] == "spec":
        assert {"minimum", "maximum"} <= set(node)


@pytest.mark.parametrize(("path", "node"), CASES)
def test_every_optional_field_of_a_spec_says_its_default(path: tuple[str, ...], node: dict[str, object]) -> None:
    properties: dict[str, dict[str, str]] = node.get("properties", {}) if path[0] == "spec" else {}  # type: ignore[assignment]
    if path[-1] == "match":
        assert "exactly one" in str(node["description"])
        return
    for name, child in properties.items():
        said = any(word in child["description"] for word in ("Default:", "equired ", "Managed only", "Adopted only"))
        assert said or name in node.get("required", ()), name  # type: ignore[operator]


def test_every_rule_has_a_message() -> None:
    rules = [rule for _, _, node in FIELDS for rule in node.get("x-kubernetes-validations", ())]
    assert rules
    assert all(rule["message"] and rule["rule"] for rule in rules)
