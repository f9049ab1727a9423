"""Response headers of generated routes: well-formed, told by Envoy alone, and left out where it can't tell."""

from __future__ import annotations

from typing import Any

import pytest

from spillway.act.planes.gateway_api_headers import CHOSEN, answer_filters
from spillway.api import Binding

BACKENDS = {"gpu": "Backend/vllm", "hosted": "Backend/egress"}


def filters(
    weights: dict[str, int], backends: dict[str, str] | None = None, *, spills: bool = False, relayed: bool = False
) -> list[dict[str, Any]]:
    binding = Binding.model_validate(
        {
            "class": "chat", "ownership": "Managed", "httpRoute": "chat", "gateway": {"name": "g"},
            "backends": backends or BACKENDS,
        }
    )  # fmt: skip
    return answer_filters(binding, weights, ["gpu", "gpu-2"], spills=spills, relayed=relayed)


def headers(weights: dict[str, int], backends: dict[str, str] | None = None, **more: bool) -> dict[str, str]:
    (made,) = filters(weights, backends, **more)
    assert made["type"] == "ResponseHeaderModifier"
    return {header["name"]: header["value"] for header in made["responseHeaderModifier"]["set"]}


SERVED = f"%CEL({{'egress': 'hosted', 'vllm': 'gpu'}}[{CHOSEN}])%"


@pytest.mark.parametrize(
    ("weights", "spills", "why"),
    [
        ({"gpu": 70, "hosted": 30}, False, "'Share'"),
        ({"gpu": 100, "hosted": 1}, True, "upstream.request_attempt_count > 1 ? 'Saturated' : 'NoOwnCapacity'"),
        # Own lanes were emptied by weights: nothing was refused.
        ({"gpu": 0, "hosted": 100}, True, "'Share'"),
    ],
)
def test_which_lane_answered_and_why(weights: dict[str, int], spills: bool, why: str) -> None:
    assert headers(weights, spills=spills) == {
        "x-spillway-served-by": SERVED,
        "x-spillway-spill-reason": f"%CEL({CHOSEN} in ['vllm'] ? '' : {why})%",
    }


def test_a_rule_without_hosted_lanes_gives_no_reason() -> None:
    assert headers({"gpu": 100}, spills=True) == {"x-spillway-served-by": f"%CEL({{'vllm': 'gpu'}}[{CHOSEN}])%"}


def test_a_rule_without_own_lanes_always_gives_one() -> None:
    assert headers({"hosted": 100}, spills=True)["x-spillway-spill-reason"] == "%CEL('Share')%"


def test_an_egress_that_knows_better_is_believed_of_hosted_lanes_alone() -> None:
    told = headers({"gpu": 70, "hosted": 30}, relayed=True)["x-spillway-served-by"]
    header = "'x-spillway-served-by' in response.headers"
    chosen = SERVED.removeprefix("%CEL(").removesuffix(")%")
    assert told == (f"%CEL({CHOSEN} in ['vllm'] || !({header}) ? {chosen} : response.headers['x-spillway-served-by'])%")
    assert headers({"gpu": 100}, relayed=True) == headers({"gpu": 100})


@pytest.mark.parametrize(
    "backends",
    [
        # Another gateway than Envoy Gateway would send the expression itself.
        {"gpu": "vllm:8000", "hosted": "egress:4000"},
        {"gpu": "Backend/one:8000", "hosted": "Backend/one:4000"},
    ],
)
def test_lanes_that_cant_be_told_apart_make_no_header(backends: dict[str, str]) -> None:
    assert filters({"gpu": 70, "hosted": 30}, backends) == []


@pytest.mark.parametrize("lane", ["it's", "a%b", "x)%", "Lane", ""])
def test_no_name_of_a_lane_gets_into_envoys_expression_but_a_harmless_one(lane: str) -> None:
    assert filters({"gpu": 70, lane: 30}, {"gpu": "Backend/vllm", lane: "Backend/egress"}) == []


def test_what_is_too_long_for_a_header_is_left_out() -> None:
    names = [f"lane-{number}-{'x' * 55}" for number in range(32)]
    assert filters(dict.fromkeys(names, 1), {name: f"Backend/{name}" for name in names}) == []
