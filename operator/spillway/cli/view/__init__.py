"""``spillway status``, ``top``, ``explain``, ``plan`` and shell completion: what the resources say, for people."""
