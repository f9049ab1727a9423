"""One line for every way in which a scenario can be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

NUMBA_MISSING = "the simulator needs numba, which is not installed: install Spillway with its extra `backtest`"
MAX_TEXT = 60
"""Characters of a bad value that a message repeats."""
PLAINLY = {
    "too_short": "is empty; name one or more",
    "dict_type": "give fields by name, such as {a: 1}",
    "model_type": "give fields by name, such as {a: 1}",
    "tuple_type": "give a list",
    "float_parsing": "give a number",
    "float_type": "give a number",
    "int_parsing": "give a whole number",
    "int_type": "give a whole number",
    "int_from_float": "give a whole number",
    "string_type": "give a text",
    "path_type": "give a file's path",
}
"""What a finding of the model is in a scenario file, by its kind; the rest is said in the model's own words."""


class ScenarioError(ValueError):
    """A scenario that can't be run; the message is one line that names the file, the field and the way out."""


def read_yaml(path: Path, what: str) -> list[Any]:
    """Every document of a YAML file. Raises ScenarioError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ScenarioError(f"{what} {path}: cannot be read: {reason}") from error
    try:
        return [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except yaml.YAMLError as error:
        raise ScenarioError(f"{what} {path}: {_yaml_problem(error)}") from error


def problem(error: ValidationError) -> str:
    """``field: what is wrong and how to mend it`` for the first finding of a model."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "the document"
    value = first["input"]
    kind, message = first["type"], first["msg"].removeprefix("Value error, ")
    if kind == "missing":
        return f"{field}: is missing; give it"
    if kind == "extra_forbidden":
        return f"{field}: there is no such field; remove it or mend its name"
    message = PLAINLY.get(kind) or _lower(message)
    if isinstance(value, str | int | float | bool) or value is None:
        return f"{field}: {message} (it is {short(value)})"
    return f"{field}: {message}"


def short(value: object) -> str:
    """A value as a message shows it."""
    text = " ".join(repr(value).split())
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _yaml_problem(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem or 'is not YAML'}; mend the YAML"
    return f"{' '.join(str(error).split())}; mend the YAML"


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice: the second would win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if key_node.value in seen:
                problem_text = f"key {key_node.value!r} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem_text, key_node.start_mark)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)
