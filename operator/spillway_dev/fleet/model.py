"""The fleet as a pure model: requests arrive, a gateway routes them, replicas and hosted APIs answer.

    fleet = FleetModel(config, requests, rng, start_s=-20)
    fleet.set_replicas("gpu-h100", views)          # what the cluster says
    fleet.set_weights("coding-agents", {"vllm": 90, "egress": 10})
    fleet.advance(to_s)                            # in real or in virtual time

No clock, no I/O. Times are seconds on the demand's clock: 0 is where the scored day starts.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from spillway.simulate.replica import Admission, Completion, Replica, Request
from spillway_dev.fleet.config import FleetConfig, HostedLane, SelfHostedLane, TrafficClass
from spillway_dev.fleet.engine_metrics import EngineMetrics
from spillway_dev.fleet.gateway_metrics import GatewayMetrics
from spillway_dev.fleet.ledger import Ledger, Outcome

OK, BAD_REQUEST, NO_ROUTE, ALL_WEIGHTS_ZERO, UNAVAILABLE = 200, 400, 404, 500, 503
REJECTED = {Admission.QUEUE_FULL: UNAVAILABLE, Admission.TOO_LONG: BAD_REQUEST}


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """A pod as the cluster has it."""

    uid: str
    pod: str
    node: str
    ready: bool
    terminating: bool


@dataclass(slots=True)
class FleetPod:
    """A pod with the engine that it stands for. It is paid from `created_s` until `released_s`."""

    view: ReplicaView
    created_s: float
    replica: Replica | None = None
    metrics: EngineMetrics | None = None
    accepting: bool = False
    gone: bool = False
    released_s: float | None = None

    def gpu_seconds(self, from_s: float, to_s: float) -> float:
        """Seconds inside [from_s, to_s] that the pod holds its GPUs."""
        end_s = to_s if self.released_s is None else min(to_s, self.released_s)
        return max(0.0, end_s - max(from_s, self.created_s))


@dataclass(slots=True)
class LaneState:
    """The pods of one self-hosted lane, by uid; released ones are kept for the bill only."""

    lane: SelfHostedLane
    pods: dict[str, FleetPod] = field(default_factory=dict)
    released: list[FleetPod] = field(default_factory=list)
    turn: int = 0

    def gpu_seconds(self, from_s: float, to_s: float) -> float:
        """GPU seconds inside [from_s, to_s]."""
        pods = (*self.pods.values(), *self.released)
        return self.lane.gpus_per_replica * sum(pod.gpu_seconds(from_s, to_s) for pod in pods)


class FleetModel:
    """All replicas, hosted lanes and routes, and the score of what they did."""

    def __init__(
        self,
        config: FleetConfig,
        requests: Sequence[Request],
        rng: np.random.Generator,
        *,
        start_s: float = 0.0,
        metrics: bool = True,
        repeat: bool = False,
    ) -> None:
        self.config = config
        self.now_s = start_s
        self.lanes = {lane.name: LaneState(lane) for lane in config.lanes}
        self.hosted = {lane.name: lane for lane in config.hosted}
        self.ledger = Ledger(config, config.demand.day_seconds)
        self.gateway = GatewayMetrics(config)
        self._metrics = metrics
        self._rng = rng
        self._classes = {traffic.name: traffic for traffic in config.classes}
        self._weights: dict[str, Mapping[str, int] | None] = {}
        self._requests = [request for request in requests if request.arrival_s >= start_s]
        self._next = 0
        self._day = [request for request in requests if request.arrival_s >= 0] if repeat else []
        self._days = 0
        self._hosted_ends: list[tuple[float, int, str, Outcome]] = []

    @property
    def in_flight(self) -> int:
        """Requests that are being served."""
        own = sum(pod.replica.in_flight for _, pod in self.engines())
        return own + len(self._hosted_ends)

    @property
    def exhausted(self) -> bool:
        """Whether every request has arrived and ended."""
        return self._next >= len(self._requests) and self.in_flight == 0

    def engines(self) -> Iterable[tuple[LaneState, _Serving]]:
        """Pods that have an engine (Ready once, not yet released), with their lane."""
        for state in self.lanes.values():
            for pod in state.pods.values():
                if pod.replica is not None:
                    yield state, _Serving(pod, pod.replica)

    def set_weights(self, class_name: str, weights: Mapping[str, int] | None) -> None:
        """Weights by backendRefs name of the class's rule; None: the rule does not exist."""
        self._weights[class_name] = weights

    def set_replicas(self, lane: str, views: Iterable[ReplicaView]) -> None:
        """The lane's pods as the cluster has them now; those that vanished finish what they run."""
        state = self.lanes[lane]
        seen = {view.uid: view for view in views}
        for uid, view in seen.items():
            pod = state.pods.get(uid) or FleetPod(view, self.now_s)
            state.pods[uid] = pod
            pod.view = view
            pod.accepting = view.ready and not view.terminating
            if pod.accepting and pod.replica is None:
                self._boot(state.lane, pod)
        for uid, pod in state.pods.items():
            if uid not in seen:
                pod.gone, pod.accepting = True, False
        self._release(state)

    def advance(self, to_s: float) -> None:
        """Let everything happen up to `to_s`, in the order of time."""
        while self._next < len(self._requests) or self._another_day():
            request = self._requests[self._next]
            if request.arrival_s > to_s:
                break
            self._next += 1
            self._settle_hosted(request.arrival_s)
            self._arrive(request)
        self._settle_hosted(to_s)
        for state, engine in self.engines():
            engine.replica.advance(to_s)
            self._collect(state, engine)
        self.now_s = to_s
        for state in self.lanes.values():
            self._release(state)

    def _another_day(self) -> bool:
        """Append the day once more, if it is to be repeated; later days are not scored."""
        if not self._day:
            return False
        self._days += 1
        shift_s = self._days * self.config.demand.day_seconds
        first = (self._requests or self._day)[-1].number + 1
        self._requests.extend(
            replace(request, number=first + index, arrival_s=request.arrival_s + shift_s)
            for index, request in enumerate(self._day)
        )
        return True

    def _boot(self, lane: SelfHostedLane, pod: FleetPod) -> None:
        if self._metrics:
            pod.metrics = EngineMetrics(lane.model, lane.namespace, pod.view.pod)
        pod.replica = Replica(lane.profile.replica(), self.now_s, pod.metrics)

    def _release(self, state: LaneState) -> None:
        idle = [
            uid for uid, pod in state.pods.items() if pod.gone and (pod.replica is None or pod.replica.in_flight == 0)
        ]
        for uid in idle:
            pod = state.pods.pop(uid)
            pod.released_s = self.now_s
            pod.replica = pod.metrics = None
            state.released.append(pod)

    def _arrive(self, request: Request) -> None:
        self.ledger.arrived(request)
        traffic = self._classes[request.class_name]
        weights = self._weights.get(traffic.name)
        if weights is None:
            self._fail(request, NO_ROUTE)
            return
        self.gateway.started(traffic)
        backend = self._pick(weights)
        lane = traffic.backends.get(backend) if backend is not None else None
        if backend is None:
            self._fail(request, ALL_WEIGHTS_ZERO, traffic)
        elif lane is None:
            self._fail(request, UNAVAILABLE, traffic)
        elif lane in self.hosted:
            self._serve_hosted(request, self.hosted[lane])
        else:
            self._serve_own(request, traffic, self.lanes[lane])

    def _pick(self, weights: Mapping[str, int]) -> str | None:
        total = sum(weights.values())
        if total <= 0:
            return None
        point = self._rng.random() * total
        for backend, weight in weights.items():
            point -= weight
            if point < 0:
                return backend
        return None

    def _serve_own(self, request: Request, traffic: TrafficClass, state: LaneState) -> None:
        code = UNAVAILABLE
        pod = self._least_loaded(state, request.arrival_s)
        if pod is not None and pod.replica is not None:
            answer = pod.replica.submit(request, request.arrival_s)
            if answer is Admission.ACCEPTED:
                return
            code = REJECTED[answer]
            if pod.metrics is not None and answer is Admission.QUEUE_FULL:
                pod.metrics.rejected += 1
        if code == UNAVAILABLE and traffic.fallback_lane is not None:
            self._serve_hosted(request, self.hosted[traffic.fallback_lane])
        else:
            self._fail(request, code, traffic)

    def _least_loaded(self, state: LaneState, now_s: float) -> FleetPod | None:
        """The accepting pod with the fewest requests in flight; ties take turns."""
        pods = [pod for pod in state.pods.values() if pod.accepting and pod.replica is not None]
        best: FleetPod | None = None
        fewest = 0
        for offset in range(len(pods)):
            pod = pods[(state.turn + offset) % len(pods)]
            if pod.replica is None:
                continue
            pod.replica.advance(now_s)
            if best is None or pod.replica.in_flight < fewest:
                best, fewest = pod, pod.replica.in_flight
        if best is not None:
            state.turn = (pods.index(best) + 1) % len(pods)
        return best

    def _serve_hosted(self, request: Request, lane: HostedLane) -> None:
        ttft_s = lane.ttft_ms.p50 / 1000.0 * float(np.exp(lane.ttft_ms.sigma * self._rng.standard_normal()))
        itl_s = lane.itl_ms.p50 / 1000.0 * float(np.exp(lane.itl_ms.sigma * self._rng.standard_normal()))
        tokens_out = request.output_tokens
        end_s = request.arrival_s + ttft_s + itl_s * (tokens_out - 1)
        usd = (request.input_tokens * lane.input_usd_per_m_tok + tokens_out * lane.output_usd_per_m_tok) / 1e6
        outcome = Outcome(request, lane.name, True, OK, end_s, ttft_s, itl_s if tokens_out > 1 else None, usd)
        heapq.heappush(self._hosted_ends, (end_s, request.number, lane.name, outcome))

    def _settle_hosted(self, to_s: float) -> None:
        while self._hosted_ends and self._hosted_ends[0][0] <= to_s:
            _, _, lane, outcome = heapq.heappop(self._hosted_ends)
            traffic = self._classes[outcome.request.class_name]
            self.gateway.ended(traffic, OK)
            self.gateway.egress(traffic, self.hosted[lane], outcome)
            self.ledger.ended(outcome)

    def _collect(self, state: LaneState, engine: _Serving) -> None:
        for done in engine.replica.take_completions():
            self._completed(state, engine.pod, done)

    def _completed(self, state: LaneState, pod: FleetPod, done: Completion) -> None:
        if pod.metrics is not None:
            pod.metrics.completed(done)
        self.gateway.ended(self._classes[done.request.class_name], OK)
        self.ledger.ended(Outcome(done.request, state.lane.name, False, OK, done.end_s, done.ttft_s, done.itl_s))

    def _fail(self, request: Request, code: int, traffic: TrafficClass | None = None) -> None:
        if traffic is not None:
            self.gateway.ended(traffic, code)
        self.ledger.ended(Outcome(request, None, False, code, request.arrival_s))


@dataclass(frozen=True, slots=True)
class _Serving:
    """A pod that certainly has an engine."""

    pod: FleetPod
    replica: Replica
