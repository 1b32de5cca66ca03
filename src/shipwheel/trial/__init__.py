"""Changes really made: in a scratch copy of a project, built, and pushed to a registry that is thrown away."""
