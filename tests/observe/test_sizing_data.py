"""The built-in facts: models as published, types that catalogues offer, and models of files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spillway.advise.sizing.errors import SizingError
from spillway.advise.sizing.gpus import GpuType
from spillway.advise.sizing.model import Model
from spillway.observe.gpu_peaks import GpuPeak, gpu_peak
from spillway.observe.gpu_prices import read_catalogue
from spillway.observe.sizing_data import data, find_model, gpu_types, known_models, profiles

ENTRIES = {entry["name"]: entry for entry in data("models.json")["models"]}


@pytest.mark.parametrize("model", known_models(), ids=lambda model: model.name)
def test_parameters_come_out_as_published(model: Model) -> None:
    published = float(ENTRIES[model.name]["parameters_billion"])
    assert model.total / 1e9 == pytest.approx(published, rel=0.001)


@pytest.mark.parametrize(("name", "billions"), [("DeepSeek-V3", 36.6), ("gpt-oss-120b", 5.1), ("gpt-oss-20b", 3.6)])
def test_active_parameters_too(name: str, billions: float) -> None:
    assert find_model(name).active / 1e9 == pytest.approx(billions, rel=0.01)


def test_the_table_understands_all_that_it_says() -> None:
    assert [model.name for model in known_models() if model.notes] == []


@pytest.mark.parametrize(
    ("name", "layers"), [("llama-3.1-70b-instruct", 80), ("meta-llama/Llama-3.3-70B-Instruct", 80), ("qwen3_8b", 36)]
)
def test_names_are_found_however_written(name: str, layers: int) -> None:
    assert find_model(name).layers == layers


def test_a_size() -> None:
    assert find_model("70B").total == 70_000_000_000
    assert find_model("7.5 b").total == 7_500_000_000
    assert find_model("7.5 b").kv is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Lama-3.1-70B", r"unknown model 'Lama-3.1-70B': did you mean Llama-3.1-70B"),
        ("0B", "--model 0B: no model is that large or small"),
        ("1000000B", "no model is that large or small"),
        ("", r"unknown model '': give its config.json"),
    ],
)
def test_what_is_no_model(name: str, said: str) -> None:
    with pytest.raises(SizingError, match=said):
        find_model(name)


def test_a_file_and_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "My-70B"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(ENTRIES["Llama-3.1-70B"]["config"]), encoding="utf-8")
    for path in (folder, folder / "config.json"):
        model = find_model(str(path))
        assert model.name == "My-70B"
        assert model.measured_as == "Meta-Llama-3-70B", "the architecture is known to have been measured"


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "not JSON"), ("[]", "no JSON object"), ("{}", "num_hidden_layers is missing"), ("[" * 100_000, "not JSON"),
     (" " * (2 << 20), "too large")],
    ids=["cut", "list", "empty", "deep", "large"],
)  # fmt: skip
def test_what_is_no_config_is_refused_in_one_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SizingError, match=said) as error:
        find_model(str(path))
    assert str(path) in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SizingError, match="No such file"):
        find_model(str(tmp_path / "config.json"))


def test_every_profile_is_of_a_known_model_and_gpu() -> None:
    models, gpus = {model.measured_as for model in known_models()}, {gpu.name for gpu in gpu_types()}
    assert profiles()
    for profile in profiles():
        assert profile.model in models
        assert profile.gpu in gpus


def peak_of(gpu: GpuType) -> GpuPeak | None:
    return gpu_peak(gpu.name.lower().replace("nvl", "-nvl").replace("pcie", "-pcie"))


@pytest.mark.parametrize("gpu", [gpu for gpu in gpu_types() if peak_of(gpu)], ids=lambda gpu: gpu.name)
def test_facts_of_gpus_agree_with_those_of_the_utilization(gpu: GpuType) -> None:
    peak = peak_of(gpu)
    assert peak is not None
    assert float(gpu.bandwidth_gb_s) * 1e9 == pytest.approx(peak.bytes_per_second, rel=0.01)
    assert float(gpu.fp16_tflops) * 1e12 == pytest.approx(peak.flops_per_second, rel=0.01)


def test_the_shipped_catalogue_prices_nearly_every_type() -> None:
    offers = read_catalogue()
    without = [gpu.name for gpu in gpu_types() if not any(gpu.is_offered(offer) for offer in offers)]
    assert without == ["H100PCIe-80GB", "MI300X-192GB"]
