"""LiteLLM: one ConfigMap holds all of a plan's bindings, and a rollout of the proxy's Deployment puts it into force.

As the only gateway it carries every class; behind a gateway it is the egress, whose limits and budget it keeps.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from spillway.act.litellm.compare import Written, diff, read_back
from spillway.act.litellm.deployments import asked_names
from spillway.act.litellm.render import HASH_ANNOTATION, config_map, render, rollout_patch
from spillway.act.litellm.steady import Pace, decided_before, due, note, steadied
from spillway.act.litellm.terms import Terms
from spillway.act.litellm.values import Decided, ProxyRole, ProxySettings, Sending
from spillway.act.litellm.values import Rendered as Configuration
from spillway.act.ownership import drop_notes
from spillway.act.planes.changes import send_all
from spillway.act.planes.confirming import counted
from spillway.act.planes.plane import (
    Change,
    Confirmation,
    Evidence,
    Found,
    Held,
    How,
    Move,
    Refusal,
    Rendered,
    Stage,
    Wanted,
)
from spillway.act.writes import Outcome, Write
from spillway.api import CapacityPlan, DataPolicy, OverflowMode, RoutingPlane
from spillway.api.litellm import LiteLLMProxy
from spillway.api.names import MANAGED_LABEL, MANAGED_VALUE, PLAN_ANNOTATION
from spillway.api.proxynote import NOTE_ANNOTATION, ProxyNote, note_of, ownership_problem
from spillway.decide.snapshot import RouteState
from spillway.kube import CONFIG_MAPS, DEPLOYMENTS, FIELD_MANAGER, Kube, KubeError

CONFIG_MAP, DEPLOYMENT = "ConfigMap", "Deployment"

JSON = dict[str, Any]

logger = logging.getLogger("spillway.act")


@dataclass(frozen=True, slots=True)
class LiteLLM:
    """The proxy of a plan that names one. Without one it does nothing."""

    role: ProxyRole = ProxyRole.FRONT
    name: RoutingPlane = RoutingPlane.LITELLM

    async def read(self, kube: Kube, wanted: Wanted) -> Found:
        """The ConfigMap and the Deployment."""
        proxy, namespace = wanted.plan.spec.routing.litellm, wanted.plan.metadata.namespace
        found: dict[str, JSON] = {}
        if proxy is not None:
            pairs = ((CONFIG_MAP, CONFIG_MAPS, proxy.config_map), (DEPLOYMENT, DEPLOYMENTS, proxy.deployment))
            for kind, resource, name in pairs:
                item = await kube.find(resource, namespace, name)
                if item is not None:
                    found[f"{kind}/{namespace}/{name}"] = item
        return Found(found)

    def render(self, wanted: Wanted, found: Found) -> Rendered:
        """The ConfigMap where its content should change and may now, and the rollout where one is due."""
        proxy = wanted.plan.spec.routing.litellm
        return Rendered() if proxy is None else _Proxy(self.role, wanted, found, proxy).rendered()

    def diff(self, found: Found, rendered: Rendered) -> tuple[str, ...]:
        """The words of each change."""
        return tuple(f"{change.subject}: {word}" for change in rendered.changes for word in change.words)

    async def apply(self, kube: Kube, rendered: Rendered) -> tuple[Write, ...]:
        """First the content, then the rollout."""
        for finding in rendered.findings if rendered.changes else ():
            logger.warning("%s: %s", finding.reason, finding.message)
        return await send_all(kube, rendered)

    async def confirm(
        self, kube: Kube, plan: CapacityPlan, moves: Sequence[Move], evidence: Evidence
    ) -> tuple[Confirmation, ...]:
        """By what each pod says it has loaded, then by the lanes' counters."""
        routes = {route.class_name: route for route in evidence.routes}
        spills = plan.spec.overflow.mode is OverflowMode.SPILL
        return tuple(_confirmed(move, routes.get(move.class_name), evidence, spills) for move in moves)

    async def held(self, kube: Kube, namespaces: Sequence[str]) -> AsyncIterator[Held]:
        """ConfigMaps with a configuration of Spillway's."""
        label = f"{MANAGED_LABEL}={MANAGED_VALUE}"
        for namespace in namespaces or (None,):
            for item in await kube.list(CONFIG_MAPS, namespace, label_selector=label):
                meta = item["metadata"]
                if HASH_ANNOTATION in (meta.get("annotations") or {}):
                    yield Held(CONFIG_MAPS, CONFIG_MAP, meta["namespace"], meta["name"], "", self.name)

    async def release(self, kube: Kube, held: Held, *, restore: bool) -> Write:
        """Notes and ownership are dropped, so that nobody but its owner writes it again; the configuration stays.

        The Deployment keeps its annotation: without it every pod would be started anew.
        """
        notes = (PLAN_ANNOTATION, HASH_ANNOTATION, NOTE_ANNOTATION)
        try:
            await drop_notes(kube, held.resource, held.namespace, held.name, notes, labelled=True)
        except KubeError as error:
            return Write("release", held.subject, "not released", Outcome.FAILED, error.message)
        return Write("release", held.subject, "configuration kept as it is", Outcome.WRITTEN)


def _confirmed(move: Move, route: RouteState | None, found: Evidence, spills: bool) -> Confirmation:
    name = move.class_name
    if route is None or not route.exists:
        return Confirmation(name, Stage.WRITTEN, "ConfigMissing", f"no configuration is written for {name} yet")
    if route.accepted is False:
        message = f"not every pod of the proxy has loaded the configuration in ConfigMap {route.route}"
        return Confirmation(name, Stage.WRITTEN, "RolloutPending", message)
    if route.accepted is None:
        message = "the proxy's pods don't tell Prometheus what they have loaded: scrape them with namespace and pod"
        return Confirmation(name, Stage.ACCEPTED, "LoadedUnknown", message)
    return counted(move, found, spills)


class _Proxy:
    """One proxy: what the cluster has of it, and what it should be."""

    def __init__(self, role: ProxyRole, wanted: Wanted, found: Found, proxy: LiteLLMProxy) -> None:
        self._role, self._wanted, self._proxy = role, wanted, proxy
        self._plan, self._namespace = wanted.plan, wanted.plan.metadata.namespace
        self._config_map = found.get(CONFIG_MAP, self._namespace, proxy.config_map)
        self._deployment = found.get(DEPLOYMENT, self._namespace, proxy.deployment)
        self._terms = wanted.terms or Terms(wanted.at)
        self._keys = {item.metadata.name: item.metadata.key for item in wanted.classes}

    def rendered(self) -> Rendered:
        """Changes, refusals, findings."""
        where = f"{CONFIG_MAP} {self._namespace}/{self._proxy.config_map}"
        problem = ownership_problem(self._config_map, where, self._plan.metadata.key, FIELD_MANAGER)
        if problem is None and self._deployment is None:
            problem = f"{DEPLOYMENT} {self._namespace}/{self._proxy.deployment} does not exist"
        if problem is not None or self._config_map is None or self._deployment is None:
            return Rendered(refused=self._refusals(problem or where))
        noted = note_of(self._config_map)
        before = None if noted is None else decided_before(noted, self._keys)
        written = _read_back(self._config_map)
        wanted = self._decided(before)
        edited = _is_edited(self._config_map, written)
        if edited:
            # Pods may have started with the edit, under the same hash: this makes it another one.
            wanted = replace(wanted, mended_at=int(self._wanted.at))
        made = self._render(steadied(wanted, before))
        changes: list[Change] = []
        waiting = False
        in_force = "" if written is None or edited else written.content_hash
        if written is None or not written.intact or written.content_hash != made.content_hash:
            waiting = not due(made, written, self._pace(noted))
            if not waiting:
                fresh = steadied(wanted, before)
                if self._terms.left_known:
                    # Where something is written anyhow, what is left of the budget is renewed as well.
                    fresh = replace(fresh, budget=wanted.budget)
                made = self._render(fresh)
                changes.append(self._content(made, written, fresh))
                in_force = made.content_hash
        if in_force and self._rolled() != in_force:
            changes.append(self._rollout(replace(made, content_hash=in_force)))
        return Rendered(tuple(changes), findings=made.findings, waiting=waiting)

    def _decided(self, before: Decided | None) -> Decided:
        """What was decided now, with what was decided before where nothing new is known."""
        own = self._wanted.own
        weights = (
            {} if before is None else {key: before.weights[key] for key in self._keys.values() if key in before.weights}
        )
        weights |= {
            self._keys[name]: dict(found)
            for name, found in self._wanted.weights.items()
            if name in self._keys and name in self._wanted.moving and sum(found.values()) > 0
        }
        caps = {} if before is None else {lane: cap for lane, cap in before.in_flight.items() if lane in own}
        caps |= {lane: cap for lane, cap in self._wanted.in_flight.items() if lane in own}
        return Decided(
            sending=self._sending(),
            weights=weights,
            in_flight=caps,
            hosted_order=self._terms.hosted_order(),
            armed=self._terms.armed(),
            budget=self._terms.budget,
            mended_at=0 if before is None else before.mended_at,
        )

    def _sending(self) -> Sending:
        mode = self._plan.spec.overflow.mode
        if mode is OverflowMode.NEVER:
            return Sending.NEVER
        # Behind a gateway the proxy only tries hosted lanes in their order.
        spills = mode is OverflowMode.SPILL or self._role is ProxyRole.EGRESS
        return Sending.SPILL if spills else Sending.SPLIT

    def _render(self, decided: Decided) -> Configuration:
        replicas = int(((self._deployment or {}).get("spec") or {}).get("replicas", 1))
        settings = ProxySettings(
            self._proxy.config_map,
            self._namespace,
            self._role,
            self._proxy.addresses,
            replicas,
            self._proxy.processes_per_replica,
        )
        return render(self._plan, self._wanted.classes, self._wanted.lanes, settings, decided)

    def _pace(self, noted: ProxyNote | None) -> Pace:
        never = self._plan.spec.overflow.mode is OverflowMode.NEVER
        at_home = {
            name
            for item in self._wanted.classes
            if never or item.spec.data_policy is not DataPolicy.ANY
            for name in asked_names(item)
        }
        at = None if noted is None else noted.at
        return Pace(self._wanted.at, at, bool(self._terms.hurry), frozenset(at_home))

    def _content(self, made: Configuration, written: Written | None, decided: Decided) -> Change:
        names = {key: name for name, key in self._keys.items()}
        text = note(decided, names, self._wanted.at, len(made.deployments)).to_text()
        version = ((self._config_map or {}).get("metadata") or {}).get("resourceVersion", "")
        words = diff(written, made)
        return Change(
            "config",
            CONFIG_MAPS,
            CONFIG_MAP,
            self._namespace,
            made.name,
            How.APPLY,
            config_map(made, text, version),
            f"configuration {made.content_hash}",
            words,
            group=made.name,
        )

    def _rollout(self, made: Configuration) -> Change:
        return Change(
            "rollout",
            DEPLOYMENTS,
            DEPLOYMENT,
            self._namespace,
            self._proxy.deployment,
            How.MERGE_PATCH,
            rollout_patch(made),
            f"to configuration {made.content_hash}",
            (f"rolled out to configuration {made.content_hash}",),
            group=made.name,
        )

    def _rolled(self) -> str:
        """Hash of the configuration that the Deployment's pods are made for."""
        template: Mapping[str, Any] = ((self._deployment or {}).get("spec") or {}).get("template") or {}
        return str(((template.get("metadata") or {}).get("annotations") or {}).get(HASH_ANNOTATION) or "")

    def _refusals(self, why: str) -> tuple[Refusal, ...]:
        subject = f"{CONFIG_MAP}/{self._namespace}/{self._proxy.config_map}"
        names = sorted(self._wanted.moving) or [""]
        return tuple(Refusal(name, subject, f"configuration for {name or 'the plan'}", why) for name in names)


def _read_back(item: JSON) -> Written | None:
    """What is written; None where there is nothing yet, or nothing that can be understood: it is written anew."""
    try:
        return read_back(item)
    except ValueError:
        return None


def _is_edited(item: JSON, written: Written | None) -> bool:
    """Whether its data is not what Spillway's hash on it stands for."""
    if written is not None:
        return not written.intact
    return bool(((item.get("metadata") or {}).get("annotations") or {}).get(HASH_ANNOTATION))
