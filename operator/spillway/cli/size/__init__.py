"""`spillway size`: its options, where its prices come from, how its answer is shown."""
