"""Every way that a proposal goes, and which word wins where several could be said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from advise.structural.builders import DAY, NOW, own_lane, plan, workload
from spillway.advise.structural.lifecycle import Live, Stand, outlived, seconds, silenced, stand
from spillway.advise.structural.patches import replaced
from spillway.api import CapacityLane, CapacityPlan, ChangedKind, ChangeState, LaneChange, ObjectChange, WorkloadClass
from spillway.api.basis import basis_hash, basis_of

PATH = "/spec/selfHosted/replicas/min"
EXPIRES = "2027-01-22T08:00:00Z"
assert seconds(EXPIRES) == NOW + 7 * DAY


def live(lane: CapacityLane | None = None, of: CapacityPlan | None = None, *more: WorkloadClass) -> Live:
    objects = [of or plan(), lane or own_lane(min=3), workload(), *more]
    documents = {
        (each.KIND, each.metadata.namespace, each.metadata.name): {"spec": each.spec.to_wire()} for each in objects
    }
    return Live(basis_of(objects), documents)


HASH = basis_hash(live().basis)


def change(
    notes: dict[str, str] | None = None,
    status: dict[str, Any] | None = None,
    generation: int = 1,
    expires: str = EXPIRES,
) -> LaneChange:
    return LaneChange.parse(
        {
            "metadata": {"name": "c", "namespace": "ai", "generation": generation, "annotations": notes or {}},
            "spec": {
                "planRef": {"name": "main"},
                "reason": "LowerMinimum",
                "message": "Fewer would do.",
                "change": [
                    {
                        "kind": "CapacityLane",
                        "namespace": "ai",
                        "name": "gpu",
                        "patch": [
                            {"op": "test", "path": PATH, "value": 3},
                            {"op": "replace", "path": PATH, "value": 1},
                        ],
                    }
                ],
                "basis": [each.to_wire() for each in live().basis],
                "planHash": HASH,
                "generation": 1,
                "expiresAt": expires,
                "effect": {"usdPerMonth": "-1", "observedSeconds": 1},
            },
        }
        | ({} if status is None else {"status": status})
    )


APPROVED = {"spillway.dev/approved": HASH, "spillway.dev/approved-by": "jo@example.com"}
REJECTED = {"spillway.dev/rejected": "not before May", "spillway.dev/rejected-by": "jo@example.com"}
DONE = own_lane(min=1, generation=2)
OTHER = own_lane(min=2, generation=2)


@pytest.mark.parametrize(
    ("item", "found", "now", "state", "said"),
    [
        (change(), live(), NOW, ChangeState.PROPOSED, f"waits until {EXPIRES}"),
        (change({"spillway.dev/approved": "0" * 16}), live(), NOW, ChangeState.PROPOSED, "is not its planHash"),
        (change(APPROVED), live(), NOW, ChangeState.APPROVED, "approved by jo@example.com; its patches"),
        (change(REJECTED), live(), NOW, ChangeState.REJECTED, "rejected by jo@example.com: not before May"),
        (change({"spillway.dev/rejected": ""}), live(), NOW, ChangeState.REJECTED, "rejected: no reason given"),
        (change(APPROVED | REJECTED), live(), NOW, ChangeState.REJECTED, "not before May"),
        (change(APPROVED), live(DONE), NOW, ChangeState.APPLIED, "as proposed"),
        (change(), live(DONE), NOW + 30 * DAY, ChangeState.APPLIED, "as proposed"),
        (change(), live(OTHER), NOW, ChangeState.SUPERSEDED, "CapacityLane ai/gpu was changed since (generation 1"),
        (change(), live(None, plan(5)), NOW, ChangeState.SUPERSEDED, "CapacityPlan ai/main was changed since"),
        (change(), live(None, None, workload("new")), NOW, ChangeState.SUPERSEDED, "WorkloadClass ai/new has come"),
        (change(), Live(live().basis[:-1]), NOW, ChangeState.SUPERSEDED, "WorkloadClass ai/chat is gone"),
        (change(APPROVED), live(OTHER), NOW, ChangeState.SUPERSEDED, "was changed since"),
        (change(), live(), NOW + 7 * DAY, ChangeState.EXPIRED, "not approved by"),
        (change(APPROVED), live(), NOW + 7 * DAY, ChangeState.EXPIRED, "not approved by"),
        (change(generation=2), live(), NOW, ChangeState.SUPERSEDED, "nobody may edit a proposal"),
        (change(APPROVED, generation=2), live(DONE), NOW, ChangeState.SUPERSEDED, "nobody may edit a proposal"),
    ],
)
def test_where_it_stands(item: LaneChange, found: Live, now: float, state: ChangeState, said: str) -> None:
    told = stand(item, found, now)
    assert told.state is state
    assert said in told.message


@pytest.mark.parametrize("state", [each for each in ChangeState if not each.open])
@pytest.mark.parametrize("notes", [{}, APPROVED, REJECTED])
def test_what_has_ended_stays_as_it_is(state: ChangeState, notes: dict[str, str]) -> None:
    ended = change(notes, {"state": state.value, "message": "So it was."})
    for found in (live(), live(DONE), live(OTHER)):
        assert stand(ended, found, NOW + 99 * DAY) == Stand(state, "So it was.")


def test_an_approval_that_was_seen_in_time_does_not_expire() -> None:
    seen = change(APPROVED, {"state": "Approved"})
    assert stand(seen, live(), NOW + 9 * DAY).state is ChangeState.APPROVED
    taken_back = change(None, {"state": "Approved"})
    assert stand(taken_back, live(), NOW).state is ChangeState.PROPOSED
    assert stand(taken_back, live(), NOW + 9 * DAY).state is ChangeState.EXPIRED


@pytest.mark.parametrize("text", ["2027-01-22T08:00:00z", "2027-01-22t08:00:00Z", "2027-01-22T09:00:00+01:00"])
def test_a_time_that_rfc_3339_allows_is_read(text: str) -> None:
    assert seconds(text) == NOW + 7 * DAY
    waits = stand(change(expires=text), live(), NOW)
    assert (waits.state, waits.message.split(" for ")[0]) == (ChangeState.PROPOSED, f"waits until {text}")
    assert stand(change(expires=text), live(), NOW + 7 * DAY).state is ChangeState.EXPIRED


@pytest.mark.parametrize("text", ["", "soon", "2027-01-22T08:00:60Z", "2027-02-30T08:00:00Z", "99999-01-01T00:00:00Z"])
def test_a_time_that_nobody_can_read_ends_it_with_a_sentence(text: str) -> None:
    for notes in ({}, APPROVED):
        told = stand(change(notes, expires=text), live(), NOW)
        assert (told.state, "is no time that Spillway can read" in told.message) == (ChangeState.EXPIRED, True)
    assert stand(change(REJECTED, expires=text), live(), NOW).state is ChangeState.REJECTED
    assert stand(change(expires=text), live(DONE), NOW).state is ChangeState.APPLIED


def test_an_end_that_nobody_can_read_is_kept_and_silences() -> None:
    ended = change(status={"state": "Rejected", "endedAt": "soon"})
    assert not outlived(ended, NOW + 300 * DAY)
    assert silenced(to_bound("min", 3), [ended], NOW + 300 * DAY)


def test_a_hash_that_is_not_its_own_is_refused() -> None:
    forged = change(APPROVED)
    spec = forged.spec.model_copy(update={"basis": forged.spec.basis[:1]})
    assert (
        stand(forged.model_copy(update={"spec": spec}), live(), NOW).message == "its planHash is not that of its basis"
    )


def test_an_object_made_anew_is_another() -> None:
    found = live()
    anew = replace(found, basis=[each.model_copy(update={"uid": f"{each.uid}-2"}) for each in found.basis])
    assert stand(change(), anew, NOW).state is ChangeState.SUPERSEDED


def test_a_part_that_is_in_place_does_not_undo_the_rest() -> None:
    """Two objects: the person's tool patches one after the other."""
    spec = change(APPROVED).spec.to_wire()
    spec["change"].append(
        {
            "kind": "WorkloadClass",
            "namespace": "ai",
            "name": "chat",
            "patch": [{"op": "add", "path": "/spec/successRatePercent", "value": "90"}],
        }
    )
    both = LaneChange.parse({"metadata": change(APPROVED).metadata.model_dump(by_alias=True), "spec": spec})
    assert stand(both, live(DONE), NOW).state is ChangeState.APPROVED
    assert stand(both, live(OTHER), NOW).state is ChangeState.SUPERSEDED
    assert stand(both, live(own_lane(min=1, generation=3)), NOW).state is ChangeState.SUPERSEDED, "and something else"


def to_bound(name: str, now: int, lane: str = "gpu") -> tuple[ObjectChange, ...]:
    steps = replaced(f"/spec/selfHosted/replicas/{name}", now, 9)
    return (ObjectChange(kind=ChangedKind.LANE, namespace="ai", name=lane, patch=steps),)


def test_what_must_not_be_proposed_again() -> None:
    ended = "2027-01-15T08:00:00Z"

    def quiet(state: str, wanted: tuple[ObjectChange, ...], now: float = NOW) -> bool:
        status = {"state": state} | ({} if state in ("Proposed", "Approved") else {"endedAt": ended})
        return silenced(wanted, [change(status=status)], now)

    for state in ("Proposed", "Approved"):
        assert quiet(state, to_bound("min", 3))
        assert quiet(state, to_bound("max", 8)), "one of a lane at a time"
        assert not quiet(state, to_bound("min", 3, "other"))
    assert quiet("Rejected", to_bound("min", 3), NOW + 29 * DAY)
    assert not quiet("Rejected", to_bound("min", 3), NOW + 30 * DAY)
    assert not quiet("Rejected", to_bound("min", 4)), "it is no longer what was rejected"
    assert not quiet("Rejected", to_bound("max", 8))
    assert not any(quiet(state, to_bound("min", 3)) for state in ("Applied", "Superseded", "Expired"))
    assert not silenced(to_bound("min", 3), [], NOW)


def test_ended_ones_are_kept_for_a_month() -> None:
    ended = change(status={"state": "Expired", "endedAt": "2027-01-15T08:00:00Z"})
    assert not outlived(ended, NOW + 29 * DAY)
    assert outlived(ended, NOW + 30 * DAY)
    assert not outlived(change(), NOW + 300 * DAY)
