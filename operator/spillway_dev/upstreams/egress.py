"""What an egress proxy counts of the answers that it passes on, under LiteLLM's names."""

from __future__ import annotations

from spillway_dev.fleet.histogram import Family, exposition, labels


class EgressMetrics:
    """Requests and tokens of one hosted model on behalf of one team. A series appears with the first request."""

    def __init__(self, model: str, team: str) -> None:
        self._who = labels(model=model, team=team)
        self._asked = f"{self._who},{labels(requested_model=model)}"
        self._requests = self._input = self._output = 0

    def served(self, input_tokens: int, output_tokens: int) -> None:
        """Count an answer that was given in full."""
        self._requests += 1
        self._input += input_tokens
        self._output += output_tokens

    def exposition(self) -> bytes:
        """Its /metrics."""
        if not self._requests:
            return b""
        counters = (
            ("litellm_requests_metric_total", "Total number of LLM calls.", self._who, self._requests),
            ("litellm_input_tokens_metric_total", "Total number of input tokens.", self._asked, self._input),
            ("litellm_output_tokens_metric_total", "Total number of output tokens.", self._asked, self._output),
        )
        return exposition(
            Family(name, "counter", text, [(f"{name}{{{who}}}", value)]) for name, text, who, value in counters
        ).encode()
