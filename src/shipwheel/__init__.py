"""shipwheel: from `pyproject.toml` and a lock file to a container image, without daemon, root or Dockerfile."""

__version__ = "0.1.0"
