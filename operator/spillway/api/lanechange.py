"""LaneChange: a structural change that the operator proposes and a person approves, once."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, JsonValue

from spillway.api.common import AttainmentText, Model, Name, ObjectMeta, ObjectName, SignedDecimalText
from spillway.api.status import CONDITIONS_LIST, Condition


class ChangeReason(StrEnum):
    """What is structurally better, in one word."""

    LOWER_MINIMUM = "LowerMinimum"
    RAISE_MAXIMUM = "RaiseMaximum"
    REMOVE_LANE = "RemoveLane"
    MOVE_CLASS = "MoveClass"


class ChangeState(StrEnum):
    """How far a proposal has come."""

    PROPOSED = "Proposed"
    APPROVED = "Approved"
    REJECTED = "Rejected"
    APPLIED = "Applied"
    SUPERSEDED = "Superseded"
    EXPIRED = "Expired"

    @property
    def open(self) -> bool:
        """Whether it may still be approved or carried out."""
        return self in (ChangeState.PROPOSED, ChangeState.APPROVED)


class ChangedKind(StrEnum):
    """Kinds whose specs a proposal may change or rest on."""

    CLASS = "WorkloadClass"
    LANE = "CapacityLane"
    PLAN = "CapacityPlan"


class PatchOp(StrEnum):
    """Operations of JSON Patch (RFC 6902) that proposals use."""

    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"
    TEST = "test"


MOST_STEPS = 40
"""Of a patch: a lane out of a plan takes two, and two more for each of 16 bindings or its address."""

Generation = Annotated[int, Field(ge=0, le=1_000_000_000)]


class PlanName(Model):
    """The plan of a proposal, in the proposal's namespace."""

    name: ObjectName = Field(description="Name of the CapacityPlan.")


class PatchStep(Model):
    """One operation of a JSON Patch (RFC 6902)."""

    op: PatchOp = Field(description="add, remove, replace, or test: the patch is refused unless the value is there.")
    path: str = Field(
        max_length=512, pattern="^/spec/[!-~]+$", description="JSON Pointer into the object, below /spec."
    )
    value: JsonValue = Field(
        default=None,
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
        description="Value to set or to test, any JSON; absent with remove. Default: null.",
    )

    def to_wire(self) -> dict[str, Any]:
        """As a JSON Patch holds it: ``value`` is there (null included) but with remove."""
        step: dict[str, Any] = {"op": self.op.value, "path": self.path}
        return step if self.op is PatchOp.REMOVE else step | {"value": self.value}


class ObjectChange(Model):
    """A JSON Patch on one object's spec."""

    kind: ChangedKind = Field(description="Kind of the object.")
    namespace: Name = Field(description="Namespace of the object.")
    name: ObjectName = Field(description="Name of the object.")
    patch: tuple[PatchStep, ...] = Field(
        min_length=1,
        max_length=MOST_STEPS,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="JSON Patch (RFC 6902) on the object, in order; each value that is replaced is tested first.",
    )


class BasisObject(Model):
    """One object that the proposal was worked out on, and its spec's generation then."""

    kind: ChangedKind = Field(description="Kind of the object.")
    namespace: Name = Field(description="Namespace of the object.")
    name: ObjectName = Field(description="Name of the object.")
    uid: str = Field(min_length=1, max_length=64, description="UID of the object.")
    generation: Generation = Field(description="metadata.generation of the object.")


class Effect(Model):
    """What the change is expected to do."""

    usd_per_month: SignedDecimalText = Field(
        description="Change of the bill, in US dollars a month of 730 hours; negative: the month gets cheaper."
    )
    attainment_percent: AttainmentText | None = Field(
        default=None,
        description="SLO attainment expected after the change, of the class that is nearest to its objective "
        "(percent). Default: not known.",
    )
    observed_seconds: int = Field(
        ge=0,
        le=31_622_400,
        description="Length of the observation that the effect was worked out from, in seconds.",
    )


IMMUTABLE: dict[str, JsonValue] = {
    "x-kubernetes-validations": [
        {
            "rule": "self == oldSelf",
            "message": "a proposal can't be changed: approve or reject it, or write the change that you want into the "
            "class, lane or plan itself",
        }
    ]
}


class LaneChangeSpec(Model):
    """The proposal: what, on which state, until when, with what effect."""

    model_config = ConfigDict(json_schema_extra=IMMUTABLE)

    plan_ref: PlanName = Field(description="The plan whose decision would be better.")
    reason: ChangeReason = Field(
        description="LowerMinimum, RaiseMaximum: a bound of a lane's replicas costs money for days; RemoveLane: a lane "
        "is never used; MoveClass: a class is served by other lanes."
    )
    message: str = Field(min_length=1, max_length=1024, description="One sentence for people, with the figures.")
    change: tuple[ObjectChange, ...] = Field(
        min_length=1,
        max_length=16,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["kind", "namespace", "name"],
        },
        description="JSON patches by object.",
    )
    basis: tuple[BasisObject, ...] = Field(
        min_length=1,
        max_length=128,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["kind", "namespace", "name"],
        },
        description="The plan, its lanes and its classes as they were: the proposal is stale once one has another "
        "generation.",
    )
    plan_hash: str = Field(
        min_length=12, max_length=64, pattern="^[0-9a-f]+$", description="Hash of basis: what an approval is bound to."
    )
    generation: Generation = Field(description="metadata.generation of the plan.")
    expires_at: str = Field(
        max_length=32,
        json_schema_extra={"format": "date-time"},
        description="When the proposal can no longer be approved, RFC 3339.",
    )
    effect: Effect = Field(description="What the change is expected to do.")


class LaneChangeStatus(Model):
    """How far the proposal has come; written by the operator."""

    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that this status speaks of."
    )
    state: ChangeState = Field(
        default=ChangeState.PROPOSED,
        description="Proposed: waits for a person; Approved: its patches are not yet all in place; Rejected: by a "
        "person; Applied: the specs are as proposed; Superseded: the plan, a lane or a class has changed since; "
        "Expired: nobody answered in time. Default: Proposed.",
    )
    message: str | None = Field(default=None, max_length=1024, description="One sentence on the state.")
    ended_at: str | None = Field(
        default=None,
        max_length=32,
        json_schema_extra={"format": "date-time"},
        description="When it was applied, rejected, superseded or expired, RFC 3339; absent while open.",
    )
    conditions: tuple[Condition, ...] = Field(
        default=(), max_length=16, json_schema_extra=CONDITIONS_LIST, description="Conditions of the proposal."
    )


class LaneChange(Model):
    """A structural change of classes, lanes or a plan that Spillway proposes, for a person to approve or to reject."""

    KIND: ClassVar[str] = "LaneChange"
    PLURAL: ClassVar[str] = "lanechanges"

    metadata: ObjectMeta
    spec: LaneChangeSpec
    status: LaneChangeStatus | None = None

    @classmethod
    def parse(cls, manifest: dict[str, Any]) -> LaneChange:
        """Read a manifest; raises ``pydantic.ValidationError``."""
        return cls.model_validate(manifest)

    @property
    def state(self) -> ChangeState:
        """How far it has come; Proposed before the operator has said anything."""
        return self.status.state if self.status else ChangeState.PROPOSED
