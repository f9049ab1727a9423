"""What one replica serves: the latency model, what is learned of it, and what it means at the mix at hand."""

from spillway.decide.service.latency import iteration_work_ms, itl_miss, throughput, ttft_miss
from spillway.decide.service.learning import ServiceState, learned
from spillway.decide.service.lengths import Lengths, Stream
from spillway.decide.service.model import Coefficients, Mix, coefficients_of

__all__ = [
    "Coefficients",
    "Lengths",
    "Mix",
    "ServiceState",
    "Stream",
    "coefficients_of",
    "iteration_work_ms",
    "itl_miss",
    "learned",
    "throughput",
    "ttft_miss",
]
