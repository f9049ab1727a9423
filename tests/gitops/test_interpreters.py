"""The scripts say the same by gopher-lua, which is Argo CD's interpreter, as by the one of the other tests."""

from __future__ import annotations

import pytest

from gitops.lua import run
from gitops.states import STATES, odd_objects
from spillway.api.crd import KINDS
from spillway_dev.argocd import FOLDER
from spillway_dev.toolchain import Tools
from support.gitops import ask

SCRIPTS = [
    *((f"health/{kind.kind}", kind.kind) for kind in KINDS),
    *((f"actions/CapacityPlan/{name}", "CapacityPlan") for name in ("discovery", "pause", "resume")),
]


@pytest.mark.parametrize(("path", "kind"), SCRIPTS)
def test_both_interpreters_agree(tools: Tools, path: str, kind: str) -> None:
    script = (FOLDER / f"{path}.lua").read_text()
    objects = [*(state.obj for state in STATES if state.obj["kind"] == kind), *odd_objects(kind)]
    if path.startswith("actions/"):
        # A list with a field in it has no JSON.
        objects = [obj for obj in objects if not isinstance(obj.get("spec"), list)]
    answers = ask(tools, "argo-lua", {"script": script, "objects": objects})
    assert [answer.get("error") for answer in answers] == [None] * len(objects)
    assert [answer["value"] for answer in answers] == [run(script, obj) for obj in objects]


def test_what_is_not_there_is_not_there(tools: Tools) -> None:
    for script in ("return string.upper('x')", "return math.floor(1)", "return io.open('x')", "return 'no table'"):
        (answer,) = ask(tools, "argo-lua", {"script": script, "objects": [{}]})
        assert answer["error"]
