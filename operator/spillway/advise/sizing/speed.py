"""How fast a replica decodes: times of an iteration, from a measured profile or from `prior`'s formula.

An iteration of b sequences takes fixed + max(reading, multiplying * b) + each * b milliseconds: the weights are read
once, or multiplied with if that takes longer, and every sequence's KV cache is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from spillway.advise.figures import Figure, computed, given
from spillway.advise.sizing.model import Model

MAX_SEQUENCES = 256
"""vLLM's --max-num-seqs."""


@dataclass(frozen=True, slots=True)
class MeasuredProfile:
    """Coefficients fitted to measured iterations of a model on so many GPUs."""

    model: str
    """`Model.measured_as`."""
    gpu: str
    tensor_parallel: int
    weight_bits: Decimal
    alpha_ms: float
    beta_ms_per_sequence: float
    gamma_ms_per_ktoken_kv: float
    largest_batch: int
    """Measured up to here."""
    band: tuple[Decimal, Decimal]
    """Measured over fitted time, 10% and 90% quantiles."""
    source: str


@dataclass(frozen=True, slots=True)
class Speed:
    """Times of one replica's iterations at a context, each in milliseconds."""

    fixed: Figure
    reading: Figure
    """Weights that every batch reads."""
    multiplying: Figure
    """For each sequence."""
    each: Figure
    """What every sequence adds: its KV cache and its bookkeeping."""
    prompt: Figure
    """1,000 prompt tokens."""
    band: tuple[Decimal, Decimal]
    """Real over told time, low and high."""
    source: str
    estimate: bool
    experts: Figure | None = None
    """Reading all experts, of which a batch touches a share."""
    model: Model | None = None
    """Whose experts."""
    largest_batch: int | None = None
    """Measured up to here."""

    def step_ms(self, sequences: int) -> float:
        """One iteration of so many sequences, in milliseconds."""
        reading = float(self.reading.value)
        if self.experts is not None and self.model is not None:
            reading += float(self.experts.value) * self.model.touched_share_of_experts(sequences)
        multiplying = float(self.multiplying.value) * sequences
        return float(self.fixed.value) + max(reading, multiplying) + float(self.each.value) * sequences

    def per_stream(self, sequences: int) -> Figure:
        """Tokens a second of each of so many sequences, with its band."""
        batch = given("sequences at a time", sequences, "sequences", "concurrency over replicas, rounded up")
        parts = [self.fixed, self.reading, self.multiplying, self.each, batch]
        formula = "fixed + max(reading weights, multiplying * sequences) + each * sequences"
        if self.experts is not None:
            parts.append(self.experts)
            formula = formula.replace("weights", "weights + experts * share that the sequences touch")
        step = computed("time of one iteration", milliseconds(self.step_ms(sequences)), "ms", formula, *parts)
        value = 1000 / step.value
        found = computed("tokens a second of each stream", value, "tokens/s", "1000 / time of one iteration", step)
        if self.largest_batch is not None and sequences > self.largest_batch:
            found = replace(found, note=f"measured up to {self.largest_batch} sequences, beyond by the fitted line")
        return found.banded(value / self.band[1], value / self.band[0])

    def most_sequences(self, tokens_per_second: Decimal) -> int:
        """The largest batch at which every stream still gets so many tokens a second; 0: not even one does."""
        limit = 1000 / float(tokens_per_second)
        low, high = 0, MAX_SEQUENCES
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.step_ms(middle) <= limit else (low, middle - 1)
        return low


def milliseconds(value: float) -> Decimal:
    """To the microsecond."""
    return Decimal(repr(value)).quantize(Decimal("0.001"))


def measured(profile: MeasuredProfile, context: Figure, estimate: Speed) -> Speed:
    """The speed that a measured profile gives at this context; time of prompts as estimated."""
    source = f"{profile.source}, {profile.model} on {profile.tensor_parallel} x {profile.gpu}"
    beta = given("each sequence", Decimal(repr(profile.beta_ms_per_sequence)), "ms", source)
    gamma = given("1,000 tokens of KV cache", Decimal(repr(profile.gamma_ms_per_ktoken_kv)), "ms", source)
    each = computed(
        "each sequence with its KV cache", beta.value + gamma.value * context.value / 1000, "ms",
        "each sequence + 1,000 tokens * context / 1000", beta, gamma, context,
    )  # fmt: skip
    return Speed(
        given("fixed time with reading weights", Decimal(repr(profile.alpha_ms)), "ms", source),
        given("reading weights beyond it", 0, "ms", source),
        given("multiplying beyond it", 0, "ms", source),
        each,
        estimate.prompt,
        profile.band,
        source,
        estimate=False,
        largest_batch=profile.largest_batch,
    )
