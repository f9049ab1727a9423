"""Keeps what is observed of lanes' bounds over days, in a ConfigMap of the operator's namespace.

One key for each plan. What was seen since the last write is lost with the process; nothing else is. A page that can't
be read begins anew: nothing but the observation itself is lost.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping
from decimal import Decimal

from spillway.advise.structural.record import HOUR_SECONDS, Record, Sight, seen
from spillway.advise.structural.text import RecordError, Records, Written, from_text, share_out
from spillway.config import OperatorConfig
from spillway.kube import CONFIG_MAPS, Kube, KubeError

NAME = "spillway-observations"
WRITE_SECONDS = 60.0
GAP_SECONDS = 60.0
GAP_TICKS = 3.0
"""Time between two sights counts as observed where it is no longer than both of these."""
MOST_CHARACTERS = 900_000
"""Of all plans together: an object of the apiserver holds a MiB."""
MOST_KEY = 253
"""Characters of a key in a ConfigMap."""
DIGEST_DIGITS = 16

logger = logging.getLogger("spillway.observations")


class ObservationKeeper:
    """Records of all plans' own lanes."""

    def __init__(self, kube: Kube, config: OperatorConfig) -> None:
        self._kube, self._namespace = kube, config.operator_namespace
        self._wanted = config.proposals.observe_seconds
        self._gap = max(GAP_SECONDS, GAP_TICKS * config.tick_seconds)
        self._plans: dict[str, dict[str, Record]] = {}
        """By key of the plan's page, and lane."""
        self._short: frozenset[str] = frozenset()
        """Keys of pages in which there is no room for as long as a proposal wants."""
        self._last: dict[tuple[str, str], tuple[str, float]] = {}
        """Under which specs a lane was last seen by this process, and when."""
        self._read = False
        self._version = ""
        self._written_at = 0.0
        self._unsaved = False
        self._problem = ""

    async def load(self) -> bool:
        """Read what was kept, once. False while that can't be done: then nothing is observed."""
        if self._read:
            return True
        try:
            found = await self._kube.find(CONFIG_MAPS, self._namespace, NAME)
        except KubeError as error:
            self._say(f"can't be read: {error.message}")
            return False
        self._read, self._problem = True, ""
        self._version = "" if found is None else found["metadata"]["resourceVersion"]
        for key, text in ((found or {}).get("data") or {}).items():
            try:
                self._plans[key] = from_text(text)
            except RecordError as error:
                logger.warning("ConfigMap %s/%s, key %s: %s; begun anew", self._namespace, NAME, key, error)
        return True

    def enter(self, plan: str, basis: str, sights: Mapping[str, Sight], now: float) -> None:
        """Enter what a tick shows of a plan's own lanes; a lane that isn't there now has a gap."""
        if not self._read:
            return
        key = page_key(plan)
        before = self._plans.get(key, {})
        self._plans[key] = records = {name: item for name, item in before.items() if item.basis == basis}
        for name, sight in sights.items():
            under, at = self._last.get((plan, name), ("", now))
            counted = now - at if under == basis and 0 < now - at <= self._gap else 0.0
            records[name] = seen(records.get(name), basis, sight, now, counted)
        self._last = {about: last for about, last in self._last.items() if about[0] != plan}
        self._last |= {(plan, name): (basis, now) for name in sights}
        self._unsaved = True

    def records(self, plan: str) -> Records:
        """What is kept of a plan's lanes, by name."""
        return self._plans.get(page_key(plan), {})

    def short(self, plan: str) -> str:
        """Why a restart may begin anew, where not enough of what was observed of a plan can be kept."""
        if page_key(plan) not in self._short:
            return ""
        return (
            f"ConfigMap {self._namespace}/{NAME} has room for less of what was observed than proposals.observeSeconds "
            "wants, so a restart of the operator begins anew"
        )

    def keep(self, plans: Collection[str]) -> None:
        """Drop what belongs to other plans."""
        keys = {page_key(plan) for plan in plans}
        if self._plans.keys() - keys:
            self._plans = {key: records for key, records in self._plans.items() if key in keys}
            self._unsaved = True
        self._last = {key: last for key, last in self._last.items() if key[0] in plans}

    async def save(self, now: float) -> None:
        """Write what was entered, once in ``WRITE_SECONDS``."""
        if not self._unsaved or now - self._written_at < WRITE_SECONDS:
            return
        meta: dict[str, object] = {"name": NAME, "namespace": self._namespace}
        if self._version:
            meta["resourceVersion"] = self._version
        pages = share_out({key: page for key, page in sorted(self._plans.items()) if page}, MOST_CHARACTERS)
        self._warn(pages)
        data = {key: page.text for key, page in pages.items()}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
        try:
            written = await self._kube.apply(CONFIG_MAPS, self._namespace, NAME, body)
        except KubeError as error:
            if error.conflict or error.not_found:
                # Somebody else wrote or deleted it: what is known here is newer than any of that.
                await self._look_again()
            else:
                self._say(f"was not written: {error.message}")
            return
        self._version, self._written_at = written["metadata"]["resourceVersion"], now
        self._unsaved, self._problem = False, ""

    def _warn(self, pages: Mapping[str, Written]) -> None:
        """Once of each plan, until there is room."""
        found = {key: least for key, page in pages.items() if (least := self._least(key, page)) is not None}
        for key in sorted(found.keys() - self._short):
            logger.warning(
                "ConfigMap %s/%s, key %s: there is room for %.1f hours of observation, and a proposal wants %.1f: "
                "what is older is lost when the operator restarts",
                self._namespace,
                NAME,
                key,
                found[key] / HOUR_SECONDS,
                self._wanted / HOUR_SECONDS,
            )
        self._short = frozenset(found)

    def _least(self, key: str, page: Written) -> float | None:
        """Seconds kept of the plan's lane of which least is kept, where that is less than seen and than wanted."""
        kept = [(page.kept(record), record.seconds) for record in self._plans[key].values()]
        return min((float(left) for left, whole in kept if left < min(whole, Decimal(self._wanted))), default=None)

    async def _look_again(self) -> None:
        try:
            found = await self._kube.find(CONFIG_MAPS, self._namespace, NAME)
        except KubeError:
            return
        self._version = "" if found is None else found["metadata"]["resourceVersion"]

    def _say(self, problem: str) -> None:
        """Once, until it is another problem."""
        if problem != self._problem:
            logger.error("ConfigMap %s/%s %s", self._namespace, NAME, problem)
        self._problem = problem


def page_key(plan: str) -> str:
    """Key of the page of a plan ("namespace/name"): "namespace.name.json", with a digest where that is too long."""
    key = f"{plan.replace('/', '.', 1)}.json"
    if len(key) <= MOST_KEY:
        return key
    tail = f"-{hashlib.sha256(plan.encode()).hexdigest()[:DIGEST_DIGITS]}.json"
    return key[: MOST_KEY - len(tail)] + tail
