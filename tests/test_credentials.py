"""Whose credentials are taken, and as whom they act."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.aio.config import incluster_config

from spillway import credentials
from spillway.credentials import CredentialsError


def kubeconfig(path: Path, server: str = "http://person:1", **user: Any) -> str:
    named = {"name": "x"}
    document = {
        "clusters": [named | {"cluster": {"server": server}}],
        "users": [named | {"user": user}, {"name": "viewer", "user": {"as": "viewer"}}],
        "contexts": [
            named | {"context": {"cluster": "x", "user": "x"}},
            {"name": "viewing", "context": {"cluster": "x", "user": "viewer"}},
        ],
        "current-context": "x",
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(document))
    return str(path)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and no kubeconfig that the environment names."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return tmp_path


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kubelet gives a pod."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "pod")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    for name, text in (("TOKEN", "token"), ("CERT", "certificate")):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(incluster_config, f"SERVICE_{name}_FILENAME", str(tmp_path / name))


@pytest.mark.parametrize(("pod_first", "host"), [(True, "https://pod:443"), (False, "http://person:1")])
@pytest.mark.usefixtures("pod")
async def test_in_a_pod_a_person_has_their_kubeconfig_and_the_operator_its_account(
    home: Path, pod_first: bool, host: str
) -> None:
    kubeconfig(home / ".kube" / "config")
    found, _ = await credentials.load(None, None, pod_first=pod_first)
    assert found.host == host


@pytest.mark.usefixtures("pod", "home")
async def test_without_a_kubeconfig_a_person_in_a_pod_has_its_account() -> None:
    found, headers = await credentials.load(None, None, pod_first=False)
    assert (found.host, headers) == ("https://pod:443", {})


@pytest.mark.usefixtures("pod")
async def test_what_is_named_comes_before_the_pod(home: Path, tmp_path: Path) -> None:
    kubeconfig(home / ".kube" / "config")
    named, _ = await credentials.load(kubeconfig(tmp_path / "other", "http://other:1"), None, pod_first=True)
    by_context, _ = await credentials.load(None, "x", pod_first=True)
    assert (named.host, by_context.host) == ("http://other:1", "http://person:1")


@pytest.mark.usefixtures("home")
async def test_neither_kubeconfig_nor_pod_is_one_line() -> None:
    with pytest.raises(CredentialsError, match=r"no kubeconfig .*/\.kube/config \(the default, .*; name another"):
        await credentials.load(None, None, pod_first=False)


async def test_what_is_wrong_names_file_and_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")
    with pytest.raises(CredentialsError, match=r"there is no kubeconfig /nowhere/config \(\$KUBECONFIG\)"):
        await credentials.load(None, None, pod_first=False)
    path = kubeconfig(tmp_path / "config", token="t")
    with pytest.raises(CredentialsError, match=f"no context nope in kubeconfig {path}: --context takes x, viewing"):
        await credentials.load(path, "nope", pod_first=False)
    (tmp_path / "aimless").write_text((tmp_path / "config").read_text().replace("current-context: x", ""))
    with pytest.raises(CredentialsError, match=r"there is no current-context in .*: --context takes x, viewing"):
        await credentials.load(str(tmp_path / "aimless"), None, pod_first=False)


async def test_a_kubeconfig_that_acts_as_another_does_so(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", **{"token": "t", "as": "alice"})
    assert (await credentials.load(path, None, pod_first=False))[1] == {"Impersonate-User": "alice"}
    assert (await credentials.load(path, "viewing", pod_first=False))[1] == {"Impersonate-User": "viewer"}
    plain = kubeconfig(tmp_path / "plain", token="t")
    assert (await credentials.load(plain, None, pod_first=False))[1] == {}


@pytest.mark.parametrize("field", credentials.UNSUPPORTED)
async def test_to_act_as_more_than_a_name_is_refused_rather_than_left_out(tmp_path: Path, field: str) -> None:
    path = kubeconfig(tmp_path / "config", **{"as": "alice", field: ["group"]})
    with pytest.raises(CredentialsError, match=f"the user in kubeconfig {path} has {field}, which is not supported"):
        await credentials.load(path, None, pod_first=False)
