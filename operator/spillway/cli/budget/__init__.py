"""``spillway budget``."""
