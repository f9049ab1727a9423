"""Approves, rejects and carries out LaneChanges with the caller's own credentials; the operator never does."""
