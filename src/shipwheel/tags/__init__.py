"""Versions, git and CI → tags. `facts` reads, `versions` and `compute` are pure; nothing here pushes."""
