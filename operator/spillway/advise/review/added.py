"""Objects that come or go, in a sentence each."""

from __future__ import annotations

from spillway.advise.review.consequences import class_names, providers
from spillway.advise.review.fields import Severity
from spillway.advise.review.objects import PlanPair, PlanSide, Resource
from spillway.advise.review.values import counted, joined, price
from spillway.api import CapacityLane, CapacityPlan, DataPolicy, WorkloadClass


def added(resource: Resource, plan: PlanPair) -> tuple[str, Severity]:
    """What comes."""
    if isinstance(resource, CapacityPlan):
        lanes = joined(resource.spec.lanes)
        return f"added, in mode {resource.spec.mode.value}, with lanes {lanes}", Severity.HIGH
    if isinstance(resource, CapacityLane):
        return f"added: {_lane(resource)}{_for_classes(resource, plan.head, plan)}", Severity.MEDIUM
    return f"added: {_class(resource, plan)}", Severity.MEDIUM


def removed(resource: Resource, plan: PlanPair) -> str:
    """What goes."""
    if isinstance(resource, CapacityPlan):
        return "removed: nothing is decided on its lanes any more; replicas and traffic stay as they are"
    if isinstance(resource, CapacityLane):
        return f"removed (was {_lane(resource)}){_for_classes(resource, plan.base, plan)}"
    return "removed: its traffic is no longer planned for"


def _lane(lane: CapacityLane) -> str:
    models = joined(lane.spec.models)
    own, hosted = lane.spec.self_hosted, lane.spec.hosted
    if own is not None:
        gpus = f"{counted(own.gpu.per_replica, 'GPU')} {own.gpu.type} a replica"
        paid = f"at {price(own.price.usd_per_gpu_hour)} a GPU-hour ({own.price.commitment.value})"
        return f"{models} on {gpus} {paid}, {own.replicas.min} to {counted(own.replicas.max, 'replica')}"
    if hosted is None:
        return models
    cost = "at the dated list price"
    if hosted.price is not None:
        into, out = price(hosted.price.input_usd_per_m_tok), price(hosted.price.output_usd_per_m_tok)
        cost = f"at {into} in and {out} out per million tokens"
    return f"{hosted.model} of {hosted.provider} {cost}, as {models}"


def _for_classes(lane: CapacityLane, side: PlanSide, plan: PlanPair) -> str:
    served = [
        key for key, item in side.classes.items() if lane in (*side.own_lanes(item), *side.hosted_lanes(item))
    ]  # fmt: skip
    return f"; for {class_names(served, plan)}" if served else "; no class may use it"


def _class(item: WorkloadClass, plan: PlanPair) -> str:
    spec = item.spec
    parts = [f"{spec.latency.value} work"]
    if spec.slo is not None:
        parts.append(
            f"{spec.slo.attainment_percent}% within {spec.slo.time_to_first_token_ms:,} ms to the first token and "
            f"{spec.slo.inter_token_latency_ms:,} ms between tokens"
        )
    if spec.data_policy is DataPolicy.SELF_HOSTED_ONLY:
        parts.append("its prompts stay on own GPUs")
    elif reached := providers(plan.head, item):
        parts.append(f"its prompts may go to {joined(reached.values())}")
    else:
        parts.append("its prompts may go to hosted lanes, of which none serves it")
    if spec.budget is not None and spec.budget.monthly_usd is not None:
        parts.append(f"budget {price(spec.budget.monthly_usd)} a month")
    return ", ".join(parts)
