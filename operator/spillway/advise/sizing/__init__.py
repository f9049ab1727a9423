"""Sizing of self-hosted models: memory, tensor parallelism, GPUs for a concurrency, speed, cost, break-even. Pure."""
