"""`BuildPlan` → text: Dockerfile, .dockerignore, compose.yaml, bake file, dev container. Pure; writes no file."""
