"""Pure decisions: Snapshot + Memory -> Decision. Imports only the standard library, ``api`` and numpy."""
