"""``spillway pause`` and ``spillway resume``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from spillway.act.approval.carry import NOT_KNOWN
from spillway.act.approval.interruption import checkpoint, noting, unanswered
from spillway.act.approval.pausing import is_paused, reason_of, set_paused, settled
from spillway.api.names import STOP_ANNOTATION
from spillway.api.tracking import Tracker, stated, tracker_of
from spillway.cli.approval.gitform import kustomize_patch, snippet
from spillway.cli.approval.show import told, wrapped
from spillway.cli.approval.tally import Tally
from spillway.cli.connection import Connection
from spillway.cli.output import Form
from spillway.kube import PLANS, Items, Kube, KubeError

JSON = dict[str, Any]

PAUSED_MEANS = (
    "Replicas and weights stay as they are until `spillway resume`: nothing is scaled or moved, whatever demand does, "
    "and no ceiling takes traffic off hosted lanes. Limits that are armed in gateways stay. Recommendations go on. "
    "Proposals that wait for the plan end, for its spec has changed."
)
RESUMED_MEANS = "The operator acts again at its next tick, within the plan's guards."
REASON_LENGTH = 512
FAILED = ("failed", "not known")


@dataclass(frozen=True, slots=True)
class Wish:
    """What to do to plans."""

    paused: bool
    names: tuple[str, ...]
    everything: bool
    reason: str | None = None
    dry_run: bool = False

    @property
    def done(self) -> str:
        """The word for it."""
        return "paused" if self.paused else "resumed"


async def pause_command(connection: Connection, wish: Wish, form: Form) -> int:
    """Pause or resume each plan; returns the exit status: 1 where one was refused or has to go by Git."""
    reason = " ".join(wish.reason.split()) if wish.reason is not None else None
    if reason is not None and not 0 < len(reason) <= REASON_LENGTH:
        raise click.UsageError(f"--reason has {len(reason)} characters: from 1 to {REASON_LENGTH}")
    if bool(wish.names) == wish.everything:
        raise click.UsageError(f"name the plans, or --all, not both: which are to be {wish.done}?")
    tally = Tally(form)
    with tally.kept():
        async with await connection.connect() as kube:
            plans = _chosen(await _plans(kube, connection), connection, wish.names)
            tally.places = [(plan["metadata"]["namespace"], plan["metadata"]["name"]) for plan in plans]
            for plan in plans:
                answer = await _one(kube, plan, wish, reason)
                tally.answers.append(answer)
                _tell(answer, wish, form)
    if not form.as_json and any(answer["result"] == wish.done for answer in tally.answers):
        click.echo(wrapped(PAUSED_MEANS if wish.paused else RESUMED_MEANS, hang=""))
    return int(any(answer["result"] in ("for Git", *FAILED) for answer in tally.answers))


async def _plans(kube: Kube, connection: Connection) -> Items:
    try:
        return await kube.list_in(PLANS, connection.namespaces())
    except KubeError as error:
        if error.not_found:
            raise click.ClickException("the cluster has no CapacityPlans: apply `spillway crds`") from error
        if error.forbidden:
            where = ", ".join(connection.namespaces()) or "all namespaces"
            raise click.ClickException(f"you lack list on capacityplans.spillway.dev in {where}") from error
        raise


def _chosen(plans: Items, connection: Connection, names: Sequence[str]) -> Items:
    found: Items = []
    for name in dict.fromkeys(names):
        hits = [plan for plan in plans if plan["metadata"]["name"] == name]
        if len(hits) != 1:
            where = ", ".join(connection.namespaces()) or "any namespace"
            several = ", ".join(each["metadata"]["namespace"] for each in hits)
            raise click.ClickException(
                f"CapacityPlan {name} is in several namespaces ({several}); choose one by -n"
                if hits
                else f"there is no CapacityPlan {name} in {where}; see kubectl get cplan -A"
            )
        found += hits
    if not names and not plans:
        raise click.ClickException(f"there is no CapacityPlan in {', '.join(connection.namespaces()) or 'the cluster'}")
    return found if names else plans


async def _one(kube: Kube, plan: JSON, wish: Wish, reason: str | None) -> JSON:
    meta = plan["metadata"]
    answer = {"namespace": meta["namespace"], "name": meta["name"]}
    if settled(plan, wish.paused, reason):
        why = f": {reason_of(plan)}" if wish.paused and reason_of(plan) else ""
        return answer | {"result": f"already {wish.done}", "detail": f"spec.paused is {str(wish.paused).lower()}{why}"}
    tracker = tracker_of(plan)
    if tracker is not None and is_paused(plan) != wish.paused and stated(plan, "paused"):
        return answer | {"result": "for Git", "detail": _undone(tracker, meta, wish)} | _git(plan, wish)
    await checkpoint()
    try:
        if wish.dry_run:
            await set_paused(kube, plan, wish.paused, reason, dry_run=True)
        else:
            with noting(lambda: f"plan {meta['namespace']}/{meta['name']}: {NOT_KNOWN}"):
                await set_paused(kube, plan, wish.paused, reason, dry_run=False)
    except KubeError as error:
        if unanswered(error) and not wish.dry_run:
            return answer | {"result": "not known", "detail": f"{error.message}; {NOT_KNOWN}"}
        return answer | {"result": "failed", "detail": error.message}
    if wish.dry_run:
        return answer | {"result": "dry run", "detail": f"could be {wish.done}; nothing was written"}
    return answer | {"result": wish.done, "detail": _mode(plan) + _stays(tracker) + (reason or "")}


def _mode(plan: JSON) -> str:
    mode = (plan.get("spec") or {}).get("mode", "Recommend")
    return "" if mode == "Apply" else f"mode is {mode}: it changes nothing anyway; "


def _stays(tracker: Tracker | None) -> str:
    return f"Git, by {tracker.text}, says nothing of spec.paused, so that this stays; " if tracker else ""


def _undone(tracker: Tracker, meta: JSON, wish: Wish) -> str:
    said = f"it comes from Git by {tracker.text}, which would undo it; commit the patch below"
    if not wish.paused:
        return said
    # Flux takes back what a manager of kubectl's has written to a namespace that is in Git.
    stop = f"kubectl annotate namespace {meta['namespace']} {STOP_ANNOTATION}=true --field-manager=spillway-stop"
    return f"{said}. At once, for all plans of the namespace: {stop}"


def _git(plan: JSON, wish: Wish) -> JSON:
    key = ("CapacityPlan", plan["metadata"]["namespace"], plan["metadata"]["name"])
    steps = [{"op": "add", "path": "/spec/paused", "value": wish.paused}]
    return {"kustomize": kustomize_patch(key, steps), "manifest": snippet(key, plan, steps)}


def _tell(answer: JSON, wish: Wish, form: Form) -> None:
    if form.as_json:
        return
    result = f"not {wish.done}" if answer["result"] in ("for Git", "failed") else answer["result"]
    place = f"{answer['namespace']}/{answer['name']}"
    click.echo(told(place, result, answer["detail"].rstrip("; "), form), err=answer["result"] in FAILED)
    if "kustomize" in answer:
        click.echo(f"# in a kustomization.yaml\n{answer['kustomize']}# or in its manifest\n{answer['manifest']}")
