"""The bench and the registry that pushes are tested with."""

from functional.pipeline.conftest import bench
from functional.ship.conftest import yard

__all__ = ["bench", "yard"]  # fixtures
