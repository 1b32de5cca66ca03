"""Lock files → `Lock` → the files to install for one target. Downloads nothing, builds nothing."""
