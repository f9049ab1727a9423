"""Kubeconfig files, one per identity."""

from __future__ import annotations

import os
from pathlib import Path

import yaml


def write_kubeconfig(
    path: Path, *, server: str, ca_file: Path, user: str, token: str, namespace: str = "default"
) -> Path:
    """Write a kubeconfig with one context for `user`, readable by its owner only; returns `path`."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "spillway-dev",
        "clusters": [{"name": "spillway-dev", "cluster": {"server": server, "certificate-authority": str(ca_file)}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [
            {
                "name": "spillway-dev",
                "context": {"cluster": "spillway-dev", "user": user, "namespace": namespace},
            }
        ],
    }
    return _write_private(path, content)


def with_token(source: Path, path: Path, *, user: str, token: str, namespace: str) -> Path:
    """Write a copy of the kubeconfig `source` that reaches the same cluster as `user` by `token`."""
    original = yaml.safe_load(source.read_text())
    current = next(item for item in original["contexts"] if item["name"] == original["current-context"])
    cluster = next(item for item in original["clusters"] if item["name"] == current["context"]["cluster"])
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": current["name"],
        "clusters": [cluster],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [
            {
                "name": current["name"],
                "context": {"cluster": cluster["name"], "user": user, "namespace": namespace},
            }
        ],
    }
    return _write_private(path, content)


def _write_private(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        yaml.safe_dump(content, handle, sort_keys=False)
    partial.rename(path)
    return path
