"""``spillway init``: looks at a cluster and its Prometheus and writes first manifests. Reads only."""
