"""The loop: observe, decide, act, report - the same steps each tick, from nothing but what is there now.

Level-based: no step relies on having seen an event. A tick that fails leaves everything as it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic

from spillway.act.executor import execute
from spillway.act.lane_facts import Seen
from spillway.act.writes import Outcome, Write
from spillway.api.status import LaneMoveStatus, MoveState
from spillway.config import OperatorConfig
from spillway.controller.budgets import budgeted, positions_or_unknown, team_caps
from spillway.controller.hosted import HostedMeter
from spillway.controller.ledger import LedgerKeeper
from spillway.controller.moves import Moves, look, move_statuses, shown_moves
from spillway.controller.proposals import Proposals
from spillway.controller.publish import Publisher
from spillway.controller.recorder import Recorder
from spillway.decide import decide
from spillway.decide.decision import Decision
from spillway.decide.memory import Memory
from spillway.decide.snapshot import PlanSnapshot, Snapshot
from spillway.kube import Kube, KubeError
from spillway.observe.cluster import ClusterReader
from spillway.observe.join import build_snapshot
from spillway.observe.metrics import MetricsReader, MetricsView
from spillway.observe.prices import PriceBook
from spillway.observe.queries import egress_gateways
from spillway.observe.scope import ClusterView
from spillway.observe.spenders import counted as spending
from spillway.report.budgets import Positions
from spillway.report.health import TickHealth
from spillway.report.lane_changes import UNKNOWN, PlanChanges
from spillway.report.metrics import OperatorMetrics

DEBOUNCE_SECONDS = 0.3
"""Several changes of manifests at once make one tick."""
MIN_SPACING_SECONDS = 2.0
"""Whoever edits manifests all the time gets ticks no closer than this, or than the period where that is shorter."""

logger = logging.getLogger("spillway.loop")


@dataclass(frozen=True, slots=True)
class Decided:
    """One plan's half of a tick."""

    snapshot: PlanSnapshot
    decision: Decision
    writes: tuple[Write, ...] = ()
    seen: Seen = field(default_factory=Seen)
    """How far the weights that were observed have come."""
    moves: Mapping[str, LaneMoveStatus] = field(default_factory=dict)
    """Where each own lane stands in the safe order, by name."""
    budgets: Positions = field(default_factory=dict)
    """Where classes stand in their budgets."""
    changes: PlanChanges = UNKNOWN
    """The plan's structural proposals."""


@dataclass(slots=True)
class Remembered:
    """Memory by plan; a re-created plan (another UID) starts anew."""

    by_plan: dict[str, tuple[str, Memory]] = field(default_factory=dict)

    def recall(self, snapshot: PlanSnapshot) -> Memory:
        """The plan's memory, empty for one not seen before."""
        uid, memory = self.by_plan.get(snapshot.key, ("", Memory()))
        return memory if uid == snapshot.plan.metadata.uid else Memory()

    def keep(self, snapshot: PlanSnapshot, memory: Memory) -> None:
        """Remember until the next tick."""
        self.by_plan[snapshot.key] = (snapshot.plan.metadata.uid, memory)

    def forget_others(self, keys: Sequence[str]) -> None:
        """Drop what belongs to plans that are gone."""
        self.by_plan = {key: kept for key, kept in self.by_plan.items() if key in keys}


class Loop:
    """Runs ticks until cancelled. ``clock`` gives Unix time in seconds."""

    def __init__(
        self,
        kube: Kube,
        config: OperatorConfig,
        health: TickHealth,
        metrics: OperatorMetrics,
        clock: Callable[[], float],
    ) -> None:
        self._kube, self._config, self._clock = kube, config, clock
        self._health, self._metrics = health, metrics
        self._cluster = ClusterReader(kube, config)
        self._prometheus = MetricsReader(config, clock)
        self._prices = PriceBook()
        self._ledger = LedgerKeeper(kube, config)
        self._hosted = HostedMeter(metrics.hosted)
        self._publisher = Publisher(kube, metrics)
        self._proposals = Proposals(kube, config, self._publisher)
        self._recorder = Recorder.of(config, clock)
        self._memory = Remembered()
        self._moves = Moves()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Ask for a tick soon: a manifest has changed."""
        self._wake.set()

    async def run(self) -> None:
        """Tick each period, and sooner when woken. Ends only by cancellation."""
        while True:
            started = monotonic()
            await self._guarded_tick()
            rest = max(0.05, self._config.tick_seconds - (monotonic() - started))
            try:
                await asyncio.wait_for(self._wake.wait(), timeout=rest)
            except TimeoutError:
                continue
            spacing = min(MIN_SPACING_SECONDS, self._config.tick_seconds) - (monotonic() - started)
            await asyncio.sleep(max(DEBOUNCE_SECONDS, spacing))
            self._wake.clear()

    async def _guarded_tick(self) -> None:
        started = monotonic()
        try:
            await self.tick()
        except KubeError as error:
            self._metrics.tick_failed(monotonic() - started)
            logger.error("tick failed: %s; nothing was changed", error.message, extra={"reason": error.reason})
        except Exception:  # the loop's boundary: one bad tick must not end the operator
            self._metrics.tick_failed(monotonic() - started)
            logger.exception("tick failed; nothing more was changed")
        else:
            self._health.completed()
            self._metrics.tick_completed(monotonic() - started, self._clock())

    async def tick(self) -> tuple[Decided, ...]:
        """One tick over all plans."""
        # 1. Observe the cluster and the metrics side by side.
        now = self._clock()
        cluster, metrics = await self._observe(now)
        # 2. Join them into one frozen snapshot.
        if metrics.error is not None:
            self._metrics.prometheus_read_failed()
        await self._count_spending(cluster, metrics, now)
        snapshot = build_snapshot(cluster, metrics, self._config, now, self._prices, self._ledger)
        # 3. Decide each plan, purely.
        decided = self._with_budgets(self._decide(snapshot), cluster)
        await self._ledger.save(now)
        await self._record()
        # 4. Act where a plan is in Apply, in the safe order; one plan's failure is its own.
        acted = tuple([await self._act(await self._confirmed(each)) for each in decided])
        # 5. Propose what only a person may change, once it has shown for days.
        changes = await self._proposals.tick(cluster, acted, now)
        acted = tuple(replace(each, changes=changes.get(each.snapshot.key, UNKNOWN)) for each in acted)
        # 6. Report what was seen, decided and done.
        await self._publisher.publish(cluster, acted, now)
        self._memory.forget_others([plan.key for plan in snapshot.plans])
        self._hosted.keep([plan.key for plan in snapshot.plans])
        self._moves.forget_others([plan.plan.metadata.uid for plan in snapshot.plans])
        self._log_problems(cluster)
        return acted

    async def _observe(self, now: float) -> tuple[ClusterView, MetricsView]:
        reading = asyncio.create_task(self._prometheus.read(now))
        try:
            return await self._cluster.read(now), await reading
        finally:
            # Without the cluster nothing is decided: a slow Prometheus must not be asked a second time beside this.
            reading.cancel()
            await asyncio.wait({reading})

    async def _count_spending(self, cluster: ClusterView, metrics: MetricsView, now: float) -> None:
        caps = team_caps(cluster)
        if metrics.spend is not None:
            counted = spending(cluster, metrics.spend, self._config, lambda lane: self._prices.quote(lane, now).price)
            self._hosted.enter(counted, cluster, now)
            namespaces = {scope.plan.metadata.namespace for scope in cluster.plans}
            await self._ledger.enter(counted, namespaces, now, caps)
        elif not egress_gateways(self._config):
            # Nothing counts hosted tokens; classes with budgets have own GPUs all the same.
            await self._ledger.enter(None, budgeted(cluster), now, caps)

    def _decide(self, snapshot: Snapshot) -> tuple[Decided, ...]:
        decided = []
        for plan in snapshot.plans:
            before = self._memory.recall(plan)
            begun = None if self._recorder is None else self._recorder.begin(plan, before)
            try:
                decision, memory = decide(plan, before)
            except Exception as error:  # one plan's data must not stop the others
                logger.exception("plan %s could not be decided; it is held", plan.key)
                if self._recorder is not None:
                    self._recorder.end(begun, None, error)
                continue
            if self._recorder is not None:
                self._recorder.end(begun, decision)
            self._memory.keep(plan, memory)
            self._hosted.decided(plan, decision)
            decided.append(Decided(plan, decision))
        return tuple(decided)

    def _with_budgets(self, decided: tuple[Decided, ...], cluster: ClusterView) -> tuple[Decided, ...]:
        caps = team_caps(cluster)
        return tuple(
            replace(each, budgets=positions_or_unknown(each.snapshot, each.decision, self._ledger, caps))
            for each in decided
        )

    async def _record(self) -> None:
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.flush)

    async def _confirmed(self, decided: Decided) -> Decided:
        """With what is known of the weights in place."""
        moves = shown_moves(decided.snapshot.plan.status)
        try:
            return replace(decided, moves=moves, seen=await look(self._kube, decided.snapshot, self._moves))
        except KubeError as error:
            logger.error("plan %s: its weights could not be confirmed: %s", decided.snapshot.key, error.message)
            return replace(decided, moves=moves)

    async def _act(self, decided: Decided) -> Decided:
        snapshot, decision = decided.snapshot, decided.decision
        try:
            done = await execute(self._kube, snapshot, decision, decided.seen, self._stopped, self._clock)
        except KubeError as error:
            logger.error("plan %s: acting failed: %s", decided.snapshot.key, error.message)
            return decided
        except Exception:  # one plan's objects must not stop the others
            logger.exception("plan %s: acting failed", decided.snapshot.key)
            return decided
        for write in done.writes:
            self._metrics.wrote(write.kind, write.outcome.value)
            level = logging.INFO if write.outcome is not Outcome.FAILED else logging.ERROR
            text = f"{write.subject}: {write.detail}: {write.outcome.value}"
            logger.log(level, "%s%s", text, f" ({write.error})" if write.error else "")
        moves = move_statuses(done.moves, snapshot.plan.status, snapshot.at)
        _log_moves(snapshot.key, decided.moves, moves)
        return replace(decided, writes=done.writes, moves=moves)

    async def _stopped(self, namespace: str) -> bool:
        return await self._cluster.stopped(namespace) is not None

    def _log_problems(self, cluster: ClusterView) -> None:
        for about, findings in cluster.object_findings.items():
            for finding in findings:
                logger.debug("%s: %s: %s", about, finding.reason, finding.message)


def _log_moves(plan: str, before: Mapping[str, LaneMoveStatus], now: Mapping[str, LaneMoveStatus]) -> None:
    """One line for each lane that has come into another state, or is held for another reason."""
    for lane, move in now.items():
        old = before.get(lane)
        if (
            old is not None
            and old.state is move.state
            and (move.state is not MoveState.HELD or old.reason == move.reason)
        ):
            continue
        logger.info(
            "plan %s: lane %s: %s: %s", plan, lane, move.state.value, move.message, extra={"reason": move.reason}
        )
