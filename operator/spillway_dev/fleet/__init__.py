"""The fleet simulator: one process that stands for every vLLM replica that the cluster says is Ready.

`model` is pure (injected clock and randomness); `cluster`, `server` and `__main__` connect it to a real
apiserver, to Prometheus and to the wall clock.
"""
