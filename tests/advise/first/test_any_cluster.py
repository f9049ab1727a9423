"""Whatever names and numbers a cluster has, what comes out is read by the models, by name and completely."""

from __future__ import annotations

from decimal import Decimal

import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from advise.first.worlds import H100, backend, counted, hosted, one, parsed, rule, workload, world
from spillway.advise.first import compose
from spillway.advise.first.facts import Gap, Latency, Rule, Served, TeamShare, Workload

PRICE = {"": Decimal(3)}
LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?", fullmatch=True)
OBJECTS = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,80}[a-z0-9])?", fullmatch=True)
MODELS = st.text(min_size=1, max_size=128)
SECONDS = st.one_of(st.none(), st.floats(1e-4, 1e4))
LATENCIES = st.builds(Latency, SECONDS, SECONDS, SECONDS, SECONDS)
COUNTED = st.one_of(st.none(), st.builds(counted, days=st.floats(0.004, 60)))
SERVED = st.lists(st.builds(Served, MODELS, COUNTED, LATENCIES), min_size=1, max_size=20, unique_by=lambda s: s.name)
WORKLOADS: st.SearchStrategy[Workload] = st.builds(
    workload,
    name=OBJECTS,
    models=SERVED.map(tuple),
    replicas=st.integers(0, 20_000),
    gpus_per_replica=st.one_of(st.none(), st.integers(1, 1024)),
    gpu=st.sampled_from((None, H100)),
    autoscaler=st.one_of(st.none(), st.just("HorizontalPodAutoscaler/x")),
    autoscaler_max=st.one_of(st.none(), st.integers(1, 50_000)),
    startup_seconds=SECONDS,
    engine_source=st.text(max_size=80),
)


@st.composite
def rules(draw: st.DrawFn, workloads: tuple[Workload, ...]) -> Rule:
    """A rule over some of the workloads and a proxy."""
    chosen = draw(st.lists(st.sampled_from(workloads), max_size=3))
    backends = [backend(draw(OBJECTS), draw(st.integers(0, 9)), workload=each.key) for each in chosen]
    out = backend(draw(OBJECTS), draw(st.integers(0, 9)), workload=None, proxy=draw(st.sampled_from((None, "egress"))))
    name = draw(st.one_of(st.none(), OBJECTS))
    return rule(*backends, out, name=name, route=draw(OBJECTS), counted=draw(COUNTED))


@st.composite
def worlds(draw: st.DrawFn):  # type: ignore[no-untyped-def]
    """One namespace of anything."""
    made = tuple(draw(st.lists(WORKLOADS, min_size=1, max_size=4, unique_by=lambda each: each.key)))
    names = [served.name for each in made for served in each.models]
    offered = st.builds(hosted, model=st.sampled_from(names).map(lambda name: name[:100]))
    found = one(
        *made,
        hosted=tuple(draw(st.lists(offered, max_size=2))),
        rules=tuple(draw(st.lists(rules(made), max_size=3))),
        plans=tuple(draw(st.lists(LABELS, max_size=2))),
        names=frozenset(draw(st.lists(LABELS, max_size=2))),
    )
    teams = tuple(draw(st.lists(st.builds(TeamShare, MODELS, MODELS, st.floats(0, 1e9), st.none()), max_size=3)))
    gaps = tuple(draw(st.lists(st.builds(Gap, st.text(), st.text(), st.text()), max_size=2)))
    return world(
        found, teams=teams, gaps=gaps, offers=(), gpu_types=(), given_prices=PRICE, context=draw(st.text(max_size=40))
    )


# Shrinking whole clusters would take minutes.
@settings(phases=(Phase.generate,), max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds())
def test_any_cluster_gives_manifests_that_are_read(anything) -> None:  # type: ignore[no-untyped-def]
    proposal = compose(anything)
    found = parsed(proposal)
    plan = next(spec for name, spec in found.items() if name.startswith("CapacityPlan/"))
    lanes = {name.partition("/")[2] for name in found if name.startswith("CapacityLane/")}
    assert set(plan["lanes"]) <= lanes
    assert plan["mode"] == "Recommend"
    classes = {name.partition("/")[2]: spec for name, spec in found.items() if name.startswith("WorkloadClass/")}
    for binding in plan["routing"].get("bindings", ()):
        assert binding["class"] in classes
        assert set(binding["backends"]) <= set(plan["lanes"])
    served = {name: set(found[f"CapacityLane/{name}"]["models"]) for name in lanes}
    for spec in classes.values():
        assert spec["dataPolicy"] == "SelfHostedOnly"
        assert any(set(spec["equivalentModels"]) & models for models in served.values())
    for _, text in proposal.files:
        assert len(list(yaml.safe_load_all(text))) == text.count("\nkind: ")
