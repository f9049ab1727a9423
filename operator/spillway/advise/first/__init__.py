"""First manifests: what was found in a cluster and its Prometheus -> WorkloadClass, CapacityLane, CapacityPlan as text.

Pure: facts.py in, text out. Who looks and who writes files is ``cli/first``.
"""

from spillway.advise.first.compose import Proposal, compose

__all__ = ["Proposal", "compose"]
