"""The ledger in its ConfigMap, on a real apiserver: kept, read back, never written over what can't be read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from spillway.api import CapacityPlan, WorkloadClass
from spillway.config import OperatorConfig
from spillway.controller.ledger import NAME, WRITE_SECONDS, LedgerKeeper
from spillway.decide.snapshot import TokenPrice
from spillway.kube import CONFIG_MAPS, Kube
from spillway.observe.accounts import OwnRate
from spillway.observe.ledger import Counted, from_text
from spillway_dev.cluster import Cluster
from support.world import workload

NOW = 1_800_000_000.0
CREATED = "2027-01-02T03:04:05Z"
PRICE = TokenPrice(Decimal(1), Decimal(1), Decimal(1), "contract")


@pytest.fixture
async def kube(cluster: Cluster) -> AsyncIterator[Kube]:
    async with await Kube.connect(str(cluster.kubeconfig)) as connected:
        yield connected


def keeper(kube: Kube, namespace: str) -> LedgerKeeper:
    return LedgerKeeper(
        kube, OperatorConfig.model_validate({"prometheus": {"url": "http://p"}, "operatorNamespace": namespace})
    )


def tokens(million: float, lane: str = "ai/hosted", series: str = "a") -> Counted:
    return Counted(series, lane, (), {"input_tokens": million * 1e6}, PRICE)


def plan(name: str = "main", namespace: str = "ai") -> CapacityPlan:
    return CapacityPlan.parse({"metadata": {"name": name, "namespace": namespace}, "spec": {"lanes": ["hosted"]}})


async def kept(kube: Kube, namespace: str) -> dict[str, str]:
    found = await kube.find(CONFIG_MAPS, namespace, NAME)
    assert found is not None
    data: dict[str, str] = found["data"]
    return data


async def entered(book: LedgerKeeper, at: float, *counted: Counted) -> float:
    await book.enter(counted, ["ai"], at)
    await book.save(at)
    found = book.spent(plan(), at)
    assert found is not None
    return found.hour_usd


async def test_kept_and_read_back(kube: Kube, namespace: str) -> None:
    book = keeper(kube, namespace)
    assert book.spent(plan(), NOW) is None  # not read yet
    assert await entered(book, NOW, tokens(5)) == 0.0
    assert await entered(book, NOW + 10, tokens(7)) == pytest.approx(2.0)
    # Not written each tick; nothing is lost by that.
    assert from_text((await kept(kube, namespace))["ai.json"]).at == NOW
    again = keeper(kube, namespace)
    assert await entered(again, NOW + 20, tokens(8)) == pytest.approx(3.0)
    assert await entered(book, NOW + WRITE_SECONDS, tokens(8)) == pytest.approx(3.0)
    # A plan of that name made anew finds what its lanes have cost; so does one of another name with these lanes.
    assert again.spent(plan("other"), NOW + 20) == again.spent(plan(), NOW + 20)
    assert again.spent(plan(namespace="elsewhere"), NOW + 20) is None


def item() -> WorkloadClass:
    return WorkloadClass.parse(workload("ai"))


async def test_own_gpus_are_kept_as_well(kube: Kube, namespace: str) -> None:
    """From the beginning of a class on, each of them is gone on from where it was written last."""
    book = keeper(kube, namespace)
    await book.enter([], ["ai"], NOW - 1)
    await book.save(NOW - 1)
    book.allocate(plan(), [OwnRate("ai/chat", 3.6)], NOW)
    await book.save(NOW)  # at once: it has begun
    book.allocate(plan(), [OwnRate("ai/chat", 3.6)], NOW + 30)
    await book.save(NOW + 30)  # not written yet
    again = keeper(kube, namespace)
    assert again.spending(plan(), item(), NOW) is None  # not read yet
    again.allocate(plan(), [OwnRate("ai/chat", 3.6)], NOW + 40)
    await again.save(NOW + 40)  # nothing is known, so nothing is written over
    await again.enter([], ["ai"], NOW + 50)
    again.allocate(plan(), [OwnRate("ai/chat", 3.6)], NOW + 50)
    found = again.spending(plan(), item(), NOW + 50)
    assert found is not None
    assert list(found.own_months.values()) == [Decimal("0.05")]
    assert found.created is None
    made = item().model_copy(update={"metadata": item().metadata.model_copy(update={"creation_timestamp": CREATED})})
    dated = again.spending(plan(), made, NOW + 50)
    assert dated is not None
    assert dated.created == datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)


async def test_what_somebody_else_wrote_is_gone_on_from(kube: Kube, namespace: str) -> None:
    book, other = keeper(kube, namespace), keeper(kube, namespace)
    await entered(book, NOW, tokens(1))
    assert await entered(other, NOW + WRITE_SECONDS, tokens(2)) == pytest.approx(1.0)  # and written
    await book.enter([tokens(3)], ["ai"], NOW + WRITE_SECONDS + 1)
    await book.save(NOW + WRITE_SECONDS + 1)  # refused: it looks again
    assert await entered(book, NOW + WRITE_SECONDS + 2, tokens(3)) == pytest.approx(2.0)


async def test_deleted_it_is_made_again_as_it_was(kube: Kube, cluster: Cluster, namespace: str) -> None:
    book = keeper(kube, namespace)
    await entered(book, NOW, tokens(1))
    await entered(book, NOW + 1, tokens(4))
    cluster.kubectl("delete", "configmap", NAME, "-n", namespace)
    for tick in range(3):
        assert await entered(book, NOW + WRITE_SECONDS + tick, tokens(4)) == pytest.approx(3.0)
    assert from_text((await kept(kube, namespace))["ai.json"]).amounts["hour"]


async def test_what_can_not_be_read_is_left_as_it_is(kube: Kube, cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "configmap", NAME, "-n", namespace, "--from-literal=ai.json=broken")
    book = keeper(kube, namespace)
    await book.enter([tokens(1), tokens(1, "b/hosted", "s")], ["ai", "b"], NOW)
    await book.save(NOW)
    assert book.spent(plan(), NOW) is None
    assert book.spent(plan(namespace="b"), NOW) is not None
    (finding,) = book.findings(plan())
    assert finding.message == (
        f"ConfigMap {namespace}/{NAME}: key ai.json can't be read; restore it, or delete the key to begin to count anew"
    )
    assert book.findings(plan(namespace="b")) == ()
    data = await kept(kube, namespace)
    assert data["ai.json"] == "broken"
    assert from_text(data["b.json"]).since == NOW


async def test_where_it_can_not_be_written_it_is_counted_in_memory(cluster: Cluster, namespace: str) -> None:
    async with await Kube.connect(str(cluster.kubeconfig)) as kube:
        broken = keeper(kube, "no-such-namespace-for-ledgers")
        await broken.enter([tokens(1)], ["ai"], NOW)
        await broken.save(NOW)
        await broken.enter([tokens(2)], ["ai"], NOW + WRITE_SECONDS)
        await broken.save(NOW + WRITE_SECONDS)
        found = broken.spent(plan(), NOW)
        assert found is not None  # counted in memory; it could not be written
        assert found.hour_usd == pytest.approx(1.0)


async def test_without_permission_nothing_is_known_and_the_plan_says_so(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "serviceaccount", "nobody", "-n", namespace)
    path = cluster.service_account_kubeconfig(namespace, "nobody")
    async with await Kube.connect(str(path)) as kube:
        book = keeper(kube, namespace)
        assert book.findings(plan()) == ()  # not tried yet
        await book.enter([tokens(1)], ["ai"], NOW)
        await book.save(NOW)
        assert book.spent(plan(), NOW) is None
        (finding,) = book.findings(plan())
        assert "forbidden" in finding.message
