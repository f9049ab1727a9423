"""A LiteLLM proxy that Spillway configures: part of CapacityPlan."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spillway.api.common import Model, ObjectName

AddressText = Annotated[
    str,
    Field(
        min_length=8,
        max_length=253,
        pattern=r"^https?://[A-Za-z0-9]([-.A-Za-z0-9]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[-._~A-Za-z0-9]+)*$",
    ),
]


class LiteLLMProxy(Model):
    """A LiteLLM proxy in the plan's namespace: its configuration is Spillway's, its Deployment is somebody's."""

    config_map: ObjectName = Field(
        description="Name of the ConfigMap that Spillway writes the proxy's configuration into, in the plan's "
        "namespace; it must not exist yet. The proxy mounts it as a folder and starts with its config.yaml."
    )
    deployment: ObjectName = Field(
        description="Name of the proxy's Deployment in the plan's namespace. Spillway only sets an annotation on its "
        "pod template, which rolls its pods over to a new configuration."
    )
    processes_per_replica: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Worker processes in each replica (--num_workers). Each counts limits by itself, so that they are "
        "shared out over all processes. Default: 1.",
    )
    addresses: dict[str, AddressText] = Field(
        default_factory=dict,
        max_length=32,
        description="Lane name to the base address of its OpenAI API, such as http://vllm.inference.svc:8000/v1. "
        "With plane LiteLLM every self-hosted lane needs one; a hosted lane without one is asked at its provider's. "
        "Default: none.",
    )
