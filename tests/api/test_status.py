"""Status as a value: bounded, and silent on what is not known."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from spillway.api import CapacityPlanStatus, Condition, LaneStatus

from .manifests import CONDITION, PLAN_STATUS


def test_what_is_not_known_is_not_written() -> None:
    assert LaneStatus(name="gpu").to_wire() == {"name": "gpu"}


def test_a_whole_status_survives() -> None:
    assert CapacityPlanStatus.model_validate(PLAN_STATUS).to_wire() == PLAN_STATUS


def test_the_number_of_lanes_is_bounded() -> None:
    lanes = tuple(LaneStatus(name=f"lane-{number}") for number in range(33))
    assert len(CapacityPlanStatus(lanes=lanes[:32]).lanes) == 32
    with pytest.raises(ValidationError, match="at most 32"):
        CapacityPlanStatus(lanes=lanes)


def test_a_condition_is_true_false_or_unknown() -> None:
    with pytest.raises(ValidationError, match="'True', 'False' or 'Unknown'"):
        Condition.model_validate(CONDITION | {"status": "Maybe"})
