"""The policy file of ``spillway diff``."""

from __future__ import annotations

import yaml
from pydantic import ValidationError

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
    source = read_side("--policy", given, None)
    if source.missing:
        raise InputError(f"--policy {given}: that revision has no such file; leave --policy out for the defaults")
    if len(source.texts) != 1:
        raise InputError(f"--policy {given}: give one file (it is {len(source.texts)} files)")
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
        raise InputError(f"{place}: {problem(error)}") from error
