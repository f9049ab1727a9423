"""GPUs and clouds by instance types."""

from __future__ import annotations

import pytest

from spillway.advise.first.offers import matching
from spillway.cli.first.instances import gpu_of_instance, provider_of
from spillway.observe.gpu_prices import read_catalogue
from spillway.observe.sizing_data import gpu_types


@pytest.mark.parametrize(
    ("instance", "provider", "gpu"),
    [
        ("p5.48xlarge", "aws", "nvidia-h100-80gb"),
        ("p5e.48xlarge", "aws", "nvidia-h200"),
        ("p5en.48xlarge", "aws", "nvidia-h200"),
        ("p6-b200.48xlarge", "aws", "nvidia-b200"),
        ("g6.12xlarge", "aws", "nvidia-l4"),
        ("g6e.xlarge", "aws", "nvidia-l40s"),
        ("a3-highgpu-8g", "gcp", "nvidia-h100-80gb"),
        ("a2-ultragpu-1g", "gcp", "nvidia-a100-80gb"),
        ("g2-standard-8", "gcp", "nvidia-l4"),
        ("Standard_ND96isr_H100_v5", "azure", "nvidia-h100-80gb"),
        ("Standard_NC40ads_H100_v5", "azure", "nvidia-h100-nvl"),
        ("Standard_NC24ads_A100_v4", "azure", "nvidia-a100-80gb"),
        ("BM.GPU.H100.8", "oci", "nvidia-h100-80gb"),
    ],
)
def test_known_instances(instance: str, provider: str, gpu: str) -> None:
    assert (gpu_of_instance(instance), provider_of("", instance)) == (gpu, provider)
    assert matching(read_catalogue(), gpu_types(), gpu, provider), "the catalogue prices it"


@pytest.mark.parametrize("instance", ["", "m5.large", "n2-standard-4", "Standard_D4s_v5", "g7z.metal", "xp5.48xlarge"])
def test_others_are_not_guessed(instance: str) -> None:
    assert gpu_of_instance(instance) == ""


def test_the_provider_id_comes_first() -> None:
    assert provider_of("gce://project/zone/name", "p5.48xlarge") == "gcp"
    assert provider_of("kind://docker/x/y", "") == ""
