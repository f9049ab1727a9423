"""``spillway diff``: the review of a change before it is merged."""
