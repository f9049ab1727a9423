"""What of a language model decides its size: parameters, and what the KV cache holds for each token."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from spillway.advise.figures import Figure, computed, given

RULE_PARAMETERS = 70_000_000_000
RULE_KV_GB = (Decimal(2), Decimal(3), Decimal(4))
"""Rule of thumb: KV cache of one concurrent user of a 70B model, low, middle and high, in GB."""


@dataclass(frozen=True, slots=True)
class KvShape:
    """What the layers keep of each token of a sequence."""

    full_layers: int
    """Layers that keep every token."""
    window_layers: int
    window: int
    """Tokens that a sliding-window layer keeps."""
    heads: int
    """Key-value heads; with a latent cache 1, which every GPU holds."""
    values_per_head: int
    """Numbers that one layer keeps of one token in one head: keys and values, or the latent vector."""
    latent: bool = False

    def heads_on_gpu(self, tensor_parallel: int) -> int:
        """Heads that one GPU holds; fewer heads than GPUs are held more than once."""
        return self.heads if self.latent else max(1, -(-self.heads // tensor_parallel))

    def kept(self, context: int) -> int:
        """Layers times tokens that a sequence of this context occupies."""
        return self.full_layers * context + self.window_layers * min(context, self.window)


@dataclass(frozen=True, slots=True)
class Model:
    """A model as sizing sees it."""

    name: str
    source: str
    parameters: Figure
    kv: KvShape | None = None
    """None: only the size is known, and the rule of thumb stands in."""
    layers: int = 0
    attention_heads: int = 0
    embedding_parameters: int = 0
    """Input and output embeddings: quantization leaves them at 16 bit."""
    input_embedding_parameters: int = 0
    """Of them those that are looked up, not multiplied."""
    expert_parameters: int = 0
    experts: int = 0
    active_experts: int = 0
    stored_bits: Decimal = Decimal(16)
    """Bits of a weight as published; of experts alone where ``stored`` is "mxfp4"."""
    stored: str = "16 bit"
    max_context: int | None = None
    measured_as: str = ""
    """Name under which measured profiles of the same architecture are kept."""
    notes: tuple[str, ...] = ()
    fingerprint: tuple[Any, ...] = ()
    """Sizes that make two models the same to the hardware."""

    @property
    def total(self) -> int:
        """All parameters."""
        return int(self.parameters.value)

    @property
    def active(self) -> int:
        """Parameters that every token is multiplied with."""
        idle = self.expert_parameters * (self.experts - self.active_experts) // self.experts if self.experts else 0
        return self.total - self.input_embedding_parameters - idle

    def touched_share_of_experts(self, tokens: int) -> float:
        """Share of the experts that some token of a batch goes to, if each chooses evenly."""
        return 1.0 - (1.0 - self.active_experts / self.experts) ** tokens if self.experts else 1.0

    def named(self, name: str, measured_as: str = "") -> Model:
        """The same under another name."""
        return replace(self, name=name, measured_as=measured_as or self.measured_as)


def of_size(billions: Decimal) -> Model:
    """A model of which only the size is known, such as "70B"."""
    count = int(billions * 1_000_000_000)
    parameters = given("parameters", count, "parameters", "--model")
    note = "only its size is known: KV cache by rule of thumb (2-4 GB a user for 70B, scaled), whatever the context"
    return Model(f"{billions.normalize():f}B", "--model", parameters, notes=(note,))


def kv_rule(model: Model) -> Figure:
    """The rule of thumb's KV cache of one concurrent user, in GB, scaled by the model's size."""
    share = Decimal(model.total) / RULE_PARAMETERS
    low, middle, high = (each * share for each in RULE_KV_GB)
    rule = given("KV cache of one user of a 70B model", RULE_KV_GB[1], "GB", "rule of thumb: 2-4 GB")
    rule = rule.banded(RULE_KV_GB[0], RULE_KV_GB[2])
    found = computed("KV cache of one sequence", middle, "GB", "rule * parameters / 70e9", rule, model.parameters)
    return found.banded(low, high)
