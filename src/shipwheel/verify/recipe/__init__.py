"""A Dockerfile read: `parse` makes values of it, `lines` finds the line of a layer, the others hold rules."""
