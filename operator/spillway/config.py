"""The operator's own configuration: a YAML file, overridden by ``SPILLWAY_*`` environment variables."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator

from spillway.api.common import Model


class ConfigModel(Model):
    """Configuration refuses unknown keys: a typo must not be silent."""

    model_config = ConfigDict(extra="forbid")


class ConfigError(Exception):
    """One line that names the file, the key and the way out."""


class LabelNames(ConfigModel):
    """Label names of engine and kube-state-metrics series, where a relabelling renamed them."""

    namespace: str = "namespace"
    pod: str = "pod"


class TenantHeader(ConfigModel):
    """Tenant header of Mimir or Thanos."""

    header: str = "X-Scope-OrgID"
    value: str


class PrometheusConfig(ConfigModel):
    """Where metrics are read."""

    url: str
    bearer_token_file: Path | None = None
    ca_file: Path | None = None
    tenant: TenantHeader | None = None
    timeout_seconds: float = Field(default=10.0, gt=0, le=120)
    scrape_interval_seconds: float = Field(default=15.0, gt=0, le=300)
    """Of the engines' and gateways' targets: rate windows are four of these."""
    labels: LabelNames = Field(default_factory=LabelNames)


class GatewayType(StrEnum):
    """Whose counters."""

    LITELLM = "LiteLLM"
    ENVOY = "Envoy"


class GatewayRole(StrEnum):
    """What a gateway's counters see."""

    FRONT = "Front"
    """All traffic of a class."""
    EGRESS = "Egress"
    """Only what goes to hosted lanes."""


class Tenant(ConfigModel):
    """Whose series: the models and teams at a gateway that belong to one namespace."""

    namespace: str
    models: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()


class GatewayConfig(ConfigModel):
    """One gateway whose counters tell demand."""

    name: str
    type: GatewayType
    role: GatewayRole
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels that select its series, such as {job: litellm}. Empty: every series of that type."""
    tenants: tuple[Tenant, ...] = ()
    """Empty: every namespace may name any model or team (one tenant). Else only what is listed."""


class GpuPool(ConfigModel):
    """GPUs that several lanes share."""

    name: str
    gpus: int = Field(ge=0)
    shares: dict[str, int] = Field(default_factory=dict)
    """Most GPUs by namespace. A namespace that is not listed may use the whole pool; with any listed, none."""


class EmergencyStop(ConfigModel):
    """The ConfigMap whose key ``stop`` halts all writes at once (any value but "", "false", "0")."""

    name: str = "spillway-emergency-stop"
    namespace: str = ""
    """Default: the operator's own namespace."""


class RecordingConfig(ConfigModel):
    """Where every decision is recorded with all that it was made from, for `spillway replay`."""

    directory: Path
    """Must be writable; made where it is missing."""
    max_megabytes: int = Field(default=256, ge=4, le=1_000_000)
    """Most that the recordings take there together; the oldest go first."""


class ProposalsConfig(ConfigModel):
    """When structural changes are proposed."""

    observe_seconds: int = Field(default=3 * 86_400, ge=60, le=14 * 86_400)
    """How long a lane must have been observed under the same specs. Days: weekends and nights differ."""


LOG_LEVELS = ("debug", "info", "warning", "error")


def _log_level(value: str) -> str:
    if value.lower() not in LOG_LEVELS:
        raise ValueError(f"must be one of {', '.join(LOG_LEVELS)}")
    return value.lower()


class OperatorConfig(ConfigModel):
    """All settings of the operator."""

    prometheus: PrometheusConfig
    tick_seconds: float = Field(default=15.0, ge=0.5, le=300)
    namespaces: tuple[str, ...] = ()
    """Empty: the whole cluster."""
    operator_namespace: str = "spillway-system"
    gateways: tuple[GatewayConfig, ...] = ()
    gpu_pools: tuple[GpuPool, ...] = ()
    emergency_stop: EmergencyStop = Field(default_factory=EmergencyStop)
    proposals: ProposalsConfig = Field(default_factory=ProposalsConfig)
    recording: RecordingConfig | None = None
    """None: nothing is recorded."""
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """/metrics, /healthz, /readyz. 0: any free port."""
    http_host: str = "0.0.0.0"  # noqa: S104 - inside a pod, kubelet and Prometheus come from outside
    log_level: Annotated[str, AfterValidator(_log_level)] = "info"

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for key, names in (
            ("gateways", [g.name for g in self.gateways]),
            ("gpuPools", [p.name for p in self.gpu_pools]),
        ):
            if twice := {name for name in names if names.count(name) > 1}:
                raise ValueError(f"{key}: {', '.join(sorted(twice))} is there twice; a name may stand once")
        return self

    @property
    def stop_namespace(self) -> str:
        """Namespace of the emergency stop's ConfigMap."""
        return self.emergency_stop.namespace or self.operator_namespace


def _override(document: dict[str, Any], environment: dict[str, str]) -> None:
    if url := environment.get("SPILLWAY_PROMETHEUS_URL"):
        prometheus = document.get("prometheus")
        document["prometheus"] = (prometheus if isinstance(prometheus, dict) else {}) | {"url": url}
    if level := environment.get("SPILLWAY_LOG_LEVEL"):
        document["logLevel"] = level
    if namespace := environment.get("SPILLWAY_OPERATOR_NAMESPACE"):
        document["operatorNamespace"] = namespace
    if directory := environment.get("SPILLWAY_RECORDING_DIRECTORY"):
        recording = document.get("recording")
        document["recording"] = (recording if isinstance(recording, dict) else {}) | {"directory": directory}


def _where(error: yaml.YAMLError) -> str:
    """Line, column and what is wrong there."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{place}: {problem}" if problem else place


def _said(path: Path | None, error: ValidationError) -> str:
    """The first thing that is wrong, in one line."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    what = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        what = "is required; " + (f"set it in {path}" if path else "give a file with --config")
    elif first["type"] == "extra_forbidden":
        what = "no such setting; mind the spelling (camelCase)"
    return f"configuration {path or '(environment)'}: {f'{key}: ' if key else ''}{what}"


def load_config(path: Path | None, environment: dict[str, str]) -> OperatorConfig:
    """Read ``path`` (YAML, camelCase keys) and the environment; raises ``ConfigError``."""
    document: Any = {}
    if path is not None:
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except OSError as error:
            raise ConfigError(f"configuration {path}: {error.strerror}; give a readable file with --config") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"configuration {path}: not UTF-8 text; give a YAML file with --config") from error
        except yaml.YAMLError as error:
            raise ConfigError(f"configuration {path}: not valid YAML{_where(error)}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"configuration {path}: expected a mapping of settings at the top")
    _override(document, environment)
    try:
        return OperatorConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError(_said(path, error)) from error
