"""The heavy wheels of a data service, for the benchmark."""
