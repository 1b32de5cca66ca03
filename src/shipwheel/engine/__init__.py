"""Run an image on this machine: with Docker, Podman, or rootless. Builds nothing."""
