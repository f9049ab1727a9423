"""How many GPUs of a type serve a concurrency: tensor parallelism, sequences of a replica, replicas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from spillway.advise.figures import Figure, computed, given
from spillway.advise.sizing.errors import SizingError
from spillway.advise.sizing.gpus import GpuType
from spillway.advise.sizing.memory import Precision, Room, room
from spillway.advise.sizing.model import Model
from spillway.advise.sizing.prior import speed
from spillway.advise.sizing.speed import MAX_SEQUENCES, MeasuredProfile, Speed

NODE_GPUS = 8
"""Tensor parallelism stays within a node."""


@dataclass(frozen=True, slots=True)
class Need:
    """What is to be served."""

    model: Model
    precision: Precision
    concurrency: Figure
    """Sequences that decode at the same time."""
    context: Figure
    """Tokens of each, prompt and answer."""
    tokens_per_second: Figure
    """What every stream gets at least."""
    spare: Figure
    """Replicas beyond those needed, for failures and rollouts."""
    tensor_parallel: int | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """How a type of GPU serves the need."""

    gpu: GpuType
    tensor_parallel: int
    limit: str
    """What bounds the sequences of a replica: "KV cache", "speed" or "engine"."""
    speed: Speed
    replicas: Figure
    gpus: Figure
    stream: Figure
    """Tokens a second of each stream."""
    total: Figure
    """Tokens a second of all."""
    first_token: Figure
    """Seconds until the first token of a prompt as long as the context, alone."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A type of GPU that doesn't serve the need, and why."""

    gpu: GpuType
    reason: str
    fits: bool
    """Whether it has the memory, and is only too slow."""


def degrees(model: Model, asked: int | None) -> list[int]:
    """Tensor parallelism that the model's heads allow. Raises SizingError where the one asked for isn't among them."""
    if asked is not None:
        if model.attention_heads and model.attention_heads % asked:
            heads = model.attention_heads
            fit = ", ".join(str(each) for each in (1, 2, 4, 8) if heads % each == 0)
            raise SizingError(
                f"--tensor-parallel {asked}: {model.name} has {heads} attention heads, which it must divide: {fit}"
            )
        return [asked]
    found = []
    for each in (1, 2, 4, NODE_GPUS):
        heads = model.kv.heads if model.kv else each
        shared = each % heads == 0 or heads % each == 0
        if (not model.attention_heads or model.attention_heads % each == 0) and shared:
            found.append(each)
    return found


def place(need: Need, gpu: GpuType, profiles: tuple[MeasuredProfile, ...] = ()) -> Placement | Refusal:
    """The placement with the fewest GPUs; among equals the one with the fewest GPUs in a replica."""
    tried = [_at(need, gpu, degree, profiles) for degree in degrees(need.model, need.tensor_parallel)]
    good = [each for each in tried if isinstance(each, Placement)]
    if not good:
        return tried[-1]
    best = min(good, key=lambda each: (each.gpus.value, each.tensor_parallel))
    # At the ends of the band another degree may take fewer.
    low = min(each.gpus.value if each.gpus.low is None else each.gpus.low for each in good)
    highs = [each.gpus.high for each in good if each.gpus.high is not None]
    high, note = (max(best.gpus.value, min(highs)), "") if highs else (None, best.gpus.note)
    return replace(best, gpus=replace(best.gpus, low=low, high=high, note=note))


def _at(need: Need, gpu: GpuType, degree: int, profiles: tuple[MeasuredProfile, ...]) -> Placement | Refusal:
    found = room(need.model, need.precision, gpu, degree, need.context)
    many = f"{degree} GPUs" if degree > 1 else "1 GPU"
    if found.left.value <= 0:
        return Refusal(gpu, f"the weights don't fit {many}", fits=False)
    if found.sequences == 0:
        return Refusal(gpu, f"the KV cache of one stream doesn't fit {many} beside the weights", fits=False)
    pace = speed(need.model, need.precision, gpu, degree, need.context, profiles)
    wanted = need.tokens_per_second
    fast = pace.most_sequences(wanted.value)
    if fast == 0:
        best = pace.per_stream(1).value
        return Refusal(gpu, f"one stream gets {best:.0f} tokens/s of {many}, {wanted.value:f} are asked for", fits=True)
    seats = min(found.sequences, fast, MAX_SEQUENCES)
    limit = "KV cache" if found.sequences == seats else "speed" if fast == seats else "engine"
    replicas, gpus = _counts(need, found, pace, seats, degree)
    serving = replicas.value - need.spare.value
    batch = -(-int(need.concurrency.value) // int(serving))
    stream = pace.per_stream(batch)
    wait = computed(
        "time to the first token of a full context", pace.prompt.value * need.context.value / 1_000_000, "s",
        "time of 1,000 prompt tokens * context / 1e6", pace.prompt, need.context,
    )  # fmt: skip
    return Placement(
        gpu,
        degree,
        limit,
        pace,
        replicas,
        gpus,
        stream,
        _total(need, stream),
        wait.banded(wait.value * pace.band[0], wait.value * pace.band[1]),
    )


def _counts(need: Need, found: Room, pace: Speed, seats: int, degree: int) -> tuple[Figure, Figure]:
    """Replicas and GPUs, with the band that the speed's band and the rule's give."""
    target = need.tokens_per_second.value
    by_memory = computed(
        "sequences that fit", found.sequences, "sequences", "memory left / KV cache of one, rounded down",
        found.left, found.sequence,
    )  # fmt: skip
    by_speed = computed(
        "sequences at which each stream is fast enough", pace.most_sequences(target), "sequences",
        f"largest batch with 1000 / ms of an iteration >= {target:f}, {pace.source}", need.tokens_per_second,
    )  # fmt: skip
    engine = given("most sequences of the engine", MAX_SEQUENCES, "sequences", "assumed: vLLM's default --max-num-seqs")
    smallest = "the smallest of the three"
    each = computed("sequences of a replica", seats, "sequences", smallest, by_memory, by_speed, engine)
    formula = "concurrency / sequences of a replica, rounded up, + spare"
    replicas = computed("replicas", _replicas(need, seats), "replicas", formula, need.concurrency, each, need.spare)
    parallel = given("tensor parallelism", degree, "GPUs", "fewest GPUs in all, unless --tensor-parallel")
    gpus = computed("GPUs", replicas.value * degree, "GPUs", "replicas * tensor parallelism", replicas, parallel)
    ends = [_seats(found, pace, target, slow) for slow in (False, True)]
    low = Decimal(_replicas(need, ends[0]) * degree) if ends[0] else gpus.value
    if not ends[1]:
        return replicas, Figure(
            gpus.name, gpus.value, gpus.unit, formula=gpus.formula, inputs=gpus.inputs, low=min(low, gpus.value),
            note=f"at the slow end of the estimate no stream gets {target:f} tokens/s",
        )  # fmt: skip
    return replicas, gpus.banded(min(low, gpus.value), max(gpus.value, Decimal(_replicas(need, ends[1]) * degree)))


def _seats(found: Room, pace: Speed, target: Decimal, slow: bool) -> int:
    """Sequences of a replica at the good and at the bad end of what is estimated; 0: none."""
    times = pace.band[1] if slow else pace.band[0]
    sequence = (found.sequence.high if slow else found.sequence.low) or found.sequence.value
    return min(int(found.left.value / sequence), pace.most_sequences(target * times), MAX_SEQUENCES)


def _replicas(need: Need, seats: int) -> int:
    return -(-int(need.concurrency.value) // seats) + int(need.spare.value)


def _total(need: Need, stream: Figure) -> Figure:
    found = computed(
        "tokens a second in all", need.concurrency.value * stream.value, "tokens/s", "concurrency * stream",
        need.concurrency, stream,
    )  # fmt: skip
    low, high = stream.low or stream.value, stream.high or stream.value
    return found.banded(need.concurrency.value * low, need.concurrency.value * high)


def places(
    need: Need, gpus: Sequence[GpuType], profiles: tuple[MeasuredProfile, ...] = ()
) -> list[Placement | Refusal]:
    """Every type's placement, those that don't serve included."""
    return [place(need, gpu, profiles) for gpu in gpus]
