"""What is kept of a lane's spill from look to look, and when it is made anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spillway.decide import response
from spillway.decide.bursts import Unevenness
from spillway.decide.curves import MOVED, Curve, curve
from spillway.decide.service import Coefficients, Mix
from spillway.decide.service.lengths import Lengths
from spillway.decide.valves import Objective

MODEL = Coefficients(25.0, 0.25, 0.02, 80.0, 256.0, 450_000.0)
CHAT = Objective(Mix(2400, 320), Lengths(), 10.0, 3000.0, 80.0, 0.01, 500.0)
OTHER = replace(CHAT, mix=Mix(500, 50), requests_per_second=30.0)
UNEVEN = Unevenness(4.0, (0.5, 1.5), (0.5, 0.5))


def made(before: Curve | None = None, most: int = 10, uneven: Unevenness = UNEVEN, **changes: object) -> Curve:
    objectives = {"chat": replace(CHAT, **changes)}  # type: ignore[arg-type]
    return curve(before, MODEL, objectives, uneven, most)


def test_a_table_that_allocation_can_use() -> None:
    found = made()
    table = found.response
    assert table.counts.tolist() == list(range(len(table.counts)))
    assert found.most == table.counts[-1] >= 10
    assert table.load[0] == 0.0
    assert (np.diff(table.load) > 0).all()
    assert table.load[-1] > table.counts[-1]
    assert (np.diff(table.left, axis=0) <= 1e-9).all()
    assert (np.diff(table.left, axis=1) >= -1e-9).all()
    assert table.left[0] == pytest.approx(table.load)


def test_it_holds_the_valve_and_the_work_of_a_request() -> None:
    found = curve(None, MODEL, {"chat": CHAT, "other": OTHER}, Unevenness(), 5)
    assert found.request_seconds.keys() == found.hold_seconds.keys() == {"chat", "other"}
    cap = found.valve.cap
    for key, item in (("chat", CHAT), ("other", OTHER)):
        assert found.request_seconds[key] == response.request_seconds(MODEL, item.mix, item.lengths, cap)
    # Traffic is 1 to 3: a replica at its cap is busy with the mean of both.
    mean = 0.25 * found.request_seconds["chat"] + 0.75 * found.request_seconds["other"]
    assert float(found.request.rate(np.array(cap))) == pytest.approx(1 / mean)


def test_unevenness_spills_more() -> None:
    calm, uneven = made(uneven=Unevenness()), made()
    at = np.searchsorted(calm.response.load, 4.0)
    assert uneven.response.left[5, at] > 1.5 * calm.response.left[5, at]
    bursts = made(uneven=Unevenness(4.0))
    assert calm.response.left[5, at] < bursts.response.left[5, at] < uneven.response.left[5, at]


def test_the_same_again_while_nothing_moves() -> None:
    found = made()
    assert made(found) is found
    assert made(found, most=3) is found
    assert made(found, requests_per_second=500.0) is found  # the amount of traffic is no input
    assert made(found, mix=Mix(2400 * (1 + 0.5 * MOVED), 320)) is found


@pytest.mark.parametrize(
    "changes",
    [
        {"mix": Mix(2400 * (1 + 2 * MOVED), 320)}, {"mix": Mix(2400, 320 / (1 + 2 * MOVED))}, {"itl_ms": 90.0},
        {"ttft_ms": 2500.0}, {"allowance": 0.012}, {"lengths": Lengths(output_sigma=1.0)}, {"ttft_ms": None},
    ],
)  # fmt: skip
def test_anew_once_an_input_has_moved(changes: dict[str, object]) -> None:
    found = made()
    assert made(found, **changes) is not found


def test_anew_for_more_replicas_another_model_or_other_bursts() -> None:
    found = made()
    more = made(found, most=found.most + 1)
    assert more.most > found.most
    assert more.valve == found.valve
    faster = curve(found, MODEL.scaled(0.9), {"chat": CHAT}, UNEVEN, 5)
    assert faster.valve.cap > found.valve.cap
    assert made(found, uneven=Unevenness(5.0, UNEVEN.factors, UNEVEN.weights)) is not found
    assert made(found, uneven=Unevenness(4.0, (0.2, 1.8), (0.5, 0.5))) is not found
    assert curve(found, MODEL, {"chat": CHAT, "other": OTHER}, UNEVEN, 5) is not found
    assert curve(found, MODEL, {"chat": CHAT}, UNEVEN, 5, held_tokens=20_000.0).valve.cap < found.valve.cap


def test_small_moves_add_up() -> None:
    """Each look compares with what the curve was made from, not with the look before."""
    found = first = made()
    for step in range(1, 10):
        found = made(found, mix=Mix(2400 * 1.01**step, 320))
    assert found is not first


def test_equal_inputs_make_equal_curves() -> None:
    assert made() == made()
    assert made() != made(itl_ms=90.0)
