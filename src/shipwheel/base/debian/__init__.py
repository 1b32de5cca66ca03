"""A base assembled from signed Debian packages: lock it, fetch it, write its layers. No apt, no root."""
