"""Spillway: the Kubernetes operator for LLM inference capacity."""

__version__ = "0.1.0"
