"""`BuildPlan` and files → `Image`: fetch, compile and write the layers that the cache does not hold."""
