"""The chart's values.schema.json: `config` is generated from the operator's own configuration model.

Run as a program, it writes the file; the test only compares.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from spillway.config import OperatorConfig

SCHEMA_FILE = Path(__file__).parents[2] / "charts" / "spillway" / "values.schema.json"
CHART_DECIDES = ("namespaces", "operatorNamespace", "httpPort", "httpHost", "recording")
"""Keys of the configuration that the chart writes itself."""

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
MAP: Schema = {"type": "object"}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
ITEMS: Schema = {"type": "array", "items": {"type": "object"}}


def closed(**properties: Schema) -> Schema:
    """An object in which a misspelt key is refused."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


def config_schema() -> tuple[Schema, Schema]:
    """The schema of `config`, and the definitions that it refers to."""
    generated = OperatorConfig.model_json_schema(by_alias=True)
    definitions = generated.pop("$defs")
    for key in CHART_DECIDES:
        del generated["properties"][key]
    generated.pop("description", None)
    return generated, definitions


def values_schema() -> Schema:
    """The whole schema."""
    config, definitions = config_schema()
    target = closed(apiGroup=TEXT, resource=TEXT) | {"required": ["apiGroup", "resource"]}
    properties = {
        "global": MAP,
        "image": closed(
            repository=TEXT, tag=TEXT, digest=TEXT, pullPolicy={"enum": ["Always", "IfNotPresent", "Never"]}
        ),
        "imagePullSecrets": ITEMS,
        "namespaces": {"type": "array", "items": TEXT, "uniqueItems": True},
        "config": config,
        "recording": closed(
            enabled=FLAG,
            maxMegabytes=definitions.pop("RecordingConfig")["properties"]["maxMegabytes"],
            existingClaim=TEXT,
        ),
        "rbac": closed(
            create=FLAG,
            mode={"enum": ["recommend", "apply"]},
            admissionPolicy=FLAG,
            approvalPolicy=FLAG,
            personRoles=FLAG,
            clusterReads=FLAG,
            litellm=closed(configMaps={"type": "array", "items": TEXT}),
            extraTargets={"type": "array", "items": target},
        ),
        "crds": closed(enabled=FLAG, keep=FLAG),
        "serviceAccount": closed(create=FLAG, name=TEXT, annotations=TEXTS),
        "emergencyStop": closed(create=FLAG),
        "metrics": closed(
            service=closed(enabled=FLAG, annotations=TEXTS),
            podMonitor=closed(enabled=FLAG, interval=TEXT, labels=TEXTS),
            prometheusRule=closed(enabled=FLAG, labels=TEXTS),
        ),
        "resources": MAP,
        "extraVolumes": ITEMS,
        "extraVolumeMounts": ITEMS,
        "extraEnv": ITEMS,
        "nameOverride": TEXT,
        "fullnameOverride": TEXT,
        "podAnnotations": TEXTS,
        "podLabels": TEXTS,
        "nodeSelector": TEXTS,
        "tolerations": ITEMS,
        "affinity": MAP,
        "priorityClassName": TEXT,
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the Spillway chart",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "$defs": definitions,
    }


def render() -> str:
    """The file's text."""
    return json.dumps(values_schema(), indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"wrote {SCHEMA_FILE}\n")
