"""Keeps the spend ledger: entered each tick, written to a ConfigMap of the operator's namespace, read after a restart.

One key for each namespace with plans. What is in the counters and not yet written is no loss: the next entry counts
from the last one that was written.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from spillway.advise.positions import Spending
from spillway.api import CapacityPlan, WorkloadClass
from spillway.config import OperatorConfig
from spillway.decide.snapshot import Finding, Severity, Spent
from spillway.kube import CONFIG_MAPS, Kube, KubeError
from spillway.observe.accounts import NO_CAPS, OwnRate, TeamCaps, spending, with_own
from spillway.observe.ledger import Counted, Ledger, LedgerError, entered, from_text, opened, spent, to_text, uncounted

NAME = "spillway-ledger"
WRITE_SECONDS = 60.0
"""Written at most so often; what was counted meanwhile is counted again after a crash."""

NOT_READ = "it has not been read yet"

logger = logging.getLogger("spillway.ledger")


class LedgerKeeper:
    """The ledgers of all namespaces with plans."""

    def __init__(self, kube: Kube, config: OperatorConfig) -> None:
        self._kube, self._namespace = kube, config.operator_namespace
        self._ledgers: dict[str, Ledger] = {}
        self._unread: dict[str, str] = {}
        """Keys that can't be understood, as they are: never written over."""
        self._problem: str | None = NOT_READ
        """Why nothing is known."""
        self._version = ""
        self._written_at = 0.0
        self._unsaved = False

    async def enter(
        self, counted: Iterable[Counted] | None, namespaces: Iterable[str], now: float, caps: TeamCaps = NO_CAPS
    ) -> None:
        """Enter what was spent. ``namespaces``: of the plans; each has a ledger from its first tick on.

        ``counted`` is None where nothing counts hosted tokens. ``caps``: teams to keep apart by class, whatever their
        number.
        """
        if self._problem is not None:
            await self._read()
        if self._problem is not None:
            return
        mine = defaultdict[str, list[Counted]](list)
        for each in counted or ():
            mine[each.lane.partition("/")[0]].append(each)
        for namespace in set(namespaces) - set(self._unread):
            before = self._ledgers.get(namespace)
            if counted is None:
                after = uncounted(before, now)
            elif before is None or not before.counting:
                after = opened(mine[namespace], now, before)
            else:
                after = entered(before, mine[namespace], now, caps)
            self._ledgers[namespace] = after
        self._unsaved = True

    async def save(self, now: float) -> None:
        """Write what was entered, once in ``WRITE_SECONDS``."""
        if self._unsaved and self._problem is None and now - self._written_at >= WRITE_SECONDS:
            await self._write(now)

    def allocate(self, plan: CapacityPlan, rates: Iterable[OwnRate], now: float, caps: TeamCaps = NO_CAPS) -> None:
        """Enter what the plan's classes took of own GPUs."""
        namespace = plan.metadata.namespace
        if (ledger := self._known(namespace)) is not None:
            accounts = with_own(ledger.accounts, rates, now, caps)
            self._ledgers[namespace] = replace(ledger, accounts=accounts)
            self._unsaved = True
            if accounts.own_at.keys() - ledger.accounts.own_at.keys():
                # A class has begun: what comes from now on must find its beginning.
                self._written_at = 0.0

    def counts_hosted(self, plan: CapacityPlan) -> bool:
        """Whether the plan's hosted tokens are counted."""
        ledger = self._known(plan.metadata.namespace)
        return ledger is not None and ledger.counting

    def spending(self, plan: CapacityPlan, item: WorkloadClass, now: float) -> Spending | None:
        """What a class of the plan has cost; None where that is not known."""
        if (ledger := self._known(plan.metadata.namespace)) is None:
            return None
        made = item.metadata.creation_timestamp
        return spending(
            ledger.accounts, item.metadata.key, now, datetime.fromisoformat(made).timestamp() if made else None
        )

    def spent(self, plan: CapacityPlan, now: float) -> Spent | None:
        """What the plan's lanes have cost; None where that is not known."""
        namespace = plan.metadata.namespace
        ledger = self._known(namespace)
        if ledger is None or not ledger.counting:
            return None
        return spent(ledger, [f"{namespace}/{lane}" for lane in plan.spec.lanes], now)

    def _known(self, namespace: str) -> Ledger | None:
        return self._ledgers.get(namespace) if self._problem is None else None

    def findings(self, plan: CapacityPlan) -> tuple[Finding, ...]:
        """Why the plan's spending isn't counted, where something stands in the way."""
        where = f"ConfigMap {self._namespace}/{NAME}"
        text = None
        if plan.metadata.namespace in self._unread:
            key = f"{plan.metadata.namespace}.json"
            text = f"{where}: key {key} can't be read; restore it, or delete the key to begin to count anew"
        elif self._problem not in (None, NOT_READ):
            text = f"{where}: {self._problem}"
        if text is None:
            return ()
        return (Finding(Severity.WARNING, "LedgerUnreadable", text, f"CapacityPlan/{plan.metadata.key}"),)

    async def _read(self) -> None:
        """What was kept. While it can't be read nothing is entered and nothing written."""
        try:
            found = await self._kube.find(CONFIG_MAPS, self._namespace, NAME)
        except KubeError as error:
            if self._problem != error.message:
                logger.error("ConfigMap %s/%s can't be read: %s", self._namespace, NAME, error.message)
            self._problem = error.message
            return
        self._problem, self._unread = None, {}
        self._version = "" if found is None else found["metadata"]["resourceVersion"]
        for key, text in ((found or {}).get("data") or {}).items():
            namespace = key.removesuffix(".json")
            try:
                self._ledgers[namespace] = from_text(text)
            except LedgerError as error:
                self._ledgers.pop(namespace, None)
                self._unread[namespace] = text
                logger.error("ConfigMap %s/%s, key %s: %s", self._namespace, NAME, key, error)

    async def _write(self, now: float) -> None:
        meta: dict[str, object] = {"name": NAME, "namespace": self._namespace}
        if self._version:
            meta["resourceVersion"] = self._version
        pages = {namespace: to_text(ledger) for namespace, ledger in self._ledgers.items()} | self._unread
        data = {f"{namespace}.json": text for namespace, text in sorted(pages.items())}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
        try:
            written = await self._kube.apply(CONFIG_MAPS, self._namespace, NAME, body)
        except KubeError as error:
            logger.error("ConfigMap %s/%s was not written: %s", self._namespace, NAME, error.message)
            if error.conflict or error.not_found:
                await self._look_again()
            return
        self._version, self._written_at = written["metadata"]["resourceVersion"], now
        self._unsaved = False

    async def _look_again(self) -> None:
        """Somebody else wrote it: it is read and gone on from. Or deleted it: it is made again as it was."""
        try:
            found = await self._kube.find(CONFIG_MAPS, self._namespace, NAME)
        except KubeError:
            return
        if found is None:
            self._version = ""
        else:
            await self._read()
