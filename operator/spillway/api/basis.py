"""What a proposal rests on: the plan, its lanes and its classes, each with the generation of its spec."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from spillway.api.lane import CapacityLane
from spillway.api.lanechange import BasisObject, ChangedKind
from spillway.api.plan import CapacityPlan
from spillway.api.workloadclass import WorkloadClass

HASH_DIGITS = 16

Owner = CapacityPlan | CapacityLane | WorkloadClass


def basis_of(objects: Iterable[Owner]) -> tuple[BasisObject, ...]:
    """The objects with their generations, in a fixed order."""
    found = [
        BasisObject(
            kind=ChangedKind(each.KIND),
            namespace=each.metadata.namespace,
            name=each.metadata.name,
            uid=each.metadata.uid,
            generation=each.metadata.generation,
        )
        for each in objects
    ]
    return tuple(sorted(found, key=lambda each: (each.kind, each.namespace, each.name)))


def basis_hash(basis: Sequence[BasisObject]) -> str:
    """What an approval is bound to: SHA-256 of the basis, the first 16 digits.

    A generation counts the changes of a spec, so releases of Spillway that know other fields agree on it.
    """
    ordered = sorted(basis, key=lambda each: (each.kind, each.namespace, each.name))
    lines = [f"{b.kind}/{b.namespace}/{b.name} {b.uid} {b.generation}" for b in ordered]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:HASH_DIGITS]
