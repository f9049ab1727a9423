"""The outside world -> one frozen Snapshot: the cluster, Prometheus, prices."""
