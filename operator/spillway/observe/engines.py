"""Alias tables: how each serving engine names its metrics, in its older and newer versions.

A name that a version does not export yields no series, and the next alias is taken; nothing ever reads as 0 because it
was renamed. Checked against the exporters of vLLM 0.6 to 0.33 and SGLang 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from spillway.api import Engine
from spillway.observe.promql import first_of, grouped, selector

AS_IT_IS = "%s"
"""The template around a selector that changes nothing."""

_NOTHING_YET = "vllm:generation_tokens_total"
"""Several API servers export vLLM's gauges only once the engine has taken a step."""


class Kind(StrEnum):
    """How a metric is turned into a value over the rate window."""

    GAUGE = "gauge"
    COUNTER = "counter"


@dataclass(frozen=True, slots=True)
class Metric:
    """One measure with its names, best first."""

    key: str
    names: tuple[str, ...]
    kind: Kind = Kind.COUNTER
    combine: str = "sum"
    """How the series of one pod and model (data-parallel engines) become one value."""
    conditions: str = ""
    rank: str = ""
    """Label that tells real shares apart; series that differ in other rank labels repeat each other."""
    beside: str = ""
    """A series that the same target must export, without which the figure is not to be trusted."""
    unused: str = ""
    """A counter: while it is 0 the engine has served nothing yet, and a gauge that is not there is 0."""

    def series_names(self) -> tuple[str, ...]:
        """All names to ask for; a counter may lose its ``_total`` on the way through other formats."""
        if self.kind is Kind.GAUGE or self.names[0].endswith(("_sum", "_count", "_bucket")):
            return self.names
        return tuple(name for base in self.names for name in (f"{base}_total", base))

    def expression(self, by: Sequence[str], wrap: str, combine: str = "") -> str:
        """The measure grouped by ``by``; ``wrap`` is a template around the selector, such as ``rate(%s[1m])``."""
        known = [
            grouped(combine or self.combine, by, self._shares(wrap % selector(name, self.conditions), by))
            for name in self.series_names()
        ]
        if self.unused and wrap == AS_IT_IS:
            known.append(f"{grouped('sum', by, self.unused)} == 0")
        return first_of(known)

    def _shares(self, expression: str, by: Sequence[str]) -> str:
        if self.beside:
            # Whatever is grouped by begins with the namespace's and the pod's label.
            expression = f"({expression} and on ({','.join((*by[:2], 'instance'))}) {self.beside})"
        return grouped("max", [*by, self.rank], expression) if self.rank else expression


@dataclass(frozen=True, slots=True)
class EngineTable:
    """One engine's metrics."""

    engine: Engine
    gauges: tuple[Metric, ...]
    counters: tuple[Metric, ...]
    time_to_first_token: tuple[str, ...]
    """Histogram names in seconds, best first."""
    request_token_latency: tuple[str, ...]
    """Histograms of the latency per output token that an SLO is held against: per request, else per token."""
    cache_size_info: str = ""
    """Info metric whose labels give the size of the KV cache."""

    def metric(self, key: str) -> Metric | None:
        """The measure of that key, if the engine has it."""
        return next((metric for metric in (*self.gauges, *self.counters) if metric.key == key), None)


def _mean(key: str, names: tuple[str, ...]) -> tuple[Metric, Metric]:
    return (
        Metric(f"{key}_sum", tuple(f"{name}_sum" for name in names)),
        Metric(f"{key}_count", tuple(f"{name}_count" for name in names)),
    )


_VLLM_TTFT = ("vllm:time_to_first_token_seconds",)
_VLLM_ITL = ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")
_SGLANG_TTFT = ("sglang:time_to_first_token_seconds",)
_SGLANG_ITL = ("sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds")
_SGLANG_TOTAL = 'priority=""'
"""With priority scheduling SGLang exports the total under an empty label and the parts under the others."""

VLLM = EngineTable(
    engine=Engine.VLLM,
    gauges=(
        Metric("running", ("vllm:num_requests_running",), Kind.GAUGE, unused=_NOTHING_YET),
        Metric("waiting", ("vllm:num_requests_waiting",), Kind.GAUGE, unused=_NOTHING_YET),
        Metric(
            "kv_usage",
            ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
            Kind.GAUGE,
            "max",
            unused=_NOTHING_YET,
        ),
    ),
    counters=(
        Metric("requests", ("vllm:request_success",)),
        Metric("input_tokens", ("vllm:prompt_tokens",)),
        Metric("output_tokens", ("vllm:generation_tokens",)),
        Metric("cached_tokens", ("vllm:prompt_tokens_cached", "vllm:prefix_cache_hits", "vllm:gpu_prefix_cache_hits")),
        Metric("preemptions", ("vllm:num_preemptions",)),
        Metric("rejections", ("vllm:admission_rejections",)),
        Metric("flops", ("vllm:estimated_flops_per_gpu",), combine="avg"),
        Metric("read_bytes", ("vllm:estimated_read_bytes_per_gpu",), combine="avg"),
        Metric("write_bytes", ("vllm:estimated_write_bytes_per_gpu",), combine="avg"),
        # Counts the engine's steps, but with several API servers (the default where data-parallel) up to once for each
        # of them. Those export no figures of a process of their own, as all that joins several processes' metrics.
        Metric("iterations", ("vllm:iteration_tokens_total_count",), beside="process_start_time_seconds"),
        *_mean("ttft", _VLLM_TTFT),
        *_mean("itl", _VLLM_ITL),
    ),
    time_to_first_token=_VLLM_TTFT,
    request_token_latency=("vllm:request_time_per_output_token_seconds", *_VLLM_ITL),
    cache_size_info="vllm:cache_config_info",
)

SGLANG = EngineTable(
    engine=Engine.SGLANG,
    gauges=(
        Metric("running", ("sglang:num_running_reqs",), Kind.GAUGE, conditions=_SGLANG_TOTAL, rank="dp_rank"),
        Metric("waiting", ("sglang:num_queue_reqs",), Kind.GAUGE, conditions=_SGLANG_TOTAL, rank="dp_rank"),
        Metric("kv_usage", ("sglang:token_usage",), Kind.GAUGE, "max"),
        Metric("kv_size_tokens", ("sglang:max_total_num_tokens",), Kind.GAUGE, rank="dp_rank"),
    ),
    counters=(
        Metric("requests", ("sglang:num_requests",)),
        Metric("input_tokens", ("sglang:prompt_tokens",)),
        Metric("output_tokens", ("sglang:generation_tokens",)),
        Metric("cached_tokens", ("sglang:cached_tokens",)),
        Metric("preemptions", ("sglang:num_retracted_requests",), rank="dp_rank"),
        Metric("flops", ("sglang:estimated_flops_per_gpu",), combine="avg"),
        Metric("read_bytes", ("sglang:estimated_read_bytes_per_gpu",), combine="avg"),
        Metric("write_bytes", ("sglang:estimated_write_bytes_per_gpu",), combine="avg"),
        *_mean("ttft", _SGLANG_TTFT),
        *_mean("itl", _SGLANG_ITL),
    ),
    time_to_first_token=_SGLANG_TTFT,
    request_token_latency=("sglang:request_time_per_output_token_seconds", *_SGLANG_ITL),
)

TABLES: tuple[EngineTable, ...] = (VLLM, SGLANG)
