"""OpenCost's prices by type of GPU; its placeholder is told and not used."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from spillway.observe.opencost import join

NOW = 1_790_000_000.0
H100, A100 = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB"


def node(name: str, usd: float) -> tuple[dict[str, str], float]:
    return {"node": name}, usd


def exporter(name: str, gpu: str, label: str = "Hostname") -> tuple[dict[str, str], float]:
    return {label: name, "modelName": gpu}, 8.0


def test_a_price_for_each_type() -> None:
    found = join([node("a", 2.5), node("b", 1.75)], [exporter("a", H100), exporter("b", A100, "hostname")], NOW)
    assert {offer.gpu: offer.usd_per_gpu_hour for offer in found.offers} == {
        H100: Decimal("2.5"),
        A100: Decimal("1.75"),
    }
    assert {offer.as_of for offer in found.offers} == {date(2026, 9, 21)}
    assert not found.findings


def test_nodes_that_differ_show_the_dearest() -> None:
    found = join([node("a", 2.5), node("b", 3.0)], [exporter("a", H100), exporter("b", H100)], NOW)
    assert [offer.usd_per_gpu_hour for offer in found.offers] == [3]


def test_the_placeholder_is_flagged_and_no_price() -> None:
    found = join([node("a", 0.95), node("b", 2.0)], [exporter("a", H100), exporter("b", A100)], NOW)
    assert [offer.gpu for offer in found.offers] == [A100]
    assert found.findings == (
        "OpenCost: 0.95 an hour on a is its placeholder where it knows no price: not used; set the GPU's price in "
        "OpenCost, or declare the lane's",
    )


def test_nodes_without_gpus_are_passed_over_and_unknown_gpus_told() -> None:
    found = join([node("cpu", 0.0), node("c", 2.0)], [], NOW)
    assert not found.offers
    assert found.findings == ("OpenCost: no GPU exporter says which GPUs c has: its price is not used",)


def test_without_the_metric_it_is_said() -> None:
    assert join([], [], NOW).findings == ("OpenCost: Prometheus has no node_gpu_hourly_cost",)
