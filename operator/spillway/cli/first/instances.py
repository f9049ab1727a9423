"""GPU types and providers by the names of cloud instances, for nodes whose labels don't name the GPU."""

from __future__ import annotations

import re

_GPUS: tuple[tuple[str, str, str], ...] = (
    (r"p6-b200\.", "aws", "nvidia-b200"),
    (r"p5en?\.", "aws", "nvidia-h200"),
    (r"p5\.", "aws", "nvidia-h100-80gb"),
    (r"p4de\.", "aws", "nvidia-a100-80gb"),
    (r"p4d\.", "aws", "nvidia-a100-40gb"),
    (r"p3(dn)?\.", "aws", "nvidia-v100"),
    (r"g6e\.", "aws", "nvidia-l40s"),
    (r"g6\.", "aws", "nvidia-l4"),
    (r"g5\.", "aws", "nvidia-a10g"),
    (r"g4dn\.", "aws", "nvidia-t4"),
    (r"a4-highgpu-", "gcp", "nvidia-b200"),
    (r"a3-ultragpu-", "gcp", "nvidia-h200"),
    (r"a3-(high|mega|edge)gpu-", "gcp", "nvidia-h100-80gb"),
    (r"a2-ultragpu-", "gcp", "nvidia-a100-80gb"),
    (r"a2-(high|mega)gpu-", "gcp", "nvidia-a100-40gb"),
    (r"g2-standard-", "gcp", "nvidia-l4"),
    (r"Standard_N[A-Z]\w*_H200_", "azure", "nvidia-h200"),
    (r"Standard_NC\w*_H100_", "azure", "nvidia-h100-nvl"),
    (r"Standard_ND\w*_H100_", "azure", "nvidia-h100-80gb"),
    (r"Standard_NC\w*_A100_|Standard_ND96amsr_A100_", "azure", "nvidia-a100-80gb"),
    (r"Standard_ND96asr_", "azure", "nvidia-a100-40gb"),
    (r"Standard_NV\w*_A10_", "azure", "nvidia-a10"),
    (r"Standard_NC\w*_T4_", "azure", "nvidia-t4"),
    (r"BM\.GPU\.B200\.", "oci", "nvidia-b200"),
    (r"BM\.GPU\.H200\.", "oci", "nvidia-h200"),
    (r"BM\.GPU\.H100\.", "oci", "nvidia-h100-80gb"),
    (r"BM\.GPU\.L40S\.", "oci", "nvidia-l40s"),
    (r"BM\.GPU\.A100-v2\.", "oci", "nvidia-a100-80gb"),
    (r"(BM|VM)\.GPU\.A10\.", "oci", "nvidia-a10"),
)
"""Pattern of the instance type's beginning, provider, GPU: as the providers document their instances."""
_PROVIDERS = (
    (r"[pg][0-9][a-z]*(-\w+)?\.", "aws"),
    (r"[ag][0-9]-\w+-", "gcp"),
    (r"Standard_N", "azure"),
    (r"(BM|VM)\.GPU", "oci"),
)
_SCHEMES = {"aws": "aws", "gce": "gcp", "azure": "azure", "oci": "oci"}


def gpu_of_instance(instance_type: str) -> str:
    """The GPU of an instance type, as a lane names it; empty where it is not known."""
    return next((gpu for pattern, _, gpu in _GPUS if re.match(pattern, instance_type)), "")


def provider_of(provider_id: str, instance_type: str) -> str:
    """The cloud of a node: by its providerID, else by its instance type; empty where neither tells."""
    if known := _SCHEMES.get(provider_id.partition("://")[0]):
        return known
    return next((name for pattern, name in _PROVIDERS if re.match(pattern, instance_type)), "")
