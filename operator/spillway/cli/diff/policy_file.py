"""The policy file of ``spillway diff``."""

from __future__ import annotations

import difflib
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError

from spillway.advise.review.limits import Limits
from spillway.cli.diff.errors import InputError
from spillway.cli.diff.sources import STDIN, read_side
from spillway.cli.diff.yaml_text import check_depth, given_twice, yaml_problem
from spillway.simulate.scenario.errors import problem


def load_limits(given: str | None) -> Limits:
    """The limits of a file or of REVISION:PATH; the defaults without one. Raises InputError."""
    if given is None:
        return Limits()
    if given == STDIN:
        raise InputError("--policy -: give a file, or REVISION:PATH; standard input is for manifests")
    _check_place(given)
    source = read_side("--policy", given, None)
    if source.missing:
        raise InputError(f"--policy {given}: that revision has no such file; leave --policy out for the defaults")
    if len(source.texts) != 1:
        raise InputError(
            f"--policy {given}: is a folder with {len(source.texts)} manifests; give the policy file in it"
        )
    content, place = source.texts[0].content, f"--policy {given}"
    try:
        check_depth(content, place)
        node = yaml.compose(content, Loader=yaml.SafeLoader)
        if twice := given_twice(node, set()):
            raise InputError(f"{place} line {twice[1]}: {twice[0]!r} is given twice; remove one")
        document = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise InputError(f"{place}: {yaml_problem(error, content)}") from error
    if document is None:
        return Limits()
    try:
        return Limits.model_validate(document)
    except ValidationError as error:
        raise InputError(f"{place}: {_misspelt(error) or _read_as(error, node) or problem(error)}") from error


def _check_place(given: str) -> None:
    """Raises InputError: a path that is no file, in words that are meant for a policy."""
    if Path(given).is_dir():
        raise InputError(f"--policy {given}: is a folder; give the policy file in it")
    if not Path(given).exists() and ":" not in given:
        raise InputError(f"--policy {given}: there is no such file; for one in a Git revision give REVISION:PATH")


def _misspelt(error: ValidationError) -> str:
    """Of a field that there is not: the one that may be meant; empty for another problem."""
    first = error.errors()[0]
    if first["type"] != "extra_forbidden":
        return ""
    *parents, name = (str(part) for part in first["loc"])
    model: type[BaseModel] = Limits
    for parent in parents:
        model = next(type(f.default) for f in model.model_fields.values() if f.alias == parent)
    known = [str(field.alias) for field in model.model_fields.values()]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return f"{'.'.join((*parents, name))}: there is no such field; {hint}"


def _read_as(error: ValidationError, node: yaml.Node | None) -> str:
    """Of a word that YAML takes for true or false: what to do; empty for another problem."""
    first = error.errors()[0]
    if not isinstance(first["input"], bool):
        return ""
    for name in first["loc"]:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        node = next((value for key, value in pairs if key.value == name), None)
    word = node.value if isinstance(node, yaml.ScalarNode) else ""
    field, says = ".".join(map(str, first["loc"])), str(first["input"]).lower()
    choices = first.get("ctx", {}).get("expected")
    return (
        f"{field}: {f'give {choices}' if choices else 'give a value'}; YAML reads {word} as {says} unless you quote it"
    )
