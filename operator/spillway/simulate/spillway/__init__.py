"""Spillway itself as a policy of the simulator: the very `decide` of the controller, on snapshots of the fleet."""

from spillway.simulate.spillway.policy import SpillwayPolicy, create
from spillway.simulate.spillway.variants import VARIANTS, Variant

__all__ = ["VARIANTS", "SpillwayPolicy", "Variant", "create"]
