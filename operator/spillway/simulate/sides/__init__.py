"""Both sides of a change, replayed through `decide` and the simulator on the same requests."""

from spillway.simulate.sides.alone import replay_new
from spillway.simulate.sides.ask import Ask, Measured
from spillway.simulate.sides.compare import replay

__all__ = ["Ask", "Measured", "replay", "replay_new"]
