"""``spillway approve``, ``reject``, ``pause``, ``resume`` and ``propose``."""
