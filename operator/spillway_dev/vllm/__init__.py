"""A real vLLM on CPU with a tiny model: what the reading of engines is held against."""
