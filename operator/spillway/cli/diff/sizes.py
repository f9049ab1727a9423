"""What Spillway's measured sizing data says of a lane's replica, for a replay that nothing else tells of."""

from __future__ import annotations

from decimal import Decimal

from spillway.advise.figures import given
from spillway.advise.sizing.errors import SizingError
from spillway.advise.sizing.gpus import find_gpu
from spillway.advise.sizing.memory import Precision, room
from spillway.advise.sizing.prior import prior
from spillway.advise.sizing.speed import MAX_SEQUENCES
from spillway.api import CapacityLane
from spillway.observe.sizing_data import find_model, gpu_types, profiles
from spillway.simulate.scenario.model import OwnLaneTruth
from spillway.simulate.sides import Measured

CONTEXT = 1_000
"""Tokens; what the figures are worked out for doesn't depend on it."""


def measured(lane: CapacityLane) -> Measured | None:
    """The measured profile of the lane's model on its GPUs, with prompts' time and the cache's size by formula.

    None where that combination was never measured, at the precision in which the model is published.
    """
    spec = lane.spec.self_hosted
    if spec is None:
        return None
    try:
        gpu = find_gpu(spec.gpu.type, gpu_types())
        models = [find_model(name) for name in lane.spec.models]
    except SizingError:
        return None
    precision, context = Precision(), given("context", CONTEXT, "tokens", "any")
    for model in models:
        for each in profiles():
            wanted = (model.measured_as, gpu.name, spec.gpu.per_replica, precision.weight_bits(model))
            if not model.measured_as or (each.model, each.gpu, each.tensor_parallel, each.weight_bits) != wanted:
                continue
            left = room(model, precision, gpu, each.tensor_parallel, context)
            tokens = int(left.left.value / left.sequence.value * Decimal(CONTEXT))
            prompt = prior(model, precision, gpu, each.tensor_parallel, context).prompt.value
            source = f"{each.source}, {each.model} on {each.tensor_parallel} x {each.gpu}"
            document = {
                "startupSeconds": {"mean": 0},
                "maxNumSeqs": MAX_SEQUENCES,
                "kvCacheTokens": tokens,
                "alphaMs": each.alpha_ms,
                "betaMsPerSeq": each.beta_ms_per_sequence,
                "gammaMsPerKTokenKV": each.gamma_ms_per_ktoken_kv,
                "prefillMsPerKToken": float(prompt),
                "source": source,
            }
            return Measured(OwnLaneTruth.model_validate(document), each.largest_batch)
    return None
