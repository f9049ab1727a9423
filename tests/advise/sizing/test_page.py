"""The guide's 70B example, computed: memory, GPUs, speed and dollars."""

from __future__ import annotations

from decimal import Decimal

import pytest

from advise.sizing.builders import A100, TODAY, hours, need, offer, share_of
from spillway.advise.prices import Tariff, Tier
from spillway.advise.sizing.answer import Facts, size
from spillway.advise.sizing.gpus import find_gpu
from spillway.advise.sizing.memory import Precision, Quantization, kv_per_sequence, weights
from spillway.advise.sizing.model import of_size
from spillway.advise.sizing.placement import Placement, Refusal, place
from spillway.observe.sizing_data import find_model, gpu_types

FOUR = Precision(Quantization.INT4)
A6000 = find_gpu("A6000", gpu_types())


def test_weights_are_about_35_gb() -> None:
    assert weights(find_model("70B"), FOUR).value == 35
    assert weights(find_model("Llama-3.1-70B"), FOUR).value == pytest.approx(Decimal("35.3"), abs=Decimal("0.1"))


def test_the_rule_of_thumb_stands_in_where_only_the_size_is_known() -> None:
    found = kv_per_sequence(of_size(Decimal(70)), FOUR, need().context)
    assert (found.low, found.value, found.high) == (2, 3, 4)
    assert kv_per_sequence(of_size(Decimal(35)), FOUR, need().context).value == Decimal("1.5")


def test_the_rule_agrees_with_the_architecture() -> None:
    assert 2 < kv_per_sequence(find_model("Llama-3.1-70B"), FOUR, need().context).value < 4


@pytest.mark.parametrize("model", ["70B", "Llama-3.1-70B"])
def test_one_a100_holds_it(model: str) -> None:
    found = place(need(model, concurrency=1, tensor_parallel=1), A100)
    assert isinstance(found, Placement)
    assert found.gpus.value == 1


def test_it_takes_two_a6000() -> None:
    alone = place(need(concurrency=1, tokens_per_second=10, tensor_parallel=1), A6000)
    assert isinstance(alone, Refusal)
    assert not alone.fits
    found = place(need(concurrency=1, tokens_per_second=10), A6000)
    assert isinstance(found, Placement)
    assert (found.gpus.value, found.tensor_parallel) == (2, 2)


def test_a_stream_gets_30_to_50_tokens_a_second() -> None:
    found = place(need(concurrency=1, tensor_parallel=1), A100)
    assert isinstance(found, Placement)
    assert 30 < found.stream.value < 50


@pytest.mark.parametrize(("tensor_parallel", "gpus"), [(1, 3), (2, 2), (None, 2)])
def test_ten_developers_take_two_or_three_gpus(tensor_parallel: int | None, gpus: int) -> None:
    found = place(need(concurrency=10, tensor_parallel=tensor_parallel), A100)
    assert isinstance(found, Placement)
    assert found.gpus.value == gpus


@pytest.mark.parametrize(("price", "cost"), [("2", 1320), ("4", 2640)])
def test_three_of_them_cost_1320_to_2640_a_month(price: str, cost: int) -> None:
    facts = Facts([A100], [offer(price=price)])
    answer = size(need(concurrency=10, tensor_parallel=1), facts, hours(10, 22), spot=False)
    monthly = answer.cheapest.monthly
    assert monthly is not None
    assert monthly.value == cost


def test_the_break_even_follows_from_the_users_own_prices() -> None:
    tariff = Tariff("", "mid", Tier.STANDARD, Decimal(3), None, Decimal(15), "--compare", TODAY)
    facts = Facts([A100], [offer(price="2")])
    share = share_of(60)
    answer = size(need(concurrency=10, tensor_parallel=1), facts, hours(10, 22), False, [tariff], share)
    (even,) = answer.break_evens
    assert even.tokens is not None
    # 0.6 * 3 + 0.4 * 15 = 7.80 dollars per million.
    assert even.tokens.value == Decimal(1320) / Decimal("7.8") * 1_000_000
    assert even.reachable
