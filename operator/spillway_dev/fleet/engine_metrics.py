"""What one vLLM engine would export: the counters and histograms that its iterations and requests move."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Protocol

from spillway.simulate.replica import Completion, ReplicaProfile, Request
from spillway_dev.fleet.histogram import (
    ITL_BOUNDS,
    REQUEST_BOUNDS,
    STEP_TOKEN_BOUNDS,
    TTFT_BOUNDS,
    Family,
    Histogram,
    Line,
    labels,
    one_two_five,
)

MAX_MODEL_LEN = 32_768
TOKEN_BOUNDS = one_two_five(MAX_MODEL_LEN)
BLOCK_TOKENS = 16

HISTOGRAMS: tuple[tuple[str, str, tuple[float, ...]], ...] = (
    ("time_to_first_token_seconds", "Histogram of time to first token in seconds.", TTFT_BOUNDS),
    ("inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", ITL_BOUNDS),
    (
        "request_time_per_output_token_seconds",
        "Histogram of time_per_output_token_seconds per request.",
        ITL_BOUNDS,
    ),
    ("e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", REQUEST_BOUNDS),
    ("request_queue_time_seconds", "Histogram of time spent in WAITING phase for request.", REQUEST_BOUNDS),
    ("request_prefill_time_seconds", "Histogram of time spent in PREFILL phase for request.", REQUEST_BOUNDS),
    ("request_decode_time_seconds", "Histogram of time spent in DECODE phase for request.", REQUEST_BOUNDS),
    ("request_inference_time_seconds", "Histogram of time spent in RUNNING phase for request.", REQUEST_BOUNDS),
    ("request_prompt_tokens", "Number of prefill tokens processed.", TOKEN_BOUNDS),
    ("request_generation_tokens", "Number of generation tokens processed.", TOKEN_BOUNDS),
    ("iteration_tokens_total", "Histogram of number of tokens per engine_step.", STEP_TOKEN_BOUNDS),
)


class Engine(Protocol):
    """What gauges are read from, simulated or in real time."""

    @property
    def running(self) -> int:
        """Requests that are being answered."""

    @property
    def waiting(self) -> int:
        """Requests that wait to be."""

    @property
    def kv_usage(self) -> float:
        """Share of the KV cache in use, 0 to 1."""

    @property
    def profile(self) -> ReplicaProfile:
        """What it can do."""


class EngineMetrics:
    """One engine's metrics: told of steps and first tokens by its replica, of completions by the fleet."""

    def __init__(self, model: str, namespace: str, pod: str) -> None:
        self.base = labels(namespace=namespace, pod=pod, model_name=model, engine="0")
        self._scrape = labels(namespace=namespace, pod=pod)
        self._model = model
        self._started = time.time()
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.succeeded = 0
        self.rejected = 0
        self.histograms = {name: Histogram(bounds) for name, _, bounds in HISTOGRAMS}

    def step(self, duration_s: float, decodes: int, prompt_tokens: int, repeat: int) -> None:
        """Iterations have ended (see `StepObserver`)."""
        self.generation_tokens += decodes * repeat
        if decodes:
            self.histograms["inter_token_latency_seconds"].observe(duration_s, decodes * repeat)
        self.histograms["iteration_tokens_total"].observe(decodes + prompt_tokens, repeat)

    def first_token(self, request: Request, ttft_s: float) -> None:
        """A prompt is done. vLLM counts its tokens, and the first token, only now."""
        self.prompt_tokens += request.input_tokens
        self.generation_tokens += 1
        self.histograms["time_to_first_token_seconds"].observe(ttft_s)

    def completed(self, done: Completion) -> None:
        """A request is answered in full."""
        self.succeeded += 1
        request, observe = done.request, self._observe
        observe("e2e_request_latency_seconds", done.end_s - request.arrival_s)
        observe("request_queue_time_seconds", done.admitted_s - request.arrival_s)
        observe("request_prefill_time_seconds", done.first_token_s - done.admitted_s)
        observe("request_decode_time_seconds", done.end_s - done.first_token_s)
        observe("request_inference_time_seconds", done.end_s - done.admitted_s)
        observe("request_prompt_tokens", request.input_tokens)
        observe("request_generation_tokens", request.output_tokens)
        if done.itl_s is not None:
            observe("request_time_per_output_token_seconds", done.itl_s)

    def families(self, replica: Engine) -> Iterator[Family]:
        """All series of this engine, with the replica's gauges as they are now."""
        base = self.base
        waiting, capacity = float(replica.waiting), labels(reason="capacity")
        yield _gauge("num_requests_running", "Number of requests in model execution batches.", base, replica.running)
        yield _gauge("num_requests_waiting", "Number of requests waiting to be processed.", base, waiting)
        by_reason: list[Line] = [
            (f"vllm:num_requests_waiting_by_reason{{{base},{capacity}}}", waiting),
            (f"vllm:num_requests_waiting_by_reason{{{base},{labels(reason='deferred')}}}", 0.0),
        ]
        yield Family("vllm:num_requests_waiting_by_reason", "gauge", "Number of waiting requests by reason.", by_reason)
        usage = replica.kv_usage
        yield _gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", base, usage)
        started = (f"process_start_time_seconds{{{self._scrape}}}", self._started)
        yield Family("process_start_time_seconds", "gauge", "Start time of the process since unix epoch.", [started])
        yield from self._info(replica)
        yield from self._counters()
        for name, text, _ in HISTOGRAMS:
            lines = list(self.histograms[name].lines(f"vllm:{name}", base))
            yield Family(f"vllm:{name}", "histogram", text, lines)

    def _info(self, replica: Engine) -> Iterator[Family]:
        blocks = replica.profile.kv_cache_tokens // BLOCK_TOKENS
        config = labels(block_size=str(BLOCK_TOKENS), num_gpu_blocks=str(blocks), engine="0")
        line = f"vllm:cache_config_info{{{self._scrape},{config}}}"
        yield Family("vllm:cache_config_info", "gauge", "Information of the LLMEngine CacheConfig", [(line, 1.0)])

    def _counters(self) -> Iterator[Family]:
        base = self.base
        yield _counter("prompt_tokens_total", "Number of prefill tokens processed.", base, self.prompt_tokens)
        yield _counter(
            "generation_tokens_total", "Number of generation tokens processed.", base, self.generation_tokens
        )
        yield _counter("num_preemptions_total", "Cumulative number of preemption from the engine.", base, 0)
        reason = f"{base},{labels(finished_reason='stop')}"
        yield _counter("request_success_total", "Count of successfully processed requests.", reason, self.succeeded)
        rejected = f"{self._scrape},{labels(model_name=self._model, reason='max_num_queued_reqs')}"
        yield _counter(
            "admission_rejections_total", "Requests refused at admission, by reason.", rejected, self.rejected
        )

    def _observe(self, name: str, value: float) -> None:
        self.histograms[name].observe(value)


def _gauge(name: str, text: str, base: str, value: float) -> Family:
    return Family(f"vllm:{name}", "gauge", text, [(f"vllm:{name}{{{base}}}", value)])


def _counter(name: str, text: str, base: str, value: float) -> Family:
    return Family(f"vllm:{name}", "counter", text, [(f"vllm:{name}{{{base}}}", value)])
