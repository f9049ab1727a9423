"""Pure decisions: Snapshot + Memory -> Decision. Imports only the standard library, ``api`` and numpy."""

from spillway.decide.engine import decide

__all__ = ["decide"]
