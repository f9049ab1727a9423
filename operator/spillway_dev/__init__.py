"""Development-only tools: the control plane without containers, the fleet simulator and the demo.

Nothing in here is part of the product: `spillway` never imports `spillway_dev`.
"""
