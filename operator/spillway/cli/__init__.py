"""``spillway``, also run as ``kubectl spillway``."""
