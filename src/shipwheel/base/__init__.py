"""Where an image's first layers come from: signed Debian packages, a registry, or a layout."""
