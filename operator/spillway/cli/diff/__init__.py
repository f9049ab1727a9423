"""`spillway diff`: a change of manifests reviewed before it is merged."""
