"""Structural findings: what no decision can mend, as the specs forbid it, seen over days and put as a patch."""
