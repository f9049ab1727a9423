"""A simulated fleet: real traces in, request latencies out. No I/O beyond reading trace files."""
