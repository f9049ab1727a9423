"""The Kubernetes client against a real apiserver, and against a listener that is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from spillway.kube import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS, Kube, KubeError, Resource
from spillway_dev.cluster import Cluster
from spillway_dev.controlplane import ControlPlane

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def kube(cluster: Cluster) -> AsyncIterator[Kube]:
    async with await Kube.connect(str(cluster.kubeconfig)) as connected:
        yield connected


def config_map(name: str, **data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"t": "1"}}, "data": data}


async def test_lists_go_page_by_page(kube: Kube, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spillway.kube.PAGE_SIZE", 2)
    for i in range(5):
        await kube.create(CONFIG_MAPS, namespace, config_map(f"c{i}"))
    found = await kube.list(CONFIG_MAPS, namespace, label_selector="t=1")
    assert [item["metadata"]["name"] for item in found] == [f"c{i}" for i in range(5)]


async def test_a_namespace_named_twice_is_listed_once(kube: Kube, namespace: str) -> None:
    await kube.create(CONFIG_MAPS, namespace, config_map("c"))
    found = await kube.list_in(CONFIG_MAPS, [namespace, namespace])
    assert [item["metadata"]["name"] for item in found if "labels" in item["metadata"]] == ["c"]


async def test_a_missing_object_and_a_missing_kind_are_none(kube: Kube, namespace: str) -> None:
    assert await kube.find(CONFIG_MAPS, namespace, "none") is None
    assert await kube.find(Resource("nobody.example/v1", "things"), namespace, "none") is None
    with pytest.raises(KubeError) as caught:
        await kube.get(CONFIG_MAPS, namespace, "none")
    assert (caught.value.status, caught.value.not_found, caught.value.reason) == (404, True, "NotFound")


async def test_a_resource_version_and_a_test_are_preconditions(kube: Kube, namespace: str) -> None:
    made = await kube.create(CONFIG_MAPS, namespace, config_map("c", a="1"))
    version = made["metadata"]["resourceVersion"]
    await kube.merge_patch(CONFIG_MAPS, namespace, "c", {"data": {"a": "2"}})
    stale = config_map("c", a="3") | {"metadata": {"name": "c", "resourceVersion": version}}
    with pytest.raises(KubeError) as applied:
        await kube.apply(CONFIG_MAPS, namespace, "c", stale)
    wrong = [{"op": "test", "path": "/data/a", "value": "1"}, {"op": "add", "path": "/data/a", "value": "4"}]
    with pytest.raises(KubeError) as patched:
        await kube.json_patch(CONFIG_MAPS, namespace, "c", wrong)
    assert applied.value.conflict
    assert patched.value.conflict
    assert (await kube.get(CONFIG_MAPS, namespace, "c"))["data"] == {"a": "2"}


async def test_an_invalid_object_is_no_conflict(kube: Kube, namespace: str) -> None:
    await kube.create(CONFIG_MAPS, namespace, config_map("c", a="1"))
    bad = [{"op": "add", "path": "/data/b~1 c", "value": "x"}]
    with pytest.raises(KubeError) as caught:
        await kube.json_patch(CONFIG_MAPS, namespace, "c", bad)
    assert (caught.value.status, caught.value.conflict) == (422, False)


async def test_discovery_finds_plurals_and_knows_what_is_not_served(kube: Kube) -> None:
    assert await kube.resource_for("apps/v1", "Deployment") == DEPLOYMENTS
    assert await kube.resource_for("v1", "Namespace") == NAMESPACES
    assert await kube.resource_for("apps/v1", "Nonsense") is None
    assert await kube.resource_for("nobody.example/v1", "Thing") is None


async def test_impersonation_asks_as_somebody_else(cluster: Cluster, kube: Kube, namespace: str) -> None:
    nobody = f"system:serviceaccount:{namespace}:nobody"
    async with await Kube.connect(str(cluster.kubeconfig), impersonate=nobody) as other:
        with pytest.raises(KubeError) as caught:
            await other.list(PODS, namespace)
        assert (caught.value.status, caught.value.forbidden) == (403, True)
        assert not await other.allowed("list", PODS, namespace)
    assert await kube.allowed("patch", DEPLOYMENTS, namespace, "scale")


async def test_names_are_no_paths() -> None:
    assert CONFIG_MAPS.path("a", "../secrets/x") == "/api/v1/namespaces/a/configmaps/..%2Fsecrets%2Fx"


async def test_a_token_that_is_not_accepted_is_told_without_it(control_plane: ControlPlane, tmp_path: Path) -> None:
    document = yaml.safe_load(control_plane.kubeconfig.read_text())
    document["users"][0]["user"] = {"token": "very-secret-token"}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))
    async with await Kube.connect(str(tmp_path / "kubeconfig")) as kube:
        with pytest.raises(KubeError) as caught:
            await kube.list(NAMESPACES)
    assert (caught.value.status, caught.value.forbidden) == (401, True)
    assert "very-secret-token" not in str(caught.value)


@asynccontextmanager
async def listener(handler: Handler, tmp_path: Path, timeout_seconds: float = 15.0) -> AsyncIterator[Kube]:
    """A client of something on this port that is no apiserver."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with await Kube.connect(
            kubeconfig_for(tmp_path, runner.addresses[0][1]), timeout_seconds=timeout_seconds
        ) as kube:
            yield kube
    finally:
        await runner.cleanup()


def kubeconfig_for(tmp_path: Path, port: int) -> str:
    path = tmp_path / "kubeconfig"
    named = {"name": "x"}
    document = {
        "clusters": [named | {"cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [named | {"user": {}}],
        "contexts": [named | {"context": {"cluster": "x", "user": "x"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(document))
    return str(path)


async def test_no_answer_in_time_is_an_error_without_a_status(tmp_path: Path) -> None:
    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with listener(hang, tmp_path, 0.2) as kube:
        with pytest.raises(KubeError, match="timed out") as caught:
            await kube.list(PODS)
    assert (caught.value.status, caught.value.reason) == (0, "Unreachable")


async def test_a_body_that_never_ends_is_an_error_too(tmp_path: Path) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"items": [')
        await asyncio.Event().wait()
        return response

    async with listener(drip, tmp_path, 0.2) as kube:
        with pytest.raises(KubeError, match="timed out"):
            await kube.list(PODS)


async def test_pages_and_errors_that_are_not_kubernetes_are_told_without_their_body(tmp_path: Path) -> None:
    status = 200

    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text="<html>secret</html>", content_type="text/html")

    async with listener(page, tmp_path) as kube:
        with pytest.raises(KubeError, match="no apiserver"):
            await kube.list(PODS)
        status = 502
        with pytest.raises(KubeError) as caught:
            await kube.list(PODS)
    assert (caught.value.status, caught.value.message) == (502, "the apiserver answered HTTP 502")


async def test_nobody_listens(tmp_path: Path) -> None:
    async with await Kube.connect(kubeconfig_for(tmp_path, 1)) as kube:
        with pytest.raises(KubeError, match="did not answer"):
            await kube.list(PODS)


@pytest.mark.parametrize("text", ["{", "just text", "a: 1", ""])
async def test_a_broken_kubeconfig_is_one_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken").write_text(text)
    with pytest.raises(KubeError, match="no usable kubeconfig"):
        await Kube.connect(str(tmp_path / "broken"))
