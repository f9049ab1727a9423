"""The GitHub Action and the GitLab job: one comment that updates itself, scripts that run, least permissions."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from advise.review.builders import ALL, CHAT, with_spec
from cli.diff.comments_api import OTHER, OWN, TOKEN, Comments, serving
from cli.diff.sides import git, write

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "gitops"
SCRIPTS = {"github": EXAMPLES / "github" / "comment.py", "gitlab": EXAMPLES / "gitlab" / "note.py"}
BODY = "<!-- spillway-diff: inference/main tag=default -->\n### Monthly estimate decreases\n"
LATER = "<!-- spillway-diff: inference/main, team-b/other tag=default -->\n### Monthly estimate increases\n"
NOTHING = "<!-- spillway-diff: no change tag=default -->\n### No capacity plan changes\n"
SECONDS = 120


@pytest.fixture
def api() -> Iterator[Comments]:
    with serving() as comments:
        yield comments


@pytest.fixture(params=sorted(SCRIPTS))
def forge(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def comment(forge: str, api: Comments, tmp_path: Path, text: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The script as CI runs it."""
    path = tmp_path / "comment.md"
    path.write_text(text, encoding="utf-8")
    given = {
        "github": {
            "GITHUB_API_URL": api.address, "GITHUB_REPOSITORY": "o/r", "PULL_REQUEST": "5", "COMMENT_TOKEN": TOKEN,
        },
        "gitlab": {
            "CI_API_V4_URL": api.address, "CI_PROJECT_ID": "g/p", "CI_MERGE_REQUEST_IID": "5",
            "SPILLWAY_GITLAB_TOKEN": TOKEN,
        },
    }[forge]  # fmt: skip
    return subprocess.run(
        (sys.executable, "-I", str(SCRIPTS[forge]), str(path)),
        env={**given, **variables},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_one_comment_is_created_and_then_updated(forge: str, api: Comments, tmp_path: Path) -> None:
    assert said(comment(forge, api, tmp_path, BODY)).endswith("created")
    assert said(comment(forge, api, tmp_path, LATER)).endswith("updated")
    assert said(comment(forge, api, tmp_path, LATER)).endswith("is up to date")
    assert said(comment(forge, api, tmp_path, NOTHING)).endswith("updated")
    assert [body.splitlines() for body in api.bodies] == [NOTHING.splitlines()]
    assert len(api.writes) == 3


def test_other_peoples_comments_are_untouched(forge: str, api: Comments, tmp_path: Path) -> None:
    theirs = [(BODY, OTHER), (f"I saw this:\n{BODY}", OWN), (BODY.replace("default", "staging"), OWN), ("", OWN)]
    for body, who in theirs:
        api.add(body, who)
    if forge == "gitlab":
        api.add(BODY, OWN, system=True)
    before = api.bodies
    assert said(comment(forge, api, tmp_path, BODY)).endswith("created")
    assert said(comment(forge, api, tmp_path, LATER)).endswith("updated")
    assert api.bodies[:-1] == before
    assert api.bodies[-1].splitlines() == LATER.splitlines()


def test_the_comment_is_found_on_a_later_page(forge: str, api: Comments, tmp_path: Path) -> None:
    for number in range(230):
        api.add(f"talk {number}", OTHER)
    api.add(BODY, OWN)
    api.add("more talk", OTHER)
    assert said(comment(forge, api, tmp_path, LATER)).endswith("updated")
    assert len(api.stored) == 232
    assert api.bodies[230].splitlines() == LATER.splitlines()


def test_nothing_is_written_where_nothing_changes(forge: str, api: Comments, tmp_path: Path) -> None:
    assert "no" in said(comment(forge, api, tmp_path, NOTHING))
    assert not api.stored
    assert not api.writes


def test_errors_are_one_line_without_the_token(forge: str, api: Comments, tmp_path: Path) -> None:
    token = {"github": "COMMENT_TOKEN", "gitlab": "SPILLWAY_GITLAB_TOKEN"}[forge]
    done = comment(forge, api, tmp_path, BODY, **{token: "wr0ng"})
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: GET ")
    assert "401" in done.stderr
    assert "wr0ng" not in done.stderr
    assert "is no output of spillway diff" in comment(forge, api, tmp_path, "hello").stderr


def action() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / "github" / "action.yml").read_text("utf-8"))
    return found


def pipeline() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / "gitlab" / ".gitlab-ci.yml").read_text("utf-8"))
    return found


def shell_scripts() -> dict[str, str]:
    steps = {step["name"]: step["run"] for step in action()["runs"]["steps"] if "run" in step}
    return {**steps, "gitlab": "\n".join(pipeline()["spillway-diff"]["script"])}


@pytest.mark.parametrize("name", sorted(shell_scripts()))
def test_shell_scripts_are_well_formed_and_hold_no_text_of_the_pull_request(name: str) -> None:
    text = shell_scripts()[name]
    assert "${{" not in text
    subprocess.run(("sh", "-n"), input=text, text=True, check=True, timeout=SECONDS)


def test_the_workflow_has_least_permissions_and_runs_no_strangers_code_with_secrets() -> None:
    text = (EXAMPLES / "github" / "workflow.yml").read_text("utf-8")
    found = yaml.safe_load(text)
    assert set(found[True]) == {"pull_request"}  # YAML takes "on" for a truth value
    assert found["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert "secrets." not in text
    checkout, review = found["jobs"]["review"]["steps"]
    assert review["with"]["spillway"] == "${{ vars.SPILLWAY }}"
    assert checkout["with"] == {"fetch-depth": 2, "persist-credentials": False}
    known = action()["inputs"]
    assert set(review["with"]) <= set(known)
    assert all(each.get("required") or "default" in each for each in known.values())


def test_nothing_is_installed_by_a_bare_name() -> None:
    """On PyPI it is another project's, which would run with the job's variables."""
    assert "default" not in action()["inputs"]["spillway"]
    install, *_ = pipeline()["spillway-diff"]["script"]
    assert "SPILLWAY_PACKAGE" not in pipeline()["spillway-diff"]["variables"]
    script = install.replace("python -m pip install --quiet", "sh -c 'echo $0 ${SPILLWAY_GITLAB_TOKEN:-no token}'")
    assert script != install
    given = {"PATH": os.environ["PATH"], "SPILLWAY_GITLAB_TOKEN": "t0ken"}

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(("sh", "-c", script), env=given | more, capture_output=True, text=True, check=False)

    assert run().returncode != 0
    assert "SPILLWAY_PACKAGE: set this CI/CD variable to what pip installs" in run().stderr
    assert run(SPILLWAY_PACKAGE="x").stdout == "x no token\n"


def test_a_pull_request_from_a_fork_gets_no_comment_step() -> None:
    (step,) = [each for each in action()["runs"]["steps"] if each.get("name") == "Comment"]
    assert step["if"] == (
        "github.event_name == 'pull_request' && "
        "github.event.pull_request.head.repo.full_name == github.repository"
    )  # fmt: skip


@pytest.fixture
def merge(tmp_path: Path) -> Path:
    """What actions/checkout leaves: a merge commit, whose first parent is the base."""
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    write(root / "deploy", *ALL[:3], with_spec(CHAT, {"dataPolicy": "SelfHostedOnly"}))
    (root / "policy.yaml").write_text("dataPolicy: {loosened: warn}\n", encoding="utf-8")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "base")
    git(root, "checkout", "-q", "-b", "change")
    write(root / "deploy", *ALL)
    git(root, "commit", "-q", "-a", "-m", "head")
    git(root, "checkout", "-q", "main")
    git(root, "merge", "-q", "--no-ff", "change", "-m", "merge")
    return root


def environment(tmp_path: Path, **variables: str) -> dict[str, str]:
    """With a ``spillway`` that is the code under test."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    command = folder / "spillway"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m spillway "$@"\n', encoding="utf-8")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, **variables}


def review(merge: Path, tmp_path: Path, policy: str, traffic: str = "") -> tuple[int, str, str]:
    """The action's own script: its exit status, the status it hands on, and the comment."""
    comment_file = tmp_path / "comment.md"
    variables = environment(
        tmp_path, BASE="HEAD^1", HEAD="HEAD", MANIFESTS="deploy", POLICY=policy, TRAFFIC=traffic, PROMETHEUS_URL="",
        SCENARIO="", BASE_TRAFFIC=str(tmp_path / "base"), FAIL_ON="fail", TAG="default", COMMENT=str(comment_file),
        GITHUB_OUTPUT=str(tmp_path / "output"),
        GITHUB_STEP_SUMMARY=str(tmp_path / "summary"),
    )  # fmt: skip
    (tmp_path / "output").unlink(missing_ok=True)
    done = subprocess.run(
        ("bash", "-e", "-c", shell_scripts()["Review"]),
        cwd=merge, env=variables, check=False, timeout=SECONDS, capture_output=True, text=True,
    )  # fmt: skip
    text = comment_file.read_text("utf-8") if comment_file.exists() else ""
    return done.returncode, (tmp_path / "output").read_text("utf-8").strip(), text


def test_the_actions_script_reviews_the_merge_commit_under_the_bases_policy(merge: Path, tmp_path: Path) -> None:
    status, output, text = review(merge, tmp_path, "")
    assert (status, output) == (0, "status=3")
    assert "❌ fail | Data policy | prompts of chat may now go to provider openai" in text
    assert (tmp_path / "summary").read_text("utf-8") == text
    status, output, text = review(merge, tmp_path, "policy.yaml")
    assert (status, output) == (0, "status=0")
    assert "⚠️ warn | Data policy" in text
    assert review(merge, tmp_path, "not-yet-there.yaml")[1] == "status=3"


def test_no_pull_request_is_measured_by_traffic_of_its_own(merge: Path, tmp_path: Path) -> None:
    """The base's file is replayed; one that the base does not have is the head's."""
    git(merge, "reset", "-q", "--hard", "HEAD^1")
    header = "t_s,class,requests,input_tokens,output_tokens\n"
    (merge / "week.csv").write_text(f"{header}0,of/base,x,1,1\n", encoding="utf-8")
    git(merge, "add", "week.csv")
    git(merge, "commit", "-q", "-m", "traffic")
    (merge / "week.csv").write_text(f"{header}0,of/head,y,1,1\n", encoding="utf-8")
    (merge / "new.csv").write_text(f"{header}0,of/head,z,1,1\n", encoding="utf-8")
    write(merge / "deploy", *ALL)
    git(merge, "add", ".")
    git(merge, "commit", "-q", "-m", "head")
    for traffic, cell in (("week.csv", "x"), ("new.csv", "z")):
        _, _, text = review(merge, tmp_path, "", traffic)
        assert f"{traffic}, line 2: requests is '{cell}'" in text


def test_gitlabs_script_reviews_the_commit_under_the_bases_policy(merge: Path, tmp_path: Path) -> None:
    script = "\n".join(pipeline()["spillway-diff"]["script"][1:])
    variables = environment(
        tmp_path, CI_MERGE_REQUEST_DIFF_BASE_SHA=git(merge, "rev-parse", "HEAD^1"), TRAFFIC="", SCENARIO="",
        MANIFESTS="deploy", CI_COMMIT_SHA=git(merge, "rev-parse", "HEAD^2"), POLICY="", FAIL_ON="fail", TAG="default",
        SPILLWAY_GITLAB_TOKEN="",
    )  # fmt: skip
    done = subprocess.run(
        ("sh", "-e", "-c", script),
        cwd=merge, env=variables, check=False, timeout=SECONDS, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 3
    assert "❌ fail | Data policy" in done.stdout
    assert (merge / "spillway-diff.md").is_file()
