"""Spillway: the Kubernetes operator for LLM inference capacity."""

import os

__version__ = "0.1.0"

# A decision is many products of small arrays: OpenBLAS's own threads would only spin for them, which doubles the CPU
# time. Read when numpy is first imported; whoever sets it otherwise is obeyed.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
