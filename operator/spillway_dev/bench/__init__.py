"""`make bench`: the benchmark scenarios, run and written down in docs/benchmarks.md."""
