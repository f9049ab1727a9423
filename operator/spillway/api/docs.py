"""The resource reference for people, generated from the same schemas as the CRDs.

``python -m spillway.api.docs`` writes ``docs/reference.md``; ``--check`` only compares, and exits 1 if it differs.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from spillway.api.common import API_VERSION, DECIMAL_PATTERN, DNS_LABEL, DNS_SUBDOMAIN, PERCENT_PATTERN
from spillway.api.crd import CATEGORY, KINDS, Column, Kind, object_schema
from spillway.api.generated import report_drift, write_files
from spillway.api.schema import Schema

COMMAND = "python -m spillway.api.docs"

_INTRODUCTION = f"""\
<!-- Generated from the models in spillway/api by `{COMMAND}`. Do not edit. -->
# Resource reference

Every field of `{API_VERSION}`, from the schemas that the apiserver enforces; `kubectl explain cplan.spec` says it too.

- Money, milliseconds and ratios are **quoted decimal strings** (`"3.85"`) of at most 12 digits and 9 decimals; counts
  and whole seconds are integers. There are no floats. The unit stands in the field's name.
- A DNS label has lower-case letters, digits and inner dashes; a DNS name may also have inner dots.
- `[]` stands for an item of a list, `.*` for a value of a map, by its key.
- An optional field without a default may be left out; `null` means the same.
- `kubectl get {CATEGORY}` lists all four kinds.
"""

_BOUNDS = (
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minimum", "from {}"),
    ("maximum", "to {}"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("minProperties", "at least {} entries"),
    ("maxProperties", "at most {} entries"),
)

_SHAPES = {
    DNS_LABEL: "DNS label",
    DNS_SUBDOMAIN: "DNS name",
    DECIMAL_PATTERN: "decimal",
    PERCENT_PATTERN: "from 50 to 99.999, at most 3 decimals",
}

Field = tuple[str, Schema, bool]


def fields(schema: Schema, path: str) -> Iterator[Field]:
    """Every field below an object: path, schema, and whether it is required; parents first."""
    required = schema.get("required", ())
    for name, child in schema.get("properties", {}).items():
        yield from _field(child, f"{path}.{name}", name in required)


def _field(schema: Schema, path: str, required: bool) -> Iterator[Field]:
    yield path, schema, required
    items, values = schema.get("items"), schema.get("additionalProperties")
    if items and items.get("type") == "object":
        yield from fields(items, f"{path}[]")
    if values and values.get("type") == "object":
        yield from fields(values, f"{path}.*")
    yield from fields(schema, path)


def reference(examples: Path | None = None) -> str:
    """The whole page as Markdown; with the first example manifest of each kind below ``examples``."""
    return "\n".join([_INTRODUCTION, *(_kind_section(kind, examples) for kind in KINDS)]).rstrip() + "\n"


def _kind_section(kind: Kind, examples: Path | None) -> str:
    schema = object_schema(kind)
    parts = [
        f"## {kind.kind}\n\n{schema['description']}\n\nShort name: `{kind.short_name}`.\n",
        _example(kind, examples),
        f"### {kind.kind} spec\n\n{_table(schema['properties']['spec'], 'spec')}",
        _rules_section(kind, schema),
        f"### {kind.kind} status\n\nWritten by the operator.\n\n{_table(schema['properties']['status'], 'status')}",
        f"### {kind.kind} columns\n\n{_columns(kind.columns)}",
    ]
    return "\n".join(part for part in parts if part)


def _table(schema: Schema, path: str) -> str:
    rows = ["| Field | Type | Default | Bounds | Description |", "|---|---|---|---|---|"]
    for field, child, required in fields(schema, path):
        default = "**required**" if required else _default(child)
        cells = [f"`{field}`", _type(child), default, _bounds(child), child.get("description", "")]
        rows.append("| " + " | ".join(_escape(cell) for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _type(schema: Schema) -> str:
    if "type" not in schema:
        return "any JSON"
    if schema["type"] == "array":
        unique = {"set": " (no duplicates)", "map": f" (by {', '.join(schema.get('x-kubernetes-list-map-keys', ()))})"}
        return f"list of {_type(schema['items'])}" + unique.get(schema.get("x-kubernetes-list-type", ""), "")
    if "additionalProperties" in schema:
        return f"map to {_type(schema['additionalProperties'])}"
    return "time" if schema.get("format") == "date-time" else str(schema["type"])


def _default(schema: Schema) -> str:
    default = schema.get("default", {})
    if default == {}:
        return ""
    plain = isinstance(default, str) and not default[0].isdigit()
    return f"`{default if plain else json.dumps(default)}`"


def _bounds(schema: Schema) -> str:
    pattern = schema.get("pattern")
    if pattern in (DECIMAL_PATTERN, PERCENT_PATTERN):
        return _SHAPES[pattern]
    said = [_bound(text, schema[keyword]) for keyword, text in _BOUNDS if keyword in schema]
    if "enum" in schema:
        said.append("one of " + ", ".join(f"`{value}`" for value in schema["enum"]))
    if pattern:
        said.append(_SHAPES.get(pattern, f"matches `{pattern}`"))
    for keyword in ("items", "additionalProperties"):
        inner = schema.get(keyword)
        if inner and inner.get("type") != "object" and _bounds(inner):
            said.append(f"each: {_bounds(inner)}")
    return "; ".join(said)


def _bound(text: str, limit: int) -> str:
    if text.startswith("at least") and limit == 1:
        return "not empty"
    return text.format(f"{limit:,}")


def _rules_section(kind: Kind, schema: Schema) -> str:
    rows = [
        f"| {_escape(path)} | {_escape(rule['message'])} | {_escape('`' + rule['rule'] + '`')} |"
        for path, rule in rules(schema)
    ]
    if not rows:
        return ""
    head = "| Object | Rule | Expression |\n|---|---|---|\n"
    return f"### {kind.kind} rules\n\nChecked by the apiserver on every write.\n\n{head}" + "\n".join(rows) + "\n"


def rules(schema: Schema) -> Iterator[tuple[str, dict[str, str]]]:
    """Every CEL rule of an object's schema with the path of the object it binds."""
    for rule in schema.get("x-kubernetes-validations", ()):
        yield "the whole object", rule
    for path, child, _ in fields(schema, ""):
        for suffix, node in (
            ("", child),
            ("[]", child.get("items", {})),
            (".*", child.get("additionalProperties", {})),
        ):
            for rule in node.get("x-kubernetes-validations", ()):
                yield f"`{path.removeprefix('.')}{suffix}`", rule


def _columns(columns: tuple[Column, ...]) -> str:
    rows = ["| Column | Field | Meaning |", "|---|---|---|"]
    for column in columns:
        meaning = column.description + (" With `-o wide`." if column.wide else "")
        rows.append(f"| {_escape(column.name)} | `{_escape(column.path)}` | {_escape(meaning)} |")
    return "\n".join(rows) + "\n"


def _example(kind: Kind, examples: Path | None) -> str:
    for path in sorted(examples.rglob("*.yaml")) if examples else ():
        for document in re.split(r"(?m)^---.*\n", path.read_text(encoding="utf-8")):
            if re.search(rf"(?m)^kind: {kind.kind}\s*$", document):
                return f"From `{path.as_posix()}`:\n\n```yaml\n{document.strip()}\n```\n"
    return ""


def _escape(text: str) -> str:
    """Markdown tables cut a cell at a bar, in code as well."""
    return text.replace("|", "\\|").replace("\n", " ")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the page; returns the process' exit status."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page differs")
    parser.add_argument("--output", type=Path, default=Path("docs/reference.md"), help="file (default: %(default)s)")
    parser.add_argument(
        "--examples", type=Path, default=Path("examples"), help="folder of example manifests (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    files = {options.output: reference(options.examples)}
    if options.check:
        return report_drift(files, (), COMMAND)
    write_files(files)
    return 0


if __name__ == "__main__":
    sys.exit(main())
