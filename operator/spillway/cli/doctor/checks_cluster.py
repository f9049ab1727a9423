"""Checks of the apiserver, the CRDs, the permissions, the configuration and the objects. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from spillway.api import Mode
from spillway.cli.doctor.facts import Facts, Review
from spillway.cli.doctor.permissions import LEADER_WORKER, Need
from spillway.cli.doctor.result import Check, failed, listed, passed, skipped, warned
from spillway.config import OperatorConfig
from spillway.decide.snapshot import Severity
from spillway.observe.scope import ClusterView, LaneScope, PlanScope

API = "apiserver"
CRDS = "CRDs"
CONFIG = "configuration"
RIGHTS = "permissions"
OBJECTS = "objects"
POOLS = "GPU pools"
STOP = "emergency stop"
PRICE_UNKNOWN = "PriceUnknown"


def check_server(facts: Facts) -> Iterable[Check]:
    """Whether the apiserver answers."""
    if facts.server_version is None:
        fix = "check KUBECONFIG, --context and the network; `kubectl version` must work"
        yield failed(API, facts.server_error or "the apiserver did not answer", fix)
        return
    yield passed(API, f"Kubernetes {facts.server_version}")


def check_crds(facts: Facts) -> Iterable[Check]:
    """Whether the CRDs are those of this release."""
    fix = "spillway crds | kubectl apply --server-side -f -"
    if facts.crds_error:
        yield warned(
            CRDS, f"can't be read: {facts.crds_error}", "set rbac.clusterReads in the chart, or run as somebody who may"
        )
        return
    missing = [crd.name for crd in facts.crds if not crd.installed]
    unready = [crd.name for crd in facts.crds if crd.installed and not crd.established]
    stale = [crd.name for crd in facts.crds if crd.installed and not crd.same]
    if missing:
        yield failed(CRDS, f"not installed: {listed(missing)}", fix)
    if unready:
        yield failed(CRDS, f"not served yet: {listed(unready)}", "look at `kubectl describe crd` for the reason")
    if stale:
        yield warned(CRDS, f"not those of this release: {listed(stale)}", fix)
    if facts.crds and not (missing or unready or stale):
        yield passed(CRDS, f"{len(facts.crds)} installed, as of this release")


def check_config(facts: Facts) -> Iterable[Check]:
    """Whether there is a configuration."""
    if facts.config is None:
        fix = "give --config FILE, or --operator-namespace where the chart was installed"
        yield failed(CONFIG, facts.config_error or "no configuration found", fix)
        return
    yield passed(CONFIG, f"read from {facts.config_source}")


def check_permissions(facts: Facts) -> Iterable[Check]:
    """Whether the operator may do what its plans ask of it."""
    if facts.reviews_error:
        fix = "--as needs the right to impersonate; or run the doctor in the operator's pod"
        yield failed(RIGHTS, f"can't be asked for {facts.user}: {facts.reviews_error}", fix)
        return
    if not facts.reviews:
        yield skipped(RIGHTS, "not asked")
        return
    yield from _recommend_rights(facts)
    yield from _apply_rights(facts)


def _recommend_rights(facts: Facts) -> Iterable[Check]:
    denied = [review for review in facts.reviews if review.permission.need is Need.RECOMMEND and not review.allowed]
    fix = "install or upgrade the chart with rbac.create=true and the namespaces that the plans are in"
    needed = [_said(review) for review in denied if not review.permission.optional]
    useful = [_said(review) for review in denied if review.permission.optional]
    if needed:
        yield failed(RIGHTS, f"{facts.user} may not {listed(needed)}", fix)
    if useful:
        yield warned(
            RIGHTS, f"{facts.user} may not {listed(useful)}", "set rbac.clusterReads=true, where that is wanted"
        )
    if not denied:
        yield passed(RIGHTS, f"{facts.user} may recommend")


def _apply_rights(facts: Facts) -> Iterable[Check]:
    denied = [review for review in facts.reviews if review.permission.need is Need.APPLY and not review.allowed]
    plans = [scope.plan for scope in facts.view.plans] if facts.view else []
    applying = [plan.metadata.key for plan in plans if plan.spec.mode is Mode.APPLY]
    needed = [_said(review) for review in denied if review.permission.group != LEADER_WORKER]
    if not needed:
        yield passed(RIGHTS, f"{facts.user} may apply")
    elif applying:
        message = f"{facts.user} may not {listed(needed)}, but plans are in mode Apply: {listed(applying)}"
        yield failed(RIGHTS, message, "helm upgrade with --set rbac.mode=apply, or set spec.mode: Recommend")
    else:
        yield skipped(RIGHTS, f"{facts.user} may not apply, and no plan is in mode Apply")


def _said(review: Review) -> str:
    return review.permission.text + (f" in {review.namespace}" if review.namespace else "")


def check_objects(facts: Facts) -> Iterable[Check]:
    """Conflicts, missing references, classes that no plan allows: what the operator itself found."""
    view = facts.view
    if view is None:
        yield skipped(OBJECTS, facts.view_error or "the cluster could not be read")
        return
    if not view.plans:
        yield warned(
            OBJECTS, "no CapacityPlan yet", "kubectl apply -f one; `kubectl explain capacityplan.spec` says how"
        )
        return
    found = _findings(facts, view)
    for (reason, message), severity in found.items():
        if severity is Severity.ERROR:
            yield failed(OBJECTS, f"{reason}: {message}", "")
        else:
            yield warned(OBJECTS, f"{reason}: {message}", "")
    yield from _lonely(view)
    if not found:
        lanes = sum(len(scope.lanes) for scope in view.plans)
        classes = sum(len(scope.classes) for scope in view.plans)
        said = f"plans: {len(view.plans)}, lanes: {lanes}, classes: {classes}, without conflict"
        yield passed(OBJECTS, said)


def _findings(facts: Facts, view: ClusterView) -> dict[tuple[str, str], Severity]:
    """Each finding once, errors first; prices have a check of their own."""
    decided = [finding for _, decision in facts.plans for finding in decision.findings]
    every = decided or [finding for scope in view.plans for finding in scope.findings]
    every = [finding for finding in every if finding.reason != PRICE_UNKNOWN]
    every += [finding for found in view.object_findings.values() for finding in found]
    ordered = sorted(
        every, key=lambda finding: (finding.severity is not Severity.ERROR, finding.subject, finding.reason)
    )
    return {(finding.reason, finding.message): finding.severity for finding in ordered}


def _lonely(view: ClusterView) -> Iterable[Check]:
    unused = [
        lane.metadata.key
        for lane in view.lanes
        if f"{lane.KIND}/{lane.metadata.key}" not in view.object_plans
        and f"{lane.KIND}/{lane.metadata.key}" not in view.object_findings
    ]
    if unused:
        yield warned(OBJECTS, f"lanes in no plan: {listed(unused)}", "name them in a plan's spec.lanes, or delete them")
    empty = [scope.plan.metadata.key for scope in view.plans if not scope.classes]
    if empty:
        yield warned(
            OBJECTS, f"plans without a class: {listed(empty)}", "create a WorkloadClass with this spec.planRef"
        )


def check_replicas(facts: Facts) -> Iterable[Check]:
    """Whether Git or kubectl will put ``replicas`` back."""
    fix = "take replicas out of the manifest in Git; Argo CD: ignoreDifferences for manager spillway-controller"
    for fact in facts.targets:
        managers = [*fact.appliers, *(["kubectl apply"] if fact.replicas_in_last_applied else [])]
        if managers:
            message = f"{fact.target}: {listed(managers)} also sets replicas; its next run resets Spillway's value"
            yield warned(OBJECTS, message, fix)


def check_pools(facts: Facts) -> Iterable[Check]:
    """Pools that lanes name, and whether the nodes have the GPUs that the pools promise."""
    config, view = facts.config, facts.view
    if config is None or view is None:
        return
    known = {pool.name for pool in config.gpu_pools}
    used = dict.fromkeys(pool for scope in view.plans for lane in scope.lanes if (pool := _pool(lane)))
    for name in (name for name in used if name not in known):
        fix = "add it to gpuPools in the operator's configuration (chart: config.gpuPools)"
        yield failed(POOLS, f"lanes name pool {name}, which the configuration lacks", fix)
    yield from _pool_sizes(config, view)
    yield from (check for scope in view.plans for check in _shares(scope))


def _pool(lane: LaneScope) -> str | None:
    own = lane.resource.spec.self_hosted
    return own.gpu.pool if own else None


def _pool_sizes(config: OperatorConfig, view: ClusterView) -> Iterable[Check]:
    promised = sum(pool.gpus for pool in config.gpu_pools)
    if view.gpus_allocatable is None:
        yield warned(POOLS, "nodes may not be read: allocated GPUs are not known", "set rbac.clusterReads=true")
    elif promised > view.gpus_allocatable:
        message = f"pools promise {promised} GPUs, nodes have {view.gpus_allocatable:g} allocatable now"
        yield warned(POOLS, message, "right where nodes are added on demand; else lower gpuPools[].gpus")
    elif config.gpu_pools:
        yield passed(POOLS, f"{promised} GPUs in {len(config.gpu_pools)} pools, {view.gpus_allocatable:g} allocatable")


def _shares(scope: PlanScope) -> Iterable[Check]:
    for lane in scope.lanes:
        own = lane.resource.spec.self_hosted
        if own is None or lane.pool_gpus is None:
            continue
        fits = max(0, lane.pool_gpus - lane.pool_gpus_others) // own.gpu.per_replica
        if fits < own.replicas.min:
            message = (
                f"lane {lane.key}: room for {fits} replicas in pool {own.gpu.pool}, replicas.min is {own.replicas.min}"
            )
            yield failed(POOLS, message, "raise the namespace's share in gpuPools, or lower replicas.min")


def check_stop(facts: Facts) -> Iterable[Check]:
    """Whether the emergency stop holds anywhere."""
    if facts.view is None:
        return
    stopped = [(scope.plan.metadata.key, scope.stopped) for scope in facts.view.plans if scope.stopped]
    for plan, why in stopped:
        yield warned(STOP, f"plan {plan} is stopped: {why}", "take the stop back when the reason has passed")
    if facts.global_stop and not stopped:
        yield warned(
            STOP, f"everything is stopped: {facts.global_stop}", "take the stop back when the reason has passed"
        )
    if not stopped and not facts.global_stop:
        yield passed(STOP, "off")
