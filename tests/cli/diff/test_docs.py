"""docs/review.md says what holds: the default policies, the JSON keys, the options."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from spillway.advise.review.limits import Limits
from spillway.cli.diff.options import diff

TEXT = (Path(__file__).resolve().parents[3] / "docs/review.md").read_text(encoding="utf-8")


def shape(value: Any) -> Any:
    return {key: shape(each) for key, each in value.items()} if isinstance(value, dict) else None


def test_the_policy_file_that_is_shown_is_the_defaults_and_all_of_them() -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    shown = yaml.safe_load(block)
    assert Limits.model_validate(shown) == Limits()
    assert shape(shown) == shape(Limits().model_dump(by_alias=True))


def test_every_option_is_explained_or_plain() -> None:
    plain = {"--no-color", "--help"}
    options = {name for each in diff.params for name in each.opts if name.startswith("--")}
    missing = {name for name in options - plain if name not in TEXT}
    assert missing <= {"--namespace", "--output"}  # by their short forms
    assert "`-n`" in TEXT
    assert "`-o table`" in TEXT
