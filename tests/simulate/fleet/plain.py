"""A literal fleet, one iteration and one event after the other: what the compiled one is compared with.

It shares nothing with it but the draws. Slow and plain on purpose: no leaps, no heaps, no queues by class.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from spillway.simulate.fleet.draws import lognormal_mean, normals, stream_key, uniform
from spillway.simulate.outcome import Served
from spillway.simulate.policy import Action, LaneOverflow
from spillway.simulate.world import OwnTruth, StepTable, Workload, World

Actions = Callable[[float], Action]


def interpolate(points: np.ndarray, values: np.ndarray, at: float) -> float:
    """Linear between the points and beyond them."""
    if len(points) == 1:
        return float(values[0])
    j = int(np.clip(np.searchsorted(points, at, side="right") - 1, 0, len(points) - 2))
    share = (at - points[j]) / (points[j + 1] - points[j])
    return float(values[j] + (values[j + 1] - values[j]) * share)


def step_seconds(lane: OwnTruth, batch: int, held: int, tokens: int) -> float:
    """One iteration."""
    if lane.table is None:
        ms = lane.alpha_ms + lane.beta_ms_per_seq * batch + lane.gamma_ms_per_ktoken * held / 1000.0
        return (ms + lane.prefill_ms_per_ktoken * tokens / 1000.0) / 1000.0
    return table_seconds(lane.table, batch, held, tokens)


def table_seconds(table: StepTable, batch: int, held: int, tokens: int) -> float:
    """One iteration by a table."""
    by_batch = np.array(
        [interpolate(table.context_tokens, table.decode_ms[b], held / batch) for b in range(len(table.batch))]
    )
    ms = interpolate(table.batch, by_batch, batch)
    if tokens:
        first = table.prompt_tokens[0]
        if tokens <= first or len(table.prompt_tokens) == 1:
            ms += table.prefill_ms[0] * tokens / first
        else:
            ms += interpolate(table.prompt_tokens, table.prefill_ms, tokens)
    return ms / 1000.0


@dataclass
class PlainRequest:
    """One request and how it went."""

    number: int
    arrival: float
    group: int
    inputs: int
    outputs: int
    done_prompt: int = 0
    generated: int = 0
    first: float = math.nan
    end: float = math.nan
    served: Served | None = None
    lane: int = -1
    held_since: float | None = None
    hold_until: float = math.inf
    only_lane: int | None = None
    held: float = 0.0
    itl: float = math.nan
    retry_at: float | None = None


@dataclass
class PlainReplica:
    """One engine."""

    number: int
    lane: int
    ready_at: float
    ready: bool = False
    draining: bool = False
    waiting: list[PlainRequest] = field(default_factory=list)
    running: list[PlainRequest] = field(default_factory=list)
    step_end: float | None = None
    chunks: list[tuple[PlainRequest, int]] = field(default_factory=list)

    @property
    def in_flight(self) -> int:
        return len(self.waiting) + len(self.running)


class PlainFleet:
    """The whole of it; `run` gives the requests."""

    def __init__(self, world: World, work: Workload, seed: int, actions: Actions, tick_s: float):
        self.world, self.seed, self.actions, self.tick_s = world, seed, actions, tick_s
        self.key = np.uint64(stream_key(seed, 1))
        columns = zip(work.arrival_s, work.class_index, work.input_tokens, work.output_tokens, strict=True)
        self.requests = [PlainRequest(n, float(a), int(c), int(i), int(o)) for n, (a, c, i, o) in enumerate(columns)]
        self.replicas: list[PlainReplica] = []
        self.held: list[PlainRequest] = []
        self.failed_once: list[PlainRequest] = []
        self.ended: dict[int, float] = {}
        self.made = [0] * len(world.own)
        self.number = 0
        self.rotate = 0
        self.minutes: dict[tuple[int, int], tuple[int, int]] = {}
        self.hosted_ends: dict[int, list[float]] = {}
        self.action = actions(0.0)
        for lane, count in enumerate(self.action.replicas):
            for _ in range(min(count, world.own[lane].max_replicas)):
                self.create(lane, 0.0, at_once=True)

    def run(self) -> list[PlainRequest]:
        arrivals = list(self.requests)
        tick = 1
        while True:
            tick_at = tick * self.tick_s if tick * self.tick_s < self.world.duration_s else math.inf
            times = [r.ready_at for r in self.replicas if not r.ready]
            times += [r.step_end for r in self.replicas if r.step_end is not None]
            times += [r.hold_until for r in self.held]
            times += [r.retry_at for r in self.failed_once if r.retry_at is not None]
            times += [arrivals[0].arrival] if arrivals else []
            now = min([*times, tick_at])
            if now == math.inf or (not times and now > self.world.duration_s):
                return self.requests
            for replica in list(self.replicas):
                if not replica.ready and replica.ready_at == now:
                    replica.ready = True
                    self.release(now)
                if replica.step_end == now:
                    self.end_step(replica, now)
            while arrivals and arrivals[0].arrival == now:
                self.arrive(arrivals.pop(0), now)
            for request in list(self.held):
                if request.hold_until == now:
                    self.unhold(request, now)
                    over = now >= request.arrival + self.patience(request) - 1e-9
                    self.give_up(request, now, Served.HOSTED_BY_PATIENCE if over else Served.HOSTED_BY_CAP)
            for request in list(self.failed_once):
                if request.retry_at == now:
                    self.failed_once.remove(request)
                    self.attempt(request, now, 1)
            self.begin_all(now)
            if now == tick_at:
                tick += 1
                self.apply(self.actions(now), now)
                self.begin_all(now)

    def patience(self, request: PlainRequest) -> float:
        return self.world.classes[request.group].patience_s

    def rule(self, lane: int) -> tuple[float, float]:
        """(cap, queue limit)."""
        rule = self.action.overflow[lane] if self.action.overflow else LaneOverflow()
        own = self.world.own[lane].max_queued
        limit = min(math.inf if rule.queue_limit is None else rule.queue_limit, math.inf if own is None else own)
        return math.inf if rule.cap is None else rule.cap, limit

    def create(self, lane: int, now: float, at_once: bool = False) -> None:
        truth = self.world.own[lane]
        ready = now
        if not at_once:
            for start, end in truth.stockouts:
                if start <= ready < end:
                    ready = end
            key = stream_key(self.seed, 2, lane, self.made[lane])
            ready += lognormal_mean(truth.startup_mean_s, truth.startup_sigma, key)
        self.replicas.append(PlainReplica(self.number, lane, ready))
        self.number += 1
        self.made[lane] += 1

    def apply(self, action: Action, now: float) -> None:
        self.action = action
        wanted = [
            min(max(n, t.min_replicas), t.max_replicas) for n, t in zip(action.replicas, self.world.own, strict=True)
        ]
        for lane, count in enumerate(wanted):
            mine = [r for r in self.replicas if r.lane == lane and not r.draining]
            for _ in range(len(mine) - count):
                starting = [r for r in mine if not r.ready]
                victim = starting[-1] if starting else min(mine, key=lambda r: (r.in_flight, -r.number))
                mine.remove(victim)
                victim.draining = True
                if victim.in_flight == 0:
                    self.remove(victim, now)
        for lane, count in enumerate(wanted):
            have = sum(r.lane == lane and not r.draining for r in self.replicas)
            for _ in range(count - have):
                self.create(lane, now)
        self.release(now)

    def remove(self, replica: PlainReplica, now: float) -> None:
        self.replicas.remove(replica)
        self.ended[replica.number] = now

    def targets(self, request: PlainRequest, lanes: list[int]) -> list[PlainReplica]:
        need = request.inputs + request.outputs
        return [
            r for r in self.replicas
            if r.ready and not r.draining and r.lane in lanes and need <= self.world.own[r.lane].kv_cache_tokens
        ]  # fmt: skip

    def arrive(self, request: PlainRequest, now: float) -> None:
        truth = self.world.classes[request.group]
        action, base = self.action, request.number * 8
        if truth.hosted and action.hosted_share and uniform(self.key, base) < action.hosted_share[request.group]:
            self.host(request, now, Served.HOSTED_BY_WEIGHT)
            return
        lanes = list(truth.own)
        if not any(request.inputs + request.outputs <= self.world.own[lane].kv_cache_tokens for lane in lanes):
            self.give_up(request, now, Served.HOSTED_NO_REPLICA)
            return
        split = action.own_split[request.group] if action.own_split else ()
        if split and sum(split[lane] for lane in lanes) > 0:
            shares = np.array([split[lane] if lane in lanes else 0.0 for lane in range(len(self.world.own))])
            drawn = int(np.searchsorted(np.cumsum(shares) / shares.sum(), uniform(self.key, base + 1), side="right"))
            drawn = min(drawn, len(self.world.own) - 1)
            if self.targets(request, [drawn]):
                lanes, request.only_lane = [drawn], drawn
        ready = [r for r in self.replicas if r.ready and not r.draining]
        turn = self.rotate % len(ready) if ready and self.rotate < len(ready) else 0
        in_turn = ready[turn:] + ready[:turn]
        able = self.targets(request, lanes)
        room = [r for r in in_turn if r in able and r.in_flight < self.rule(r.lane)[0]]
        hold = action.hold_s[request.group] if action.hold_s else 0.0
        if room:
            chosen = min(room, key=lambda r: r.in_flight)
            self.rotate = ready.index(chosen) + 1
            if len(chosen.waiting) < self.rule(chosen.lane)[1]:
                chosen.waiting.append(request)
            elif truth.hosted:
                self.host(request, now, Served.HOSTED_BY_QUEUE)
            else:
                self.hold(request, now, hold)
        elif not truth.hosted or hold > 0:
            self.hold(request, now, hold)
        else:
            self.host(request, now, Served.HOSTED_BY_CAP if able else Served.HOSTED_NO_REPLICA)

    def hold(self, request: PlainRequest, now: float, hold: float) -> None:
        request.held_since = now
        self.held.append(request)
        self.held.sort(key=lambda r: r.number)
        request.hold_until = request.arrival + self.patience(request)
        if self.world.classes[request.group].hosted:
            request.hold_until = min(request.hold_until, now + hold)

    def unhold(self, request: PlainRequest, now: float) -> None:
        assert request.held_since is not None
        request.held, request.held_since = now - request.held_since, None
        self.held.remove(request)

    def release(self, now: float) -> None:
        """Send what is held to wherever there is room, best first."""
        for lane in range(len(self.world.own)):
            while True:
                cap, limit = self.rule(lane)
                room = [
                    r for r in self.replicas
                    if r.lane == lane and r.ready and not r.draining and r.in_flight < cap and len(r.waiting) < limit
                ]  # fmt: skip
                candidates = self.candidates(lane)
                if not room or not candidates:
                    break
                self.unhold(candidates[0], now)
                min(room, key=lambda r: r.in_flight).waiting.append(candidates[0])

    def candidates(self, lane: int) -> list[PlainRequest]:
        """Held requests that may go to a lane, best first: in each (class, drawn lane) only the first counts."""
        firsts: dict[tuple[int, int | None], PlainRequest] = {}
        for r in self.held:
            if r.only_lane in (None, lane) and lane in self.world.classes[r.group].own:
                firsts.setdefault((r.group, r.only_lane), r)
        kv = self.world.own[lane].kv_cache_tokens
        able = [r for r in firsts.values() if r.inputs + r.outputs <= kv]
        return sorted(able, key=lambda r: (self.world.classes[r.group].priority, r.number))

    def begin_all(self, now: float) -> None:
        again = True
        while again:
            again = False
            for replica in self.replicas:
                if replica.step_end is None and replica.in_flight:
                    self.begin(replica, now)
                    again = True
            self.release(now)

    def begin(self, replica: PlainReplica, now: float) -> None:
        lane = self.world.own[replica.lane]
        decodes = [r for r in replica.running if r.generated > 0]
        budget = lane.max_batched_tokens - len(decodes)
        replica.chunks = []
        for r in [r for r in replica.running if r.generated == 0]:
            replica.chunks.append((r, min(budget, r.inputs - r.done_prompt)))
            budget -= replica.chunks[-1][1]
        while replica.waiting and budget > 0 and len(replica.running) < lane.max_num_seqs:
            head = min(replica.waiting, key=lambda r: self.world.classes[r.group].priority)
            reserved = sum(r.inputs + r.outputs for r in replica.running)
            if reserved + head.inputs + head.outputs > lane.kv_cache_tokens:
                break
            replica.waiting.remove(head)
            replica.running.append(head)
            replica.chunks.append((head, min(budget, head.inputs)))
            budget -= replica.chunks[-1][1]
        for r in decodes:
            r.generated += 1
        for r, chunk in replica.chunks:
            r.done_prompt += chunk
            if r.done_prompt == r.inputs:
                r.generated = 1
        held = sum(r.done_prompt + r.generated for r in replica.running)
        tokens = sum(chunk for _, chunk in replica.chunks)
        replica.step_end = now + step_seconds(lane, len(decodes) + len(replica.chunks), held, tokens)

    def end_step(self, replica: PlainReplica, now: float) -> None:
        replica.step_end = None
        for r, _ in replica.chunks:
            if r.generated == 1:
                r.first = now
        for r in [r for r in replica.running if r.generated >= r.outputs]:
            replica.running.remove(r)
            r.end, r.served, r.lane = now, Served.OWN, replica.lane
            if r.outputs > 1:
                r.itl = (now - r.first) / (r.outputs - 1)
        for priority in range(3):
            while True:
                queue = [r for r in replica.waiting if self.world.classes[r.group].priority == priority]
                if not queue or now < queue[0].arrival + self.patience(queue[0]):
                    break
                replica.waiting.remove(queue[0])
                self.give_up(queue[0], now, Served.HOSTED_BY_PATIENCE)
        if replica.draining and replica.in_flight == 0:
            self.remove(replica, now)
        self.release(now)

    def give_up(self, request: PlainRequest, now: float, why: Served) -> None:
        if self.world.classes[request.group].hosted:
            self.host(request, now, why)
        else:
            request.served, request.end = Served.REJECTED, now

    def host(self, request: PlainRequest, now: float, why: Served) -> None:
        request.served = why
        self.attempt(request, now, 0)

    def attempt(self, request: PlainRequest, now: float, number: int) -> None:
        tokens = request.inputs + request.outputs
        for index in self.world.classes[request.group].hosted:
            hosted = self.world.hosted[index]
            ends = [end for end in self.hosted_ends.get(index, []) if end > now]
            count, used = self.minutes.get((index, int(now // 60)), (0, 0))
            if len(ends) < hosted.concurrency and count < hosted.requests_per_minute:  # noqa: SIM102
                if used + tokens <= hosted.tokens_per_minute:
                    break
        else:
            request.served, request.end = Served.FAILED, now
            return
        self.minutes[index, int(now // 60)] = (count + 1, used + tokens)
        z_first, z_gap = normals(self.key, request.number * 8 + 4 + 2 * number)
        spread = 2.3263478740408408
        first = now + hosted.ttft_p50_s * (hosted.ttft_p99_s / hosted.ttft_p50_s) ** (z_first / spread)
        gap = hosted.itl_p50_s * (hosted.itl_p99_s / hosted.itl_p50_s) ** (z_gap / spread)
        failed = uniform(self.key, request.number * 8 + 2 + number) < hosted.error_rate
        failed = failed or any(start <= now < end for start, end in hosted.outages)
        end = first if failed else first + gap * (request.outputs - 1)
        self.hosted_ends[index] = [*ends, end]
        if failed and number == 0:
            request.retry_at = first
            self.failed_once.append(request)
        elif failed:
            request.served, request.end = Served.FAILED, first
        else:
            request.first, request.end, request.lane = first, end, index
            request.itl = gap if request.outputs > 1 else math.nan
