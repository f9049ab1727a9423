"""The wheel: everything that the product reads at run time is in it, and its commands start."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ROOT / "operator" / "spillway"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (made,) = folder.glob("*.whl")
    return zipfile.ZipFile(made)


def test_every_file_of_the_product_is_in_it(wheel: zipfile.ZipFile) -> None:
    source = {
        f"spillway/{path.relative_to(PRODUCT).as_posix()}"
        for path in PRODUCT.rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".nbi", ".nbc")
    }
    source |= {f"spillway/crds/{path.name}" for path in (ROOT / "crds").glob("*.yaml")}
    assert "spillway/simulate/baselines/tuned.json" in source
    assert "spillway/report/backtest/page.js" in source
    packed = {name for name in wheel.namelist() if not name.split("/")[0].endswith(".dist-info")}
    assert packed == source


def test_its_commands_exist(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    entries = ConfigParser()
    entries.read_string(wheel.read(name).decode())
    scripts = dict(entries["console_scripts"])
    assert set(scripts) == {"spillway", "kubectl-spillway", "kubectl_complete-spillway"}
    for target in scripts.values():
        module, _, function = target.partition(":")
        assert callable(getattr(import_module(module), function))
