"""Says what it is told, as a cow."""
