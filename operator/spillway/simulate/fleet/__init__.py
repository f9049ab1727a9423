"""The fleet simulator: requests, replicas, gateway and hosted lanes, iteration by iteration, in compiled code."""

from spillway.simulate.fleet.run import simulate

__all__ = ["simulate"]
