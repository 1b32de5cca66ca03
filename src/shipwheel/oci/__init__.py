"""OCI images: model, layers, layouts, archives, registries. Knows nothing of Python packaging."""
