"""Argo CD's health scripts and actions, run by a Lua 5.1 with no more libraries than Argo CD gives them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import lupa.lua51
import pytest
import yaml

from gitops.lua import act, run
from gitops.states import STATES, State, odd_objects
from spillway.api.crd import KINDS
from spillway_dev.argocd import FOLDER, TARGET, render

ALL_KINDS = [kind.kind for kind in KINDS]
STATUSES = {"Healthy", "Progressing", "Suspended", "Degraded"}


def script(kind: str) -> str:
    return (FOLDER / "health" / f"{kind}.lua").read_text()


def action(name: str) -> str:
    return (FOLDER / "actions" / "CapacityPlan" / f"{name}.lua").read_text()


def plan(paused: Any = False) -> dict[str, Any]:
    found = next(state.obj for state in STATES if state.name == "plan-works")
    return copy.deepcopy(found) | {"spec": found["spec"] | {"paused": paused}}


def test_each_kind_has_its_script() -> None:
    assert sorted(path.stem for path in (FOLDER / "health").iterdir()) == sorted(ALL_KINDS)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_health_of_what_the_operator_reports(state: State) -> None:
    health = run(script(state.obj["kind"]), state.obj)
    assert health["status"] == state.argo
    assert state.message in health["message"]
    assert health["message"]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_no_object_is_too_odd(kind: str) -> None:
    seen = set()
    for obj in odd_objects(kind):
        health = run(script(kind), obj)
        assert set(health) == {"status", "message"}
        assert isinstance(health["message"], str)
        seen.add(health["status"])
    assert seen <= STATUSES
    assert {"Healthy", "Progressing"} <= seen


@pytest.mark.parametrize(
    "name", ["plan-recommends", "plan-waits-for-approval", "change-Proposed", "change-Approved", "lane-unused"]
)
def test_nothing_that_waits_for_a_person_holds_up_an_application(name: str) -> None:
    """`argocd app wait` and the next sync wave go on at Healthy only."""
    (obj,) = [state.obj for state in STATES if state.name == name]
    assert run(script(obj["kind"]), obj)["status"] == "Healthy"


@pytest.mark.parametrize(
    "code",
    ["return string.upper('x')", "return ('x'):upper()", "return math.floor(1.5)", "return os.time()", "io.write('x')",
     "return require('string')", "return debug.traceback()"],
)  # fmt: skip
def test_the_interpreter_is_as_bare_as_argo_cds(code: str) -> None:
    with pytest.raises(lupa.lua51.LuaError, match=r"attempt to (index|call)|module 'string' not found"):
        run(code, {})


def test_a_script_that_never_ends_is_stopped() -> None:
    with pytest.raises(lupa.lua51.LuaError, match="takes too long"):
        run("while true do end", {})


@pytest.mark.parametrize("paused", [True, False, None])
def test_one_of_pause_and_resume_is_offered(paused: bool | None) -> None:
    offered = run(action("discovery"), plan(paused))
    assert {name: each["disabled"] for name, each in offered.items()} == {"pause": bool(paused), "resume": not paused}


def test_actions_change_paused_and_nothing_else() -> None:
    before = plan()
    paused = act(action("pause"), before)
    assert paused == before | {"spec": before["spec"] | {"paused": True}}
    assert act(action("resume"), paused) == before


@pytest.mark.parametrize("name", ["discovery", "pause", "resume"])
def test_actions_bear_odd_objects(name: str) -> None:
    for obj in odd_objects("CapacityPlan"):
        assert isinstance(run(action(name), obj), dict)


def test_the_config_map_is_made_of_the_files() -> None:
    assert TARGET.read_text() == render(), "run python -m spillway_dev.argocd"
    data: dict[str, str] = yaml.safe_load(TARGET.read_text())["data"]
    health = {f"resource.customizations.health.spillway.dev_{kind}" for kind in ALL_KINDS}
    assert set(data) == health | {"resource.customizations.actions.spillway.dev_CapacityPlan"}
    for kind in ALL_KINDS:
        assert data[f"resource.customizations.health.spillway.dev_{kind}"] == script(kind)
    actions = yaml.safe_load(data["resource.customizations.actions.spillway.dev_CapacityPlan"])
    assert actions["discovery.lua"] == action("discovery")
    assert {each["name"]: each["action.lua"] for each in actions["definitions"]} == {
        name: action(name) for name in ("pause", "resume")
    }


def test_a_changed_script_changes_the_config_map(tmp_path: Path) -> None:
    (tmp_path / "health").mkdir()
    (tmp_path / "actions").mkdir()
    (tmp_path / "health" / "Thing.lua").write_text("return {\n\n}\n")
    made = yaml.safe_load(render(tmp_path))
    assert made["data"] == {"resource.customizations.health.spillway.dev_Thing": "return {\n\n}\n"}
