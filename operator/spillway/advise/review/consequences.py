"""What follows from a changed field, where that isn't plain from its words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from spillway.advise.review.fields import words_of
from spillway.advise.review.objects import Pair, PlanPair, PlanSide
from spillway.advise.review.values import joined, price
from spillway.advise.review.walk import Difference
from spillway.api import CapacityLane, DataPolicy, LatencyClass, WorkloadClass

ALONE = "own GPUs alone hold the objective"
BY_COST = (
    f"own replicas are then sized by what they save in hosted tokens, not so that {ALONE}: fewer of them, and more of "
    "the misses that it allows, may follow"
)


@dataclass(frozen=True, slots=True)
class Case:
    """A difference and where it stands."""

    found: Difference
    pair: Pair
    plan: PlanPair


def consequence(case: Case) -> str:
    """Words behind the sentence; empty where there is nothing to add."""
    tell = TELLING.get((case.pair.kind, case.found.node.pattern))
    return "" if tell is None else tell(case)


def providers(side: PlanSide, item: WorkloadClass | None) -> dict[str, str]:
    """Providers that may get the class's prompts, with the lanes by which they do."""
    found: dict[str, list[str]] = {}
    for lane in () if item is None else side.hosted_lanes(item):
        if lane.spec.hosted is not None:
            found.setdefault(lane.spec.hosted.provider, []).append(lane.metadata.name)
    return {
        name: f"provider {name} (lane{'s' if len(lanes) > 1 else ''} {joined(lanes)})" for name, lanes in found.items()
    }


def new_providers(plan: PlanPair) -> dict[str, dict[str, str]]:
    """By class that is on both sides, be it in another plan: providers that get its prompts on head alone."""
    found = {}
    for key, item in plan.head.classes.items():
        before = plan.before(key)
        if before is None:
            continue
        known = providers(*before)
        more = {name: text for name, text in providers(plan.head, item).items() if name not in known}
        if more:
            found[key] = more
    return found


def short_class(key: str, plan: PlanPair) -> str:
    """A class as people call it: by its name, where no other class of the plan has the same."""
    name = key.partition("/")[2]
    names = [each.partition("/")[2] for each in {*plan.base.classes, *plan.head.classes}]
    return key if names.count(name) > 1 else name


def _data_policy(case: Case) -> str:
    """Where its prompts go, and what that makes of its own replicas (docs/concepts.md)."""
    before, after = case.pair.before, case.pair.after
    if not isinstance(after, WorkloadClass) or not isinstance(before, WorkloadClass):
        return ""
    if after.spec.data_policy is DataPolicy.SELF_HOSTED_ONLY:
        text = "its prompts stay on own GPUs, whatever the load"
        both = _justifies_own(case.plan.head, after) and case.plan.base.fallbacks(before)
        return f"{text}; replicas are then sized so that {ALONE}, whatever they cost" if both else text
    reached = providers(case.plan.head, after).values()
    if not reached:
        return "its prompts may now leave own GPUs, though no hosted lane of the plan serves one of its models yet"
    text = f"prompts may now go to {joined(reached)}"
    both = _justifies_own(case.plan.head, after) and case.plan.head.fallbacks(after)
    return f"{text}; {BY_COST}" if both else text


def _justifies_own(side: PlanSide, item: WorkloadClass) -> bool:
    """Whether own replicas are sized for it: deferrable classes take what is left over."""
    return item.spec.latency is not LatencyClass.DEFERRABLE and bool(side.own_lanes(item))


def _new_reach(case: Case) -> str:
    """Which classes' prompts go to whom they did not go to before."""
    own = case.pair.key if case.pair.kind == WorkloadClass.KIND else None
    found = new_providers(case.plan)
    texts = []
    for key, more in found.items():
        if own is not None and key != own:
            continue
        whose = "prompts" if own is not None else f"prompts of class {short_class(key, case.plan)}"
        texts.append(f"{whose} may now go to {joined(more.values())}")
    return "; ".join(texts)


def _minimum(case: Case) -> str:
    lane, before, after = _self_hosted(case), case.found.before, case.found.after
    if lane is None or before is None or after is None:
        return ""
    money = _per_hour(lane, abs(after - before))
    if after > before:
        return f"{money} more an hour is paid even without traffic"
    return f"up to {money} less an hour where there is little traffic{'' if after else _off(case, lane)}"


def _off(case: Case, lane: CapacityLane) -> str:
    """What a minimum of 0 comes to: the operator leaves a replica where a class has nowhere else to go."""
    side = case.plan.head
    served = [key for key, item in side.classes.items() if lane in side.own_lanes(item)]
    stuck = [key for key in served if not side.fallbacks(side.classes[key])]
    if stuck:
        return f"; 1 replica stays all the same, as class {class_names(stuck, case.plan)} has no hosted lane to go to"
    return "; the lane may go off entirely, and what comes then goes to a hosted lane until it has started"


def _maximum(case: Case) -> str:
    lane, before, after = _self_hosted(case), case.found.before, case.found.after
    if lane is None or before is None or after is None:
        return ""
    if after < before:
        return "peaks beyond that go to hosted lanes, or wait"
    return f"peaks may cost {_per_hour(lane, after - before)} more an hour on own GPUs"


def _gpu_type(case: Case) -> str:
    """Price and speed belong to a type: what was left as it was is worth a look."""
    before, after = case.pair.before, case.pair.after
    if not isinstance(before, CapacityLane) or not isinstance(after, CapacityLane):
        return ""
    old, new = before.spec.self_hosted, after.spec.self_hosted
    if old is None or new is None:
        return ""
    same = [f"price ({price(new.price.usd_per_gpu_hour)} an hour)"] if old.price == new.price else []
    same += ["declared speed"] if old.profile is not None and old.profile == new.profile else []
    return f"{joined(same)} left as with the old type: check that" if same else ""


def _gpus(case: Case) -> str:
    """What a replica comes to: its GPUs and their price may both change."""
    before, after = case.pair.before, case.pair.after
    if not isinstance(before, CapacityLane) or not isinstance(after, CapacityLane):
        return ""
    old, new = (
        None if own is None else price(own.price.usd_per_gpu_hour * own.gpu.per_replica)
        for own in (before.spec.self_hosted, after.spec.self_hosted)
    )
    return "" if old is None or new is None else f"a replica costs {new} an hour instead of {old}"


def _backend(case: Case) -> str:
    """Who may serve the class now, or no longer."""
    name = case.found.node.path.rpartition(".")[2]
    if case.found.before is not None and case.found.after is not None:
        return ""
    gone = case.found.after is None
    side = case.plan.base if gone else case.plan.head
    lane = side.lanes.get(name)
    if lane is None:
        return ""
    what = "the lane's GPUs" if lane.spec.self_hosted is not None else "the lane's provider"
    if gone:
        return f"{what} no longer serve{'s' if lane.spec.hosted else ''} this class"
    reach = _new_reach(case)
    return reach or f"{what} may now serve this class, too"


def _lanes(case: Case) -> str:
    """Lanes that come without an object, and whose prompts go where they did not go."""
    missing = [name for name in case.found.after if name not in case.plan.head.lanes]
    texts = [f"no CapacityLane {joined(missing)} is in the manifests"] if missing else []
    reach = _new_reach(case)
    return "; ".join([*texts, reach] if reach else texts)


def _plan_ref(case: Case) -> str:
    """A plan that isn't there, or whom it lets the prompts go to."""
    after = case.pair.after
    if not isinstance(after, WorkloadClass):
        return ""
    side = case.plan.head_plans.get(after.plan_key)
    if side is None or side.plan is None:
        return f"no CapacityPlan {after.plan_key} is in the manifests"
    return _new_reach(case)


def _overflow(case: Case) -> str:
    note = words_of("CapacityPlan", "overflow.mode").notes.get(str(case.found.after), "")
    reach = _new_reach(case)
    return "; ".join(text for text in (note, reach) if text)


def _lane_type(_: Case) -> str:
    return "the apiserver refuses that; create another lane"


def _self_hosted(case: Case) -> CapacityLane | None:
    after = case.pair.after
    return after if isinstance(after, CapacityLane) and after.spec.self_hosted is not None else None


def _per_hour(lane: CapacityLane, replicas: int) -> str:
    own = lane.spec.self_hosted
    if own is None:
        return price(Decimal(0))
    return price(own.price.avoidable_usd_per_gpu_hour * own.gpu.per_replica * replicas)


TELLING: Mapping[tuple[str, str], Callable[[Case], str]] = {
    ("WorkloadClass", "dataPolicy"): _data_policy,
    ("WorkloadClass", "equivalentModels"): _new_reach,
    ("WorkloadClass", "planRef"): _plan_ref,
    ("CapacityLane", "models"): _new_reach,
    ("CapacityLane", "hosted.provider"): _new_reach,
    ("CapacityLane", "selfHosted.replicas.min"): _minimum,
    ("CapacityLane", "selfHosted.replicas.max"): _maximum,
    ("CapacityLane", "selfHosted.gpu.type"): _gpu_type,
    ("CapacityLane", "selfHosted.gpu.perReplica"): _gpus,
    ("CapacityLane", "type"): _lane_type,
    ("CapacityPlan", "lanes"): _lanes,
    ("CapacityPlan", "overflow.mode"): _overflow,
    ("CapacityPlan", "routing.bindings[].backends.*"): _backend,
}


def class_names(keys: Iterable[str], plan: PlanPair) -> str:
    """Such as "chat and team-a/code"."""
    return joined(short_class(key, plan) for key in keys)
