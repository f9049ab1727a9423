"""The command's options: help, and one line for what is wrong."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import click
import pytest

from spillway.cli.first.command import parse_gpu_prices
from spillway.cli.main import main


def test_help_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["-o", "json", "--output-dir", "-"], 2, "-o json prints the summary where --output-dir - prints manifests"),
        (["--gpu-price", "free"], 2, "--gpu-price free: give TYPE=USD or USD"),
        (["--days", "0"], 2, "is not in the range"),
        (["--config", "/nonexistent.yaml"], 2, "does not exist"),
        (["--catalogue", "/nonexistent"], 2, "does not exist"),
        ([], 1, "there is no kubeconfig"),
    ],
)
def test_errors_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, said: str
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent/kubeconfig")
    assert main(["init", *arguments]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert not Path("spillway-manifests").exists()


def test_gpu_prices() -> None:
    assert parse_gpu_prices(["3.85", "Nvidia-L4=0.80"]) == {"": Decimal("3.85"), "nvidia-l4": Decimal("0.80")}


@pytest.mark.parametrize("text", ["0", "-1", "x=", "=", "a=NaN", "a=1e3", "a=Infinity", "3,85", "", "a=0.0000000001"])
def test_prices_that_are_none(text: str) -> None:
    with pytest.raises(click.UsageError, match="dollars for one GPU-hour above 0"):
        parse_gpu_prices([text])
