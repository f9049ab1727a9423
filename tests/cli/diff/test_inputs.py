"""BASE and HEAD: folders, files, Git revisions, standard input; what is wrong is said in one line with the way out."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from advise.review.builders import ALL, CHAT, GPU, HOSTED, PLAN, Document, made, swapped, with_spec
from cli.diff.sides import Captured, document, git, refused, run, sides, write
from spillway.advise.review.walk import MODELS, spec_schema
from spillway.api.schema import Schema
from spillway.cli.diff.rules import RULES
from spillway.cli.main import main

LOWERED = with_spec(GPU, {"selfHosted.replicas.min": 0})
MESSAGE = "GPU lane gpu: fewest replicas 2 -> 0"


def messages(found: Any) -> list[str]:
    return [change["message"] for plan in found["plans"] for change in plan["changes"]]


class Stdin(io.TextIOWrapper):
    """A pipe, or a terminal."""

    def __init__(self, text: str, *, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(text.encode()))
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def test_folders_are_read_with_their_subfolders_and_without_what_is_hidden(tmp_path: Path, capsys: Captured) -> None:
    base, head = sides(tmp_path)
    write(tmp_path / "head" / "lanes" / "gpu", LOWERED)
    (tmp_path / "head" / "all.yaml").write_text(yaml.safe_dump_all([PLAN, HOSTED, CHAT]), encoding="utf-8")
    write(tmp_path / "head" / ".hidden", GPU)
    assert [text.startswith(MESSAGE) for text in messages(document(capsys, base, head))] == [True]


def test_files_lists_and_other_kinds(tmp_path: Path, capsys: Captured) -> None:
    base, _ = sides(tmp_path)
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}
    listed = {"apiVersion": "v1", "kind": "List", "items": [other, PLAN, LOWERED, HOSTED, CHAT]}
    change = made("LaneChange", "c", {})
    write(tmp_path / "head", other, listed, change, {"values": 1})
    assert len(messages(document(capsys, f"{base}/all.yaml", str(tmp_path / "head" / "all.yaml")))) == 1


def test_standard_input(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    base, _ = sides(tmp_path)
    monkeypatch.setattr(sys, "stdin", Stdin(yaml.safe_dump_all([PLAN, LOWERED, HOSTED, CHAT])))
    assert messages(document(capsys, base, "-"))[0].startswith(MESSAGE)
    monkeypatch.setattr(sys, "stdin", Stdin("", terminal=True))
    assert "standard input is a terminal; pipe manifests into it" in refused(capsys, base, "-")
    assert "only one side can come from standard input" in refused(capsys, "-", "-", status=2)


CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}


@pytest.mark.parametrize("text", ["", yaml.safe_dump(CONFIG_MAP), "apiVersion: v1\nkind: List\nitems: []\n"])
def test_a_pipe_that_brings_nothing_is_no_deletion(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    base, _ = sides(tmp_path)
    for side, arguments in (("HEAD", (base, "-")), ("BASE", ("-", base))):
        monkeypatch.setattr(sys, "stdin", Stdin(text))
        assert refused(capsys, *arguments) == (
            f"error: {side} -: no CapacityPlan, CapacityLane or WorkloadClass arrived; did the command before the pipe "
            "fail?"
        )


def test_neither_is_a_file_or_folder_without_anything_of_ours(tmp_path: Path, capsys: Captured) -> None:
    base, _ = sides(tmp_path)
    folder = write(tmp_path / "other", CONFIG_MAP)
    for given in (str(folder), str(folder / "all.yaml")):
        line = refused(capsys, base, given)
        assert f"HEAD {given}: holds no CapacityPlan, CapacityLane or WorkloadClass; give what does" in line
        assert "BASE" in refused(capsys, given, base)
    (tmp_path / "empty").mkdir()
    assert "there is no .yaml, .yml, .json file in this folder" in refused(capsys, base, str(tmp_path / "empty"))


def test_nothing_on_purpose(tmp_path: Path, capsys: Captured) -> None:
    base, _ = sides(tmp_path)
    found = document(capsys, os.devnull, base)
    assert messages(found)[0] == "plan inference/main: added, in mode Apply, with lanes gpu and hosted"


def test_the_namespace_of_objects_that_name_none(tmp_path: Path, capsys: Captured) -> None:
    bare = []
    for each in ALL:
        bare.append({**each, "metadata": {"name": each["metadata"]["name"]}})
    base, head = sides(tmp_path, *bare, base=ALL)
    assert document(capsys, base, head, "-n", "inference")["plans"] == []
    assert {plan["plan"] for plan in document(capsys, base, head)["plans"]} == {"default/main", "inference/main"}


@pytest.fixture
def repository_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose HEAD~1 has the base, HEAD the head, below deploy/; nothing is checked out."""
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "README.md").write_text("nothing yet", encoding="utf-8")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "empty")
    for message, documents in (("base", ALL), ("head", swapped(LOWERED))):
        write(root / "deploy" / "lanes", *documents)
        git(root, "add", ".")
        git(root, "commit", "-q", "-m", message)
    git(root, "branch", "feature/x")
    git(root, "checkout", "-q", "HEAD~2")
    monkeypatch.chdir(root)
    return root


def test_git_revisions_are_read_without_a_checkout(repository_of: Path, capsys: Captured) -> None:
    before = git(repository_of, "rev-parse", "HEAD")
    for given in (
        ("main~1:deploy", "main:deploy"),
        ("main~1:deploy/lanes/all.yaml", "feature/x:./deploy"),
        ("main~1", "feature/x", "--git-path", "deploy"),
        ("main~1", "main", "--git-path", "."),
    ):
        assert messages(document(capsys, *given))[0].startswith(MESSAGE), given
    assert git(repository_of, "rev-parse", "HEAD") == before
    assert git(repository_of, "status", "--porcelain") == ""


def test_a_git_path_is_taken_from_the_folder_one_is_in(
    repository_of: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(repository_of, "checkout", "-q", "main")
    monkeypatch.chdir(repository_of / "deploy")
    assert messages(document(capsys, "main~1", "main", "--git-path", "lanes"))[0].startswith(MESSAGE)
    assert messages(document(capsys, "main~1:deploy", "lanes"))[0].startswith(MESSAGE)
    assert "lies outside of the repository" in refused(capsys, "main:../../x", "lanes")


def test_a_path_that_a_revision_lacks_is_told_and_everything_is_new(
    repository_of: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = document(capsys, "main~2:deploy", "main:deploy")
    assert main(["diff", "main:README.md", "main:deploy"]) == 0
    assert "warning: BASE main:README.md: holds no CapacityPlan" in capsys.readouterr().err
    assert messages(found)[0] == "plan inference/main: added, in mode Apply, with lanes gpu and hosted"
    assert found["plans"][0]["notEstimated"].startswith("No traffic was given to replay")
    gone = document(capsys, "main:deploy", "main~2:deploy")["plans"][0]
    assert gone["notEstimated"].startswith("The plan is on base alone: nothing is decided on its lanes any more")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere:deploy", "main:deploy"), "this repository has no revision 'nowhere'; fetch it"),
        (("main", "main:deploy"), "BASE main: there is no such file or folder; for a Git revision give REVISION:PATH"),
        (("--git-path", "deploy", "--", "-x", "main"), "'-x' is no Git revision"),
        (("main:deploy", "main", "--git-path", "deploy"), "with --git-path give a revision alone"),
        (("main:README.md", "main:README.md"), "holds a CapacityPlan, CapacityLane or WorkloadClass"),
    ],
)
def test_wrong_revisions(repository_of: Path, capsys: Captured, arguments: tuple[str, ...], words: str) -> None:
    assert words in refused(capsys, *arguments)


def test_a_folder_that_is_in_no_repository(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    line = refused(capsys, "main:deploy", "x:y")
    assert "BASE main:deploy: not a git repository" in line
    assert "run this inside a Git repository, or give a folder or a file" in line


def test_git_that_is_not_installed(repository_of: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "git is not installed" in refused(capsys, "main:deploy", "main:deploy")


def test_links_are_not_followed_out_of_the_folder(tmp_path: Path, capsys: Captured) -> None:
    base, head = sides(tmp_path)
    (tmp_path / "head" / "more.yaml").symlink_to(write(tmp_path / "other", GPU) / "all.yaml")
    assert "is a link out of the folder" in refused(capsys, base, head)


OURS = "apiVersion: spillway.dev/v1alpha1"
TEXTS = [
    ("kind: CapacityLane\nx: {a: b", "line ", "mend the YAML"),
    (
        "kind: CapacityLane\nmetadata: {name: {{ .Values.x }}}",
        "is a template, not YAML; render it first (helm template",
    ),
    ("kind: CapacityLane\nkind: CapacityLane", "line 2: 'kind' is given twice; remove one"),
    (
        "kind: CapacityLane\napiVersion: spilway.dev/v1",
        "spilway.dev/v1 CapacityLane is not one of spillway.dev/v1alpha1",
    ),
    (f"kind: CapacityLanes\n{OURS}", "CapacityLanes is not one of spillway.dev/v1alpha1"),
    (f"kind: CapacityLane\n{OURS}", "line 1: CapacityLane without metadata.name; give it"),
    ("kind: CapacityLane\nx: " + "[" * 100_000, "is nested more than 100 deep; mend the YAML"),
]


@pytest.mark.parametrize("case", TEXTS, ids=[text[0][:40] for text in TEXTS])
def test_wrong_texts(tmp_path: Path, capsys: Captured, case: tuple[str, ...]) -> None:
    base, head = sides(tmp_path)
    (tmp_path / "head" / "wrong.yaml").write_text(case[0], encoding="utf-8")
    line = refused(capsys, base, head)
    assert f"HEAD {head}/wrong.yaml" in line
    assert all(words in line for words in case[1:])


def test_broken_files_that_can_hold_nothing_of_ours_are_passed_over(tmp_path: Path, capsys: Captured) -> None:
    base, head = sides(tmp_path)
    (tmp_path / "head" / "chart.yaml").write_text("{{ if x }}\nkind: Deployment", encoding="utf-8")
    assert document(capsys, base, head)["plans"] == []


def test_text_that_is_not_utf_8(tmp_path: Path, capsys: Captured) -> None:
    base, head = sides(tmp_path)
    (tmp_path / "head" / "wrong.yaml").write_bytes(b"\xff\xfe\x00")
    assert refused(capsys, base, head).endswith("wrong.yaml: is not UTF-8 text; save it as such")


OBJECTS: list[tuple[Document, str]] = [
    (with_spec(GPU, {"selfHosted.replicas": {"minimum": 0, "max": 4}}),
     "CapacityLane inference/gpu: spec.selfHosted.replicas.minimum: there is no such field; did you mean min?"),
    (with_spec(PLAN, {"lane": ["gpu"], "lanes": None}), "spec.lane: there is no such field; did you mean lanes?"),
    (with_spec(CHAT, {"dataPolicy": "Everywhere"}), "WorkloadClass inference/chat: spec.dataPolicy: "),
    (with_spec(CHAT, {"dataPolicy": None}), "spec.dataPolicy: is missing; give it"),
    (with_spec(CHAT, {"slo": None}), "spec: slo is required unless latency is Deferrable"),
    (with_spec(CHAT, {"match": {"model": "m", "team": "t"}}), "spec.match: match needs exactly one of header, model"),
    (with_spec(GPU, {"selfHosted.replicas": {"min": 5, "max": 4}}), "replicas.min must not be above replicas.max"),
    (with_spec(GPU, {"selfHosted.price.usdPerGpuHour": 3.85}), "write it as a quoted decimal string"),
    (with_spec(PLAN, {"lanes": ["gpu", "gpu"]}), "spec.lanes: gpu is given twice; remove one"),
    (with_spec(HOSTED, {"type": "SelfHosted"}), "selfHosted belongs to type SelfHosted, and is required there"),
    ({**CHAT, "spce": 1}, "spce: there is no such field; known are apiVersion, kind, metadata, spec, status"),
    ({k: v for k, v in CHAT.items() if k != "spec"}, "spec: is missing; give it"),
    (made("WorkloadClass", "a_b", CHAT["spec"]), "metadata.name: write lower-case letters, digits and dashes"),
    (made("WorkloadClass", "a", CHAT["spec"], "x y"), "metadata.namespace: 'x y' is no name of a namespace"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "words"), OBJECTS, ids=[words for _, words in OBJECTS])
def test_wrong_objects(tmp_path: Path, capsys: Captured, wrong: Document, words: str) -> None:
    base, head = sides(tmp_path, *swapped(wrong))
    line = refused(capsys, base, head)
    assert words in line
    assert f"HEAD {head}/all.yaml line " in line


def test_an_object_given_twice_names_both_places(tmp_path: Path, capsys: Captured) -> None:
    base, head = sides(tmp_path)
    write(tmp_path / "head", GPU, name="more.yaml")
    line = refused(capsys, base, head)
    assert f"more.yaml line 1: CapacityLane inference/gpu is in HEAD {head}/all.yaml line " in line
    assert "kustomize build" in line


def rules(schema: Schema) -> list[str]:
    found = [rule["rule"] for rule in schema.get("x-kubernetes-validations", ())]
    for child in (*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")):
        found += rules(child) if isinstance(child, dict) else []
    return found


def test_every_rule_of_the_crds_has_its_counterpart() -> None:
    known = {rule for kind in MODELS for rule in rules(spec_schema(kind)) if "oldSelf" not in rule}
    assert known <= set(RULES)


def test_nulls_are_as_absent_as_for_the_apiserver(tmp_path: Path, capsys: Captured) -> None:
    null = with_spec(CHAT, {"budget": {}})
    null["spec"]["budget"] = None
    base, head = sides(tmp_path, *swapped(null))
    assert run(capsys, base, head).startswith("No capacity plan, lane or workload class changes")
