"""Envoy AI Gateway by contract: its CRDs on a real apiserver, and the product's plane against them.

Its controller does not run here: nothing below says that traffic moves. Objects are checked strictly, so that a field
that the CRDs don't know is refused instead of dropped.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from spillway.act.planes.plane import Found, Rendered
from spillway.act.release import Held, held_objects, release
from spillway.act.writes import Outcome, Write
from spillway.config import OperatorConfig, PrometheusConfig
from spillway.decide.snapshot import RouteState
from spillway.kube import AI_GATEWAY_ROUTES, HTTP_ROUTES, TRAFFIC_POLICIES, Kube
from spillway.observe.cluster import ClusterReader
from spillway_dev.cluster import Cluster, KubectlError
from spillway_dev.controlplane import ControlPlane, ControlPlaneOptions
from spillway_dev.toolchain import Tools
from support.ai_gateway import GOLDEN, GROUP, MODEL, PLANE, SHAPES, Case, adopted, lanes, plan, workload
from support.world import OperatorWorld

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

Object = dict[str, Any]
T = TypeVar("T")
EXAMPLES = Path("examples/routing/envoy-ai-gateway")
NUMBERS = itertools.count(1)
KINDS = ("aigatewayroutes", "aiservicebackends", "backendsecuritypolicies")
ENVOY_KINDS = ("backends", "backendtrafficpolicies", "clienttrafficpolicies")


@pytest.fixture(scope="module")
def ai_cluster(tools: Tools, repository: Path) -> Iterator[Cluster]:
    """A control plane with the CRDs of Gateway API, Envoy Gateway, Envoy AI Gateway and Spillway."""
    with ControlPlane(tools, ControlPlaneOptions(nodes=())) as made:
        made.apply_gateway_api()
        envoy = [file for file in tools.envoy_gateway_crds() if file.stem.rpartition("_")[2] in ENVOY_KINDS]
        made.apply_crds(*envoy, *tools.ai_gateway_crds(*KINDS), repository / "crds", timeout_seconds=240)
        made.create_namespace("ai")
        yield made


def strictly(cluster: Cluster, *manifests: Object) -> None:
    """Server-side apply that writes nothing and refuses unknown fields. Raises ``KubectlError``."""
    cluster.kubectl(
        "apply",
        "--server-side",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
        stdin=yaml.safe_dump_all(manifests),
    )


def golden(name: str) -> list[Object]:
    return list(yaml.safe_load_all((GOLDEN / f"{name}.yaml").read_text("utf-8")))


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_one_that_the_crds_know(ai_cluster: Cluster, name: str) -> None:
    strictly(ai_cluster, *golden(name))


def changed(path: str, value: Any) -> Object:
    """The split's route with one value changed."""
    route = copy.deepcopy(golden("split")[-1])
    *parents, last = path.split(".")
    place: Any = route["spec"]
    for name in parents:
        place = place[int(name)] if name.isdecimal() else place[name]
    if isinstance(place, list):
        place.append(value)
    else:
        place[last] = value
    return route


INFERENCE_POOL = {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "pool"}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("rules.0.backendRefs.0.weigth", 1, "field not declared in schema"),
        ("rules.0.backendRefs.0.weight", -1, "should be greater than or equal to 0"),
        ("rules.0.backendRefs.0.weight", "70", "expected numeric"),
        ("rules.0.backendRefs.0.priority", -1, "should be greater than or equal to 0"),
        ("rules.0.backendRefs.-", INFERENCE_POOL, "cannot mix InferencePool and AIServiceBackend"),
        ("rules.0.name", "chat", "field not declared in schema"),
        ("rules.0.timeouts.request", "ten minutes", "should match"),
        ("parentRefs.0.kind", "Service", "only Gateway is supported"),
        ("llmRequestCosts.0.type", "Tokens", "Unsupported value"),
    ],
)
def test_the_check_can_fail(ai_cluster: Cluster, path: str, value: Any, said: str) -> None:
    with pytest.raises(KubectlError, match=said):
        strictly(ai_cluster, changed(path, value))


def test_a_sixteenth_rule_is_refused(ai_cluster: Cluster) -> None:
    route = golden("split")[-1]
    route["spec"]["rules"] = route["spec"]["rules"][:1] * 16
    with pytest.raises(KubectlError, match="must have at most 15 items"):
        strictly(ai_cluster, route)


class Rig:
    """One namespace, a plan of it, and the product's plane."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace

    def case(self, mode: str = "Split", ownership: str = "Managed") -> Case:
        """What a tick starts from."""
        space = self.namespace
        return Case(plan(mode, ownership, space), workload(space), lanes(space))

    def write(self, case: Case, **weights: int) -> tuple[Write, ...]:
        """One tick's writes."""

        async def written(kube: Kube) -> tuple[Write, ...]:
            wanted = case.wanted(**weights)
            return await PLANE.apply(kube, PLANE.render(wanted, await PLANE.read(kube, wanted)))

        return self.ask(written)

    def send(self, rendered: Rendered) -> tuple[Write, ...]:
        """Write what was rendered before."""
        return self.ask(lambda kube: PLANE.apply(kube, rendered))

    def weights(self, rule: int = 0) -> dict[str, tuple[int, int]]:
        """Weight and priority of a rule's backends, by name, as the apiserver has them."""
        refs = self.route()["spec"]["rules"][rule]["backendRefs"]
        return {ref["name"]: (ref["weight"], ref["priority"]) for ref in refs}

    def route(self) -> Object:
        """The AIGatewayRoute."""
        return self.ask(lambda kube: kube.get(AI_GATEWAY_ROUTES, self.namespace, "chat"))

    def held(self) -> list[Held]:
        """What Spillway holds in the namespace, of all planes."""

        async def listed(kube: Kube) -> list[Held]:
            return [held async for held in held_objects(kube, [self.namespace])]

        return self.ask(listed)

    def release(self, held: Held) -> Write:
        """Give it back at its baseline."""
        return self.ask(lambda kube: release(kube, held, restore=True))

    def states(self) -> tuple[RouteState, ...]:
        """What the operator observes of the namespace's plan."""

        async def seen(kube: Kube) -> tuple[RouteState, ...]:
            config = OperatorConfig(
                prometheus=PrometheusConfig(url="http://127.0.0.1:9"),
                namespaces=(self.namespace,),
                operator_namespace=self.namespace,
            )
            return (await ClusterReader(kube, config).read(0.0)).plans[0].routes

        return self.ask(seen)

    def ask(self, what: Callable[[Kube], Awaitable[T]]) -> T:
        """Run with a client of the apiserver."""

        async def run() -> T:
            async with await Kube.connect(str(self.cluster.kubeconfig)) as kube:
                return await what(kube)

        return asyncio.run(run())


@pytest.fixture
def rig(ai_cluster: Cluster) -> Iterator[Rig]:
    space = ai_cluster.create_namespace(f"ai-{next(NUMBERS)}")
    yield Rig(ai_cluster, space)
    ai_cluster.delete_namespace(space)


def outcomes(writes: tuple[Write, ...]) -> list[Outcome]:
    return [each.outcome for each in writes]


def test_a_generated_route_goes_to_zero_and_back_and_is_kept_when_released(rig: Rig) -> None:
    case = rig.case()
    # With the first comes the policy that gives it room.
    for gpu, hosted, number in ((70, 30, 2), (0, 100, 1), (100, 0, 1)):
        assert outcomes(rig.write(case, gpu=gpu, hosted=hosted)) == [Outcome.WRITTEN] * number
        assert rig.weights() == {"vllm": (gpu, 0), "openai": (hosted, 0)}
        assert rig.write(case, gpu=gpu, hosted=hosted) == (), "the apiserver's defaults are nothing to write"
    managers = {entry["manager"] for entry in rig.route()["metadata"]["managedFields"]}
    assert managers == {"spillway-controller"}
    (held,) = rig.held()
    assert (held.subject, held.baseline) == (f"AIGatewayRoute/{rig.namespace}/chat", "")
    assert rig.release(held).ok
    assert rig.weights() == {"vllm": (100, 0), "openai": (0, 0)}


def test_spilling_has_priorities_and_a_policy_of_the_http_route(rig: Rig) -> None:
    case = rig.case("Spill")
    assert outcomes(rig.write(case)) == [Outcome.WRITTEN] * 2
    assert rig.weights() == {"vllm": (100, 0), "openai": (1, 1)}
    policy = rig.ask(lambda kube: kube.get(TRAFFIC_POLICIES, rig.namespace, "chat"))
    assert policy["spec"]["targetRefs"] == [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "chat"}]
    assert rig.write(case) == ()
    assert outcomes(rig.write(rig.case("Split"))) == [Outcome.WRITTEN] * 2
    assert rig.weights() == {"vllm": (100, 0), "openai": (0, 0)}


def test_an_adopted_rule_gets_weights_alone_and_its_own_back(rig: Rig) -> None:
    rig.cluster.apply(adopted(rig.namespace, vllm=1, openai=0))
    before = rig.route()["spec"]
    case = rig.case(ownership="Adopted")
    for gpu, hosted in ((70, 30), (0, 100), (100, 0), (40, 60)):
        assert outcomes(rig.write(case, gpu=gpu, hosted=hosted)) == [Outcome.WRITTEN]
        assert rig.weights(1) == {"vllm": (gpu, 0), "openai": (hosted, 0)}
    assert rig.route()["spec"]["rules"][0] == before["rules"][0]
    (held,) = rig.held()
    assert json.loads(held.baseline) == {f"x-ai-eg-model={MODEL}": {"vllm": 1, "openai": 0}}
    assert rig.release(held).ok
    after = rig.route()
    assert after["spec"] == before
    assert not [key for key in after["metadata"].get("annotations") or {} if key.startswith("spillway.dev/")]
    assert "spillway-controller" not in {entry["manager"] for entry in after["metadata"]["managedFields"]}
    assert rig.held() == []


def test_a_route_that_somebody_made_meanwhile_is_not_taken_over(rig: Rig) -> None:
    case = rig.case()
    looked = PLANE.render(case.wanted(gpu=50, hosted=50), Found({}))
    rig.cluster.apply(adopted(rig.namespace, vllm=1, openai=0))
    before = rig.route()
    assert outcomes(rig.send(looked)) == [Outcome.WRITTEN, Outcome.SUPERSEDED], "a policy alone moves nothing"
    (refused,) = rig.write(case, gpu=50, hosted=50)
    assert (refused.outcome, "it is not Spillway's" in refused.error) == (Outcome.SUPERSEDED, True)
    assert rig.route() == before


def test_the_http_route_made_of_it_is_not_held_though_it_carries_its_notes(rig: Rig) -> None:
    rig.write(rig.case())
    meta = rig.route()["metadata"]
    owner = {"apiVersion": AI_GATEWAY_ROUTES.api_version, "kind": "AIGatewayRoute", "controller": True}
    rig.cluster.apply(
        {
            "apiVersion": HTTP_ROUTES.api_version,
            "kind": "HTTPRoute",
            "metadata": {
                "name": "chat",
                "namespace": rig.namespace,
                "labels": meta["labels"],
                "annotations": meta["annotations"],
                "ownerReferences": [owner | {"name": "chat", "uid": meta["uid"]}],
            },
            "spec": {"rules": [{"backendRefs": [{"name": "vllm", "port": 80}]}]},
        }
    )
    assert [held.kind for held in rig.held()] == ["AIGatewayRoute"]


@pytest.fixture
def world(ai_cluster: Cluster, tmp_path: Path) -> Iterator[OperatorWorld]:
    """The examples' namespace and an operator with the chart's rights, that finds no metrics."""
    ai_cluster.create_namespace("envoy-gateway-system")
    made = OperatorWorld(ai_cluster, ai_cluster.create_namespace("inference"), tmp_path, [])
    yield made
    made.close()


def test_the_examples_are_taken_and_the_operator_generates_their_route(
    ai_cluster: Cluster, world: OperatorWorld, repository: Path
) -> None:
    files = sorted((repository / EXAMPLES).glob("*.yaml"))
    documents = [each for file in files for each in yaml.safe_load_all(file.read_text("utf-8"))]
    strictly(ai_cluster, *documents)
    world.apply(*documents)
    rig = Rig(ai_cluster, "inference")
    (state,) = rig.states()
    assert (state.problem, state.exists, state.weights) == (None, False, {"gpu": 0, "hosted": 0})
    world.start_operator()
    world.wait(lambda: ai_cluster.exists(f"aigatewayroutes.{GROUP}", "chat", "inference"), "the generated route")
    strictly(ai_cluster, stripped(rig.route()))
    (state,) = rig.states()
    # Its controller has said nothing of it, and so nothing is known.
    assert (state.problem, state.accepted, sum(state.weights.values())) == (None, None, 100)
    world.wait(lambda: bool(world.status().get("routes")), "the route's stage in the plan's status")
    (shown,) = world.status()["routes"]
    assert (shown["stage"], shown["reason"]) == ("Written", "GatewayPending")
    assert world.condition("Ready")["status"] == "True"


def stripped(found: Object) -> Object:
    """Without what the apiserver alone writes."""
    kept = ("name", "namespace", "labels", "annotations")
    meta = {key: value for key, value in found["metadata"].items() if key in kept}
    return {key: value for key, value in found.items() if key != "status"} | {"metadata": meta}
