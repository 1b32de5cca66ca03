"""What a lock names that is no wheel yet: named, pinned, and built into wheels."""
