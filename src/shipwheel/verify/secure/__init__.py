"""The first promise: what an intruder would find, and what the image gives away."""
